#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# sigterm.sh - SIGTERM with idle clients attached ends within 2 s and loses nothing
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 8M
"$COWBD" create other 8M
mkfifo say
"$TALK" >heard <say &
talking=$!
exec 3>say
cat >&3 <<END
connect a $(uri vol)
connect b $(uri vol)
connect c $(uri other)
write a 0 1000000 1
write b 1000000 1000000 2
write c 77 1000 3
say idle
gone a 10000
gone b 10000
gone c 10000
say gone
END
wait_for 10 grep -q idle heard
began=$(now_ms)
stop_server
took=$(($(now_ms) - began))
exec 3>&-
wait $talking || fail "a client was not cut off"
grep -q gone heard
[ $took -le 2500 ] || fail "the end took $took ms"
[ ! -e "$COWBD_RUNDIR/pool.ctl" ] || fail "the link to the control socket is still there"

serve
talk <<END
connect a $(uri vol)
read a 0 1000000 1
read a 1000000 1000000 2
connect c $(uri other)
read c 77 1000 3
END
# SIGHUP and SIGINT are orderly ends too.
stop_server HUP
serve
stop_server INT
