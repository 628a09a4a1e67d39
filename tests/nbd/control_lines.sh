#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# control_lines.sh - what is not a request gets one line that says so
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
ctl=$(control_socket)
talk <<END
open a $ctl
expect a {"v":1,"hello":{"pool":"
send a {"v":1,"id":5,"cmd":"status"}
expect a {"id":5,"ok":{
send a {"v":1,"id":"six","cmd":"nothing"}
expect a {"id":"six","error":{"errno":"EINVAL"
send a {"v":2,"id":7,"cmd":"status"}
expect a "errno":"EOPNOTSUPP"
send a {"id":8,"cmd":5}
expect a {"id":8,"error":{"errno":"EINVAL"
send a {"id":9,"cmd":"status","args":[]}
expect a {"id":9,"error":{"errno":"EINVAL"
send a [1,2]
expect a "errno":"EINVAL"
part a {"id":10,"cmd":
sleep 100
send a "status"}
expect a {"id":10,"ok":{
send a {"id":11,"cmd":"status"
expect a "message":"not JSON: 
eof a
open b $ctl
expect b "hello"
fill b 1100000
send b
expect b "errno":"EMSGSIZE"
eof b
open c $ctl
expect c "hello"
send c {"id":1,"cmd":"status"}{"id":2}
expect c not JSON
eof c
# a client that leaves in the middle of a line, and one that leaves before its answer
open d $ctl
part d {"id":1
drop d
open e $ctl
send e {"id":1,"cmd":"status"}
drop e
open f $ctl
expect f "hello"
send f {"id":1,"cmd":"status"}
expect f {"id":1,"ok":{
END
stop_server
