#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# in_flight.sh - killed with writes under way on a slow disk, it keeps the lock until they have ended [LOCK-1]
#
# The disk is a file behind nbdfuse and an nbdkit that is slow to write.
. "$top_srcdir/tests/fault/functions.sh"

need fio
fio --enghelp 2>/dev/null | grep -q nbd || skip "fio has no nbd engine"
truncate -s 128M disk
"$COWBD" init "$TEST_DIR/disk" --size 128M --journal-size 8M --force >/dev/null
fuse_disk --filter=delay file "$TEST_DIR/disk" wdelay=8ms
pool=$TEST_DIR/mnt/disk
COWBD_POOL=$pool

# opened: somebody else has the lock now.
opened() {
	"$COWBD" ls >/dev/null
}

round=0
while [ $round -lt 3 ]; do
	round=$((round + 1))
	serve direct=on cache=1M
	[ $round -gt 1 ] || "$COWBD" create vol 64M
	fio --name=load --ioengine=nbd --uri="$(uri vol)" --rw=randwrite --bs=16k --size=64M --time_based --runtime=30 \
		--iodepth=16 --fsync=8 --randseed=$round --minimal >fio.out 2>&1 &
	fio=$!
	"$COWBD" check >/dev/null 2>&1 & # checkpoints
	check=$!
	sleep 1.2
	kill -9 "$server"
	wait_for 20 opened
	first=$(cksum <disk)
	sleep 0.5
	second=$(cksum <disk)
	wait "$server" || :
	wait $fio || :
	wait $check || :
	[ "$first" = "$second" ] || fail "round $round: the disk changed though somebody else had the lock"
done
serve
stop_server
"$COWBD" check >check.out || fail "$(cat check.out)"
cat check.out
! grep -q " 0 blocks" check.out || skip "nothing was written in time"
