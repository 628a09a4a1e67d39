#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# ephemeral.sh - a throw-away clone stays while it has a client, over a restart too, and goes after
. "$top_srcdir/tests/nbd/functions.sh"

need qemu-io
exists() {
	"$COWBD" info "$1" >/dev/null 2>&1
}
is_gone() {
	! exists "$1"
}
# clone NAME: a throw-away one of vol@s.
clone() {
	talk <<END >/dev/null
open c $(control_socket)
expect c hello
send c {"v":1,"id":1,"cmd":"clone","args":{"source":"vol@s","names":["$1"],"ephemeral":true}}
expect c "ok"
END
}
new_pool
serve ephemeral=2
"$COWBD" create vol 8M
"$COWBD" snapshot vol@s >/dev/null
clone unused
clone used
"$COWBD" info used | grep -q '^ephemeral *yes'

qemu-io -c 'write -P 7 0 4096' -c 'sleep 5000' -c 'read -P 7 0 4096' \
	"json:{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"$sock\"},\"export\":\"used\",\"reconnect-delay\":30}" \
	>client.log 2>&1 &
client=$!
wait_for 20 is_gone unused
sleep 2
exists used || fail "it went though a client has it"

# a restart begins the time anew, so that clients find their disk again
kill -9 "$server"
wait "$server" || :
serve ephemeral=2
wait $client || fail "$(cat client.log)"
grep -q '^read 4096/4096' client.log || fail "$(cat client.log)"
! grep -qi fail client.log || fail "$(cat client.log)"
wait_for 20 is_gone used
exists vol@s
stop_server
"$COWBD" check
