#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# json.sh - --json gives one object with a version, everywhere
. "$top_srcdir/tests/cli/functions.sh"

check_json() {
	expect 0 "$COWBD" "$@" --json
	json_ok out
}
tests() {
	check_json create a 4M
	check_json snapshot a@s
	check_json clone a@s b c
	check_json rename b d
	check_json resize d 8M
	check_json ls
	check_json ls a
	check_json tree
	check_json info a
	check_json df
	check_json diff a a@s
	check_json status
	check_json check
	check_json rollback a@s
	check_json rollback --undo a
	check_json rm --dry-run -r a
	check_json rm -r a
	head -c 4096 /dev/zero >img
	check_json import img i
	rm -f out.img
	check_json export i out.img
	check_json grow 300M
	[ $way = direct ] || check_json uri i
}
rm -f other
check_json init "$TEST_DIR/other" --size 256M
both_ways tests
