#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# odd_requests.sh - requests of any offset and length, down to one byte
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 1050112
talk <<END
connect a $(uri vol)
size a 1050112
write a 4095 1 7
read a 4094 1 0
read a 4095 1 7
read a 4096 1 0
write a 4095 3 8
read a 4095 3 8
write a 1050111 1 9
read a 1050111 1 9
write a 511 65538 5 fua
read a 511 65538 5
zero a 4097 1
read a 4097 1 0
read a 4096 1 5
read a 4098 100 5
zero a 8191 8194 fast
read a 8190 1 5
read a 8191 8194 0
read a 16385 1 5
trim a 20479 8194
read a 20479 1 5
read a 20480 8192 0
read a 28672 1 5
fails EINVAL read a 1050111 2 0
fails EINVAL read a 1050112 1 0
fails ENOSPC write a 1050112 1 0
fails EINVAL trim a 0 1050113
random a 1 2000 9000
random a 2 300 70000
random a 3 2000 3
END
stop_server
