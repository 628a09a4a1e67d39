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
# more findings than are shown: how many more is said, offline and online
new_pool
random_image img 8
cowbd import img a
cowbd dump >dump
offset=$(sed -n 's/.*"what":"zone".*"offset":\([0-9]*\).*"type":"data".*/\1/p' dump | head -n 1)
[ -n "$offset" ] || fail "no zone of data in the dump: $(grep '"zone"' dump | head -n 3)"
dd if=/dev/zero of="$pool" bs=4096 seek=$((offset / 4096)) count=1 conv=notrunc status=none
many() {
	expect 2 "$COWBD" check
	left=$(sed -n 's/^\.\.\. and \([0-9]*\) more findings.*/\1/p' out)
	[ "${left:-0}" -gt 0 ] || fail "nothing is said of what is left out: $(tail -n 3 out)"
	expect 2 "$COWBD" check --json
	same "$(field out findings_left)" "$left"
	same "$(($(field out damages) + $(field out leaks) + $(field out notes)))" "$((1000 + left))"
	same "$(grep -c '"kind"' out)" 1000
}
many
serve
many
end_server
# both copies of the superblock are noise: no pool any more
new_pool
dd if=/dev/urandom of="$pool" bs=4096 count=1 conv=notrunc status=none
expect 2 "$COWBD" check
grep -q '^damage' out || fail "no damage named: $(cat out)"
