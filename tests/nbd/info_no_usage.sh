#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# info_no_usage.sh - what only wants to know of an object does not walk its map, as attach, mount and rollback
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create small 1M
ctl=$(control_socket)
talk <<END
open a $ctl
expect a "hello"
send a {"v":1,"id":1,"cmd":"info","args":{"name":"small"}}
expect a "map_bytes":0,"connections":[]
send a {"v":1,"id":2,"cmd":"info","args":{"name":"small","no_usage":true}}
expect a "clients":0,"connections":[]
END

# What the command asks for a rollback.
"$COWBD" snapshot small@s
# LeakSanitizer does not work under ptrace
if command -v strace >/dev/null && ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" strace -f -s 300 -o trace "$COWBD" rollback small@s; then
	grep -q '"cmd.*rollback' trace || fail "strace shows no request"
	! grep '"cmd.*"info' trace | grep -v no_usage || fail "a rollback walks the map"
else
	echo "no strace: what the command asks is not looked at"
fi
stop_server
