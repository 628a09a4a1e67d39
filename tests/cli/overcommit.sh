#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# overcommit.sh - when the volumes pass what the pool can hold, that is said once
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	expect 0 "$COWBD" create a 100M
	[ ! -s err ] || fail "a note too early"
	expect 0 "$COWBD" create b 1G
	says 'note: the volumes promise 1\..* GiB together, and the pool can hold'
	expect 0 "$COWBD" create c 1G
	[ ! -s err ] || fail "a note twice"
	cowbd create d 1G --json >json
	same "$(field json overcommitted)" true
	cowbd rm b c d
	expect 0 "$COWBD" clone -n 5 a c-
	says 'note: '
	cowbd rm c-1 c-2 c-3 c-4 c-5
	expect 0 "$COWBD" resize a 2T
	says 'note: '
}
both_ways tests
