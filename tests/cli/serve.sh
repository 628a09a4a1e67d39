#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# serve.sh - serve prints the URI when clients can connect, and a killed one leaves nothing in the way
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need nbdinfo
new_pool
cowbd create a 4M
"$COWBD" serve >uri 2>log &
server=$!
wait_for 20 test -s uri
same "$(server_pid)" "$server"
nbdinfo --size "$(cowbd uri a)" >size
same "$(cat size)" 4194304
grep -q '^nbd+unix:///?socket=' uri || fail "no URI: $(cat uri)"
expect 1 "$COWBD" serve
says "already served by pid $server"
expect 1 "$COWBD" serve --daemon
says "already served by pid $server"
kill -9 "$server"
wait "$server" || :
# its sockets are still there, and nobody listens
cowbd ls a >/dev/null
cowbd serve --daemon >uri
nbdinfo --size "$(cowbd uri a)" >/dev/null
cowbd stop
same "$(ls "$COWBD_RUNDIR" | grep -v 'log$' || :)" ""
expect 1 "$COWBD" stop
says 'not served: nothing to stop'
