#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# interrupted.sh - an interrupted attach leaves nothing; a remount is not interrupted; a device that changed hands is left alone
. "$top_srcdir/tests/attach/functions.sh"

need flock
need_fs ext4
serve_pool
mkdir mnt slow
cowbd create vol 64M

# nbdfuse that takes its time
cat >slow/nbdfuse <<END
#!/bin/sh
echo \$\$ >$TEST_DIR/slow/pid
exec sleep 60
END
chmod +x slow/nbdfuse
PATH=$TEST_DIR/slow:$PATH "$COWBD" attach vol --via fuse 2>err &
command=$!
wait_for 10 test -s slow/pid
kill $command
! wait $command || fail 'it attached something'
grep -q 'interrupted: it is not attached' err
ended() {
	! kill -0 "$(cat slow/pid)"
}
wait_for 5 ended
[ -z "$(find "$COWBD_RUNDIR" -name 'attach-*')" ] || fail "left: $(ls "$COWBD_RUNDIR")"

# a signal while the disk is down waits until it is up again
make_fs ext4 "$(cowbd attach vol --via fuse)"
cowbd detach vol
cowbd mount vol mnt
echo old >mnt/file
sync -f mnt
cowbd snapshot vol@s >/dev/null
echo new >mnt/file
"$COWBD" rollback vol@s --remount >out 2>err &
command=$!
while mountpoint -q mnt; do
	kill -0 $command 2>/dev/null || break
done
kill $command 2>/dev/null || :
wait $command || status=$?
echo "status ${status:-0}"
mountpoint -q mnt || fail 'it is not mounted again'
same "$(cat mnt/file)" old

# the device has become somebody else's while the command waited for the lock
truncate -s 1M file
device=$(our_loops)
flock "$COWBD_RUNDIR/attach.lock" sh -c 'until [ -e taken ]; do sleep 0.1; done' &
locking=$!
sleep 0.3
"$COWBD" umount mnt 2>umount.err &
unmounting=$!
"$COWBD" detach "$device" 2>err &
command=$!
sleep 0.5
umount mnt
wait_for 10 nothing_attached
wait_for 10 losetup "$device" file # it may be busy for a moment yet
touch taken
wait $locking
! wait $command || fail 'it detached what is not ours'
! wait $unmounting || fail 'it unmounted nothing'
grep -q "$device was detached meanwhile" err || fail "$(cat err)"
grep -q 'nothing is mounted on mnt' umount.err || fail "$(cat umount.err)"
losetup "$device" >/dev/null || fail 'it is gone'
losetup -d "$device"
cowbd stop
cowbd check
