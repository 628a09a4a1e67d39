#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# no_uring.sh - where io_uring is forbidden everything works by plain calls, and status says so
. "$top_srcdir/tests/nbd/functions.sh"

NO_URING=$top_builddir/tests/fault/no_uring
[ -x "$NO_URING" ] || skip "tests/fault/no_uring is not built"
"$NO_URING" true || skip "seccomp filters can't be set here"

# cowbd without it
barred() {
	"$NO_URING" "$COWBD" "$@"
}

SERVE_WRAPPER=$NO_URING
barred init "$pool" --size 256M --block-size 16K >/dev/null
serve
"$COWBD" status | grep -q 'sync (io_uring: EPERM)' || fail "$("$COWBD" status)"
"$COWBD" status --json | grep -q '"io": "sync (io_uring: EPERM)"' || fail "$("$COWBD" status --json)"
"$COWBD" create vol 32M
random_file data $((32 * 1024 * 1024))
nbdcopy --flush data "$(uri vol)"
"$COWBD" snapshot vol@first
talk <<END
connect a $(uri vol)
random a 5 400 70000
write a 1 100000 9 fua
zero a 5000000 700000
trim a 8000000 1000000
flush a
write a 20000000 5000 8
END
kill -9 "$server"
wait "$server" || :
serve
talk <<END
connect a $(uri vol)
read a 1 100000 9
read a 5000000 700000 0
read a 20000000 5000 8
END
nbdcopy "$(uri vol@first)" back
cmp data back
stop_server
barred check
barred rollback vol@first
barred export vol exported
cmp data exported
serve direct=on
nbdcopy "$(uri vol)" direct
cmp data direct
stop_server
