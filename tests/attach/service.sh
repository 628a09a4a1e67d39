#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# service.sh - what cowbd-attach@.service starts attaches the volume as its file says, and what it stops with detaches it
. "$top_srcdir/tests/attach/functions.sh"

unit=$top_builddir/service/cowbd-attach@.service
[ -f "$unit" ] || skip 'the units are not built'
serve_pool
cowbd create disk 16M
cowbd enable "$pool" disk --root root >/dev/null
echo "ARGS='--readonly --via fuse'" >>root/etc/cowbd/pool-disk.attach

# run_unit KEY: the command line, with the settings of the file in the environment, as systemd does it.
run_unit() (
	unset COWBD_POOL
	# shellcheck disable=SC1091 # made above
	. "$TEST_DIR/root/etc/cowbd/pool-disk.attach"
	eval "$(sed -n "s,^$1=[^ ]*/cowbd,exec \"\$COWBD\",p" "$unit")"
)

device=$(run_unit ExecStart)
same "$(our_loops)" "$device"
same "$(blockdev --getro "$device")" 1
run_unit ExecStop
wait_for 10 nothing_attached
! run_unit ExecStop 2>err || fail 'it detached nothing'
grep -q 'disk is not attached' err
cowbd stop
