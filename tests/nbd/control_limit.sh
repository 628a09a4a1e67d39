#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# control_limit.sh - 64 control connections; the 65th gets one line, and a place when one is free
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
ctl=$(control_socket)
{
	i=0
	while [ $i -lt 64 ]; do
		echo "open c$i $ctl"
		echo "expect c$i \"hello\""
		i=$((i + 1))
	done
	cat <<END
open over $ctl
expect over "errno":"EBUSY"
eof over
send c63 {"id":1,"cmd":"status"}
expect c63 {"id":1,"ok":{
drop c0
sleep 300
open c0 $ctl
expect c0 "hello"
END
} | talk
stop_server
