# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# logwrites.sh - what a small known load and a pool write to /dev/vdb, logged by dm-log-writes to /dev/vdc
#
# What is in the log is held against the disk, and the power cut at many places of it, on the host.
. /tests/lib.sh
set -eu
COWBD_POOL=/dev/mapper/logged
load dm-log-writes
mkdir -p /tmp/work
cd /tmp/work

logged() {
	dmsetup create logged --noudevsync --table "0 $(blockdev --getsz /dev/vdb) log-writes /dev/vdb /dev/vdc"
	dmsetup mknodes
}

# The target logs a write when a flush has come after it.
flush() {
	dd if=/dev/null of=$COWBD_POOL conv=notrunc,fsync 2>/dev/null
}

mark() {
	dmsetup message logged 0 mark "$1"
}

logged
# letters of 64 KiB: written, one over the other, a hole
for place in 0 1 2 3 1; do
	head -c 65536 /dev/zero | tr '\0' "$place" |
		dd of=$COWBD_POOL bs=64k seek=$place oflag=direct conv=notrunc 2>/dev/null
done
head -c 4096 /dev/zero | tr '\0' x | dd of=$COWBD_POOL bs=4k seek=17 oflag=direct conv=notrunc,fsync 2>/dev/null
mark written
blkdiscard -o 131072 -l 65536 $COWBD_POOL
flush
mark discarded

cowbd init $COWBD_POOL --name pool --force >/dev/null
mark made
serve
cowbd create v0 64M
attach_stock v0 /dev/nbd0
mark created-v0
for n in 1 2 3 4; do
	dd if=/dev/urandom of=/dev/nbd0 bs=64k count=8 seek=$n conv=fsync 2>/dev/null
	cowbd snapshot v0@s$n >/dev/null
	mark "created-v0@s$n"
	cowbd create v$n 16M
	mark "created-v$n"
done
detach_stock /dev/nbd0
cowbd stop
mark stopped
sync
dmsetup remove logged --noudevsync
