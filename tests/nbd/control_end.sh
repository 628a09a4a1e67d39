#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# control_end.sh - who is connected at the end is told when the pool is closed
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
ctl=$(control_socket)
talk <<END
open a $ctl
expect a "hello"
open b $ctl
expect b "hello"
send b {"v":1,"id":1,"cmd":"stop","args":{}}
expect b {"id":1,"ok":{
expect b {"event":"closed"}
eof b
expect a {"event":"closed"}
eof a
END
wait_for 5 server_is_gone
wait "$server"
server=
serve
stop_server
