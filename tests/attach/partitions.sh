#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# partitions.sh - an image with partitions made elsewhere is imported and mounted; and exported again
. "$top_srcdir/tests/attach/functions.sh"

need sfdisk mkfs.ext4 mkfs.xfs
need_fs xfs
mkdir a b c
truncate -s 500M image
sfdisk -q image <<END
label: gpt
start=1MiB, size=100MiB, type=linux
start=101MiB, size=16MiB, type=lvm
start=120MiB, size=350MiB, type=linux
END

# part MIB MIB COMMAND...: runs it with a device of that part of the image, made by another way than ours.
part() {
	part_device=$(losetup -f --show -o "$(($1 << 20))" --sizelimit "$(($2 << 20))" "$image")
	shift 2
	"$@" "$part_device"
	losetup -d "$part_device"
}
put_kernel() {
	mkfs.ext4 -q -F -L boot "$1"
	mount "$1" a
	echo kernel >a/kernel
	umount a
}
see_file() {
	mount -o ro "$1" b
	same "$(cat b/file)" rooted
	umount b
}
image=image
part 1 100 put_kernel
part 120 350 mkfs.xfs -q -f -L root

serve_pool 2G
cowbd import image vol
expect 1 "$COWBD" mount vol a
says 'vol has several file systems: say vol:N, with N of 1 ext4 "boot" 100M, 2 .* 16M, 3 xfs "root" 350M'
expect 1 "$COWBD" mount vol:4 a
says 'no partition 4: 1 ext4'
expect 1 "$COWBD" mount vol:2 a
says 'partition 2 holds nothing that is known'
wait_for 10 nothing_attached

cowbd mount vol:1 a
same "$(cat a/kernel)" kernel
cowbd mount vol:3 b
echo rooted >b/file
expect 1 "$COWBD" mount vol:3 c
says "vol is mounted already, on $TEST_DIR/b"
same "$(our_loops | wc -l)" 1
cowbd umount a
cowbd snapshot vol@s >/dev/null 2>&1
cowbd mount vol@s:3 c
cowbd umount c
sync -f b
cowbd umount b
wait_for 10 nothing_attached

# and the other way: what was written through the device is in the exported image
cowbd export vol back
image=back
part 120 350 see_file

# a volume whose name ends as if it were a partition's
cowbd rename vol disk:3
cowbd mount disk:3:1 a
same "$(cat a/kernel)" kernel
cowbd umount a

# layers that are not file systems: it says what to do
if command -v pvcreate >/dev/null; then
	device=$(cowbd attach disk:3)
	pvcreate -q -ff -y "${device}p2" >/dev/null 2>&1
	cowbd detach disk:3
	expect 1 "$COWBD" mount disk:3:2 a
	says 'holds LVM.*vgchange'
fi
cowbd create secret 32M
device=$(cowbd attach secret)
printf 'LUKS\272\276\000\001aes' | dd of="$device" bs=512 conv=sync,fsync status=none
cowbd detach secret
expect 1 "$COWBD" mount secret a
says 'LUKS.*cryptsetup open'
if command -v cryptsetup >/dev/null; then # a real one: making it needs no device mapper
	truncate -s 32M luks
	echo pass | cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 luks -
	cowbd import luks sealed
	expect 1 "$COWBD" mount sealed a
	says 'LUKS.*cryptsetup open'
fi
wait_for 10 nothing_attached
cowbd stop
