#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# copy.sh - what nbdcopy writes is what it reads, also by a later server
. "$top_srcdir/tests/nbd/functions.sh"

need nbdcopy
new_pool
serve
size=$((20 * 1024 * 1024 + 512))
"$COWBD" create vol $size
random_file data $size
nbdcopy data "$(uri vol)"
nbdcopy "$(uri vol)" back
cmp data back
nbdcopy --flush data "$(uri vol)"
stop_server

serve
nbdcopy "$(uri vol)" again
cmp data again
stop_server
