#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# init.sh - init: names, sizes, block sizes, and what it refuses
. "$top_srcdir/tests/cli/functions.sh"

need mke2fs
cowbd init p1 --size 256M --name mine --block-size 64K | grep -q 'pool mine: 256M in blocks of 64K'
cowbd -p ./p1 status --json >json
same "$(field json block_size)" 65536
cowbd init p2.cowbd --size 1T --journal-size 16M >/dev/null
[ "$(($(stat -c %b p2.cowbd) * 512))" -lt 100000000 ] || fail "not sparse"
cowbd init p3 --size 128M --preallocate >/dev/null
[ "$(($(stat -c %b p3) * 512))" -ge 134217728 ] || fail "not preallocated"
refuse() {
	expect "$1" "$COWBD" init "$3" ${4-}
	says "$2"
}
refuse 1 'force' p1
truncate -s 64M fs
mke2fs -q fs
refuse 1 'force' fs '--size 256M'
echo text >file
refuse 1 'force' file
same "$(cat file)" text
refuse 64 'power of two' new '--block-size 5K'
refuse 64 'power of two' new '--block-size 2M'
refuse 64 'is zero' new '--size 0'
refuse 64 'no size' new '--size much'
refuse 1 . new '--size 4M'
refuse 1 . nothere/new '--size 256M'
[ ! -e new ] || fail "a failed init left a file"
cowbd init file --size 256M --force >/dev/null
cowbd -p ./file ls
unset COWBD_POOL
expect 64 "$COWBD" init
says 'which file'
