#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# no_bind.sh - a server that can not bind its socket leaves the pool closed and no control socket
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
mkdir "$sock"
expect 1 nbdkit -f -U "$sock" "$COWBD_PLUGIN" "pool=$pool"
rmdir "$sock"
[ -z "$(ls "$COWBD_RUNDIR")" ] || fail "left behind: $(ls "$COWBD_RUNDIR")"
serve
stop_server
