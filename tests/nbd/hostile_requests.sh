#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hostile_requests.sh - every command at every odd offset, length and flag is answered, and costs nothing that stays
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 104858112
"$COWBD" create other 1M
hostile vol requests
before=$(resources)
for round in 1 2; do hostile vol requests; done
spent_little "$before" 20000
echo "write a 0 4096 7" | talk_to other
stop_server
"$COWBD" check
