#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# restart.sh - takeover, and SIGTERM while writes are held, below a device of nbdfuse: it waits, and no write fails
. "$top_srcdir/tests/attach/functions.sh"

serve_pool 256M
cowbd create vol 64M
cowbd create full 512M 2>/dev/null
device=$(cowbd attach vol --via fuse)

# Writes block after block, each synced, until the file "enough" is there; says the longest time without an answer.
cat >writer.pl <<'END'
use Fcntl;
use Time::HiRes 'time';
my ($device, $n, $last, $longest) = ($ARGV[0], 0, time, 0);
sysopen(my $f, $device, O_WRONLY | O_SYNC) or die "$device: $!";
until (-e "enough") {
	sysseek($f, $n % 1000 * 4096, 0);
	syswrite($f, chr($n % 251) x 4096) == 4096 or die "write $n: $!";
	my $now = time;
	$longest = $now - $last if $now - $last > $longest;
	$last = $now;
	$n++;
}
printf "%d writes, the longest wait %d ms\n", $n, $longest * 1000;
END
perl writer.pl "$device" >written 2>&1 &
writing=$!
for round in 1 2; do
	sleep 0.5
	cowbd serve --daemon --takeover >/dev/null
	sleep 1.2
done
touch enough
wait $writing || fail "$round: $(cat written)"
echo "takeover through nbdfuse: $(cat written)"
[ "$(sed 's/.*wait \([0-9]*\) ms/\1/' written)" -lt 10000 ] || fail "the gap is too long"
cowbd detach vol

# a pool that is full: the device waits, and goes on waiting when the daemon ends and comes back
device=$(cowbd attach full --via fuse)
dd if=/dev/zero of="$device" bs=1M count=300 oflag=direct status=none 2>dd.err &
writing=$!
held() {
	[ "$(cowbd status --json | sed -n 's/^  "held": *\([0-9]*\),/\1/p')" -ge 1 ]
}
wait_for 60 held
pid=$(server_pid)
kill -TERM "$pid"
gone() {
	! kill -0 "$pid"
}
wait_for 20 gone
sleep 0.5
serve
wait_for 30 held
kill -0 $writing || fail "dd ended: $(cat dd.err)"
cowbd grow 1G >/dev/null
wait $writing || fail "a write failed: $(cat dd.err)"
cmp -n $((300 << 20)) /dev/zero "$device"
cowbd detach full
cowbd stop
cowbd check
