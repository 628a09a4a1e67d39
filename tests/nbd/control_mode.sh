#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# control_mode.sh - the control socket is private, bears the pool name, and goes with the server
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
umask 0000
serve
ctl=$(control_socket)
[ "$(stat -c %a "$ctl")" = 600 ] || fail "mode $(stat -c %a "$ctl")"
[ "$(readlink "$COWBD_RUNDIR/pool.ctl")" = "$(basename "$ctl")" ]
file=$(printf '%x:%x' "$(stat -c %d "$COWBD_POOL")" "$(stat -c %i "$COWBD_POOL")")
[ "$(readlink "$COWBD_RUNDIR/$file.ctl")" = "$(basename "$ctl")" ]
stop_server
[ -z "$(ls "$COWBD_RUNDIR")" ] || fail "left behind: $(ls "$COWBD_RUNDIR")"

# One that a killed server left is replaced.
serve
kill -9 "$server"
wait "$server" || :
[ -S "$ctl" ]
serve
"$COWBD" create vol 1M
stop_server

# A place of its own, or none.
serve "control=$TEST_DIR/mine"
[ "$(stat -c %a mine)" = 600 ]
[ -z "$(ls "$COWBD_RUNDIR")" ]
stop_server
[ ! -e mine ]
serve control=off
[ -z "$(ls "$COWBD_RUNDIR")" ]
stop_server
