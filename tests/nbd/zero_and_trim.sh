#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# zero_and_trim.sh - what was zeroed or trimmed reads as zero and takes no space
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 8M
talk >out <<END
connect a $(uri vol)
write a 0 8388608 1
zero a 0 1048576
zero a 1048576 1048576 nohole
zero a 2097152 1048576 fast
trim a 3145728 1048576
read a 0 4194304 0
read a 4194304 4194304 1
flush a
read a 0 4194304 0
status a 0 8388608
END
printf '0 4194304 3\n4194304 4194304 0\n' | diff - out
stop_server
