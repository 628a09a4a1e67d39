#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# clone.sh - clones: many at once, one atomic group, free of their origin
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	random_image img 1
	cowbd import img a
	cowbd snapshot a@s >/dev/null
	cowbd clone -n 12 a@s c-
	same "$(names | grep '^c-' | head -n 2 | tr '\n' ' ')" "c-01 c-02 "
	same "$(names | grep -c '^c-')" 12
	refused 1 'c-01' clone -n 3 a@s c-0
	cowbd clone a@s one two
	cowbd clone a three
	refused 1 'two' clone a@s four two
	refused 64 'from 1 to' clone -n 0 a@s d-
	refused 64 'from 1 to' clone -n x a@s d-
	refused 64 'with -n' clone -n 2 a@s d- e-
	cowbd rm -r a
	cowbd export two out --force
	cmp img out
	cowbd export three out --force
	cmp img out
	cowbd tree >/dev/null
}
both_ways tests
