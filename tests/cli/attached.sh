#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# attached.sh - rollback, rm, shrink and stop refuse while a client is attached, and name it
. "$top_srcdir/tests/cli/functions.sh"

need qemu-io
new_pool
serve
cowbd create a 4M
cowbd snapshot a@s >/dev/null
uri=$(cowbd uri a)

# attach: a client that reads once and stays.
attach() {
	rm -f commands
	mkfifo commands
	qemu-io -f raw "$uri" <commands >/dev/null 2>&1 &
	client=$!
	exec 3>commands
	echo 'read 0 512' >&3
	wait_for 20 sh -c '"$COWBD" status --json | grep -q "\"requests\": [1-9]"'
}
detach() {
	exec 3>&-
	kill "$client" 2>/dev/null || :
	wait "$client" 2>/dev/null || :
}

attach
for what in 'rollback a@s' 'rm -r a' 'resize a 1M' 'stop'; do
	refused 1 "attached: a (.*pid $client.*): detach first, or use --force" $what
done
cowbd resize a 8M
cowbd info a | grep -q "pid $client" || fail "info doesn't name the client"
kill -0 "$client"
cowbd rollback a@s --force >/dev/null
same "$(cowbd status --json | grep -c '"peer"' || :)" 0
detach

attach
cowbd resize a 1M --force
same "$(cowbd status --json | grep -c '"peer"' || :)" 0
detach

# to take a snapshot while somebody is attached is what snapshots are for
attach
cowbd snapshot a@t >/dev/null
cowbd rm -r a --force
same "$(names)" ""
detach
cowbd create a 4M
attach
cowbd stop --force
detach
cowbd check
