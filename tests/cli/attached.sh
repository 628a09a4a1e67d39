#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# attached.sh - rollback, rm, shrink and stop refuse while a client is attached, and name it
. "$top_srcdir/tests/cli/functions.sh"

need nbdsh
new_pool
serve
cowbd create a 4M
cowbd snapshot a@s >/dev/null
uri=$(cowbd uri a)
# a client that reads once and stays
nbdsh -u "$uri" -c 'h.pread(512, 0)' -c 'open("attached", "w").close()' -c 'import time; time.sleep(60)' &
client=$!
wait_for 20 test -e attached
for what in 'rollback a@s' 'rm -r a' 'resize a 1M' 'stop'; do
	refused 1 "attached: a (.*pid $client.*): detach first, or use --force" $what
done
cowbd resize a 8M
cowbd info a | grep -q "pid $client" || fail "info doesn't name the client"
kill -0 "$client"
cowbd rollback a@s --force >/dev/null
same "$(cowbd status --json | grep -c '"peer"')" 0
kill "$client" 2>/dev/null || :
wait "$client" 2>/dev/null || :

# a snapshot taken while somebody is attached is no reason to refuse
nbdsh -u "$uri" -c 'h.pread(512, 0)' -c 'open("again", "w").close()' -c 'import time; time.sleep(60)' &
client=$!
wait_for 20 test -e again
cowbd snapshot a@t >/dev/null
cowbd stop --force
kill "$client" 2>/dev/null || :
wait "$client" 2>/dev/null || :
cowbd check
