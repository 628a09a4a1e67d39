#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# full_pool.sh - a pool that many requests fill at once gives all its data space, says ENOSPC, and lives on
. "$top_srcdir/tests/nbd/functions.sh"

need fio
fio --enghelp 2>/dev/null | grep -q nbd || skip "fio has no nbd engine"

# writes VOLUME BYTES: at random, deep.
writes() {
	timeout 60 fio --name=fill --ioengine=nbd --uri="$(uri "$1")" --rw=randwrite --bs=4k \
		--size="$2" --iodepth=16 --randseed=3 --minimal 2>&1
}

free_bytes() {
	"$COWBD" status --json | sed -n 's/.*"free_bytes": *\([0-9]*\).*/\1/p'
}

new_pool
serve on-full=error
"$COWBD" create a 128M
"$COWBD" create b 128M 2>/dev/null
writes a 128M >a.out || fail "$(tail -n 3 a.out)"
if writes b 128M >b.out; then
	fail "256 MiB went into a pool of that size"
fi
grep -q "No space left on device" b.out || fail "not ENOSPC: $(tail -n 3 b.out)"
[ "$(free_bytes)" -eq 0 ] || fail "ENOSPC though $(free_bytes) bytes are free"

# a snapshot and in-place writes need no data space; deleting gives it back
"$COWBD" rm b
given_back() {
	[ "$(free_bytes)" -gt 0 ]
}
wait_for 20 given_back
"$COWBD" snapshot a@now
writes a 16M >a.out || fail "after a deletion: $(tail -n 3 a.out)"
stop_server
"$COWBD" check
