#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# takeover.sh - serve --takeover, and kill -9 with a restart, under a client that reconnects: no error, nothing lost
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need qemu-io qemu-img nbdcopy
new_pool
cowbd create v 64M
serve --takeover # nobody to take over from: serves
now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

# A client that writes with reads between, each with the pattern of its place, and reconnects by itself.
sock=$(echo "$COWBD_RUNDIR"/*-*-*.nbd)
pattern() {
	echo $((($1 / 500 + $1) % 250 + 1))
}
mkfifo script
qemu-io --image-opts "driver=nbd,server.type=unix,server.path=$sock,export=v,reconnect-delay=60" \
	<script >qemu.out 2>&1 &
client=$!
end_all() {
	end_server
	kill $client 2>/dev/null || :
}
trap end_all EXIT
{
	i=0
	while [ ! -e enough ]; do
		at=$((i % 500 * 65536))
		echo "write -P $(pattern $i) $at 64k"
		[ $((i % 3)) -ne 0 ] || echo "read -P $(pattern $i) $at 64k"
		[ $((i % 10)) -ne 0 ] || echo flush
		i=$((i + 1))
	done
	echo $i >count
} >script &
writer=$!
has_written() {
	[ "$(grep -c wrote qemu.out)" -gt "$1" ]
}
wait_for 30 has_written 10
for round in 1 2; do
	old=$(server_pid)
	before=$(grep -c wrote qemu.out)
	began=$(now_ms)
	cowbd serve --daemon --takeover >uri
	echo "takeover $round: $(($(now_ms) - began)) ms"
	[ $(($(now_ms) - began)) -lt 10000 ] || fail "the takeover took too long"
	[ "$(server_pid)" != "$old" ] || fail "the old one still serves"
	! kill -0 "$old" 2>/dev/null || fail "the old one is still there"
	wait_for 30 has_written "$((before + 50))"
done
for round in 1 2; do
	before=$(grep -c wrote qemu.out)
	kill -9 "$(server_pid)"
	cowbd serve --daemon >uri
	wait_for 30 has_written "$((before + 50))"
done
kill -0 $client || fail "the client ended before all was tried: $(tail -n 3 qemu.out)"
touch enough
wait $writer
wait $client || fail "the client failed: $(grep -v -e wrote -e read -e ops qemu.out | head -n 5)"
! grep -i -e failed -e error qemu.out || fail "the client saw an error"
n=$(cat count)
[ "$(grep -c wrote qemu.out)" -eq "$n" ] || fail "writes are missing"
{
	i=$((n > 500 ? n - 500 : 0))
	while [ $i -lt "$n" ]; do
		echo "read -P $(pattern $i) $((i % 500 * 65536)) 64k"
		i=$((i + 1))
	done
} >script.verify
qemu-io -f raw "$(cowbd uri v)" <script.verify >verify.out
! grep -i -e failed -e error verify.out || fail "lost"
cowbd stop
cowbd check

# One that does not answer: says so, and what to do.  Its own end is not waited for longer than 10 s.
serve
pid=$(server_pid)
kill -STOP "$pid"
expect 1 timeout 60 "$COWBD" serve --daemon --takeover
kill -CONT "$pid"
says 'kill it\|look at its log'
cowbd stop --force
