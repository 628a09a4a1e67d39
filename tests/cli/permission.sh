#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# permission.sh - another user's daemon and pool are refused with a reason
. "$top_srcdir/tests/cli/functions.sh"

need setpriv
need_root
new_pool
chmod 0755 "$TEST_DIR"
chmod 0600 "$pool"
expect 1 setpriv --reuid=65534 --clear-groups "$COWBD" ls
says 'Permission denied'
serve
chmod 0644 "$pool"
chmod 0755 "$COWBD_RUNDIR"
expect 1 setpriv --reuid=65534 --clear-groups "$COWBD" ls
says 'ermission denied'
chmod 0700 "$COWBD_RUNDIR"
cowbd stop
