#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# unclean.sh - what only reads works on an unclean, read-only pool and writes nothing
. "$top_srcdir/tests/cli/functions.sh"

need setpriv qemu-io
need_root
way=served
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
chmod 0755 "$TEST_DIR"
as_nobody() {
	COWBD_RUNDIR=$TEST_DIR/nobody expect 0 setpriv --reuid=65534 --clear-groups "$COWBD" "$@"
}
for command in ls 'ls -o NAME,MAPPED' tree 'info a' df 'diff a@s a' check status; do
	expect 0 "$COWBD" $command
done
for command in ls tree 'info a' df 'diff a@s a' check status; do
	as_nobody $command
done
same "$(cksum <"$pool")" "$before"
same "$(cowbd diff a@s a --noheadings | tr -s ' ')" " 0 4096 data"
COWBD_RUNDIR=$TEST_DIR/nobody expect 1 setpriv --reuid=65534 --clear-groups "$COWBD" create b 1M
[ "$(wc -l <err)" -eq 1 ] || fail "more than one line: $(cat err)"
same "$(cksum <"$pool")" "$before"
cowbd create b 1M
