#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hostile_mute.sh - clients that ask without end and read nothing hold up no other one, nor grow the server
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve --threads=1 # see hostile_drops.sh
"$COWBD" create vol 1M
"$COWBD" create other 1M
before=$(resources)
for i in 1 2 3 4 5 6 7 8; do
	"$hostile" "$sock" vol mute 2000 >"mute.$i" &
	pids="${pids:-} $!"
done
for i in 1 2 3 4 5 6 7 8; do wait_for 20 grep -q mute "mute.$i"; done
echo "write a 0 4096 7
read a 0 4096 7" | talk_to other
"$COWBD" snapshot other@now
for pid in $pids; do wait "$pid"; done
echo "+ $(cat mute.? | sed -n 's/ tried$//p' | awk '{ n += $1 } END { print n }') requests of clients that read nothing"
wait_for 10 alone
spent_little "$before" 40000
stop_server
