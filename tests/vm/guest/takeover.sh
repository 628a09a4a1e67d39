# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# takeover.sh - a planned restart: serve --takeover, under a raw disk and a mounted file system; how long writes wait
. /tests/lib.sh
begin

# longest FILE: of what the writer said, the longest write
longest() {
	sed -n 's/.*the longest \([0-9]*\) ms.*/\1/p' "$1"
}

# takeovers PATH STATE: two of them under a writer there
takeovers() {
	writer write "$1" "$2" -t 2 -T 3 >calm
	writer write "$1" "$2" -t 2 -T 8 >taken &
	takeovers_writer=$!
	for takeovers_n in 1 2; do
		sleep 2
		takeovers_old=$daemon
		serve --takeover
		[ "$daemon" != "$takeovers_old" ] || fail "the old one still serves"
		[ ! -d "/proc/$takeovers_old" ] || fail "the old one is still there"
	done
	wait $takeovers_writer || fail "the writer: $(cat taken)"
	echo "$1: the longest write took $(longest taken) ms with two takeovers, $(longest calm) ms without (target: 1000)"
	[ "$(longest taken)" -lt 10000 ] || fail "too long"
}

cowbd create disk 256M
device=$(cowbd attach disk)
takeovers "$device" raw
echo 3 >/proc/sys/vm/drop_caches
writer verify "$device" raw
mke2fs -q -F -t ext4 "$device"
mkdir live
mount -t ext4 "$device" live
mkdir live/files
takeovers live/files files
writer verify live/files files
umount live
check_fs ext4 "$device"
cowbd detach disk
