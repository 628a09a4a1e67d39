#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# service.sh - the systemd units: valid, confined, and what they start serves and says so
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need systemd-analyze

# unit NAME: as it would be installed, with the command of this build.
unit() {
	sed "s,^\(Exec[A-Za-z]*\)=[^ ]*/cowbd ,\1=$COWBD ," "$top_builddir/service/$1@.service" >"$1@.service"
}

for name in cowbd cowbd-attach; do
	unit $name
	# The system's own units are not there on every test machine; ours must have nothing to complain of.
	systemd-analyze verify --man=no "$TEST_DIR/$name@.service" 2>complaints || :
	! grep -F "$name@" complaints || fail "$name@.service is not valid"
	systemd-analyze security --offline=true --threshold=50 "$TEST_DIR/$name@.service" >exposure ||
		fail "$name@.service is exposed: $(tail -n 1 exposure)"
	tail -n 1 exposure
done

# setting UNIT KEY: its value
setting() {
	sed -n "s/^$2=//p" "$1@.service"
}

# run_unit UNIT KEY: the command line, with the settings of the file in the environment, as systemd does it.
run_unit() {
	line=$(setting "$1" "$2")
	eval "exec $line"
}

need socat
new_pool
cowbd create disk 16M
cowbd enable "$pool" disk --root root >said
grep -q 'systemctl enable --now cowbd@pool.service cowbd-attach@pool-disk.service$' said ||
	fail "said: $(cat said)"
socat -u "UNIX-RECVFROM:$TEST_DIR/notify,fork" OPEN:"$TEST_DIR/told",creat,append &
manager=$!
wait_for 5 test -S notify
(
	. "$TEST_DIR/root/etc/cowbd/pool.conf"
	unset COWBD_POOL
	NOTIFY_SOCKET=$TEST_DIR/notify
	export NOTIFY_SOCKET
	run_unit cowbd ExecStart
) >out 2>&1 &
server=$!
wait_for 20 grep -q READY=1 told
# ready means that a client can read
"$COWBD" export disk copy
[ "$(stat -c %s copy)" -eq $((16 << 20)) ] || fail "the export is not whole"
kill -TERM $server
wait $server || fail "it ended with status $?: $(cat out)"
grep -q STOPPING=1 told || fail "no word of the end"
kill $manager
wait $manager || :

# Where there is no such pool it does not start again and again.
status=0
(POOL=$TEST_DIR/none ARGS='' && run_unit cowbd ExecStart) >out 2>&1 || status=$?
[ $status -ne 0 ] || fail "served nothing"
