#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# two_connections.sh - connections of one volume see each other, and a flush on one covers the other
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 16M
talk <<END
connect a $(uri vol)
connect b $(uri vol)
write a 0 65536 1
read b 0 65536 1
write b 4000 200 2
read a 4000 200 2
write a 1048576 8192 3
flush b
END
# The journal and the data alone must do: the tail is thrown away with the server.
tail=$(tail_path)
[ -e "$tail" ] || skip "there is no tail here: $tail"
kill -9 "$server"
wait "$server" || :
rm "$tail"
expect 74 nbdkit -f -U "$TEST_DIR/no.sock" "$COWBD_PLUGIN" "pool=$pool"
says lost-tail
serve lost-tail=true
talk <<END
connect a $(uri vol)
read a 0 4000 1
read a 4000 200 2
read a 4200 61336 1
read a 1048576 8192 3
END
stop_server
