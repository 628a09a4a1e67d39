#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# control_user.sh - another user is refused on the control socket, whatever its mode
. "$top_srcdir/tests/nbd/functions.sh"

need_root
need setpriv
new_pool
serve
chmod 0755 "$TEST_DIR" "$COWBD_RUNDIR"
chmod 0666 "$(control_socket)"
cp "$TALK" "$TEST_DIR/talk"
setpriv --reuid=65534 --clear-groups "$TEST_DIR/talk" <<END
open c $(control_socket)
expect c "errno":"EPERM"
eof c
END
"$COWBD" create vol 1M
stop_server
