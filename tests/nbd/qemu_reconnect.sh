#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# qemu_reconnect.sh - qemu's client with reconnect-delay writes on while the daemon is killed; nothing is lost
#
# COWBD_KILLS: how often (2).
. "$top_srcdir/tests/nbd/functions.sh"

need qemu-io
kills=${COWBD_KILLS:-2}
writes=$((kills * 250))
new_pool
serve
"$COWBD" create vol 64M
disk="json:{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"$sock\"},\"export\":\"vol\",\"reconnect-delay\":60}"

# Each block is written twice, so that one that comes late or twice from an old connection is seen.
i=0
while [ $i -lt "$writes" ]; do
	echo "write -q -P $((i % 250 + 1)) $((i % 1000 * 8192)) 6k"
	echo "write -q -P $((i % 249 + 2)) $((i % 1000 * 8192)) 6k"
	echo "sleep 4"
	i=$((i + 1))
done >commands
i=$((writes > 1000 ? writes - 1000 : 0))
while [ $i -lt "$writes" ]; do
	echo "read -q -P $((i % 249 + 2)) $((i % 1000 * 8192)) 6k"
	i=$((i + 1))
done >>commands
qemu-io "$disk" <commands >client.log 2>&1 &
client=$!
round=0
while [ $round -lt "$kills" ] && kill -0 $client 2>/dev/null; do
	sleep 0.$((round * 37 % 5 + 3))
	kill -9 "$server"
	wait "$server" || :
	serve
	round=$((round + 1))
done
wait $client || fail "$(grep -v '^qemu-io> *$' client.log | tail -n 5)"
! grep -iE 'fail|error|verif' client.log || fail "qemu saw the daemon's death"
[ $round -eq "$kills" ] || fail "it ended after $round of $kills kills"
talk <<END
connect a $(uri vol)
read a 0 6144 $((writes > 1000 ? ((writes - 1) / 1000 * 1000) % 249 + 2 : 2))
END
stop_server
"$COWBD" check
kills_noted "$kills" "qemu's NBD client: kills with nothing lost"
