#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hold_threads.sh - a connection whose threads all hold waits; others, the control socket, rm and grow don't
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
rm -f "$sock"
nbdkit -f -U "$sock" --threads=4 "$COWBD_PLUGIN" "pool=$pool" >>server.log 2>&1 &
server=$!
wait_for 20 server_is_there
"$COWBD" create full 1G 2>/dev/null
"$COWBD" create vol 64M
"$COWBD" create junk 64M
printf 'connect v %s\nwrite v 0 1048576 1\nconnect j %s\nwrite j 0 8388608 2\n' "$(uri vol)" "$(uri junk)" | talk
fill_and_hold full
mkfifo say
"$TALK" >heard <say &
talking=$!
exec 3>say
{
	echo "connect a $(uri vol)"
	for i in 1 2 3; do
		echo "post a $((i * 4194304)) 4096 $i"
	done
	echo "unanswered a 3"
	echo "read a 0 1048576 1" # one thread is left
	echo "say one left"
	for i in 4 5 6; do
		echo "post a $((i * 4194304)) 4096 $i"
	done
	echo "unanswered a 6"
	echo "connect b $(uri vol)" # another connection of the same disk
	echo "read b 0 1048576 1"
	echo "write b 0 1048576 9 fua"
	echo "say others go on"
} >&3
wait_for 20 grep -q 'one left' heard
wait_for 20 grep -q 'others go on' heard
held 5 || fail "held: $("$COWBD" status)"
"$COWBD" snapshot vol@s >/dev/null
"$COWBD" ls >/dev/null
"$COWBD" rm vol@s
"$COWBD" rm junk # 8 MiB: enough for those of vol, not for fill
echo "posted a 20000" >&3
echo "say released" >&3
wait_for 30 grep -q released heard
"$COWBD" grow 2G >/dev/null
wait $filling || fail "$(cat fill.out)"
for i in 1 2 3 4 5 6; do
	echo "read a $((i * 4194304)) 4096 $i" >&3
done
exec 3>&-
wait $talking
stop_server
"$COWBD" check
