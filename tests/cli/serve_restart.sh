#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# serve_restart.sh - a daemon that died of an error of its own is started again; one that was killed or stopped is not
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need nbdinfo
new_pool
cowbd create a 4M
serve
first=$(server_pid)
kill -ABRT "$first"
again() {
	pid=$(server_pid) && [ "$pid" != "$first" ]
}
wait_for 20 again
nbdinfo --size "$(cowbd uri a)" >/dev/null
grep -q "pid $first.*died of signal 6" "$COWBD_RUNDIR"/*.log || fail "the log: $(cat "$COWBD_RUNDIR"/*.log)"
cowbd stop
sleep 1
expect 1 "$COWBD" stop
says 'not served'

serve
kill -9 "$(server_pid)"
sleep 1
expect 1 "$COWBD" stop
says 'not served'

# again and again: at last it stays down
serve
i=0
while [ $i -lt 6 ]; do
	wait_for 20 server_pid
	kill -SEGV "$(server_pid)"
	first=$(server_pid) || first=
	sleep 0.3
	i=$((i + 1))
done
sleep 1
expect 1 "$COWBD" stop
says 'not served'
grep -q 'not started again' "$COWBD_RUNDIR"/*.log || fail "the log: $(cat "$COWBD_RUNDIR"/*.log)"
cowbd check
