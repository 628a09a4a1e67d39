#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# snapshot.sh - snapshots: time as name, groups are atomic
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	cowbd create a 4M
	cowbd create b 4M
	name=$(cowbd snapshot a)
	echo "$name" | grep -qx 'a@20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]' ||
		fail "the time is no name: $name"
	# the same second: still unique
	for i in 1 2 3 4 5; do cowbd snapshot a; done >more
	same "$(sort -u more | wc -l)" 5
	same "$(names | grep -c '^a@')" 6

	cowbd snapshot a@x b@x --no-wait >/dev/null
	refused 1 'b@x' snapshot a@y b@x
	refused 1 'nothere' snapshot a@y nothere@y
	refused 1 'named twice' snapshot a@y a@y
	cowbd snapshot a b >pair
	same "$(sed 's/.*@//' pair | sort -u | wc -l)" 1
	same "$(wc -l <pair)" 2
	refused 1 . snapshot a@x@y
}
both_ways tests
