#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# access.sh - group and mode of the sockets: members of the group may connect and manage, others may not
. "$top_srcdir/tests/cli/functions.sh"

need_root
need_plugin
need setpriv nbdinfo
chmod 0711 "$TEST_DIR"
new_pool
cowbd create a 4M
refused 1 'no such group' serve --daemon --socket-group nosuchgroup
refused 1 'octal' serve --daemon --socket-mode 9
serve --socket-group 60123 --control-group 60124
sock=$(echo "$COWBD_RUNDIR"/*-*-*.nbd)
ctl=$(echo "$COWBD_RUNDIR"/*-*-*.ctl)
same "$(stat -c '%a %g' "$sock")" '660 60123'
same "$(stat -c '%a %g' "$ctl")" '660 60124'

# as GROUPS COMMAND...: as another user, member of these groups.
as() {
	as_groups=$1
	shift
	setpriv --reuid=60001 --regid=60001 --groups="$as_groups" env COWBD_RUNDIR="$COWBD_RUNDIR" COWBD_POOL= "$@"
}
cp "$COWBD" "$TEST_DIR/cowbd" && chmod 0755 "$TEST_DIR/cowbd"
as 60123 nbdinfo --size "$(cowbd uri a)" >/dev/null || fail "a member can't connect"
expect 1 as 60124 nbdinfo --size "$(cowbd uri a)"
as 60124 "$TEST_DIR/cowbd" -p pool create b 1M || fail "a member can't manage"
expect 1 as 60123 "$TEST_DIR/cowbd" -p pool ls
# whatever the mode says, who is at the other end counts
chmod 0666 "$ctl"
expect 1 as 60123 "$TEST_DIR/cowbd" -p pool ls
names | grep -q '^b$'
cowbd stop
serve --socket-mode 0600
same "$(stat -c %a "$sock")" 600
cowbd stop
