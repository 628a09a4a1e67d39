#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# import.sh - an import that is interrupted removes its volume; one that is killed leaves a pool that is whole
. "$top_srcdir/tests/cli/functions.sh"

# begin_import: from a pipe that is slow to end, until the volume is being written.
begin_import() {
	mkfifo -m 0600 pipe
	{ head -c 20000000 /dev/urandom; sleep 30; } >pipe 2>/dev/null &
	writer=$!
	env --default-signal=INT "$COWBD" import pipe a 2>err &
	import=$!
	wait_for 20 has_begun
}

# It has read what there is to read.
has_begun() {
	kill -0 "$import" && [ "$(awk '/^rchar/ { print $2 }' "/proc/$import/io")" -gt 15000000 ]
}

end_import() {
	kill "-$1" "$import"
	status=0
	wait "$import" 2>/dev/null || status=$?
	kill "$writer" 2>/dev/null || :
	wait "$writer" 2>/dev/null || :
	rm pipe
}

interrupted() {
	for signal in INT TERM; do
		begin_import
		end_import "$signal"
		same "$status" 1
		says 'interrupted: volume a was removed'
		same "$(names)" keep
	done
}

killed() {
	begin_import
	end_import KILL
	same "$status" 137
	case $(names | tr '\n' ' ') in
	'keep ') ;;
	'a keep ') cowbd rm a ;;
	*) fail "there is: $(names)" ;;
	esac
	cowbd import kept a # the name is free
	cowbd export a back
	cmp kept back
	cowbd rm a
	rm back
}

tests() {
	cowbd import kept keep
	interrupted
	killed
	cowbd export keep back
	cmp kept back
	rm back
}

random_image kept 4
both_ways tests
