#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# kill.sh - SIGKILL loses nothing that was answered, flushed or not
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
tail=$(tail_path)
[ -e "$tail" ] || skip "there is no tail here: $tail"
"$COWBD" create vol 16M
talk <<END
connect a $(uri vol)
write a 0 1000000 1
END
"$COWBD" snapshot vol@first
talk <<END
connect a $(uri vol)
write a 4095 5000 2
zero a 65536 4096
trim a 131072 4096
END
kill -9 "$server"
wait "$server" || :
serve
talk <<END
connect a $(uri vol)
read a 0 4095 1
read a 4095 5000 2
read a 65536 4096 0
read a 131072 4096 0
read a 135168 864832 1
connect s $(uri vol@first)
read s 0 1000000 1
END
stop_server
