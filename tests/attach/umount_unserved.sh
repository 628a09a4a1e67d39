#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# umount_unserved.sh - umount of what is not written yet, without a daemon: says what it waits for, and ends with it
. "$top_srcdir/tests/attach/functions.sh"

need_fs ext4
serve_pool
cowbd create vol 64M
device=$(cowbd attach vol --via fuse)
make_fs ext4 "$device"
mkdir live
mount "$device" live
cowbd umount live 2>said
[ ! -s said ] || fail "it is served: $(cat said)"
mount "$device" live
echo kept >live/file
kill -9 "$(server_pid)"
cowbd umount live 2>said &
ending=$!
wait_for 20 grep -q "not served: what is not yet written waits until you .cowbd serve. it" said
sleep 0.5
kill -0 $ending || fail "it has ended: $(cat said)"
serve
wait $ending || fail "$(cat said)"
mount -o ro "$device" live
[ "$(cat live/file)" = kept ]
cowbd umount live
cowbd detach vol
cowbd stop
cowbd check
