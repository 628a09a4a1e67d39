#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# file_size_limit.sh - RLIMIT_FSIZE below the pool's size is a full pool: no signal, no I/O error
. "$top_srcdir/tests/nbd/functions.sh"

need prlimit
new_pool
SERVE_WRAPPER="prlimit --fsize=$((128 * 1024 * 1024))"
# shellcheck disable=SC2046 # one word or none
serve $(on_full_error)
"$COWBD" create vol 200M
fill vol 200
in_place_works vol
"$COWBD" snapshot vol@a
"$COWBD" rm vol@a
stop_server

# by the command alone
head -c 200000000 /dev/urandom >big
expect 1 prlimit --fsize=$((128 * 1024 * 1024)) "$COWBD" import big other
SERVE_WRAPPER=
"$COWBD" check
serve
talk <<END
connect a $(uri vol)
write a $((190 * 1048576)) 1000000 3
flush a
END
stop_server
"$COWBD" check
