#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# takeover_abort.sh - a daemon that dies of nbdkit's assertion while it hands over is not started again beside the new one
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serving() {
	"$COWBD" status --json 2>/dev/null | grep -q '"pid"'
}

clean_up() {
	kill -CONT $taking 2>/dev/null || :
	"$COWBD" stop --force >/dev/null 2>&1 || :
}

draining() {
	"$COWBD" status --json | grep -q '"draining": true'
}

taking=
# by the command, whose supervisor starts a daemon again that died of itself
"$COWBD" serve --daemon --socket "$sock" --json >old
old=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' old)
trap clean_up EXIT
"$COWBD" create vol 64M
# a client that takes no answers makes the end long enough to be seen
mkfifo say
"$TALK" >heard <say 2>&1 &
talking=$!
exec 3>say
cat >&3 <<END
connect a $(uri vol)
read a 0 4096 0
flood a 64
say flooded
END
wait_for 10 grep -q flooded heard
"$COWBD" serve --daemon --socket "$sock" --json --takeover >new 2>err 3>&- &
taking=$!
wait_for 10 draining
# the command is held still, so that a daemon that must not come has time to come
kill -STOP $taking
kill -ABRT "$old"
sleep 1
! serving || fail "it was started again: $("$COWBD" status --json)"
kill -CONT $taking
wait $taking || fail "the takeover: $(cat err)"
serving || fail "nobody serves"
exec 3>&-
wait $talking || :
"$COWBD" stop --force
"$COWBD" check
