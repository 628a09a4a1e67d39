#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# unknown_export.sh - an unknown name is refused with a line that names it; the others are served
. "$top_srcdir/tests/nbd/functions.sh"

need nbdinfo
new_pool
serve
"$COWBD" create vol 10M
expect 1 nbdinfo --size "$(uri nothere)"
grep -q 'export "nothere": ' server.log || fail "no clear line: $(cat server.log)"
expect 1 nbdinfo --size "$(uri vol@nothere)"
[ "$(nbdinfo --size "$(uri vol)")" -eq 10485760 ]
stop_server
