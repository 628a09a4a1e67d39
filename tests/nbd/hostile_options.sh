#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hostile_options.sh - garbage handshakes, names and options harm nobody, and cost nothing that stays
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 1M
hostile_rounds vol options vol
