#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hostile_drops.sh - clients that leave with 64 requests under way, in the middle of a payload, harm nobody
#
# With one thread a connection nbdkit must live through all of it.  With several, Debian 12's may die by
# an assertion of its own (man nbdkit-cowbd-plugin, "Clients that die"): then nothing acknowledged may be lost.
. "$top_srcdir/tests/nbd/functions.sh"

rounds=${HOSTILE_ROUNDS:-300}
new_pool
serve --threads=1
"$COWBD" create vol 1M
"$COWBD" create other 1M
hostile vol drops 50
before=$(resources)
hostile vol drops "$rounds"
wait_for 10 alone
spent_little "$before" 20000
stop_server

# talk_again NAME: as talk_to, with the line in $line; begins anew if the server died as it may.
talk_again() {
	until echo "$line" | talk_to "$1" 2>talk.err; do
		wait_for 5 server_is_gone
		grep -q 'raw_send_socket: Assertion' server.log ||
			fail "the server died: $(cat talk.err server.log)"
		: >server.log
		deaths=$((deaths + 1))
		wait "$server" || :
		serve
	done
}

serve
deaths=0
round=0
while [ $round -lt 20 ]; do
	round=$((round + 1))
	line="write a 0 4096 $round" talk_again other
	"$hostile" "$sock" vol drops $((rounds / 20)) >/dev/null 2>&1 || :
	line="read a 0 4096 $round" talk_again other
done
echo "nbdkit died $deaths times by its own assertion, and nothing was lost"
stop_server
"$COWBD" check
