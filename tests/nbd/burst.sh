#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# burst.sh - connections of one process that come at the same instant are told apart
. "$top_srcdir/tests/nbd/functions.sh"

need nbdcopy
new_pool
serve
"$COWBD" create vol 32M
"$COWBD" create other 32M
random_file data $((32 * 1024 * 1024))
"$COWBD" snapshot other@first
# nbdcopy opens its four connections at once.
for round in 1 2 3 4 5 6 7 8; do
	nbdcopy -C 4 data "$(uri vol)" &
	copies=$!
	nbdcopy -C 4 data "$(uri other)" || :
	wait $copies || fail "round $round: a copy failed"
done
nbdcopy -C 4 "$(uri vol)" back
cmp data back
! grep -q 'connection refused' server.log || fail "$(cat server.log)"
stop_server
