#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# events_dropped.sh - who subscribed and does not read is told how many events it missed, and nobody else for it
. "$top_srcdir/tests/cli/functions.sh"

renames=4000
need_plugin
new_pool
cowbd create a 1M
serve
cowbd events --json >all.json &
listening=$!
listens() {
	cowbd create "probe$(date +%N)" 1M
	[ -s all.json ]
}
wait_for 10 listens

# slow.pl CONTROL COUNT: subscribes, has so many commands done, reads only then
cat >slow.pl <<'END'
use IO::Socket::UNIX;
use JSON::PP;
my ($path, $count) = @ARGV;
my ($heard, $missed, $notes, %next) = (0, 0, 0);
sub dial { my $s = IO::Socket::UNIX->new($path) or die "$path: $!"; <$s>; $s }
sub call { my ($s, $cmd, $args) = @_; print $s encode_json({v => 1, id => 1, cmd => $cmd, args => $args}), "\n"; <$s> }
sub rename_it { call($_[0], 'rename', {name => $_[1], new_name => $_[2], no_wait => JSON::PP::true}) =~ /"ok"/ or die }
my ($slow, $busy) = (dial(), dial());
call($slow, 'subscribe', {}) =~ /subscribed/ or die;
rename_it($busy, $_ % 2 ? ('b', 'a') : ('a', 'b')) for 0 .. $count - 1;
while (my $line = <$slow>) {
	my $e = decode_json($line);
	die "no time: $line" unless $e->{time};
	$heard++ if $e->{event} eq 'rename';
	($missed, $notes) = ($missed + $e->{count}, $notes + 1) if $e->{event} eq 'dropped';
	last if $heard + $missed >= $count; # without another event
}
print "$heard heard, $missed missed, told $notes times\n";
exit !($heard + $missed == $count && $missed > 0 && $heard >= 1000);
END
timeout 60 perl slow.pl "$(echo "$COWBD_RUNDIR"/*-*-*-*-*.ctl)" $renames
cowbd stop
wait $listening
# a busy machine may have kept this one from reading, too
all_missed=$(sed -n 's/.*"event":"dropped","count":\([0-9]*\).*/\1/p' all.json | awk '{n += $1} END {print n + 0}')
same $(($(grep -c '"event":"rename"' all.json) + all_missed)) $renames
echo "who reads missed $all_missed"
