#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# unclean.sh - what only reads works on an unclean, read-only pool and writes nothing
. "$top_srcdir/tests/cli/functions.sh"

need setpriv qemu-io
need_root
way=served
# all by a user whom the mode of a file binds
chmod 0711 "$TEST_DIR"
mkdir -m 0700 mine mine/run
chown -R 65534 mine
pool=$TEST_DIR/mine/pool.cowbd
COWBD_POOL=$pool
COWBD_RUNDIR=$TEST_DIR/mine/run
export COWBD_RUNDIR
setpriv --reuid=65534 --clear-groups test -x "$COWBD" -a -r "$COWBD_PLUGIN" ||
	skip "user 65534 can't reach the build"
cowbd() {
	setpriv --reuid=65534 --clear-groups "$COWBD" "$@"
}
new_pool
serve
cowbd create a 8M
poke a 7 0 1M
cowbd snapshot a@s >/dev/null
poke a 8 0 4k
kill -9 "$(server_pid)"
wait_for 20 sh -c '! "$COWBD" status --json | grep -q "\"pid\""'
before=$(cksum <"$pool")
chmod 0444 "$pool"
for command in ls 'ls -o NAME,MAPPED' tree 'info a' df 'diff a@s a' check status; do
	expect 0 setpriv --reuid=65534 --clear-groups "$COWBD" $command
done
same "$(cksum <"$pool")" "$before"
# what was written and never flushed is there
same "$(cowbd diff a@s a --noheadings | tr -s ' ')" " 0 4096 data"
expect 1 setpriv --reuid=65534 --clear-groups "$COWBD" create b 1M
says 'ermission denied\|read-only'
same "$(cksum <"$pool")" "$before"
chmod 0600 "$pool"
cowbd create b 1M
same "$(names | tr '\n' ' ')" "a a@s b "
cowbd check
rmdir /dev/shm/cowbd-65534 2>/dev/null || :
