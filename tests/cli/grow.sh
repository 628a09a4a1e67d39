#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# grow.sh - the pool grows, and never shrinks
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	cowbd create a 4M
	cowbd grow 512M | grep -q 512M || fail "it doesn't say how large it is now"
	same "$(cowbd status --json | sed -n 's/^  "size": \([0-9]*\).*/\1/p')" 536870912
	refused 1 "can't shrink" grow 256M
	refused 64 'is no size' grow lots
	truncate -s 768M "$pool"
	cowbd grow >/dev/null
	same "$(cowbd status --json | sed -n 's/^  "size": \([0-9]*\).*/\1/p')" 805306368
}
both_ways tests
