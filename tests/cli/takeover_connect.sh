#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# takeover_connect.sh - who connects while a daemon is taken over is not refused, and is served; a failed one changes nothing
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need perl
new_pool
cowbd create v 64M
serve --socket-mode 0606
sock=$(echo "$COWBD_RUNDIR"/*-*-*.nbd)

# Connects again and again, and waits for the greeting, until the file "enough" is there.
cat >connect.pl <<'END'
use IO::Socket::UNIX;
use Time::HiRes 'time';
my ($path, $n, $cut, $longest) = ($ARGV[0], 0, 0, 0);
until (-e "enough") {
	my $start = time;
	my $s = IO::Socket::UNIX->new(Peer => $path) or die "connection $n: $!\n";
	# One that the old daemon had accepted already may end without a word.
	my $got = sysread($s, my $greeting, 18);
	$cut++ unless $got;
	die "connection $n: a strange greeting\n" if $got && $greeting !~ /^NBDMAGICIHAVEOPT/;
	my $took = time - $start;
	$longest = $took if $took > $longest;
	$n++;
}
printf "%d connections, %d cut, the longest wait %d ms\n", $n, $cut, $longest * 1000;
END
perl connect.pl "$sock" >connected 2>&1 &
connecting=$!
taken=0
while [ $taken -lt 10 ]; do
	cowbd serve --daemon --takeover --socket-mode 0606 >uri
	taken=$((taken + 1))
done
touch enough
wait $connecting || fail "$(cat connected)"
echo "10 takeovers: $(cat connected)"
[ "$(sed 's/.*, \([0-9]*\) cut.*/\1/' connected)" -le 10 ] || fail "more than one connection was cut a takeover"
[ "$(stat -c %a "$sock")" = 606 ] || fail "the socket's mode is $(stat -c %a "$sock")"
! ls -A "$COWBD_RUNDIR" | grep '^\.' || fail "something was left there"

# The one that can't be taken over keeps its socket.
pid=$(server_pid)
before=$(stat -c %i "$sock")
kill -STOP "$pid"
expect 1 timeout 60 "$COWBD" serve --daemon --takeover
kill -CONT "$pid"
[ "$(stat -c %i "$sock")" = "$before" ] || fail "another socket is there"
! ls -A "$COWBD_RUNDIR" | grep '^\.' || fail "something was left there"

# Two that start at once: one serves, and its socket is the one that is there.
cowbd stop --force || :
for n in 1 2 3; do
	"$COWBD" serve --daemon >one 2>&1 &
	one=$!
	if "$COWBD" serve --daemon >two 2>&1; then
		! wait $one || fail "both serve"
		grep -q 'already served\|just starting' one || fail "$n: $(cat one)"
	else
		wait $one || fail "none serves: $(cat one two)"
		grep -q 'already served\|just starting' two || fail "$n: $(cat two)"
	fi
	qemu-img info "$(cowbd uri v)" >/dev/null
	cowbd stop
	[ ! -e "$sock" ] || fail "the socket is left there"
done

# A daemon that ends at once leaves no socket behind.
expect 1 "$COWBD" serve --daemon -- --no-such-option
[ ! -e "$sock" ] || fail "a socket is left there"
cowbd check
