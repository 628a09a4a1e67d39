#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# control_slow.sh - who never ends a line, or never takes an answer, is hung up on, and holds nobody up
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve -D cowbd.patience=1
ctl=$(control_socket)
talk <<END
open half $ctl
expect half "hello"
open slow $ctl
expect slow "hello"
part half {"id":1,
part slow {"id"
sleep 300
part slow :2,
open other $ctl
expect other "hello"
send other {"id":3,"cmd":"status"}
expect other {"id":3,"ok":{
sleep 300
part slow "cmd"
sleep 300
part slow :"sta
expect half "errno":"ETIMEDOUT"
eof half
expect slow "errno":"ETIMEDOUT"
eof slow
# patience is for half a line: who says nothing may stay
sleep 1200
send other {"id":4,"cmd":"status"}
expect other {"id":4,"ok":{
END

# Answers that are not taken: the end does not wait for them longer than that either.
mkfifo say
"$TALK" >heard <say &
talking=$!
exec 3>say
{
	echo "open deaf $ctl"
	i=0
	while [ $i -lt 3000 ]; do
		echo "send deaf {\"id\":$i,\"cmd\":\"status\"}"
		i=$((i + 1))
	done
	echo "say asked"
} >&3 &
asking=$!
sleep 2
"$COWBD" create vol 1M
echo "read a 0 4096 0" | talk_to vol
began=$(now_ms)
stop_server
took=$(($(now_ms) - began))
kill $asking $talking 2>/dev/null || :
exec 3>&-
wait $talking || :
wait $asking || :
[ $took -le 10000 ] || fail "the end took $took ms"
