#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hostile_requests.sh - every command at every odd offset, length and flag is answered, and costs nothing that stays
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 104858112
"$COWBD" create other 1M
hostile_rounds vol requests other
