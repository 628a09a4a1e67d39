#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# notify.sh - a service manager is told when it serves and when it ends
. "$top_srcdir/tests/nbd/functions.sh"

need socat
new_pool
socat -u "UNIX-RECVFROM:$TEST_DIR/notify,fork" OPEN:"$TEST_DIR/told",creat,append &
manager=$!
wait_for 5 test -S notify
NOTIFY_SOCKET=$TEST_DIR/notify
export NOTIFY_SOCKET
serve
wait_for 5 grep -q 'READY=1' told
stop_server
wait_for 5 grep -q 'STOPPING=1' told
kill $manager
wait $manager || :
