#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# create_rm.sh - volumes are made, listed and removed
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	cowbd create b 8M
	cowbd create a 4M --sector-size 4096
	same "$(names)" "$(printf 'a\nb')"
	same "$(cowbd ls a -o SECTOR --noheadings | tr -d ' ')" 4096
	cowbd rm a b
	same "$(names)" ""

	cowbd create a 4M
	cowbd snapshot a@one a@two >/dev/null || cowbd snapshot a@one >/dev/null
	cowbd snapshot a@three >/dev/null
	cowbd clone a@one c
	refused 1 'a has [0-9]* snapshots: .*a@one.*: -r removes them too' rm a
	refused 1 'nothere' rm a c nothere
	expect 0 "$COWBD" rm -r --dry-run a
	grep -q '^would remove a@one$' out || fail "dry run doesn't name a@one"
	grep -q '^would remove a$' out || fail "dry run doesn't name a"
	grep -q '^would free' out || fail "dry run doesn't say what it frees"
	! grep -q 'remove c' out || fail "a clone would go"
	[ "$(names | wc -l)" -ge 4 ] || fail "a dry run removed something"
	cowbd rm -r a
	same "$(names)" c
	cowbd rm c
}
both_ways tests
