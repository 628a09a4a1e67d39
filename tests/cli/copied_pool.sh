#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# copied_pool.sh - a copy of a served pool is not taken for it
. "$top_srcdir/tests/cli/functions.sh"

new_pool
cowbd create a 1M
cp --sparse=always "$pool" copy
serve
cowbd create b 1M
same "$(cowbd -p ./copy ls -o NAME --noheadings)" a
cowbd -p ./copy create c 1M
same "$(names | tr '\n' ' ')" "a b "
expect 1 "$COWBD" serve ./copy
says 'a copy of this pool.*is served by pid'
cowbd stop
