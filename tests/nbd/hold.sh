#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hold.sh - writes to a full pool wait; reads, writes in place, snapshots and commands go on; space lets them go
. "$top_srcdir/tests/nbd/functions.sh"

field() {
	"$COWBD" status --json | sed -n "s/^  \"$1\": *\([0-9]*\).*/\1/p" | head -n 1
}

new_pool
serve
"$COWBD" create full 512M 2>/dev/null
"$COWBD" create vol 64M
printf 'connect v %s\nwrite v 0 1048576 1\n' "$(uri vol)" | talk

# Writes until it is held, with something behind it.
mkfifo say
"$TALK" >heard <say &
filling=$!
exec 3>say
{
	echo "connect f $(uri full)"
	i=0
	while [ $i -lt 300 ]; do
		echo "write f $((i * 1048576)) 1048576 3"
		i=$((i + 1))
	done
	echo "say all of it"
} >&3 &
feeding=$!
wait_for 60 held 1
talk <<END
connect v $(uri vol)
read v 0 1048576 1
write v 0 1048576 2 fua
read v 0 1048576 2
flush v
END
"$COWBD" snapshot vol@now
"$COWBD" create other 1M
"$COWBD" status >status.out
grep -q '^full  *since .*: 1 writes wait' status.out || fail "status: $(cat status.out)"
grep -q '^client .*full: .* 1 held for' status.out || fail "status: $(cat status.out)"
expect 1 "$COWBD" rm full
says attached

# A clone that is written, cut off with its held write, and removed; trim; then growth lets the rest go.
"$TALK" <<END >cut.out 2>&1 &
connect v $(uri vol)
write v 0 4096 9
END
cut=$!
wait_for 20 held 2
expect 0 "$COWBD" rollback vol@now --force
! wait $cut || fail "a held write was answered"
wait_for 20 held 1
"$COWBD" grow 512M >/dev/null
wait $feeding
exec 3>&-
wait $filling || fail "the held write failed"
grep -q 'all of it' heard
[ "$(field held)" -eq 0 ]
talk <<END
connect f $(uri full)
read f 0 1048576 3
read f 313524224 1048576 3
connect v $(uri vol)
read v 0 4096 2
END

# SIGTERM while writes are held: no client hears an error.
"$COWBD" create more 512M 2>/dev/null
{
	echo "connect f $(uri more)"
	i=0
	while [ $i -lt 400 ]; do
		echo "write f $((i * 1048576)) 1048576 4"
		i=$((i + 1))
	done
} | "$TALK" >drained 2>&1 &
filling=$!
wait_for 60 held 1
stop_server
! wait $filling || fail "a held write was answered"
! grep -q -e ENOSPC -e 'No space' -e SHUTDOWN -e 'shutdown' drained || fail "$(cat drained)"
"$COWBD" check

# and after its time it fails
serve hold-timeout=1
talk <<END
connect f $(uri more)
fails ENOSPC write f 500000000 33554432 5
END
stop_server
