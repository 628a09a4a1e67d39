#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# check.sh - check: 0 clean, 2 damage, and the same through the daemon
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	random_image img 4
	cowbd import img a
	cowbd snapshot a@s >/dev/null
	expect 0 "$COWBD" check
	grep -q '^clean' out || fail "not clean: $(cat out)"
	expect 0 "$COWBD" check --json
	json_ok out
	same "$(field out damages)" 0
}
both_ways tests
# both copies of the superblock are noise: no pool any more
new_pool
dd if=/dev/urandom of="$pool" bs=4096 count=1 conv=notrunc status=none
expect 2 "$COWBD" check
grep -q '^damage' out || fail "no damage named: $(cat out)"
