#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# enable.sh - cowbd enable writes what systemd needs to know of a pool, and keeps what is the user's
. "$top_srcdir/tests/cli/functions.sh"

new_pool
cowbd create disk 16M
cowbd enable "$pool" disk --root root --json >json
json_ok json
conf=root/etc/cowbd/pool.conf
drop_in=root/etc/systemd/system/cowbd@pool.service.d/pool.conf
grep -qx "POOL=$pool" $conf
grep -qx "ARGS=" $conf
grep -qx "ReadWritePaths=$pool" $drop_in
grep -qx "RequiresMountsFor=$pool" $drop_in
grep -qx "VOLUME=disk" root/etc/cowbd/pool-disk.attach
grep -qx "After=cowbd@pool.service" root/etc/systemd/system/cowbd-attach@pool-disk.service.d/pool.conf
! grep -q '^Requires=' root/etc/systemd/system/cowbd-attach@pool-disk.service.d/pool.conf ||
	fail "a restart of the daemon would detach the disk"

# the settings are the user's, the drop-in is ours
echo "ARGS=--readonly" >>$conf
echo changed >$drop_in
cowbd enable "$pool" --root root 2>err
grep -q "$conf is there already" err
grep -qx "ARGS=--readonly" $conf
grep -qx "ReadWritePaths=$pool" $drop_in

cowbd enable "$pool" --root root --name other >/dev/null
[ -e root/etc/cowbd/other.conf ] || fail "no service of another name"

# what can't be
expect 1 "$COWBD" enable "$TEST_DIR/none" --root root
says none
expect 1 "$COWBD" enable "$pool" --root root --name 'a b'
says 'choose another with --name'
expect 1 "$COWBD" enable "$pool" disk@snap --root root2
says 'disk@snap'
cp "$pool" 'with blank'
expect 1 "$COWBD" enable 'with blank' --root root --name blank
says 'blanks and quotes'
expect 64 "$COWBD" enable
mkdir locked
[ "$(id -u)" -ne 0 ] || exit 0
chmod 500 locked
expect 1 "$COWBD" enable "$pool" --root locked
says locked
