#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# rollback.sh - a volume that is mounted: refused with the list, taken down and brought back, or cut off
. "$top_srcdir/tests/attach/functions.sh"

need_fs ext4
need sfdisk
# same_device: it came back as it was, unless another process took the device meanwhile, which is said.
same_device() {
	[ "$(our_loops)" = "$device" ] || grep -q "was taken by somebody else" err ||
		fail "it was $device, and is $(our_loops)"
	device=$(our_loops)
}

serve_pool
mkdir mnt mnt2
cowbd create vol 200M
device=$(cowbd attach vol)
printf 'label: gpt\nsize=90MiB\nsize=90MiB\n' | sfdisk -q --no-reread --no-tell-kernel "$device"
cowbd detach vol
device=$(cowbd attach vol)
make_fs ext4 "${device}p1"
make_fs ext4 "${device}p2"
cowbd detach vol
cowbd mount vol:2 mnt --options noatime
mkdir mnt/sub
cowbd mount vol:1 mnt/sub
echo old >mnt/file
echo old >mnt/sub/file
cowbd snapshot vol@s --freeze auto >/dev/null
device=$(our_loops)
echo new >mnt/file
echo new >mnt/sub/file

expect 1 "$COWBD" rollback vol@s
says "vol is attached as $device, mounted on $TEST_DIR/mnt, $TEST_DIR/mnt/sub: --remount"
same "$(cat mnt/file)" new
expect 64 "$COWBD" rollback vol@s --remount --force
says 'exclude each other'

# busy: nothing has changed, and all is mounted
exec 3<mnt/file
expect 1 "$COWBD" rollback vol@s --remount
says 'mnt is busy'
exec 3<&-
same "$(cat mnt/sub/file)" new

cowbd rollback vol@s --remount >out 2>err
grep -q 'kept as vol@before-rollback' out
same_device
same "$(cat mnt/file mnt/sub/file | tr '\n' ' ')" 'old old '
findmnt -n -o OPTIONS mnt | grep -q noatime
# it was made by mount, so it still goes with its last use
cowbd rollback --undo vol --remount >/dev/null 2>err
same "$(cat mnt/file mnt/sub/file | tr '\n' ' ')" 'new new '
umount mnt/sub mnt
wait_for 10 nothing_attached

# one that was attached by hand stays so; a rollback that can't be leaves all as it was
device=$(cowbd attach vol)
mount "${device}p2" mnt
expect 1 "$COWBD" rollback vol@nothing --remount
says 'no snapshot'
same "$(cat mnt/file)" new
cowbd rollback vol@s --remount >/dev/null 2>err
same "$(cat mnt/file)" old
umount mnt
same_device

# somebody who waits for the device to be free gets it; the disk comes back under another name
truncate -s 1M spoiler
mount "${device}p2" mnt
taken=$device
(until losetup "$taken" spoiler 2>/dev/null; do kill -0 $$ || exit 1; done) &
spoiler=$!
cowbd rollback --undo vol --remount >/dev/null 2>err
same "$(cat mnt/file)" new
same_device
kill $spoiler 2>/dev/null || :
wait $spoiler 2>/dev/null || :
echo "# was $taken, is $device"
[ "$device" = "$taken" ] || losetup -d "$taken"
cowbd rollback vol@s --remount >/dev/null 2>err
same_device
umount mnt

# with nothing mounted
cowbd rollback --undo vol --remount >/dev/null 2>err
same_device

# force: what is cached never lands on the new state
mount "${device}p2" mnt
head -c 20000000 /dev/urandom >mnt/cached
cowbd rollback vol@s --force >/dev/null
! sync -f mnt 2>/dev/null || fail 'what was cached went somewhere'
umount mnt 2>/dev/null || umount -l mnt
wait_for 10 nothing_attached
cowbd export vol now
cowbd export vol@s before
cmp now before
cowbd mount vol:2 mnt
same "$(cat mnt/file)" old
cowbd umount mnt
cowbd stop
cowbd check
