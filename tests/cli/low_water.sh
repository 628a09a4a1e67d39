#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# low_water.sh - each crossing of the mark is an event, in both directions, however high the mark is
. "$top_srcdir/tests/cli/functions.sh"

need qemu-io
# crossings N: so many events of low water so far.
crossings() {
	[ "$(grep -c '"event":"low-water"' events.json)" -eq "$1" ]
}
# cross MARK MIB: writes so much, twice, and takes it away.
cross() {
	new_pool
	serve --low-water "$1"
	cowbd events --json >events.json &
	listening=$!
	n=0
	until grep -q '"event":"create"' events.json; do
		n=$((n + 1))
		cowbd create "x$n" 1M
	done
	for round in 1 2; do
		cowbd create v 256M 2>/dev/null
		qemu-io -f raw -c "write -P 2 0 $2M" "$(cowbd uri v)" >/dev/null
		wait_for 10 crossings $((round * 2 - 1))
		cowbd rm v
		wait_for 20 crossings $((round * 2))
	done
	cowbd stop
	wait $listening
	same "$(sed -n 's/.*"low-water","below":\([a-z]*\).*/\1/p' events.json | tr '\n' ' ')" 'true false true false '
}
cross 50% 150
cross 95% 40
cross 100M 150
rm -f "$COWBD_RUNDIR"/*.log
# more than there is: always low, said once
new_pool
serve --low-water 10G
is_said() {
	grep -q 'little space is left' "$COWBD_RUNDIR"/*.log
}
wait_for 10 is_said
sleep 1.2
same "$(grep -c 'little space is left' "$COWBD_RUNDIR"/*.log)" 1
cowbd stop
