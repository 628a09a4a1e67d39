#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The table of RELIABILITY.md is what reliability.json says, figures add up over runs, and a changed table is noticed.
. "$top_srcdir/tests/lib/test.sh"
need jq

"$top_srcdir/scripts/reliability" check

mkdir -p tree/scripts tree/docs tree/tests
cp "$top_srcdir/scripts/reliability" tree/scripts/
cp "$top_srcdir/docs/RELIABILITY.md" tree/docs/
chmod -R u+w tree # a release may be read-only
reliability=tree/scripts/reliability
printf '%s\n' '# Cats (make cats)' '< 1000 cats fed' '+ 900 cats fed' '= 3/3 colours' 'meow' | $reliability note cats >out
[ "$(cat out)" = meow ] || fail "other lines are not passed through: $(cat out)"
grep -qF '| **Cats (make cats)**, 1 runs | | |' tree/docs/RELIABILITY.md
grep -qF '| cats fed | 900 | **1,000** |' tree/docs/RELIABILITY.md || fail "what falls short is not bold"
printf '%s\n' '+ 1234567 cats fed' '= 4/4 colours' | $reliability note cats
grep -qF '| cats fed | 1,235,467 | 1,000 |' tree/docs/RELIABILITY.md || fail "runs don't add up: $(cat tree/docs/RELIABILITY.md)"
grep -qF '| colours | 4/4 |  |' tree/docs/RELIABILITY.md || fail "the last result does not stand"
$reliability check
sed -i 's/1,235,467/9,999,999/' tree/docs/RELIABILITY.md
! $reliability check 2>/dev/null || fail "a table that says something else passes"
! $reliability note cats </dev/null 2>/dev/null || fail "a run without figures passes"
