#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# help.sh - every command has its help, and --help names every command
. "$top_srcdir/tests/cli/functions.sh"

expect 0 "$COWBD" --help
[ ! -s err ] || fail "--help wrote to standard error"
commands=$(sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' out)
[ "$(echo "$commands" | wc -l)" -ge 20 ] || fail "only these commands: $commands"
for command in $commands; do
	expect 0 "$COWBD" "$command" --help
	grep -q "^usage: cowbd .* $command" out || fail "$command --help has no usage line"
	cp out one
	expect 0 "$COWBD" help "$command"
	cmp one out
done
expect 0 "$COWBD" --version
grep -q '^cowbd [0-9]' out
