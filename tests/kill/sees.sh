#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# sees.sh - the writer of these tests sees a write that is missing, a name that is back, and garbage
. "$top_srcdir/tests/nbd/functions.sh"

WRITER=$top_builddir/tests/kill/writer
[ -x "$WRITER" ] || skip "tests/kill/writer is not built"
new_pool --size 1G
serve
tail=$("$COWBD" status --json | sed -n 's/.*"tail": *"\([^"]*\)".*/\1/p')
[ -e "$tail" ] || skip "there is no tail here: $tail"

# sees PATTERN: it does, in the ledger as it is now.
sees() {
	cp ledger ledger.again
	expect 1 "$WRITER" verify ledger.again "$sock" killed
	grep -q "VIOLATED: .*$1" out || fail "not '$1': $(cat out)"
}

"$WRITER" run ledger "$sock" "$server" 7 &
load=$!
sleep 0.7
kill -9 "$server"
wait "$server" || :
wait $load || fail "the writer found something"

# not flushed, and lost with the tail: allowed, but not if it was the daemon alone that died
rm "$tail"
serve lost-tail=true
sees "sector .* expected"
"$WRITER" verify ledger "$sock" lost || fail "what was flushed is missing"

volume=$("$COWBD" ls -o NAME --noheadings | grep -v @ | head -n 1)
talk <<END
connect a $(uri "$volume")
write a 4096 512 7
END
sees "$volume sector 8: found garbage"
"$COWBD" create other 1M
sees "other is there"
"$COWBD" rm other
"$COWBD" rm -r "$volume"
sees "$volume is not there"
stop_server
