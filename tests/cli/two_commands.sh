#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# two_commands.sh - commands at the same time on a pool that nobody serves wait for each other
. "$top_srcdir/tests/cli/functions.sh"

new_pool
cowbd create a 1M
pids=
for i in 1 2 3 4 5 6; do
	"$COWBD" snapshot a@s$i >/dev/null &
	pids="$pids $!"
	"$COWBD" ls >/dev/null &
	pids="$pids $!"
done
for pid in $pids; do
	wait "$pid" || fail "one failed"
done
same "$(names | grep -c '^a@s')" 6
cowbd check
