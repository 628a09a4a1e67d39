#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# takeover.sh - serve --takeover, and kill -9 with a restart, under a client that reconnects: no error, nothing lost
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need qemu-io
places=500
. "$top_srcdir/tests/cli/restart_functions.sh"
new_pool
cowbd create v 64M
serve --takeover # nobody to take over from: serves
sock=$(echo "$COWBD_RUNDIR"/*-*-*.nbd)
start_writer --image-opts "driver=nbd,server.type=unix,server.path=$sock,export=v,reconnect-delay=60"
taken_over() {
	old=$(server_pid)
	cowbd serve --daemon --takeover >uri
	[ "$(server_pid)" != "$old" ] || fail "the old one still serves"
	! kill -0 "$old" 2>/dev/null || fail "the old one is still there"
}
for round in 1 2; do
	goes_on taken_over
done
longest_request "over $round takeovers"
for round in 1 2; do
	goes_on killed
done
end_writer v
cowbd stop
cowbd check

# One that does not answer: says so, and what to do.  Its own end is not waited for longer than 10 s.
serve
pid=$(server_pid)
kill -STOP "$pid"
expect 1 timeout 60 "$COWBD" serve --daemon --takeover
kill -CONT "$pid"
says 'kill it\|look at its log'
cowbd stop --force
