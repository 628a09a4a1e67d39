#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# import_interrupted.sh - an interrupted import removes its half-made volume
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	for signal in INT TERM; do
		mkfifo -m 0600 pipe
		{ head -c 2000000 /dev/urandom; sleep 30; } >pipe 2>/dev/null &
		writer=$!
		env --default-signal=INT "$COWBD" import pipe a 2>err &
		import=$!
		wait_for 20 sh -c '"$COWBD" ls a'
		kill -$signal $import
		status=0
		wait $import || status=$?
		same $status 1
		says 'interrupted: volume a was removed'
		same "$(names)" ""
		kill $writer 2>/dev/null || :
		wait $writer 2>/dev/null || :
		rm pipe
	done
}
way=served
new_pool
serve
tests

# while the daemon makes the volume: its answer is waited for, and then the volume is removed
mkfifo -m 0600 pipe
"$COWBD" import pipe a 2>err &
import=$!
sleep 0.5 # it has a session, and waits for the pipe
kill -STOP "$(server_pid | tee pid)"
{ head -c 2000000 /dev/urandom; sleep 30; } >pipe 2>/dev/null &
writer=$!
sleep 0.5
kill $import
sleep 0.2
kill -0 $import || fail 'it left the daemon with its request'
kill -CONT "$(cat pid)"
! wait $import || fail 'it was not interrupted'
says 'interrupted: volume a was removed'
same "$(names)" ""
kill $writer 2>/dev/null || :
wait $writer 2>/dev/null || :
cowbd stop
cowbd check
