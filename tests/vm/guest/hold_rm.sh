# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# hold_rm.sh - a full pool below a mounted file system: it waits, and goes on when something is removed
. /tests/lib.sh
begin 192M

held() {
	cowbd status --json | sed -n 's/.*"held": \([0-9]*\).*/\1/p' | awk '{n += $1} END {exit n == 0}'
}

free_of_pool() {
	cowbd df --json | sed -n 's/^ *"free": \([0-9]*\).*/\1/p' | head -n 1
}

cowbd create ballast 64M
ballast=$(cowbd attach ballast)
dd if=/dev/urandom of="$ballast" bs=1M count=64 conv=fsync 2>/dev/null
cowbd detach ballast
cowbd create disk 1G
device=$(cowbd attach disk)
make_fs ext4 "$device"
mkdir live
mount -t ext4 "$device" live
dd if=/dev/urandom of=/dev/shm/data bs=1M count=80 2>/dev/null
dd if=/dev/shm/data of=live/data bs=1M conv=fsync 2>/dev/null &
dd=$!
wait_for 120 held
kill -0 $dd || fail "dd ended"
# an end in order, or none: held writes are not answered, and wait for the next daemon
for signal in TERM KILL; do
	kill -$signal "$daemon"
	while [ -d "/proc/$daemon" ]; do :; done
	serve
	wait_for 60 held
	kill -0 $dd || fail "dd ended after SIG$signal"
done
cowbd status | tail -n 5
cowbd rm ballast
cowbd status | tail -n 3
wait $dd || fail "dd failed"
! held || fail "held still"
cmp live/data /dev/shm/data

# and again: what holds is released by what the file system itself gives back
full=$(free_of_pool)
rm live/data
sync
fstrim live
freed() {
	[ $(($(free_of_pool) - full)) -gt 70000000 ]
}
wait_for 30 freed
echo "free: $full, after fstrim $(free_of_pool)"
dd if=/dev/shm/data of=live/data bs=1M conv=fsync 2>/dev/null || fail "no space after fstrim"
echo 3 >/proc/sys/vm/drop_caches
cmp live/data /dev/shm/data
rm /dev/shm/data
umount live
check_fs ext4 "$device"
cowbd detach disk
