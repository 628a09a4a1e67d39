#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# default_export.sh - no name means the only volume, and is refused when there are several
. "$top_srcdir/tests/nbd/functions.sh"

need nbdinfo
new_pool
serve
expect 1 nbdinfo --size "nbd+unix://?socket=$sock"
"$COWBD" create one 10M
"$COWBD" snapshot one@first
[ "$(nbdinfo --size "nbd+unix://?socket=$sock")" -eq 10485760 ]
"$COWBD" create two 20M
expect 1 nbdinfo --size "nbd+unix://?socket=$sock"
grep -q 'does not hold exactly one volume.*cowbd ls' server.log
stop_server
