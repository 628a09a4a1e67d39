#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# sigterm_busy.sh - SIGTERM while clients write: every write that was answered is there
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 64M
{
	echo "connect a $(uri vol)"
	i=0
	while [ $i -lt 16000 ]; do
		echo "write a $((i * 4096)) 4096 $((i % 255 + 1))"
		echo "say $i"
		i=$((i + 1))
	done
} >script
"$TALK" <script >heard 2>/dev/null &
talking=$!
wait_for 10 test -s heard
stop_server
! wait $talking || fail "the server ended after the client did: the test proves nothing"
answered=$(wc -l <heard)
[ "$answered" -gt 0 ]
{
	echo "connect a $(uri vol)"
	i=0
	while [ $i -lt "$answered" ]; do
		echo "read a $((i * 4096)) 4096 $((i % 255 + 1))"
		i=$((i + 1))
	done
} >script
serve
talk <script
stop_server
