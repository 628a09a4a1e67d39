# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# snapshots.sh TYPE - stock nbd-client: snapshots while files are written with fsync, their clones beside
#
# Two connections for the live disk.  Each clone must be what the file system was at one instant between
# the begin and the end of `cowbd snapshot`, to the last fsynced file, and must pass fsck.
. /tests/lib.sh
type=$1
begin

cowbd create disk 1G
attach_stock disk /dev/nbd0 -C 2
make_fs "$type" /dev/nbd0
mkdir live
mount -t "$type" /dev/nbd0 live
mkdir live/files
sync
writer write live/files state -t 2 -s 40 &
writer=$!
for n in 1 2 3; do
	sleep 2
	cp state low$n
	cowbd snapshot disk@s$n
	cp state high$n
done
[ "$type" != btrfs ] || {
	# Before Linux 6.7 btrfs takes a second device with the same UUID for the first one.
	fsfreeze --freeze live
	cowbd snapshot disk@frozen
	fsfreeze --unfreeze live
}
kill $writer
wait $writer
writer verify live/files state

# look SNAPSHOT: its clone on /dev/nbd1
look() {
	cowbd clone "disk@$1" "look-$1"
	attach_stock "look-$1" /dev/nbd1
}

if [ "$type" = btrfs ]; then
	look frozen
	btrfstune -m /dev/nbd1
	mount_copy btrfs /dev/nbd1 look
	sum=$(cat look/files/* | wc -c)
	[ "$sum" -gt 0 ] || fail "no file in the frozen snapshot"
	umount look
	check_fs btrfs /dev/nbd1
	detach_stock /dev/nbd1
	umount live
	check_fs btrfs /dev/nbd0
	detach_stock /dev/nbd0
	btrfs device scan --forget
fi
for n in 1 2 3; do
	look s$n
	mount_copy "$type" /dev/nbd1 look
	writer verify look/files low$n high$n
	umount look
	check_fs "$type" /dev/nbd1
	detach_stock /dev/nbd1
	[ "$type" != btrfs ] || btrfs device scan --forget
done
[ "$type" = btrfs ] || {
	writer verify live/files state
	umount live
	check_fs "$type" /dev/nbd0
	detach_stock /dev/nbd0
}
