#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# tails.sh - a tail is replayed only where it belongs: missing, foreign, torn, of a copy: refused with one line
. "$top_srcdir/tests/nbd/functions.sh"

# killed: leaves a pool whose first block is flushed (1), and whose second is in the tail alone (2).
killed() {
	rm -f "$pool"
	new_pool --size 64M
	serve
	tail=$(tail_path)
	[ -e "$tail" ] || skip "there is no tail here: $tail"
	"$COWBD" create vol 8M
	talk <<END
connect a $(uri vol)
write a 0 4096 1
flush a
END
	cp "$tail" before
	talk <<END
connect a $(uri vol)
write a 4096 4096 2
END
	kill -9 "$server"
	wait "$server" || :
	cp "$tail" after
}

# is_refused PATTERN: by all that would open it, with one line; the pool is as it was.
is_refused() {
	cksum <"$pool" >sum
	expect 1 "$COWBD" create other 1M
	says "$1"
	expect 1 "$COWBD" ls
	says "$1"
	expect 74 "$COWBD" serve
	grep -q -e "$1" err || fail "$(cat err)"
	[ "$(cksum <"$pool")" = "$(cat sum)" ] || fail "the pool was changed"
}

# is_given_up: in words, and then what was flushed is there.
is_given_up() {
	serve lost-tail=true
	"$COWBD" status | grep -q 'note .*tail is lost.*not flushed may be missing' || fail "$("$COWBD" status)"
	holds 0
	stop_server
	"$COWBD" check >check.out || fail "$(cat check.out)"
	"$COWBD" ls >/dev/null
}

# holds BYTE: in the second block.
holds() {
	talk <<END
connect a $(uri vol)
read a 0 4096 1
read a 4096 4096 $1
END
}

killed
rm "$tail"
is_refused 'there is no tail.*--lost-tail'
is_given_up

killed
mv "$tail" mine
cp mine "$tail" # the same bytes in another file
is_refused 'another file is in its place.*--lost-tail'
rm "$tail"
is_given_up

killed # of another session, in the right file
dd if=mine of="$tail" conv=notrunc status=none
is_refused "another pool's.*--lost-tail"
dd if=after of="$tail" conv=notrunc status=none
serve # the right one again
holds 2
stop_server

killed
truncate -s 1M "$tail"
is_refused 'damaged\|cut short'
rm "$tail"
is_given_up

killed
printf x | dd of="$tail" bs=1 seek=40 conv=notrunc status=none
is_refused 'the tail is '
rm "$tail"
is_given_up

killed # of a copy, and of the pool it belongs to
cp --sparse=always "$pool" copy
COWBD_POOL=$TEST_DIR/copy
pool=$TEST_DIR/copy
is_refused 'copy of the pool that it belongs to.*--lost-tail'
is_given_up
pool=$TEST_DIR/pool.cowbd
COWBD_POOL=$pool
[ -e "$tail" ] || fail "opening a copy removed the tail of the pool"
serve
holds 2
stop_server

killed # as it was before the last write: nothing that was flushed suffers
dd if=before of="$tail" conv=notrunc status=none
serve
holds 0
stop_server
"$COWBD" check >/dev/null

killed # as it was before a checkpoint: its records are skipped
serve
tail=$(tail_path)
talk <<END
connect a $(uri vol)
write a 8192 4096 3
END
cp "$tail" before
"$COWBD" check >/dev/null # which makes one
talk <<END
connect a $(uri vol)
write a 8192 4096 4
flush a
END
kill -9 "$server"
wait "$server" || :
dd if=before of="$tail" conv=notrunc status=none
serve
holds 2
talk <<END
connect a $(uri vol)
read a 8192 4096 4
END
stop_server
"$COWBD" check
