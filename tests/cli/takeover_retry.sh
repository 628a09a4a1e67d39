#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# takeover_retry.sh - nbdkit's nbd plugin with the retry filter, in front of a daemon that is taken over and killed
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need qemu-io
nbdkit --filter=retry nbd --dump-plugin >/dev/null 2>&1 || skip "no nbd plugin or retry filter"
places=256
. "$top_srcdir/tests/cli/restart_functions.sh"
new_pool
cowbd create v 16M
serve
sock=$(echo "$COWBD_RUNDIR"/*-*-*.nbd)
nbdkit -f -U "$TEST_DIR/proxy.sock" --filter=retry nbd "socket=$sock" export=v \
	retries=60 retry-delay=1 retry-exponential=no >proxy.log 2>&1 &
proxy=$!
wait_for 20 test -S proxy.sock
start_writer -f raw "nbd+unix:///?socket=$TEST_DIR/proxy.sock"
goes_on cowbd serve --daemon --takeover
longest_request "over a takeover"
goes_on killed
end_writer v
kill $proxy
wait $proxy || :
proxy=
cowbd stop
cowbd check
