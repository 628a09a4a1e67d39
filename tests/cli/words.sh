#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# words.sh - unknown words get a did you mean, aliases work, usage errors are 64
. "$top_srcdir/tests/cli/functions.sh"

new_pool
expect 64 "$COWBD" creat a 1M
says 'did you mean `cowbd create`'
expect 64 "$COWBD" lst
says 'did you mean `cowbd l'
expect 64 "$COWBD" destory a
says 'did you mean `cowbd destroy`'
expect 64 "$COWBD" frobnicate
says '`cowbd --help` lists them'
expect 64 "$COWBD" rm --recursiv-e a
says 'did you mean --recursive'
expect 64 "$COWBD" ls --frob
says 'no option --frob: see `cowbd ls --help`'
expect 64 "$COWBD" -Z
says 'no option -Z'
expect 64 "$COWBD" create a
says 'create: takes VOL SIZE'
expect 64 "$COWBD" create a 1M more
says 'create: takes VOL SIZE'
expect 64 "$COWBD" df some
says 'takes no words'
expect 64 "$COWBD" rollback --keep
says 'needs a value'
expect 64 "$COWBD"
says 'no command'

cowbd create a 1M
same "$(cowbd list -o NAME --noheadings)" "$(cowbd ls -o NAME --noheadings)"
cowbd snap a@s >/dev/null
cowbd destroy a@s
same "$(names)" a
