#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# mount.sh - ext4, XFS, btrfs: snapshots of a file system in use, each mounted beside it and compared
. "$top_srcdir/tests/attach/functions.sh"

serve_pool 4G
mkdir live copy

# write_files DIR FROM TO: files of all sizes, each flushed.
write_files() {
	write_n=$2
	while [ "$write_n" -le "$3" ]; do
		head -c $((write_n * 7919 % 300000)) /dev/urandom >"$1/file$write_n"
		sync "$1/file$write_n"
		write_n=$((write_n + 1))
	done
}

no_clients() {
	! cowbd info "$1" | grep -q '^client'
}

# fsck_clone TYPE SNAPSHOT: after its journal was replayed once.
fsck_clone() {
	cowbd clone "$2" fsck
	cowbd mount fsck copy
	umount copy
	wait_for 10 no_clients fsck
	fsck_device=$(cowbd attach fsck)
	check_fs "$1" "$fsck_device"
	cowbd detach fsck
	cowbd rm fsck
}

one_fs() {
	cowbd create "$1" 400M
	make_fs "$1" "$(cowbd attach "$1")"
	cowbd detach "$1"
	cowbd mount "$1" live
	findmnt -n -o FSTYPE live | grep -qx "$1"
	write_files live 1 12
	cowbd snapshot "$1@one" >/dev/null
	cp -a live expected
	write_files live 5 20
	rm live/file3
	sync -f live
	cowbd snapshot "$1@two" >/dev/null

	cowbd mount "$1@one" copy
	diff -r expected copy >differ || fail "$1@one is not what it was: $(head -n 5 differ)"
	echo scribble >copy/file1 # it is writable, and nobody else's
	echo new >copy/other
	cmp live/file1 expected/file1
	cowbd ls --json | grep -q '"ephemeral": true'
	# umount(8) leaves nothing attached, either
	umount copy
	copies=$(our_loops | wc -l)
	same "$copies" 1
	cowbd mount "$1@two" copy
	diff -r live copy >differ || fail "$1@two is not what it was: $(head -n 5 differ)"
	cowbd umount copy
	same "$(cowbd ls -o NAME --noheadings | grep -c "$1.two-mount" || :)" 0

	fsck_clone "$1" "$1@one"
	fsck_clone "$1" "$1@two"
	cowbd umount live
	wait_for 10 nothing_attached
	rm -rf expected
}

tried=0
for fs in ext4 xfs btrfs; do
	if (need_fs $fs); then
		echo "# $fs"
		one_fs $fs
		tried=$((tried + 1))
	fi
done
[ $tried -gt 0 ] || skip "no file system to try"
cowbd stop
cowbd check
