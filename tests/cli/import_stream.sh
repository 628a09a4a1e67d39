#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# import_stream.sh - import from standard input, larger than the first guess
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	random_image img 2
	cowbd import - a <img
	cat img | cowbd import - b
	cowbd export b - >out
	cmp img out
	cowbd export a - | cmp img -
	same "$(cowbd ls a -o SIZE --noheadings --bytes | tr -d ' ')" 8388608
	truncate -s 1100M big
	head -c 65536 /dev/urandom >>big
	cat big | cowbd import - c 2>/dev/null
	same "$(cowbd ls c -o SIZE --noheadings --bytes | tr -d ' ')" "$(stat -c %s big)"
	cowbd export c out --force
	cmp big out
}
both_ways tests
