#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# takeover_retry.sh - nbdkit's nbd plugin with the retry filter, in front of a daemon that is taken over and killed
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need qemu-io
nbdkit --filter=retry nbd --dump-plugin >/dev/null 2>&1 || skip "no nbd plugin or retry filter"
new_pool
cowbd create v 16M
serve
sock=$(echo "$COWBD_RUNDIR"/*-*-*.nbd)
nbdkit -f -U "$TEST_DIR/proxy.sock" --filter=retry nbd "socket=$sock" export=v \
	retries=60 retry-delay=1 retry-exponential=no >proxy.log 2>&1 &
proxy=$!
client=
end_all() {
	end_server
	kill $proxy $client 2>/dev/null || :
}
trap end_all EXIT
wait_for 20 test -S proxy.sock
mkfifo script
qemu-io -f raw "nbd+unix:///?socket=$TEST_DIR/proxy.sock" <script >qemu.out 2>&1 &
client=$!
{
	i=0
	while [ ! -e enough ]; do
		echo "write -P $((i % 250 + 1)) $((i % 256 * 65536)) 64k"
		echo "read -P $((i % 250 + 1)) $((i % 256 * 65536)) 64k"
		i=$((i + 1))
	done
	echo $i >count
} >script &
writer=$!
has_written() {
	[ "$(grep -c wrote qemu.out)" -gt "$1" ]
}
wait_for 30 has_written 10
before=$(grep -c wrote qemu.out)
cowbd serve --daemon --takeover >uri
wait_for 30 has_written "$((before + 20))"
before=$(grep -c wrote qemu.out)
kill -9 "$(server_pid)"
cowbd serve --daemon >uri
wait_for 30 has_written "$((before + 20))"
touch enough
wait $writer
wait $client || fail "the client failed"
client=
! grep -i -e failed -e error qemu.out || fail "the client saw an error"
[ "$(grep -c wrote qemu.out)" -eq "$(cat count)" ] || fail "writes are missing"
kill $proxy
wait $proxy || :
cowbd stop
cowbd check
