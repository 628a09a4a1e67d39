#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# diff.sh - diff lists what changed
. "$top_srcdir/tests/cli/functions.sh"

need qemu-io
way=served
new_pool
serve
cowbd create a 1G 2>/dev/null
poke a 1 0 64k
poke a 1 1M 64k
cowbd snapshot a@one >/dev/null
poke a 2 8k 8k
poke a 2 512M 4k
qemu-io -f raw -c 'discard 1M 64k' "$(cowbd uri a)" >/dev/null
cowbd diff a@one a --noheadings | tr -s ' ' >served
cat >wanted <<END
 8192 8192 data
 1048576 65536 zero
 536870912 4096 data
END
cmp wanted served
same "$(cowbd diff a@one a@one --noheadings)" ""
cowbd diff a@one a --json >json
json_ok json
same "$(field json count)" 3
same "$(field json data_bytes)" 12288
cowbd stop
cowbd diff a@one a --noheadings | tr -s ' ' >direct
cmp wanted direct
cowbd diff a@one a@one --json >json
json_ok json
