#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# parameters.sh - a wrong parameter gets one clear line and changes nothing
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
bad() {
	bad_pattern=$1
	shift
	expect 1 nbdkit -f -U "$sock" "$COWBD_PLUGIN" "$@"
	says "$bad_pattern"
}
bad 'no pool given'
bad 'unknown parameter colour=red' "pool=$pool" colour=red
bad 'more than one pool' "pool=$pool" "pool=$pool"
bad 'at least 1M' "pool=$pool" cache=5
bad '1 to 86400' "pool=$pool" ephemeral=0
bad 'auto or sync' "pool=$pool" io=fast
bad 'hold or error' "pool=$pool" on-full=wait
bad 'hold-timeout' "pool=$pool" hold-timeout=soon
bad 'nothere' "pool=$TEST_DIR/nothere"
long=$TEST_DIR/$(printf '%0120d' 0).ctl
bad '107 bytes' "pool=$pool" "control=$long"
touch file
bad 'something else is there' "pool=$pool" "control=$TEST_DIR/file"
nbdkit "$COWBD_PLUGIN" --help | grep -q '^control=PATH|off'
nbdkit "$COWBD_PLUGIN" --dump-plugin >dump
grep -q '^cowbd_version=.' dump
grep -q '^cowbd_format_version=1$' dump
grep -q '^cowbd_io_uring=' dump
serve
stop_server
