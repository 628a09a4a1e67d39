#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hold_gone.sh - a client that dies while its writes are held is not remembered for ever
. "$top_srcdir/tests/nbd/functions.sh"

clients() {
	[ "$("$COWBD" status --json | grep -c '"peer"')" -eq "$1" ]
}
new_pool
serve
"$COWBD" create full 512M 2>/dev/null
"$COWBD" create vol 1M
fill_and_hold full
mkfifo say
"$TALK" >heard <say &
talking=$!
exec 3>say
echo "connect o $(uri vol)" >&3
echo "size o 1048576" >&3
wait_for 20 clients 2
kill -9 $filling
wait_for 20 held 0
wait_for 20 clients 1
"$COWBD" rm full
echo "read o 0 4096 0" >&3
echo "say fine" >&3
exec 3>&-
wait $talking
grep -q fine heard
stop_server
"$COWBD" check
