#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# df.sh - df shows what sharing saves
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	head -c 4194304 /dev/urandom >img
	cowbd import img a
	cowbd clone -n 4 a c-
	cowbd df --json >json
	json_ok json
	last() {
		sed -n '/"pool": {/,$p' json >pool_part
		field pool_part "$1"
	}
	same "$(last virtual)" 20971520
	same "$(last mapped)" 20971520
	same "$(last saved)" 16777216
	same "$(last exclusive)" 0
	[ "$(last free)" -gt 0 ] && [ "$(last free)" -lt 268435456 ] || fail "free: $(last free)"
	cowbd df --bytes | grep -q '^(pool ' || fail "no line for the pool"
	cowbd df -o NAME,SHARED,EXCLUSIVE --noheadings --bytes | grep -q '^a  *4194304  *0 *$' ||
		fail "a: $(cowbd df)"
}
both_ways tests
