#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# huge_status.sh - a question about 2^32-1 bytes of a large sparse volume does not kill the server
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 1T
talk >out <<END
connect a $(uri vol)
write a 0 4096 1
write a 4294967296 4096 1
status a 0 4294967295
status a 1 4294967295
status a 4294967297 4294967295
status a 1095216660481 4294967295
zero a 0 4294967295
trim a 4294967296 4294967295
status a 0 4294967295
read a 0 4096 0
END
kill -0 "$server" || fail "the server died: $(cat server.log)"
head -n 2 out >first
printf '0 4096 0\n4096 4294963199 3\n' | diff - first
tail -n 1 out | grep -q '^0 42949672.. 3$' || fail "zeroed, and still mapped: $(cat out)"
stop_server
