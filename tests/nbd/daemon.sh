#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# daemon.sh - in the background it serves as in the foreground, and ends as one
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
nbdkit -U "$sock" -P "$TEST_DIR/pid" "$COWBD_PLUGIN" "pool=$pool"
wait_for 10 test -s "$TEST_DIR/pid"
server=$(cat "$TEST_DIR/pid")
"$COWBD" create vol 1M
talk <<END
connect a $(uri vol)
write a 0 4096 1
read a 0 4096 1
END
kill "$server"
wait_for 10 server_is_gone
serve
talk <<END
connect a $(uri vol)
read a 0 4096 1
END
stop_server
