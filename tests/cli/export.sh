#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# export.sh - export writes sparse files, and none over another without --force
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	rm -f out
	random_image img 1
	cowbd import img a
	cowbd resize a 64M
	truncate -s 64M img
	cowbd snapshot a@s >/dev/null
	cowbd export a@s out
	cmp img out
	[ "$(($(stat -c %b out) * 512))" -lt 2000000 ] || fail "out is not sparse"
	echo mine >other
	refused 1 'exists: --force replaces it' export a other
	same "$(cat other)" mine
	cowbd export a other --force --json >json
	json_ok json
	cmp img other
	refused 1 'No such file' export a nothere/out
	refused 1 'directory' export a .
	same "$(ls | grep -c '\.......$' || :)" 0
	cowbd export a - | cmp img -
	mkdir -p full
}
both_ways tests
