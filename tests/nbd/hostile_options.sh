#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hostile_options.sh - garbage handshakes, names and options harm nobody, and cost nothing that stays
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 1M
hostile vol options
before=$(resources)
for round in 1 2; do hostile vol options; done
spent_little "$before" 20000
echo "write a 0 4096 7" | talk_to vol
stop_server
"$COWBD" check
