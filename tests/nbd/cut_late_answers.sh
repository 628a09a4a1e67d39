#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# cut_late_answers.sh - clients are cut off while nbdkit's threads have answers that they don't get to send: it lives
#
# Debian 12's nbdkit dies by assertion when two threads of a connection have an answer and the socket is shut down.
. "$top_srcdir/tests/nbd/functions.sh"

[ "${enable_sanitize:-no}" = no ] || skip "a sanitizer's library must be loaded first"
need fio
fio --enghelp 2>/dev/null | grep -q nbd || skip "fio has no nbd engine"
late=$top_builddir/tests/nbd/.libs/late_send.so
[ -e "$late" ] || skip "tests/nbd/late_send.so is not built"
SERVE_WRAPPER="env LD_PRELOAD=$late"

new_pool
serve
"$COWBD" create vol 32M
"$COWBD" snapshot vol@first

has_written() {
	"$COWBD" status --json | grep -q '"requests": *[0-9][0-9]'
}
busy() {
	timeout -s KILL 30 fio --name=busy --ioengine=nbd --uri="$(uri vol)" --rw=randwrite --bs=4k --fsync=4 \
		--size=32M --iodepth=32 --time_based --runtime=25 --thread >fio.out 2>&1 &
	busy=$!
	wait_for 20 has_written
}

for i in 1 2 3; do
	busy
	"$COWBD" rollback vol@first --force || fail "cut $i: $(cat server.log)"
	! wait $busy || fail "the client was not cut off"
	grep -q "answers are late" server.log || fail "late_send.so is not at work: $(cat server.log)"
	kill -0 "$server" 2>/dev/null || fail "cut $i: nbdkit died: $(cat server.log)"
done
busy
stop_server
! wait $busy || fail "the client outlived the server"
