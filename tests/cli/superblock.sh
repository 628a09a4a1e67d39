#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# superblock.sh - one damaged copy of the superblock is no loss
. "$top_srcdir/tests/cli/functions.sh"

new_pool
cowbd create a 1M
for offset in 0 512; do
	cp --sparse=always "$pool" damaged
	dd if=/dev/urandom of=damaged bs=4096 seek=$offset count=1 conv=notrunc status=none
	same "$(cowbd -p ./damaged ls -o NAME --noheadings)" a
	cowbd -p ./damaged create b 1M
	cowbd -p ./damaged ls b >/dev/null
	cowbd -p ./damaged check
done
cp --sparse=always "$pool" damaged
for offset in 0 512; do
	dd if=/dev/zero of=damaged bs=4096 seek=$offset count=1 conv=notrunc status=none
done
expect 1 "$COWBD" -p ./damaged ls
says 'not a cowbd pool'
