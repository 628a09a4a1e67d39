#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# figures_quick.sh - `make figures`, small: right results, no time far beyond its target, nothing left behind
. "$top_srcdir/tests/lib/test.sh"

need_plugin
[ -x "$top_builddir/bench/figures" ] || skip "bench/figures is not built"

status=0
"$top_builddir/bench/figures" --quick --json figures.json >figures.out 2>&1 || status=$?
cat figures.out
[ $status -ne 77 ] || skip "no room"
[ $status -eq 0 ] || fail "status $status"
grep -q '^snapshot --no-wait, sparse 16 TiB ' figures.out || fail "no snapshot figure"
grep -q '"figures": \[' figures.json || fail "no JSON"
! ls -d cowbd-figures.* 2>/dev/null || fail "left behind"

# Interrupted: no process, no file left.
"$top_builddir/bench/figures" --quick --only memory >interrupted.out 2>&1 &
pid=$!
it_has_a_pool() {
	ls cowbd-figures.*/memory/memory.cowbd
}
wait_for 20 it_has_a_pool
kill -TERM $pid
status=0
wait $pid || status=$?
[ $status -eq 143 ] || fail "interrupted: status $status"
! ls -d cowbd-figures.* 2>/dev/null || fail "left behind by the interrupted one"
expect 64 "$top_builddir/bench/figures" --only nothing
