#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hold_host.sh - a full file system below the pool is a full pool: writes wait, nothing fails, nothing is lost
. "$top_srcdir/tests/nbd/functions.sh"

need_root
need mkfs.ext4 losetup mount
truncate -s 256M disk
mkfs.ext4 -q -m 0 disk
loop=$(losetup -f --show disk 2>/dev/null) || skip "no loop device"
mkdir host
unmount() {
	end_server
	umount host 2>/dev/null || :
	losetup -d "$loop" 2>/dev/null || :
}
trap unmount EXIT
mount "$loop" host || skip "can't mount"
pool=$TEST_DIR/host/pool.cowbd
COWBD_POOL=$pool

fill_host() {
	dd if=/dev/zero of=host/neighbour bs=64k status=none 2>/dev/null || :
	dd if=/dev/zero of=host/neighbour2 bs=4k status=none 2>/dev/null || :
}
"$COWBD" init "$pool" --size 1G >/dev/null
serve
"$COWBD" create a 512M
"$COWBD" create b 8M
printf 'connect b %s\nwrite b 0 4194304 7\nflush b\n' "$(uri b)" | talk
for round in 1 2 3; do
	fill_host
	{
		echo "connect a $(uri a)"
		i=0
		while [ $i -lt 30 ]; do
			echo "write a $(((round * 30 + i) * 1048576)) 1048576 $round"
			[ $((i % 5)) -ne 0 ] || echo "flush a"
			i=$((i + 1))
		done
		echo "say written"
	} | "$TALK" >heard 2>err &
	writing=$!
	wait_for 30 held 1
	# what needs no new zone goes on, journal and checkpoints too
	talk <<END
connect b $(uri b)
write b 0 4194304 $((round + 7)) fua
read b 0 4194304 $((round + 7))
connect a $(uri a)
zero a $((500 * 1048576)) 1048576
END
	"$COWBD" snapshot "b@$round"
	"$COWBD" rename "b@$round" "b@r$round"
	sleep 1.2 # a commit, and what it may need
	held 1 || fail "released though the disk is full"
	rm host/neighbour host/neighbour2
	wait_for 30 held 0
	wait $writing || fail "a client got an error: $(cat err)"
	grep -q written heard
	"$COWBD" status --json | grep -q '"failed": *false' || fail "the pool failed"
	"$COWBD" rm "b@r$round"
done
# emptied while the host is full
fill_host
"$COWBD" rm a
talk <<END
connect b $(uri b)
write b 0 4194304 99 fua
END
rm -f host/neighbour host/neighbour2
stop_server
"$COWBD" check
serve
printf 'connect b %s\nread b 0 4194304 99\n' "$(uri b)" | talk
stop_server
