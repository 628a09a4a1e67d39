#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# dry_run.sh - rm --dry-run says exactly what a set of snapshots frees
. "$top_srcdir/tests/cli/functions.sh"

need qemu-io
way=served
new_pool
serve
cowbd create a 32M
poke a 1 0 4M
cowbd snapshot a@one >/dev/null
poke a 2 0 4M
cowbd snapshot a@two >/dev/null
poke a 3 0 4M
frees() {
	cowbd rm --dry-run --json "$@" >dry
	field dry frees
}
[ "$(frees a@one)" -ge 4194304 ] || fail "a@one frees $(frees a@one)"
[ "$(frees a@one a@two)" -ge 8388608 ] || fail "both free $(frees a@one a@two)"
[ "$(frees a@one a@two)" -lt 9000000 ] || fail "both free $(frees a@one a@two)"
cowbd snapshot a@copy >/dev/null
# shared with the volume: nothing but what its map takes, together with it all
[ "$(frees a@copy)" -lt 100000 ] || fail "a@copy frees $(frees a@copy)"
[ "$(frees -r a)" -ge 12582912 ] || fail "all frees $(frees -r a)"
cowbd stop
