#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# cut.sh - rollback --force cuts exactly the connections of its volume
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 1M
"$COWBD" create other 1M
talk <<END
connect a $(uri vol)
write a 0 4096 1
END
"$COWBD" snapshot vol@first
mkfifo say
"$TALK" >heard <say &
talking=$!
exec 3>say
# Many connections of one process at the same instant: they differ in nothing but their socket.
{
	for i in 1 2 3 4 5 6 7 8; do
		echo "open v$i $sock"
		echo "open o$i $sock"
	done
	for i in 8 7 6 5 4 3 2 1; do
		echo "adopt v$i vol"
		echo "adopt o$i other"
	done
	cat <<END
write v1 0 4096 2
write o1 0 4096 3
say attached
END
	for i in 1 2 3 4 5 6 7 8; do
		echo "gone v$i 10000"
	done
	echo say cut
} >&3
wait_for 10 grep -q attached heard
expect 0 "$COWBD" rollback vol@first --force
wait_for 10 grep -q cut heard
for i in 1 2 3 4 5 6 7 8; do
	echo "read o$i 0 4096 3" >&3
done
cat >&3 <<END
connect w $(uri vol)
read w 0 4096 1
say right
END
exec 3>&-
wait $talking || fail "other connections than those of the volume were cut"
grep -q right heard
stop_server
