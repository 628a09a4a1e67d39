#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# sees.sh - the writer of these tests sees a write that is missing, a name that is back, and garbage
. "$top_srcdir/tests/nbd/functions.sh"

WRITER=$top_builddir/tests/kill/writer
[ -x "$WRITER" ] || skip "tests/kill/writer is not built"
new_pool --size 1G
serve
tail=$(tail_path)
[ -e "$tail" ] || skip "there is no tail here: $tail"

# sees PATTERN: it does, in the ledger as it is now.
sees() {
	cp ledger ledger.again
	expect 1 "$WRITER" verify ledger.again "$sock" killed
	grep -q "VIOLATED: .*$1" out || fail "not '$1': $(cat out)"
}

# One of the writer's commands may be about to begin when the server dies. It then opens the pool itself, replays
# the tail and removes it, as it should: nothing is lost then, and another server has to die.
rounds=0
while :; do
	"$WRITER" run ledger "$sock" "$server" $((7 + rounds)) &
	load=$!
	sleep 0.7
	kill -9 "$server"
	wait "$server" || :
	wait $load || fail "the writer found something"
	[ ! -e "$tail" ] || break
	rounds=$((rounds + 1))
	[ $rounds -lt 10 ] || fail "no tail is left by any of $rounds servers"
	serve
	"$WRITER" verify ledger "$sock" killed || fail "what a command recovered is not whole"
	tail=$(tail_path)
done

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
