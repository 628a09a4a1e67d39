#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# full.sh - mount, umount and --remount in a full pool say that they wait for space, and end well when there is some
. "$top_srcdir/tests/attach/functions.sh"

need_fs ext4
need qemu-io
serve_pool 256M
mkdir live copy
cowbd create filler 256M 2>/dev/null
cowbd create vol 64M 2>/dev/null
make_fs ext4 "$(cowbd attach vol --via fuse)"
cowbd detach vol
cowbd mount vol live
echo old >live/file
sync -f live
cowbd snapshot vol@s >/dev/null

# whatever else fails, nothing may wait for space at the end
end_all() {
	cowbd grow 2G >/dev/null 2>&1 || :
	end_attached
}
trap end_all EXIT

held() {
	[ "$(cowbd status --json | sed -n 's/^  "held": *\([0-9]*\),/\1/p')" -ge 1 ]
}
fill() {
	qemu-io -f raw -c "write -P $1 0 256M" "$(cowbd uri filler)" >/dev/null 2>&1 &
	filling=$!
	wait_for 30 held
}
# makes_room: as soon as the command has said that it waits; both then get done.
makes_room() {
	wait_for 10 grep -q "$1: the pool is full: what is not yet written waits for space" err
	cowbd grow "$2" >/dev/null
	wait $command || fail "$(cat err)"
	wait $filling || fail 'the pool was not filled'
}

fill 1
"$COWBD" mount vol@s copy 2>err &
command=$!
makes_room vol@s 512M
same "$(cat copy/file)" old
cowbd umount copy

cowbd create filler2 256M 2>/dev/null
cowbd snapshot filler@s >/dev/null
fill 2
head -c 3000000 /dev/urandom >live/data
cp live/data data
"$COWBD" resize vol 80M --remount 2>err &
command=$!
makes_room vol 1G
cmp live/data data
cowbd umount live
wait_for 10 nothing_attached
device=$(cowbd attach vol --via fuse)
same "$(blockdev --getsize64 "$device")" $((80 << 20))
check_fs ext4 "$device"
cowbd detach vol
cowbd stop
cowbd check
