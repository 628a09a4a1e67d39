#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# bad_use.sh - what can't be attached or detached is refused with one clear line
. "$top_srcdir/tests/attach/functions.sh"

new_pool
expect 1 "$COWBD" -p "$pool" attach vol
says 'is not served: `cowbd serve'
serve_pool
cowbd create vol 64M
expect 1 "$COWBD" attach nothing
says 'no volume "nothing"'
expect 1 "$COWBD" attach vol@nothing
says 'no snapshot'
expect 64 "$COWBD" attach vol --via pigeon
says 'auto, nbd or fuse'
expect 64 "$COWBD" attach vol --device /dev/sda
says '/dev/nbdN or /dev/loopN'
expect 64 "$COWBD" attach vol --device /dev/loop3 --via nbd
says 'is not --via nbd'
expect 64 "$COWBD" attach vol --sector-size 1024
says '512 or 4096'
expect 1 "$COWBD" detach vol
says 'vol is not attached'
expect 1 "$COWBD" detach /dev/nothing
says 'no device /dev/nothing'
expect 1 "$COWBD" detach /dev/null
says '/dev/null is not attached by cowbd'
if [ ! -d /sys/module/nbd ] && ! modprobe -q nbd 2>/dev/null; then
	expect 1 "$COWBD" attach vol --via nbd
	says 'kernel has no NBD client'
	expect 1 "$COWBD" reattach
	says 'kernel has no NBD client'
	expect 1 "$COWBD" reattach --watch
	says 'kernel has no NBD client'
fi

# somebody else's loop device is neither taken nor let go
truncate -s 1M file
other=$(losetup -f --show file)
expect 1 "$COWBD" attach vol --device "$other"
says "$other: is in use"
expect 1 "$COWBD" detach "$other"
says "$other is not attached by cowbd"
losetup -d "$other"
wait_for 10 nothing_attached

device=$(cowbd attach vol --via fuse)
expect 1 "$COWBD" attach vol
says "vol is attached already, as $device"
exec 3<"$device"
make_fs ext4 "$device"
mkdir mnt
mount "$device" mnt
expect 1 "$COWBD" detach vol
says "can't detach $device: mounted on $TEST_DIR/mnt"
expect 1 "$COWBD" attach vol
says "attached already, as $device, mounted on $TEST_DIR/mnt"
exec 3<&-
# mounted by hand and by cowbd is all the same
expect 1 "$COWBD" mount vol mnt
says "$TEST_DIR/mnt is taken\|mnt is taken"
mkdir mnt2
expect 1 "$COWBD" mount vol mnt2
says "vol is mounted already, on $TEST_DIR/mnt"
expect 1 "$COWBD" umount mnt2
says 'nothing is mounted on mnt2'
expect 1 "$COWBD" umount /proc
says "not cowbd's"
expect 64 "$COWBD" mount vol mnt2 -o ro
says 'options of the mount go with --options'
expect 1 "$COWBD" mount vol nothere
says 'nothere: No such file'
expect 1 "$COWBD" mount vol data
says 'data: No such file\|no directory'
expect 1 "$COWBD" mount nothing mnt2
says 'no volume "nothing"'
exec 3<mnt/lost+found
expect 1 "$COWBD" umount mnt
says 'is busy: `fuser'
exec 3<&-
cowbd umount mnt
[ -n "$(our_loops)" ] || fail 'umount took away what was attached by hand'
cowbd detach vol
cowbd create empty 1M
expect 1 "$COWBD" mount empty mnt
says 'nothing that is known'
wait_for 10 nothing_attached

if command -v setpriv >/dev/null; then
	chmod 755 "$TEST_DIR"
	chmod 711 "$COWBD_RUNDIR"
	for what in 'attach vol' 'detach vol'; do
		expect 1 setpriv --reuid 65534 --regid 65534 --clear-groups "$COWBD" $what
		says 'needs root'
	done
fi
wait_for 10 nothing_attached

# a pool that is not served any more: said at once, and not waited for
device=$(cowbd attach vol --via fuse)
dd if=/dev/zero of="$device" bs=1M count=1 status=none
cowbd stop --force
expect 1 "$COWBD" detach "$device"
says "can't detach $device: its pool is not served.*--force"
cowbd detach "$device" --force
wait_for 10 nothing_attached
