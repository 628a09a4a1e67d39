#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The rules that tests can switch off are in no product: none of their names is in it.
. "$top_srcdir/tests/lib/test.sh"

names=$(grep -ho 'MUTANT([^)]*)' "$top_srcdir"/src/*.c | grep -o '"[a-z0-9-]*"' | tr -d '"')
[ "$(echo "$names" | wc -l)" -gt 10 ] || fail "no mutants in the source: $names"

check() { # FILE: with what a library archive or a shared object holds
	[ -e "$1" ] || fail "$1 is not built"
	strings -a "$1" >strings.txt
	! grep -q COWBD_MUTANT strings.txt || fail "$1 knows COWBD_MUTANT"
	for name in $names; do
		! grep -qF -- "$name" strings.txt || fail "$1 knows the mutant $name"
	done
}

need strings
check "$COWBD_PLUGIN"
for file in "$top_builddir/cli/.libs/cowbd" "$COWBD"; do
	[ ! -e "$file" ] || check "$file"
done
# that it would be found: the test build has them
strings -a "$top_builddir/src/.libs/libcowbd-tiny.a" >strings.txt
grep -q COWBD_MUTANT strings.txt || fail "COWBD_MUTANT is not found where it is"
