# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# grow.sh TYPE - a volume grows while it is attached, mounted and written to, and the file system with it
. /tests/lib.sh
type=$1
begin

# The size of the file system, in KiB.
fs_size() {
	df -k live | awk 'NR > 1 && NF > 4 {print $(NF - 4)}'
}

cowbd create disk 400M
device=$(cowbd attach disk)
make_fs "$type" "$device"
mkdir live
mount -t "$type" "$device" live
mkdir live/files
small=$(fs_size)
writer write live/files state -t 2 -s 40 >writes &
writer=$!
sleep 1
cowbd resize disk 500M
[ "$(blockdev --getsize64 "$device")" = $((500 << 20)) ] || fail "the device is of $(blockdev --getsize64 "$device")"
[ "$(fs_size)" = "$small" ] || fail "$type grew without being told"
# the daemon dies meanwhile: it was done, by this daemon or its successor, and the device shows it; or what is to be
# done is said, and helps
for size in 510 520 530; do
	cowbd resize disk ${size}M >said 2>&1 &
	resizing=$!
	sleep 0.$(((size - 510) / 5))
	kill_daemon
	serve
	status=0
	wait $resizing || status=$?
	echo "$status $(cat said)"
	case $status:$(cat said) in
	0:) ;;
	*:*' shows the new size when '* | 1:*'before it answered info: run it again') cowbd resize disk ${size}M ;;
	*) fail "resize" ;;
	esac
	[ "$(blockdev --getsize64 "$device")" = $((size << 20)) ] ||
		fail "after a death the device is of $(blockdev --getsize64 "$device")"
done
# nobody serves the volume while it grows: the next daemon tells the device
kill_daemon
cowbd resize disk 540M
[ "$(blockdev --getsize64 "$device")" = $((530 << 20)) ] || fail "who told the device?"
serve
tries=50
while [ "$(blockdev --getsize64 "$device")" != $((540 << 20)) ]; do
	tries=$((tries - 1))
	[ $tries -gt 0 ] || fail "the device is of $(blockdev --getsize64 "$device")"
	sleep 0.1
done
cowbd resize disk 700M --resize-fs
[ "$(blockdev --getsize64 "$device")" = $((700 << 20)) ] || fail "the device is of $(blockdev --getsize64 "$device")"
large=$(fs_size)
echo "$type: $small KiB, then $large"
[ "$large" -gt $((small * 3 / 2)) ] || fail "$type did not grow"
sleep 1
kill $writer
wait $writer || fail "the writer: $(cat writes)"
writer verify live/files state
# more than fitted before
fallocate -l 420M live/big
sync
[ "$(wc -c <live/big)" = $((420 << 20)) ]
rm live/big
umount live
check_fs "$type" "$device"
echo 3 >/proc/sys/vm/drop_caches
mount -t "$type" "$device" live
writer verify live/files state
umount live
cowbd detach disk
