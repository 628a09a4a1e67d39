#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# events.sh - cowbd events tells commands, clients, a full pool, low water, and the end, a line each
. "$top_srcdir/tests/cli/functions.sh"

need qemu-io
new_pool
expect 1 "$COWBD" events
says 'not served'
serve --low-water 50%
cowbd events --json >events.json &
listening=$!
cowbd events >events.txt &
listening_too=$!
heard() {
	grep -q "$1" events.json
}
# both have subscribed when both heard of a volume
i=0
until heard '"event":"create"' && grep -q create events.txt; do
	i=$((i + 1))
	cowbd create "v$i" 512M 2>/dev/null
done
cowbd snapshot v1@s >/dev/null
wait_for 10 heard '"event":"snapshot","args":{"names":\["v1@s"\]}'
qemu-io -f raw -c 'write -P 1 0 1M' "$(cowbd uri v1)" >/dev/null
wait_for 10 heard '"event":"connected","name":"v1","peer":"pid [0-9]* uid [0-9]*","writable":true'
wait_for 10 heard '"event":"disconnected","name":"v1"'
! heard low-water || fail "low water in an empty pool"

# half full, full, and empty again
qemu-io -f raw -c 'write -P 2 0 150M' "$(cowbd uri v1)" >/dev/null
wait_for 10 heard '"event":"low-water","below":true'
qemu-io -f raw -c 'write -P 3 150M 150M' "$(cowbd uri v1)" >/dev/null 2>&1 &
writing=$!
wait_for 20 heard '"event":"full","policy":"hold","held":'
cowbd grow 1G >/dev/null
wait $writing
wait_for 10 heard '"event":"released"'
wait_for 10 heard '"event":"low-water","below":false'
wait_for 10 heard '"event":"grow"'
cowbd rm --dry-run -r v1 >/dev/null
cowbd stop
wait $listening || fail "events ended with status $?"
wait $listening_too
heard '"event":"ending"'
tail -n 1 events.json | grep -q '"event":"closed"' || fail "the last event is not closed"
! heard '"event":"rm"' || fail "a dry run was told"
! heard '"event":"ls"\|"event":"status"' || fail "what only reads was told"
[ "$(grep -c '"event":"low-water"' events.json)" -eq 2 ] || fail "low-water: $(grep low-water events.json)"
[ "$(grep -c '"event":"full"' events.json)" -eq 1 ] || fail "full: $(grep full events.json)"
perl -MJSON::PP -ne 'my $e = JSON::PP->new->decode($_); exit 1 unless $e->{event} && ($e->{time} || $e->{event} eq "closed")' \
	events.json || fail "not an object a line"
grep -q '^20.*Z  full  .*held' events.txt || fail "$(cat events.txt)"
