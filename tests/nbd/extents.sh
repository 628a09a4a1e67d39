#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# extents.sh - the map that nbdinfo shows is exact
. "$top_srcdir/tests/nbd/functions.sh"

need nbdinfo
new_pool
serve
"$COWBD" create vol 8M
talk <<END
connect a $(uri vol)
write a 65536 65536 1
write a 1048576 4096 1
write a 8384512 4096 1
trim a 69632 4096
END
nbdinfo --map "$(uri vol)" | awk '{ print $1, $2, $3 }' >map
cat >want <<'END'
0 65536 3
65536 4096 0
69632 4096 3
73728 57344 0
131072 917504 3
1048576 4096 0
1052672 7331840 3
8384512 4096 0
END
diff want map || fail "the map differs"

# One extent when one is asked for, and never beyond the question.
talk >one <<END
connect a $(uri vol)
status a 65537 100 one
status a 65536 1048576 one
status a 70000 1
status a 69000 5000
END
cat >want <<'END'
65537 100 0
65536 4096 0
70000 1 3
69000 632 0
69632 4096 3
73728 272 0
END
diff want one || fail "the answers differ"
stop_server
