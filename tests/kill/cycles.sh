#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# cycles.sh - killed again and again under load, the daemon loses nothing that it answered
#
# KILL_CYCLES: how often (10); KILL_SEED: of all that is random; KILL_REPORT: a file for the totals.
. "$top_srcdir/tests/nbd/functions.sh"

WRITER=$top_builddir/tests/kill/writer
[ -x "$WRITER" ] || skip "tests/kill/writer is not built"
cycles=${KILL_CYCLES:-10}
seed=${KILL_SEED:-$(date +%s)}
echo "KILL_SEED=$seed"
random=$seed

# draw N: sets $drawn to something below N.
draw() {
	random=$(((random * 1103515245 + 12345) % 2147483648))
	drawn=$((random / 65536 % $1))
}

# pause MS: sleeps some time below that.
pause() {
	draw "$1"
	sleep "$(printf '0.%03d' "$drawn")"
}

writer() {
	verb=$1
	shift
	"$WRITER" "$verb" "$TEST_DIR/ledger" "$@" || {
		echo "cycle $cycle of seed $seed; server.log ends:"
		tail -n 5 "$TEST_DIR/server.log"
		[ -z "${KILL_KEEP:-}" ] || cp --sparse=always "$pool" "$TEST_DIR/ledger" "$KILL_KEEP"
		fail "see above"
	}
}

kill_server() {
	kill -9 "$server"
	wait "$server" || :
}

# init_is_killed: then it works again.
init_is_killed() {
	"$COWBD" init "$TEST_DIR/other" --size 256M >/dev/null 2>&1 &
	init=$!
	pause 50
	if kill -9 $init 2>/dev/null; then
		writer count kills_in_init
	fi
	wait $init || :
	[ -e "$TEST_DIR/other" ] || "$COWBD" init "$TEST_DIR/other" --size 256M >/dev/null
	"$COWBD" -p "$TEST_DIR/other" create a 1M
	"$COWBD" -p "$TEST_DIR/other" check >/dev/null
	rm -f "$TEST_DIR/other"
	left=$(echo "$TEST_DIR"/other* "$TEST_DIR"/.other*)
	[ "$left" = "$TEST_DIR/other* $TEST_DIR/.other*" ] || fail "init left behind: $left"
}

draw 3
KILL_BLOCK=$((4096 << (2 * drawn)))
export KILL_BLOCK
draw 3
direct=direct=off
[ "$drawn" -ne 0 ] || direct=direct=on
echo "block size $KILL_BLOCK, $direct"
new_pool --size 1G --journal-size 8M --block-size $KILL_BLOCK
serve cache=1M $direct
tail=$(tail_path)
[ -e "$tail" ] || skip "there is no tail here: $tail"
cycle=0
while [ $cycle -lt "$cycles" ]; do
	cycle=$((cycle + 1))
	"$WRITER" run "$TEST_DIR/ledger" "$sock" "$server" $((seed + cycle)) &
	load=$!
	draw 2
	sleep "$drawn"
	pause 999
	kill_server
	wait $load || fail "cycle $cycle of seed $seed"
	writer count kills
	mode=killed
	more=
	draw 4
	if [ "$drawn" -eq 0 ]; then
		mode=lost
		more=lost-tail=true
		rm -f "$tail"
		writer count tails_lost
	fi
	draw 3
	recoveries=$drawn
	while [ "$recoveries" -gt 0 ]; do
		rm -f "$sock"
		nbdkit -f -U "$sock" "$COWBD_PLUGIN" "pool=$pool" $more >>"$TEST_DIR/server.log" 2>&1 &
		server=$!
		pause 120
		kill_server
		writer count kills_in_recovery
		recoveries=$((recoveries - 1))
	done
	serve cache=1M $direct $more
	writer verify "$sock" $mode
	tail=$(tail_path)
	"$COWBD" check >check.out 2>&1 || fail "cycle $cycle of seed $seed: $(cat check.out)"
	init_is_killed
done
stop_server
"$COWBD" check
writer report
[ -z "${KILL_REPORT:-}" ] || writer report >"$KILL_REPORT"
