#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# grow.sh - a volume grows under a mounted file system, which grows with it
. "$top_srcdir/tests/attach/functions.sh"

serve_pool 4G
mkdir mnt

blocks_of() {
	stat -f -c '%b * %S' mnt | xargs expr
}

# may_grow TYPE: ext4 asks for CAP_SYS_RESOURCE to grow while it is mounted.
may_grow() {
	[ "$1" != ext4 ] || [ $((0x$(sed -n 's/^CapEff:.*\(........\)$/\1/p' /proc/self/status) >> 24 & 1)) -eq 1 ]
}

# ext4_unmounted: grows what is attached, and not mounted.
ext4_unmounted() {
	cowbd create plain 64M
	make_fs ext4 "$(cowbd attach plain)"
	cowbd resize plain 128M --resize-fs --remount >/dev/null 2>&1
	device=$(cowbd info plain --json | sed -n 's/^ *"device": "\(.*\)",$/\1/p')
	same "$(blockdev --getsize64 "$device")" $((128 << 20))
	same "$(dumpe2fs -h "$device" 2>/dev/null | sed -n 's/^Block count: *//p')" $((128 << 20 >> $(block_shift)))
	check_fs ext4 "$device"
	cowbd detach plain
}
block_shift() {
	case $(dumpe2fs -h "$device" 2>/dev/null | sed -n 's/^Block size: *//p') in
	1024) echo 10 ;;
	4096) echo 12 ;;
	esac
}

one_fs() {
	cowbd create "$1" 320M
	expect 1 "$COWBD" resize "$1" 700M --resize-fs --remount
	says "$1 is not attached here"
	make_fs "$1" "$(cowbd attach "$1")" >/dev/null
	cowbd detach "$1"
	cowbd mount "$1" mnt
	device=$(our_loops)
	head -c 1000000 /dev/urandom >mnt/data
	cp mnt/data data
	small=$(blocks_of)

	# what nbdfuse began with it keeps: said, or refused, and nothing has changed
	expect 1 "$COWBD" resize "$1" 700M --resize-fs
	says 'keeps its size: with --remount'
	same "$(cowbd info "$1" --json | sed -n 's/^  "size": \([0-9]*\).*/\1/p')" $((320 << 20))
	cowbd info "$1" | grep -q "^attached *$device, mounted on $TEST_DIR/mnt"
	cowbd resize "$1" 400M 2>note
	grep -q "$device shows the new size when it is attached anew" note
	same "$(blockdev --getsize64 "$device")" $((320 << 20))

	if ! may_grow "$1"; then
		echo "no CAP_SYS_RESOURCE: $1 can't grow while it is mounted"
		cowbd umount mnt
		return 0
	fi
	cowbd resize "$1" 700M --resize-fs --remount
	device=$(our_loops)
	same "$(blockdev --getsize64 "$device")" $((700 << 20))
	[ "$(blocks_of)" -gt $((small * 3 / 2)) ] || fail "$1 did not grow: $small, $(blocks_of)"
	cmp data mnt/data
	expect 1 "$COWBD" resize "$1" 100M --resize-fs --remount
	says 'only grown'
	cowbd umount mnt
	wait_for 10 nothing_attached
	device=$(cowbd attach "$1")
	check_fs "$1" "$device"
	cowbd detach "$1"
}

for fs in ext4 xfs btrfs; do
	if (need_fs $fs); then
		one_fs $fs
	fi
done
ext4_unmounted
# what holds no file system of its own grows, and that is said
cowbd create raw 16M
device=$(cowbd attach raw)
expect 1 "$COWBD" resize raw 32M --resize-fs --remount
says 'no file system on all of it'
device=$(our_loops)
same "$(blockdev --getsize64 "$device")" $((32 << 20))
cowbd detach raw
cowbd stop
