#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# resize_restart.sh - resize and rollback --remount while the daemon dies, ends or is taken over: done, or not, and said; what was mounted is again
#
# A go-between on the control socket ends the daemon at a known place of the one request:
#	before     the request has not got there
#	during     it has just been sent
#	unheard    it was done, and the answer is lost
#	after      it was answered; the daemon is gone when the next one is asked
. "$top_srcdir/tests/attach/functions.sh"

need_fs ext4
serve_pool
mkdir mnt
control=$COWBD_RUNDIR/$uuid.ctl
size=64
between=

# between.pl CONTROL WHERE COMMAND: passes lines on, for one connection after the other; at WHERE it steps aside and runs ./end.
cat >between.pl <<'END'
use IO::Socket::UNIX;
$SIG{PIPE} = $SIG{CHLD} = 'IGNORE';
my ($path, $where, $command) = @ARGV;
rename $path, "$path.real" or die "$path: $!";
my $l = IO::Socket::UNIX->new(Local => $path, Listen => 5) or die "$path: $!";
sub end {
	rename "$path.real", $path;
	kill 'TERM', getppid;
	open my $f, '>', 'ended';
	system('./end');
}
sub pass {
	my ($from, $to) = @_;
	while (my $line = <$from>) {
		print $to $line;
		last unless $line =~ /"progress"/;
	}
}
while (my $c = $l->accept) {
	next if fork;
	close $l;
	my $d = IO::Socket::UNIX->new("$path.real") or exit;
	pass($d, $c);
	while (my $line = <$c>) {
		my $it = $line =~ /"cmd":"$command"/;
		if ($it && $where eq 'before') { end(); exit; }
		print $d $line;
		if ($it && $where eq 'during') { end(); pass($d, $c); exit; }
		if ($it && $where eq 'unheard') { <$d>; end(); exit; }
		if ($it && $where eq 'after') { my $answer = <$d>; end(); print $c $answer; exit; }
		pass($d, $c);
	}
	exit;
}
END

# put_between WHERE END-COMMAND [COMMAND]: END-COMMAND has the daemon as $pid; COMMAND is resize.
put_between() {
	rm -f ended
	printf '#!/bin/sh\npid=%s\nexport COWBD_RUNDIR\n%s\n' "$(server_pid)" "$2" >end
	chmod +x end
	perl between.pl "$control" "$1" "${3:-resize}" >between.log 2>&1 &
	between=$!
	wait_for 5 test -S "$control.real"
	wait_for 5 test -S "$control"
}
end_between() {
	kill $between 2>/dev/null || :
	wait $between 2>/dev/null || :
	between=
}
end_all() {
	[ -z "$between" ] || kill $between 2>/dev/null || :
	end_attached
}
trap end_all EXIT

again="(sleep 1; exec '$COWBD' serve '$pool' --daemon) >again.log 2>&1 &"
killed="kill -9 \$pid; $again"
ended="kill \$pid; while kill -0 \$pid; do sleep 0.05; done; $again"
taken="'$COWBD' serve '$pool' --daemon --takeover >/dev/null"

volume_bytes() {
	cowbd info vol --json | sed -n 's/^  "size": \([0-9]*\).*/\1/p'
}
# same_device: it came back as it was, unless another process took the device meanwhile, which is said.
same_device() {
	[ "$(our_loops)" = "$device" ] || grep -q 'was taken by somebody else' err ||
		fail "it was $device, and is $(our_loops)"
	device=$(our_loops)
}
up_again() {
	mountpoint -q mnt || fail "$1: it is not mounted again: $(cat err again.log)"
	same_device
	same "$(cat mnt/file)" "$size of $1"
	echo still >mnt/writable
	sync mnt/writable
}
# The size of the device and of the volume are one and the same: $size MiB.
of_one_size() {
	same "$(volume_bytes)" $((size << 20))
	same "$(blockdev --getsize64 "$device")" $((size << 20))
}

