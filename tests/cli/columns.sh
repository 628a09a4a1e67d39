#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# columns.sh - tables: -o, +, --noheadings, --bytes
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	cowbd create a 1.5G 2>/dev/null
	same "$(cowbd ls -o NAME,SIZE --noheadings | tr -s ' ')" "a 1.5G"
	same "$(cowbd ls -o size,name --noheadings --bytes | tr -s ' ' | sed 's/^ //')" "1610612736 a"
	cowbd ls -o +KIND | head -n 1 | grep -q '^NAME .*KIND$' || fail "no +"
	refused 64 'ls has no column FOO: choose from NAME,' ls -o NAME,FOO
	refused 64 'df has no column' df -o KIND
	cowbd ls | head -n 1 | grep -q '^NAME' || fail "no heading"
	cowbd snapshot a@s >/dev/null
	cowbd clone a@s b
	cowbd tree -o NAME --noheadings >tree
	same "$(wc -l <tree)" 3
	same "$(sed 's/[^a-z@]//g' tree | tr '\n' ' ')" "a a@s b "
}
both_ways tests
