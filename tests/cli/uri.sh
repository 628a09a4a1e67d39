#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# uri.sh - uri and info give lines that work, whatever the name
. "$top_srcdir/tests/cli/functions.sh"

need nbdinfo qemu-img
new_pool
serve
for name in plain 'with space' 'a+b%c?d#e&f' "quote'd" 'co,mma=x' 'Ähre'; do
	cowbd create "$name" 1M
	cowbd snapshot "$name@snap 1" >/dev/null
	same "$(nbdinfo --size "$(cowbd uri "$name")")" 1048576
	same "$(nbdinfo --size "$(cowbd uri "$name@snap 1")")" 1048576
	line=$(cowbd info "$name" | sed -n "s/^qemu *-blockdev '\(.*\)' -device.*/\1/p" |
		sed "s/'\\\\''/'/g")
	qemu-io -r -c 'read 0 512' --image-opts "$(echo "$line" | sed 's/node-name=disk0,//;
		s/,discard=unmap//')" >/dev/null || fail "qemu can't use: $line"
	copy=$(cowbd info "$name" | sed -n 's/^nbdcopy *\(.*\) FILE$/\1/p')
	eval "$(echo "$copy" | sed 's/--progress//') out"
	same "$(stat -c %s out)" 1048576
done
refused 1 'nothere' uri nothere
cowbd uri plain --json >json
json_ok json
cowbd stop
refused 1 'is not served: `cowbd serve' uri plain
