#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# two_commands.sh - commands at the same time on a pool that nobody serves wait for each other, and a daemon for them
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

# and so does a daemon that begins meanwhile
mkfifo image
"$COWBD" import image slow 2>err &
importing=$!
exec 3>image # it has the pool open when it has the image open
head -c 1048576 /dev/zero >&3
sleep 2 & # which has the image open, too
exec 3>&-
serve
wait $importing || fail "$(cat err)"
cowbd info slow | grep -q .
cowbd stop
cowbd check
