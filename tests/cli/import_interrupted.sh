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
cowbd stop
cowbd check
