#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# man.sh - every command and option in --help is in the man page
. "$top_srcdir/tests/cli/functions.sh"

page=$top_srcdir/man/cowbd.pod
cowbd --help >all
for command in $(sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' all); do
	grep -q "^=head2 B<cowbd $command>" "$page" || fail "man/cowbd.pod: no section for $command"
	# the section of this command, and the one on options of all commands
	sed -n "/^=head2 B<cowbd $command>/,/^=head[12] /p" "$page" >section
	sed -n '/^=head1 OPTIONS/,/^=head1 /p' "$page" >general
	cowbd "$command" --help >help
	sed -n '/^options of all/q; s/^  .*\(--[a-z-]*\).*/\1/p' help | while read -r option; do
		grep -q -e "B<$option>" section ||
			fail "man/cowbd.pod: cowbd $command lacks $option"
	done
	sed -n '/^options of all/,$s/^  .* *\(--[a-z-]*\).*/\1/p' help | while read -r option; do
		grep -q -e "B<$option>" general || fail "man/cowbd.pod: OPTIONS lacks $option"
	done
done
# and the other way round: the page invents nothing
sed -n 's/^=head2 B<cowbd \([a-z]*\)>.*/\1/p' "$page" | while read -r command; do
	grep -q "^  $command " all || fail "man/cowbd.pod has $command, which isn't a command"
done
