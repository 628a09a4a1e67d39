#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# import.sh - import keeps content and exact size, and leaves holes holes
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	random_image img 2
	cowbd import img a
	same "$(cowbd ls a -o SIZE --noheadings --bytes | tr -d ' ')" 8388608
	cowbd export a out --force
	cmp img out
	mapped=$(cowbd ls a -o MAPPED --noheadings --bytes | tr -d ' ')
	[ "$mapped" -le 2260992 ] || fail "$mapped bytes mapped"
	# written zeros are holes too
	head -c 1049088 /dev/zero >zeros
	cowbd import zeros z --json >json
	json_ok json
	same "$(field json size)" 1049088
	same "$(field json written)" 0
	refused 1 'a' import img a
	# a raw file with another suffix is still raw; data that looks like a header with --format raw too
	printf 'QFI\373' >liar
	truncate -s 1M liar
	refused 1 'qcow2' import liar b
	cowbd import liar b --format raw
	cowbd export b out --force
	cmp liar out
}
both_ways tests
