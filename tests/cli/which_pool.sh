#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# which_pool.sh - without -p the only daemon's pool is meant, and a name means a served one
. "$top_srcdir/tests/cli/functions.sh"

new_pool
serve
cowbd create a 1M
unset COWBD_POOL
same "$(names)" a
same "$(cowbd -p pool ls -o NAME --noheadings)" a
cd /
same "$(cowbd -p pool ls -o NAME --noheadings)" a
cd "$TEST_DIR"
cowbd init other.cowbd --size 256M >/dev/null
cowbd -p ./other.cowbd create b 1M
same "$(cowbd -p ./other.cowbd ls -o NAME --noheadings)" b
cowbd serve --daemon ./other.cowbd >/dev/null
expect 1 "$COWBD" ls
says '2 pools are served: say which with -p'
same "$(cowbd -p other ls -o NAME --noheadings)" b
cowbd -p other stop
same "$(names)" a
cowbd stop
