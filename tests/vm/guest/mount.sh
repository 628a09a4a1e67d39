# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# mount.sh TYPE - cowbd attach, mount, umount: the live disk, and snapshots beside it by throw-away clones
#
# btrfs: a snapshot taken from a running file system is refused beside it, and mounts when it is alone.
. /tests/lib.sh
type=$1
begin

cowbd create disk 1G
device=$(cowbd attach disk)
[ "$device" = /dev/nbd0 ] || fail "attached as $device"
[ "$(blockdev --getss $device)" = 512 ] || fail "sectors are not 512 bytes"
[ "$(cat /sys/block/nbd0/backend)" ] || fail "no backend identifier"
make_fs "$type" $device
cowbd detach disk
wait_for 10 is_detached $device

mkdir live look
cowbd mount disk live
mkdir live/files
sync
writer write live/files state -t 2 -s 40 &
writer=$!
for n in 1 2; do
	sleep 2
	cp state low$n
	cowbd snapshot disk@s$n
	cp state high$n
done
if [ "$type" != btrfs ]; then
	# while the live one is being written
	cowbd mount disk@s1 look
	writer verify look/files low1 high1
	cowbd umount look
else
	! cowbd mount disk@s1 look 2>why || fail "mounted beside its origin by Linux $(uname -r)"
	cat why
fi
! cowbd detach disk 2>why || fail "detached while mounted"
[ "$(wc -l <why)" -eq 1 ] || fail "not one line: $(cat why)"
kill $writer
wait $writer
writer verify live/files state
cowbd umount live
for n in 1 2; do
	cowbd mount disk@s$n look
	writer verify look/files low$n high$n
	where=$(awk '$2 == "/tmp/work/look" {print $1}' /proc/mounts)
	# the device goes with its last use; so that it can be checked, it is kept open
	exec 9<"$where"
	umount look
	check_fs "$type" "$where"
	exec 9<&-
	wait_for 20 is_detached "$where"
done
device=$(cowbd attach disk)
check_fs "$type" "$device"
cowbd detach disk
