#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# stuck_client.sh - a client that asks and takes no answer does not hold up the end
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 64M
mkfifo say
"$TALK" >heard <say &
talking=$!
exec 3>say
cat >&3 <<END
connect a $(uri vol)
read a 0 4096 0
flood a 64
say flooded
END
wait_for 10 grep -q flooded heard
began=$(now_ms)
stop_server
took=$(($(now_ms) - began))
exec 3>&-
wait $talking
[ $took -le 3000 ] || fail "the end took $took ms"
