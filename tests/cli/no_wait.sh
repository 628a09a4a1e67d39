#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# no_wait.sh - --no-wait is taken everywhere and changes nothing that can be seen
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	cowbd create a 4M --no-wait
	cowbd snapshot a@s --no-wait >/dev/null
	cowbd clone a@s b --no-wait
	cowbd rollback a@s --no-wait >/dev/null
	cowbd rename b c --no-wait
	cowbd resize c 8M --no-wait
	same "$(names | tr '\n' ' ')" "a a@s a@before-rollback c "
	cowbd rm -r a --no-wait
	same "$(names)" c
}
both_ways tests