# resize_while WHERE END-COMMAND
resize_while() {
	echo "$size of $1" >mnt/file
	sync mnt/file
	put_between "$1" "$2"
	size=$((size + 16))
	status=0
	"$COWBD" resize vol ${size}M --remount >out 2>err || status=$?
	[ -e ended ] || fail "$1: it was not ended"
	end_between
	size=$((size - 16))
	up_again "$1"
	size=$((size + 16))
	[ $status -eq 0 ] || fail "$1: status $status: $(cat err)"
	! grep -v 'was taken by somebody else' err || fail "$1: it was done, and that was said"
	of_one_size
}

make_fs ext4 "$(cowbd create vol ${size}M && cowbd attach vol --via fuse)"
cowbd detach vol
cowbd mount vol mnt
device=$(our_loops)
for where in before during unheard after; do
	resize_while $where "$killed"
done
for where in before during; do
	resize_while $where "$ended"
	resize_while $where "$taken"
done

# A rollback is done once or not at all, and asked for once: what was mounted is again, and what is not known is said.
cowbd snapshot vol@old >/dev/null
old=$(cat mnt/file)
for where in before unheard; do
	echo "new of $where" >mnt/file
	sync mnt/file
	put_between $where "$killed" rollback
	expect 1 "$COWBD" rollback vol@old --remount
	grep -q 'went away before it answered rollback: look whether it took effect' err || fail "$(cat err)"
	end_between
	mountpoint -q mnt || fail "$where: it is not mounted again: $(cat err again.log)"
	same_device
	case $where in
	before) same "$(cat mnt/file)" "new of $where" ;;
	unheard) same "$(cat mnt/file)" "$old" ;;
	esac
done

# No other daemon comes: what is the matter and what to do is said, Ctrl-C ends the waiting, and running it again works.
echo last >mnt/file
sync mnt/file
put_between unheard 'kill -9 $pid'
"$COWBD" resize vol 512M --remount >out 2>err &
command=$!
wait_for 20 grep -q 'the next one is waited for' err
kill -TERM $command
wait $command && fail 'it could not be done' || :
end_between
grep -q 'went away before it answered resize, and there is no other: `cowbd serve' err || fail "$(cat err)"
grep -q "vol is not all up again: it was $device, mounted on $TEST_DIR/mnt" err || fail "$(cat err)"
same "$(grep -c . err)" 3
wait_for 10 nothing_attached
expect 1 "$COWBD" resize vol 512M --remount
says 'vol is not attached here'
serve
cowbd mount vol mnt
cowbd resize vol 512M --remount
device=$(our_loops)
size=512
of_one_size
same "$(cat mnt/file)" last

# Nobody serves it: what is in use is neither shrunk, rolled back nor removed, but grows
cowbd snapshot vol@s >/dev/null
kill -9 "$(server_pid)"
expect 1 "$COWBD" resize vol 600M --remount
says "vol is attached as $device, mounted on $TEST_DIR/mnt, and its pool is not served"
expect 1 "$COWBD" resize vol 16M --force
says 'is not served'
expect 1 "$COWBD" rollback vol@s
says "can't roll back: vol is attached as $device"
expect 1 "$COWBD" rollback vol@s --remount
says 'its pool is not served'
expect 1 "$COWBD" rm -r vol
says "can't remove vol: it is attached as $device"
expect 0 "$COWBD" resize vol 600M
says "$device shows the new size when it is attached anew: --remount does that"
serve
same "$(cat mnt/file)" last
cowbd resize vol 600M --remount
size=600
device=$(our_loops)
of_one_size
cowbd umount mnt
wait_for 10 nothing_attached
check_fs ext4 "$(cowbd attach vol --via fuse)"
cowbd detach vol

# Nor is a volume of which a snapshot is in use
device=$(cowbd attach vol@s --via fuse)
kill -9 "$(server_pid)"
expect 1 "$COWBD" rm -r vol
says "can't remove vol@s: it is attached as $device"
serve
cowbd detach vol@s
cowbd stop
cowbd check
