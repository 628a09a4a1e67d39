#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# read_only.sh - nbdkit -r makes every export read-only, and management goes on
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve -r
"$COWBD" create vol 1M
talk <<END
connect a $(uri vol)
fails EPERM write a 0 1 9
read a 0 4096 0
END
stop_server
