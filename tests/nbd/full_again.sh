#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# full_again.sh - filled to the last block, again and again: rm, trim, deletion of a snapshot and checkpoints always work
#
# COWBD_ROUNDS: how often (20).
. "$top_srcdir/tests/nbd/functions.sh"

rounds=${COWBD_ROUNDS:-20}
"$COWBD" init "$pool" --size 64M >/dev/null
COWBD_REMIND_SECONDS=1
export COWBD_REMIND_SECONDS
serve
"$COWBD" create base 8M
"$COWBD" create full 96M 2>/dev/null
{
	echo "connect a $(uri base)"
	seq 0 7 | awk '{ print "write a", $1 * 1048576, 1048576, 7 }'
} | talk

# fill_up: writes at all the blocks of full until one is held, and leaves that one waiting; process $filling.
fill_up() {
	{
		echo "connect f $(uri full)"
		seq 0 95 | awk '{ print "write f", $1 * 1048576, 1048576, 3 }'
		echo "say all"
	} | "$TALK" >fill.out 2>&1 &
	filling=$!
	wait_for 60 held 1
}
free_bytes() {
	"$COWBD" status --json | sed -n 's/.*"free_bytes": *\([0-9]*\).*/\1/p'
}
mapped() {
	"$COWBD" info "$1" --json | sed -n 's/^ *"mapped[a-z_]*": *\([0-9]*\).*/\1/p'
}
# last_block: nothing is left that a write of one block could have.
last_block() {
	[ "$(free_bytes)" -lt 1048576 ] || fail "round $round: $(free_bytes) bytes are free, and a write waits"
}
# let_go: it was released, or is cut off.
let_go() {
	kill $filling 2>/dev/null || :
	wait $filling || :
	wait_for 20 held 0
}
round=1
while [ "$round" -le "$rounds" ]; do
	fill_up
	last_block
	case $((round % 4)) in
	0) # a snapshot in the full pool, in-place writes, and the snapshot goes
		"$COWBD" snapshot "base@$round"
		"$COWBD" rm "base@$round"
		let_go
		"$COWBD" rm full
		;;
	1) # trim
		had=$(mapped full)
		echo "trim a 0 8388608" | talk_to base
		has_more() {
			[ "$(mapped full)" -gt $((had + (6 << 20))) ]
		}
		wait_for 20 has_more # the waiting write, and those after it
		wait_for 20 held 1
		let_go
		"$COWBD" rm full
		;;
	2) # the volume itself, from below its client
		"$COWBD" rm --force full
		wait $filling || :
		;;
	3) # a snapshot that holds the space, deleted
		let_go
		"$COWBD" snapshot full@old
		"$COWBD" rm -r full
		;;
	esac
	# a checkpoint, which a check needs, in what is nearly full
	"$COWBD" check >check.out 2>&1 || fail "round $round: $(cat check.out)"
	"$COWBD" create full 96M 2>/dev/null
	gives() {
		[ "$(free_bytes)" -gt $((9 << 20)) ]
	}
	wait_for 30 gives # as much as base may need again
	# base is whole again, which takes blocks where a trim took them
	{
		echo "connect a $(uri base)"
		seq 0 7 | awk '{ print "write a", $1 * 1048576, 1048576, 7 }'
		echo "flush a"
		echo "read a 0 8388608 7"
	} | talk
	round=$((round + 1))
done
fill_up
sleep 1.5
grep -q 'the pool is full for [0-9]* s: 1 writes wait' server.log || fail "the log does not say so again"
let_go
stop_server
"$COWBD" check
# and as it was left, in a new process
serve
fill_up
"$COWBD" rm --force full
wait $filling || :
stop_server
"$COWBD" check
