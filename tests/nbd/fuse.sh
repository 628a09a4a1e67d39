#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# fuse.sh - nbdfuse makes a volume a file that is read and written
. "$top_srcdir/tests/nbd/functions.sh"

need nbdfuse fusermount3
[ -w /dev/fuse ] || skip "/dev/fuse can't be used"
new_pool
serve
"$COWBD" create vol 8M
mkdir mnt
nbdfuse mnt/disk "$(uri vol)" &
fuse=$!
wait_for 10 test -f mnt/disk || skip "nbdfuse can't mount here"
random_file data $((8 * 1024 * 1024))
dd if=data of=mnt/disk bs=64k conv=notrunc,fsync status=none
cmp data mnt/disk
printf odd | dd of=mnt/disk bs=1 seek=12345 conv=notrunc,fsync status=none
printf odd | dd of=data bs=1 seek=12345 conv=notrunc status=none
fusermount3 -u mnt
wait $fuse
talk <<END
connect a $(uri vol)
read a 12345 1 111
END
nbdcopy "$(uri vol)" back
cmp data back
stop_server
