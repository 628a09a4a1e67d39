#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# repair.sh - a repair that is killed is done again, with the same outcome; no data suffers
#
# KILL_CYCLES: how often it is killed in all (36); KILL_REPORT: a file for the figure, with .repair.
. "$top_srcdir/tests/cli/functions.sh"

cowbd check --help | grep -q -e --repair || skip "cowbd can't repair yet"
new_pool --journal-size 8M
random_image image 3
cowbd import image a
cowbd snapshot a@s >/dev/null
cowbd clone a@s b
cowbd import image c
cowbd rm c
cowbd check >/dev/null

# Each place is a page: the copies of the superblock, and both slots of a few pages that describe zones.
header=$((1 + 2))
tried=0
kills=0
times=$((${KILL_CYCLES:-36} / 6))
for place in 0 512 $((header * 1024 + 1)) $((header * 1024 + 513)) $((header * 1024 + 2)) $((header * 1024 + 514)); do
	cp --sparse=always "$pool" damaged
	dd if=/dev/urandom of=damaged bs=4096 seek=$place count=1 conv=notrunc status=none
	status=0
	cowbd -p ./damaged check >check.out 2>&1 || status=$?
	[ $status -ne 0 ] || continue # the slot that is not current
	tried=$((tried + 1))
	cp --sparse=always damaged whole
	wanted=0
	echo "page $place: $(tail -n 1 check.out)"
	cowbd -p ./whole check --repair >repair.out 2>&1 || wanted=$?
	killed=0
	while [ $killed -lt $times ]; do
		killed=$((killed + 1))
		cp --sparse=always damaged again
		"$COWBD" -p ./again check --repair >/dev/null 2>&1 &
		repair=$!
		sleep "$(printf '0.%03d' $((killed * 3 % 40)))"
		! kill -9 $repair 2>/dev/null || kills=$((kills + 1))
		wait $repair 2>/dev/null || :
		status=0
		cowbd -p ./again check --repair >again.out 2>&1 || status=$?
		# killed after its last write, it had nothing left to do
		[ $status -eq $wanted ] || [ $status -eq 0 ] || fail "place $place: $status instead of $wanted: $(cat again.out)"
		first=0 second=0
		cowbd -p ./whole check >whole.out 2>&1 || first=$?
		cowbd -p ./again check >again.out 2>&1 || second=$?
		same $second $first
		[ $first -eq 0 ] || continue
		for name in a b a@s; do
			cowbd -p ./again export --force "$name" exported
			cmp image exported
		done
	done
done
[ $tried -ge 3 ] || fail "only $tried damages were seen"
[ -z "${KILL_REPORT:-}" ] || echo "+ $kills kills of check --repair" >"$KILL_REPORT.repair"
