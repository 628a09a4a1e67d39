#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# drain_held.sh - SIGTERM while many writes are held and more are unread: no client hears an error for any of them
. "$top_srcdir/tests/nbd/functions.sh"

need qemu-io
new_pool
serve
"$COWBD" create full 1G 2>/dev/null
"$COWBD" create raw 512M 2>/dev/null
"$COWBD" create disk 512M
fill_and_hold full

# A raw client: 16 threads hold, the rest is not even read.
mkfifo say
"$TALK" >heard 2>talk.err <say &
talking=$!
exec 3>say
{
	echo "connect r $(uri raw)"
	i=0
	while [ $i -lt 40 ]; do
		echo "post r $((i * 1048576)) 262144 5"
		i=$((i + 1))
	done
	echo "unanswered r 40"
	echo "say posted"
} >&3
# qemu's client, which reconnects.
{
	i=0
	while [ $i -lt 24 ]; do
		echo "aio_write -P 6 $((i * 1048576)) 1M"
		i=$((i + 1))
	done
	echo aio_flush
	echo "read -P 6 0 24M"
} >script
qemu-io --image-opts "driver=nbd,server.type=unix,server.path=$sock,export=disk,reconnect-delay=60" \
	<script >qemu.out 2>&1 3>&- &
qemu=$!
end_clients() {
	kill $qemu $talking 2>/dev/null || :
	end_server
}
trap end_clients EXIT
wait_for 20 grep -q posted heard
many_held() {
	[ "$("$COWBD" status --json | sed -n 's/^  "held": *\([0-9]*\),/\1/p')" -ge 30 ]
}
wait_for 20 many_held
echo "gone r 20000" >&3
echo "say cut" >&3
sleep 0.3
began=$(now_ms)
stop_server
echo "drained in $(($(now_ms) - began)) ms"
wait_for 20 grep -q cut heard
exec 3>&-
wait $talking || fail "a held write was answered: $(cat talk.err)"
! wait $filling || fail "the held write of fill was answered"
! grep -q -e ENOSPC -e 'No space' -e shutdown fill.out || fail "$(cat fill.out)"
! grep -q -e failed -e rror qemu.out || fail "qemu heard an error: $(cat qemu.out)"

# Again, and with space: qemu goes on.
truncate -s 512M "$pool"
serve
wait_for 30 held 16
"$COWBD" grow >/dev/null
wait $qemu || fail "qemu failed: $(cat qemu.out)"
! grep -q -e failed -e rror qemu.out || fail "qemu heard an error: $(cat qemu.out)"
grep -q 'read 25165824/25165824' qemu.out || fail "$(cat qemu.out)"
stop_server
"$COWBD" check
