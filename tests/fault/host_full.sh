#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# host_full.sh - a file system that fills up under the pool, by it or by a neighbour, is a full pool: no I/O error
. "$top_srcdir/tests/nbd/functions.sh"

need_root
need mkfs.ext4 mount umount
mkdir host
truncate -s 240M host.img
mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0 host.img
mount -o loop host.img host 2>err || skip "no loop device can be mounted here: $(cat err)"
unmount_host() {
	end_server
	umount host 2>/dev/null || :
}
trap unmount_host EXIT
pool=$TEST_DIR/host/pool.cowbd
COWBD_POOL=$pool

# healthy: the pool has not failed, and the daemon's log tells of no I/O error.
healthy() {
	"$COWBD" status --json >status.json
	! grep -q '"failed": true\|"failure": "[^"]' status.json || fail "$(cat status.json)"
	! grep -iq 'input/output error\|EIO' server.log || fail "$(cat server.log)"
}

# neighbour: takes all that the host has.
neighbour() {
	! cat /dev/zero >host/neighbour 2>/dev/null || fail "the host is endless"
	sync host/neighbour
}

new_pool --size 1G
fallocate -l 80M host/ballast
# shellcheck disable=SC2046 # one word or none
serve $(on_full_error)
"$COWBD" create vol 500M
fill vol 500
in_place_works vol
healthy

# a neighbour takes the rest; what needs no space goes on, what needs some is refused
neighbour
in_place_works_again() {
	talk <<END
connect a $(uri vol)
write a 0 20000000 $1
flush a
read a 0 20000000 $1
END
}
in_place_works_again 5
"$COWBD" snapshot vol@one
talk <<END
connect a $(uri vol)
fails ENOSPC write a 0 30000000 6
connect s $(uri vol@one)
read s 0 20000000 5
END
"$COWBD" rm vol@one
healthy
kill -9 "$server"
wait "$server" || :
# shellcheck disable=SC2046 # one word or none
serve $(on_full_error)
healthy

# room comes: new zones can be had a second later
rm host/neighbour host/ballast
"$COWBD" create more 20M
more_fits() {
	echo "connect a $(uri more)
write a 0 10000000 1
flush a" | talk
}
wait_for 20 more_fits
healthy
in_place_works_again 7

# the neighbour comes between two writes
"$COWBD" rm more
neighbour
"$COWBD" create other 400M
fill_other() {
	echo "connect a $(uri other)
fails ENOSPC write a 0 60000000 2" | talk
}
fill_other || fill_other || fail "60 MB fit into a full host"
healthy
stop_server
"$COWBD" check

# a writer that may wait does, until the neighbour goes
serve
"$COWBD" create last 40M
{
	echo "connect a $(uri last)
write a 0 20000000 8
flush a" | talk
} &
writer=$!
is_held() {
	"$COWBD" status --json | grep -q '"held": [1-9]'
}
if [ -n "$(on_full_error)" ]; then
	wait_for 20 is_held
fi
rm host/neighbour
wait $writer || fail "the write was not resumed"
healthy
stop_server
"$COWBD" check
