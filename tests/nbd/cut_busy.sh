#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# cut_busy.sh - cutting off a client that has many requests under way harms nobody else, nor the end
. "$top_srcdir/tests/nbd/functions.sh"

need fio
fio --enghelp 2>/dev/null | grep -q nbd || skip "fio has no nbd engine"
new_pool
serve
"$COWBD" create vol 32M
"$COWBD" create other 1M
"$COWBD" snapshot vol@first

# Ends with an error when it is cut off; libnbd hangs up then, whatever is under way.
busy() {
	timeout -s KILL 30 fio --name=busy --ioengine=nbd --uri="$(uri vol)" --rw=randrw --bs=64k \
		--size=32M --iodepth=16 --time_based --runtime=25 --thread >fio.out 2>&1 &
	busy=$!
	wait_for 20 has_written
}
has_written() {
	"$COWBD" status --json | grep -q '"requests": *[0-9][0-9][0-9]'
}

mkfifo say
"$TALK" >heard <say &
talking=$!
exec 3>say
cat >&3 <<END
connect o $(uri other)
write o 0 4096 3
END
busy
expect 0 "$COWBD" rollback vol@first --force
! wait $busy || fail "the client was not cut off"
cat >&3 <<END
read o 0 4096 3
connect v $(uri vol)
read v 0 33554432 0
bye o
bye v
END
exec 3>&-
wait $talking

busy
stop_server
! wait $busy || fail "the client outlived the server"
serve
"$COWBD" status --json | grep -q '"was_clean": *true'
stop_server
