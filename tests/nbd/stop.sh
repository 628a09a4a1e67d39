#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# stop.sh - cowbd stop returns when the pool is closed; it refuses while a client is attached
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 8M
mkfifo say
"$TALK" >heard <say &
talking=$!
exec 3>say
cat >&3 <<END
connect a $(uri vol)
write a 0 4096 1
say attached
gone a 20000
say gone
END
wait_for 10 grep -q attached heard
expect 1 "$COWBD" stop
grep -q 'attached' "$TEST_DIR/err"
grep -q "pid $talking" "$TEST_DIR/err" || fail "the peer is not named: $(cat "$TEST_DIR/err")"
kill -0 "$server"
expect 0 "$COWBD" stop --force
wait_for 5 server_is_gone
wait "$server"
server=
exec 3>&-
wait $talking
grep -q gone heard
serve
stop_server
