#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# freeze.sh - a frozen snapshot has all, and whatever happens the file system is thawed
. "$top_srcdir/tests/attach/functions.sh"

need_fs ext4
serve_pool
mkdir mnt copy other
cowbd create vol 64M
cowbd create idle 16M
make_fs ext4 "$(cowbd attach vol)"
cowbd mount vol mnt

label() {
	cowbd info "$1" --json | sed -n 's/^ *"label": "\(.*\)",$/\1/p'
}
# thawed: can something be written, soon?
thawed() {
	timeout 10 sh -c 'echo x >mnt/thawed && sync -f mnt/thawed' || fail 'it is frozen still'
}

# without a word about it: what a power cut would leave
cowbd snapshot vol@crash >/dev/null
same "$(label vol@crash)" crash

# what was written without sync is in it, and no journal waits: read-only media can be mounted
head -c 3000000 /dev/urandom >mnt/data
cowbd snapshot vol@auto --freeze auto >/dev/null
thawed
same "$(label vol@auto)" frozen
device=$(cowbd attach vol@auto)
dumpe2fs -h "$device" 2>/dev/null | grep -q needs_recovery && fail 'its journal was left to replay'
check_fs ext4 "$device"
mount -o ro "$device" copy
cmp mnt/data copy/data
umount copy
cowbd detach vol@auto
cowbd ls -o NAME,LABEL --noheadings | grep -q '^vol@auto *frozen'

head -c 3000 /dev/urandom >mnt/data2
cowbd snapshot vol@dir --freeze mnt --json >answer
json_ok answer
thawed
same "$(label vol@dir)" frozen

# mounts of one file system freeze it once; and several volumes at one instant
mount --bind mnt other
cowbd snapshot vol@bound idle@bound --freeze auto >/dev/null
umount other
thawed
same "$(label idle@bound)" frozen

# nothing mounted: flushed, and a note
cowbd snapshot idle@flushed --freeze auto 2>err >/dev/null
grep -q 'nothing of it is mounted' err
same "$(label idle@flushed)" flushed

# refused: a directory elsewhere
expect 1 "$COWBD" snapshot vol@no --freeze /proc
says '/proc is on none of the disks'
expect 1 "$COWBD" snapshot vol@no --freeze mnt/nothere
says 'No such file'

# and what the daemon or the command needs: as if the run directory were there
mkdir -m 700 mnt/run
ln -s "$COWBD_RUNDIR"/* mnt/run/
COWBD_RUNDIR=$TEST_DIR/mnt/run expect 1 "$COWBD" snapshot vol@no --freeze auto
says "mnt holds the daemon's sockets"

# somebody else has it frozen: no snapshot, and it stays his
fsfreeze -f mnt
expect 1 "$COWBD" snapshot vol@no --freeze auto
says 'mnt is frozen already'
fsfreeze -u mnt
thawed

# too slow: thawed by the watchdog, and no snapshot
COWBD_FREEZE_SECONDS=1 COWBD_FREEZE_PAUSE=3 expect 1 "$COWBD" snapshot vol@no --freeze auto
says 'no snapshot was made'
thawed
# killed in the middle: thawed at once
COWBD_FREEZE_PAUSE=60 "$COWBD" snapshot vol@no --freeze auto &
command=$!
sleep 1
kill -9 $command
wait $command 2>/dev/null || :
thawed
! cowbd info vol@no >/dev/null 2>&1 || fail 'there is a snapshot'

# a snapshot that can't be made: thawed
expect 1 "$COWBD" snapshot vol@auto --freeze auto
says 'exists'
thawed
cowbd umount mnt
cowbd detach vol

# btrfs on kernels that can't tell a copy from its origin: a frozen one gets another UUID, others are refused
if (need_fs btrfs) && command -v btrfstune >/dev/null; then
	COWBD_KERNEL_RELEASE=6.1.0-13-amd64
	export COWBD_KERNEL_RELEASE
	cowbd create tree 200M
	make_fs btrfs "$(cowbd attach tree)" >/dev/null
	cowbd mount tree mnt
	head -c 100000 /dev/urandom >mnt/data
	cowbd snapshot tree@frozen --freeze auto >/dev/null
	cowbd snapshot tree@crash >/dev/null
	expect 1 "$COWBD" mount tree@crash copy
	says 'was not frozen when it was copied'
	same "$(our_loops | wc -l)" 1
	cowbd mount tree@frozen copy
	cmp mnt/data copy/data
	[ "$(findmnt -n -o UUID copy)" != "$(findmnt -n -o UUID mnt)" ] || fail 'both have one UUID'
	cowbd umount copy
	cowbd umount mnt
	cowbd detach tree
	# beside nothing either is fine
	cowbd mount tree@crash copy
	cowbd umount copy
fi
wait_for 10 nothing_attached
cowbd stop
cowbd snapshot vol@closed --freeze auto >/dev/null 2>err
same "$(label vol@closed)" flushed
cowbd check
