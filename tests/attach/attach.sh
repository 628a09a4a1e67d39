#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# attach.sh - a volume becomes a block device and goes again, and leaves nothing behind
. "$top_srcdir/tests/attach/functions.sh"

serve_pool
cowbd create vol 64M
device=$(cowbd attach vol --via fuse)
[ -b "$device" ] || fail "no device: $device"
same "$(blockdev --getsize64 "$device")" $((64 << 20))
same "$(blockdev --getss "$device")" 512
same "$(cat "/sys/block/${device#/dev/}/loop/dio")" 1

head -c 1000000 /dev/urandom >data
dd if=data of="$device" bs=64k conv=fsync status=none
cowbd snapshot vol@s >/dev/null
cowbd export vol@s back
cmp -n 1000000 data back

# a renaming changes nothing for who has it attached
cowbd rename vol new
restart
dd if="$device" bs=1000000 count=1 iflag=fullblock status=none | cmp - data
cowbd detach new
wait_for 10 nothing_attached

# the same device again, and what is written through it is there
if cowbd attach new --device "$device" --json >answer 2>err; then
	same "$(sed -n 's/^  "device": "\(.*\)",$/\1/p' answer)" "$device"
else # another process was quicker
	grep -q "$device: is in use" err || fail "$(cat err)"
	device=$(cowbd attach new)
fi
dd if="$device" bs=1000000 count=1 iflag=fullblock status=none | cmp - data
cowbd detach "$device"

# a snapshot, and what --readonly asks for, can't be written
for what in new@s 'new --readonly'; do
	device=$(cowbd attach $what)
	same "$(blockdev --getro "$device")" 1
	! dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct status=none 2>/dev/null ||
		fail "$what was written to"
	cowbd detach "$device"
done

# by TCP, which the loop device survives as well
cowbd stop
cowbd serve --daemon --tcp 127.0.0.1:$((20000 + $$ % 20000)) >/dev/null
device=$(cowbd attach new)
dd if="$device" bs=1000000 count=1 iflag=fullblock status=none | cmp - data
cowbd detach new
cowbd stop

# a pool that is served read-only
cowbd serve --daemon --readonly >/dev/null
device=$(cowbd attach new)
same "$(blockdev --getro "$device")" 1
cowbd detach new
cowbd stop
serve

# sectors: the volume's, unless told otherwise
cowbd create big 64M --sector-size 4096
device=$(cowbd attach big)
same "$(blockdev --getss "$device")" 4096
cowbd detach big
device=$(cowbd attach big --sector-size 512)
same "$(blockdev --getss "$device")" 512
losetup -d "$device"
wait_for 10 nothing_attached
cowbd stop
cowbd check
