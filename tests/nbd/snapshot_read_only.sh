#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# snapshot_read_only.sh - a snapshot takes no write (EPERM), and keeps what the volume overwrites
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 1M
talk <<END
connect a $(uri vol)
write a 0 1048576 1
flush a
END
"$COWBD" snapshot vol@first
talk <<END
connect v $(uri vol)
connect s $(uri vol@first)
fails EPERM write s 0 1 9
fails EPERM zero s 0 4096
fails EPERM trim s 0 4096
write v 100 5000 2
read s 0 1048576 1
read v 100 5000 2
flush s
END
stop_server
