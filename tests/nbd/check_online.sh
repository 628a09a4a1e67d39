#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# check_online.sh - a pool is checked again and again while fio writes: no false alarm, checkpoints
# go on meanwhile; then a bit that is flipped behind the daemon's back is found
#
# CHECK_SECONDS=60 (make check-online-long) also measures what fio writes while nobody checks, snapshots going on in
# both, and prints it beside.
. "$top_srcdir/tests/nbd/functions.sh"

need fio
fio --enghelp 2>/dev/null | grep -q nbd || skip "fio has no nbd engine"
seconds=${CHECK_SECONDS:-6}

# status_of KEY
status_of() {
	"$COWBD" status --json | sed -n "s/^  \"$1\": \([0-9]*\),\{0,1\}\$/\1/p" | head -n 1
}

new_pool --size 1G --journal-size 4M
random_file img 4194304
"$COWBD" import img idle
"$COWBD" snapshot idle@s >/dev/null
offset=$("$COWBD" dump | sed -n 's/.*"what":"map".*"offset":\([0-9]*\).*"level":0.*/\1/p' | head -n 1)
[ -n "$offset" ] || fail "no map page in the dump"
serve
"$COWBD" create vol 64M
before=$(status_of checkpoints)
# load OUT: fio, in the background
load() {
	fio --name=load --ioengine=nbd --uri="$(uri vol)" --rw=randwrite --bs=4k --size=64M \
		--time_based --runtime="$seconds" --iodepth=16 --randseed=7 --fsync=64 \
		--output-format=json >"$1" 2>&1 &
	load=$!
}
# written OUT: writes a second
written() {
	sed -n '/"write" *: *{/,/}/s/.*"iops" *: *\([0-9]*\).*/\1/p' "$1" | head -n 1
}
load fio.out
checks=0
during=0
saved=0
while kill -0 $load 2>/dev/null; do
	"$COWBD" snapshot "vol@s$checks" >/dev/null
	expect 0 "$COWBD" check --json
	during=$((during + $(sed -n 's/^  "checkpoints": \([0-9]*\).*/\1/p' out)))
	saved=$((saved + $(sed -n 's/^  "saved_pages": \([0-9]*\).*/\1/p' out)))
	checks=$((checks + 1))
	[ $checks -lt 3 ] || "$COWBD" rm "vol@s$((checks - 3))" >/dev/null
	sleep 0.05
done
wait $load || fail "fio: $(tail -n 5 fio.out)"
passed=$(($(status_of checkpoints) - before))
rate=$(written fio.out)
[ "${rate:-0}" -gt 0 ] || fail "fio did not write beside the checks: $(tail -n 5 fio.out)"
if [ "$seconds" -ge 30 ]; then # the same without checks
	load alone.out
	n=0
	while kill -0 $load 2>/dev/null; do
		"$COWBD" snapshot "vol@t$n" >/dev/null
		n=$((n + 1))
		[ $n -lt 3 ] || "$COWBD" rm "vol@t$((n - 3))" >/dev/null
		sleep 0.2
	done
	wait $load || fail "fio: $(tail -n 5 alone.out)"
	echo "fio wrote $rate blocks a second beside the checks, $(written alone.out) without them"
	"$COWBD" check
fi
echo "$checks checks, $passed checkpoints, $during of them during checks, $saved pages saved"
[ "$passed" -ge 5 ] || fail "only $passed checkpoints in $seconds s"
[ "$checks" -ge 2 ] || fail "only $checks checks in $seconds s"

dd if="$pool" of=page bs=1 skip=$((offset + 1000)) count=1 status=none
printf '\000' >zero
if cmp -s page zero; then printf '\004'; else cat zero; fi |
	dd of="$pool" bs=1 seek=$((offset + 1000)) conv=notrunc,fsync status=none
expect 2 "$COWBD" check
grep -q "^damage: idle.*(offset $offset)" out || fail "the flip is not named: $(cat out)"
dd if=page of="$pool" bs=1 seek=$((offset + 1000)) conv=notrunc,fsync status=none
expect 0 "$COWBD" check
stop_server
