#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# dying.sh - a control socket that hangs up at once is a dead daemon's: the command works on the pool itself
. "$top_srcdir/tests/cli/functions.sh"

need perl
new_pool
cowbd create vol 1M
cowbd info vol --json >/dev/null
uuid=$(cowbd status --json | sed -n 's/^  "uuid": "\(.*\)",*$/\1/p')
perl -MIO::Socket::UNIX -e '
	my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 5) or die;
	while (my $c = $s->accept) { close $c }' "$COWBD_RUNDIR/$uuid.ctl" &
fake=$!
wait_for 10 test -S "$COWBD_RUNDIR/$uuid.ctl"
expect 0 "$COWBD" ls
grep -q '^vol' out
kill $fake
wait $fake || :

# one that says nothing sensible is something else
rm "$COWBD_RUNDIR/$uuid.ctl"
perl -MIO::Socket::UNIX -e '
	my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 5) or die;
	while (my $c = $s->accept) { print $c "hello\n"; close $c }' "$COWBD_RUNDIR/$uuid.ctl" &
fake=$!
wait_for 10 test -S "$COWBD_RUNDIR/$uuid.ctl"
expect 1 "$COWBD" ls
says 'another protocol'
kill $fake
wait $fake || :
