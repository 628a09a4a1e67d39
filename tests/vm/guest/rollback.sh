# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# rollback.sh TYPE - a mounted volume: refused with the list of mounts, taken down and brought back, or cut off
. /tests/lib.sh
type=$1
begin

device_of_live() {
	awk '$2 == "/tmp/work/live" {print $1}' /proc/mounts
}

cowbd create disk 1G
device=$(cowbd attach disk --device /dev/nbd3)
make_fs "$type" "$device"
mkdir live
mount -t "$type" -o noatime "$device" live
echo old >live/file
cowbd snapshot disk@s --freeze auto >/dev/null
echo new >live/file
sync

! cowbd rollback disk@s 2>why || fail "rolled back under a mount"
cat why
[ "$(wc -l <why)" -eq 1 ] && grep -q "/dev/nbd3.*/tmp/work/live" why || fail "no list of mounts"
[ "$(cat live/file)" = new ]

# busy: nothing is changed
exec 9<live/file
! cowbd rollback disk@s --remount 2>why || fail "a busy file system was rolled back"
cat why
exec 9<&-
[ "$(cat live/file)" = new ]

cowbd rollback disk@s --remount
[ "$(device_of_live)" = /dev/nbd3 ] || fail "it is on $(device_of_live)"
[ "$(cat live/file)" = old ]
grep -q '/tmp/work/live .*noatime' /proc/mounts || fail "the options are gone"
cowbd rollback --undo disk --remount
[ "$(device_of_live)" = /dev/nbd3 ] || fail "it is on $(device_of_live)"
[ "$(cat live/file)" = new ]

# force: what is cached does not land on the new state
dd if=/dev/zero of=live/cached bs=1M count=8 2>/dev/null
cowbd rollback disk@s --force
! dd if=/dev/zero of=live/more bs=1M count=1 conv=fsync 2>/dev/null || fail "what was cached went somewhere"
umount live || umount -l live
[ ! -e /sys/block/nbd3/pid ] || cowbd detach disk
wait_for 20 is_detached /dev/nbd3
[ "$type" != btrfs ] || btrfs device scan --forget
expected_complaints='I/O error|EXT4-fs|Aborting journal|XFS|BTRFS'
cowbd diff disk@s disk --noheadings >differs
[ ! -s differs ] || fail "it is not what the snapshot is: $(head -n 3 differs)"
cowbd mount disk live
[ "$(cat live/file)" = old ]
device=$(device_of_live)
exec 9<"$device"
umount live
check_fs "$type" "$device"
exec 9<&-
