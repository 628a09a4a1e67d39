#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Each rule that can be switched off is noticed, is in the explorer's list, and is explained in CONTRACT.md.
. "$top_srcdir/tests/lib/test.sh"

grep -ho 'MUTANT([^)]*)' "$top_srcdir"/src/*.c | grep -o '"[a-z0-9-]*"' | tr -d '"' | sort -u >in_source
sed -n 's/^	{"\([a-z0-9-]*\)".*/\1/p' "$top_srcdir/tests/crash/mutants.c" | sort -u >tried
sed -n 's/^| `\([a-z0-9-]*\)` .*/\1/p' "$top_srcdir/docs/CONTRACT.md" | sort -u >explained
diff in_source tried || fail "the source's mutants are not those that are tried"
diff in_source explained || fail "the source's mutants are not those of CONTRACT.md"

"$top_builddir/tests/crash/explore" --mutants --seconds 0
