# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# udev.sh TYPE - a mounted snapshot never gets the links of its origin: cli/60-cowbd.rules, in Debian's udev
. /tests/lib.sh
type=$1
command -v systemd-udevd >/dev/null || skip "Debian's udev can't be had (apt-get download)"
begin
systemd-udevd --daemon
wait_for 10 test -S /run/udev/control

property() {
	udevadm info --query=property --name="$1" | sed -n "s/^$2=//p"
}

# link_is DEVICE: does the link lead there, when udev has done what there was to do?
link_is() {
	udevadm settle --timeout=20
	[ "$(readlink -f "$link")" = "$1" ]
}

cowbd create disk 1G
device=$(cowbd attach disk)
udevadm settle --timeout=20 # from then on udev watches who writes to it
make_fs "$type" "$device"
sync
udevadm settle --timeout=20
uuid=$(blkid -p -o value -s UUID "$device")
link=/dev/disk/by-uuid/$uuid
wait_for 20 link_is "$device"
mkdir live
mount -t "$type" "$device" live
echo here >live/file
cowbd snapshot disk@s --freeze auto >/dev/null

# Each time the link must be the origin's, also when all is looked at once more.
for n in 1 2 3 4 5; do
	mkdir -p look$n
	cowbd mount disk@s look$n
	copy=$(awk -v dir="/tmp/work/look$n" '$2 == dir {print $1}' /proc/mounts)
	link_is "$device" || fail "$link leads to $(readlink -f "$link"), not to $device; the copy is $copy"
	[ "$(property "$copy" UDISKS_IGNORE)" = 1 ] || fail "$copy is offered to desktops"
	[ "$(property "$copy" ID_FS_UUID)" ] || fail "udev has not looked at $copy"
	[ -z "$(property "$device" UDISKS_IGNORE)" ] || fail "$device is hidden from desktops"
	udevadm trigger --subsystem-match=block --action=change
	link_is "$device" || fail "$link leads to $(readlink -f "$link") after a trigger"
done
udevadm info "$copy" | grep '^[NLS]:\|UDISKS_IGNORE\|ID_FS_UUID='
udevadm info "$copy" | grep -q '^L: -100' || fail "no priority"
for n in 1 2 3 4 5; do
	umount look$n
done
link_is "$device" || fail "$link leads to $(readlink -f "$link")"
umount live
udevadm control --exit
