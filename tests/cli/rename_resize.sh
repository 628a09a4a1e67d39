#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# rename_resize.sh - volumes and snapshots are renamed, volumes resized
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	random_image img 1
	cowbd import img a
	cowbd snapshot a@s >/dev/null
	cowbd rename a b
	same "$(names)" "$(printf 'b\nb@s')"
	cowbd rename b@s b@t
	same "$(names)" "$(printf 'b\nb@t')"
	cowbd create c 1M
	refused 1 'c' rename b c
	cowbd resize b 8M
	same "$(cowbd ls b -o SIZE --noheadings --bytes | head -n 1 | tr -d ' ')" 8388608
	cowbd export b out --force
	truncate -s 8M img
	cmp img out
	refused 1 . resize b 512K
	refused 1 'snapshot' resize b@t 8M
	cowbd resize b 512K --force
	cowbd export b out --force
	truncate -s 512K img
	cmp img out
}
both_ways tests
