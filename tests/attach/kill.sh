#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# kill.sh - the daemon is killed below a mounted file system, and served again: the file system sees nothing
#
# COWBD_KILLS: how often for each file system (1; `make check-attach-long`: 20).
. "$top_srcdir/tests/attach/functions.sh"

WRITER=${top_builddir:?}/tests/attach/fswriter
[ -x "$WRITER" ] || skip "tests/attach/fswriter is not built"
kills=${COWBD_KILLS:-1}
serve_pool 4G
mkdir mnt

one_fs() {
	cowbd create "$1" 400M
	make_fs "$1" "$(cowbd attach "$1")" >/dev/null
	cowbd detach "$1"
	cowbd mount "$1" mnt
	"$WRITER" mnt/file $$ >"$TEST_DIR/writer.out" 2>&1 &
	writer=$!
	round=1
	while [ $round -le "$kills" ]; do
		sleep 0.$((round * 37 % 10))
		cowbd snapshot "$1@$round" >/dev/null
		sleep 0.3
		kill -9 "$(server_pid)"
		# some stay away for longer than one try takes
		sleep $((round % 3))
		serve
		sleep 1
		kill -0 $writer 2>/dev/null || fail "$1, round $round: $(cat "$TEST_DIR/writer.out")"
		round=$((round + 1))
	done
	kill $writer
	wait $writer || fail "$1: $(cat "$TEST_DIR/writer.out")"
	echo "$1: $(cat "$TEST_DIR/writer.out"), $kills kills"
	echo still >mnt/writable || fail "$1 was made read-only"
	umount mnt
	wait_for 10 nothing_attached
	device=$(cowbd attach "$1")
	check_fs "$1" "$device"
	cowbd detach "$1"
	# each snapshot is a disk after a power cut: its clone mounts and is clean
	cowbd clone "$1@$kills" last
	cowbd mount last mnt
	umount mnt
	wait_for 10 nothing_attached
	device=$(cowbd attach last)
	check_fs "$1" "$device"
	cowbd detach last
	cowbd rm last
	kills_noted "$kills" "nbdfuse and a loop device, $1: kills with nothing lost"
}

for fs in ext4 xfs btrfs; do
	if (need_fs $fs); then
		one_fs $fs
	fi
done
cowbd stop
cowbd check
