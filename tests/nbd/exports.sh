#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# exports.sh - nbdinfo lists every volume and snapshot with its exact size
. "$top_srcdir/tests/nbd/functions.sh"

need nbdinfo
new_pool
serve
"$COWBD" create small 1536
"$COWBD" create large 1T
"$COWBD" snapshot large@first

nbdinfo --list "nbd+unix://?socket=$sock" >list
[ "$(grep -c '^export=' list)" -eq 3 ] || fail "not three exports: $(cat list)"
grep -q '^export="small"' list
grep -q 'description: snapshot, ' list
[ "$(nbdinfo --size "$(uri small)")" -eq 1536 ]
[ "$(nbdinfo --size "$(uri large)")" -eq 1099511627776 ]
[ "$(nbdinfo --size "$(uri large@first)")" -eq 1099511627776 ]

nbdinfo "$(uri small)" >info
for can in can_flush can_fua can_multi_conn can_trim can_zero can_fast_zero can_cache; do
	grep -q "$can: true" info || fail "$can is not true: $(cat info)"
done
grep -q 'is_read_only: false' info
grep -q 'block_size_minimum: 1$' info
grep -q 'block_size_preferred: 4096' info
stop_server
