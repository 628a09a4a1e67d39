#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# host_power.sh - the power of the pool's host goes: what its file system had not committed is lost, what was flushed is there
#
# The pool is on ext4 (HOST_FS=xfs: on XFS) on a loop device.  The daemon is stopped in the midst of a load, and the device's
# file copied: what the device has been given and no more; pages in memory and the file system's running transaction, in
# which are allocated, zeroed and converted extents (store_zero; *Syncing ranges* in src/store_file.c), are not in it.
# That copy is mounted, its journal replayed, and the pool opened without its tail.
#
# POWER_CYCLES: how often (3); KILL_SEED.
. "$top_srcdir/tests/nbd/functions.sh"

WRITER=$top_builddir/tests/kill/writer
[ -x "$WRITER" ] || skip "tests/kill/writer is not built"
need_root
fs=${HOST_FS:-ext4}
need "mkfs.$fs" mount umount losetup
cycles=${POWER_CYCLES:-3}
seed=${KILL_SEED:-$(date +%s)}
echo "KILL_SEED=$seed"

mkdir host
loop=
detach() {
	umount host 2>/dev/null || umount -l host 2>/dev/null || :
	[ -z "$loop" ] || losetup -d "$loop" 2>/dev/null || :
	loop=
}
clean() {
	end_server
	detach
}
trap clean EXIT

# attach: host.img below host, past the page cache; nothing is committed but by a sync.
attach() {
	loop=$(losetup -f --show --direct-io=on host.img 2>err) || skip "no loop device with direct I/O here: $(cat err)"
	options=commit=600
	[ "$fs" = ext4 ] || options=defaults
	mount -t "$fs" -o "$options" "$loop" host 2>err || skip "$fs can't be mounted here: $(cat err)"
}

truncate -s 1500M host.img
case $fs in
ext4) mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 host.img ;;
*) "mkfs.$fs" -q host.img ;;
esac
attach
pool=$TEST_DIR/host/pool.cowbd
COWBD_POOL=$pool
KILL_BLOCK=4096
export KILL_BLOCK
new_pool --size 1G --journal-size 16M
sync -f host
serve cache=1M
cycle=0
while [ $cycle -lt "$cycles" ]; do
	cycle=$((cycle + 1))
	tail=$(tail_path)
	"$WRITER" run "$TEST_DIR/ledger" "$sock" "$server" $((seed + cycle)) &
	load=$!
	sleep "$((cycle % 2 + 1)).$((seed * cycle % 9))"
	kill -STOP "$server"
	sleep 0.3 # what is under way at the device ends
	cp --sparse=always host.img copy.img
	cp ledger ledger.then # a command that finds no daemon opens the pool itself, and what it answers is not in the copy
	kill -9 "$server"
	wait "$server" || :
	wait $load || fail "cycle $cycle of seed $seed"
	rm -f "$tail"
	detach
	mv copy.img host.img
	mv ledger.then ledger
	attach
	serve cache=1M lost-tail=true
	"$WRITER" verify "$TEST_DIR/ledger" "$sock" lost || {
		tail -n 5 server.log
		fail "cycle $cycle of seed $seed"
	}
	"$COWBD" check >check.out 2>&1 || fail "cycle $cycle of seed $seed: $(cat check.out)"
	"$COWBD" status --json | grep -E '"(meta_zones|checkpoints|map_pages_copied)"'
done
stop_server
"$COWBD" check
