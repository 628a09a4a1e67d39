#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# superblock.sh - one damaged copy of the superblock is no loss
. "$top_srcdir/tests/cli/functions.sh"

new_pool
cowbd create a 1M
for offset in 0 512; do
	cp --sparse=always "$pool" damaged
	dd if=/dev/urandom of=damaged bs=4096 seek=$offset count=1 conv=notrunc status=none
	expect 0 "$COWBD" -p ./damaged ls -o NAME --noheadings
	same "$(cat out)" a
	says 'note: .*one copy of the superblock is damaged, the other is used'
	expect 2 "$COWBD" -p ./damaged check
	expect 0 "$COWBD" -p ./damaged create b 1M
	says 'note: .*one copy of the superblock'
	expect 0 "$COWBD" -p ./damaged ls b
	[ ! -s err ] || fail "not mended: $(cat err)"
	cowbd -p ./damaged check
done
cp --sparse=always "$pool" damaged
for offset in 0 512; do
	dd if=/dev/zero of=damaged bs=4096 seek=$offset count=1 conv=notrunc status=none
done
expect 1 "$COWBD" -p ./damaged ls
says 'not a cowbd pool'

# both are there, and neither is whole: that was a pool
cp --sparse=always "$pool" damaged
for offset in 700 2097852; do
	printf '\377' | dd of=damaged bs=1 seek=$offset conv=notrunc status=none
done
expect 1 "$COWBD" -p ./damaged ls
says 'no copy of the superblock is whole'
expect 2 "$COWBD" -p ./damaged check
grep -q '^damage: ' out || fail "check names no damage: $(cat out)"
expect 2 "$COWBD" -p ./damaged check --json
json_ok out
