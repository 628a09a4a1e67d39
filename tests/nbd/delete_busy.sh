#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# delete_busy.sh - a deletion beside writes that never cease comes to its end: all is reclaimed, and space is given back
. "$top_srcdir/tests/nbd/functions.sh"

need fio nbdcopy
fio --enghelp 2>/dev/null | grep -q nbd || skip "fio has no nbd engine"

# status_of KEY
status_of() {
	"$COWBD" status --json | sed -n "s/^  \"$1\": \([0-9]*\),\{0,1\}\$/\1/p" | head -n 1
}

# load SECONDS: fio, in the background
load() {
	fio --name=load --ioengine=nbd --uri="$(uri vol)" --rw=randwrite --bs=4k --size=64M --time_based \
		--runtime="$1" --iodepth=16 --randseed=7 >fio.out 2>&1 &
	load=$!
}

reclaimed() {
	[ "$(status_of blocks_reclaimed)" -ge "$wanted" ] && [ "$(status_of dying)" -eq 0 ]
}

zones_came_back() {
	[ "$(status_of zones_given_back)" -gt "$before" ]
}

new_pool --size 1G
serve
"$COWBD" create vol 64M
"$COWBD" create big 256M
random_file img 268435456
nbdcopy img "$(uri big)"
load 60
wanted=$(($(status_of blocks_reclaimed) + 65536))
before=$(status_of zones_given_back)
"$COWBD" rm big
wait_for 30 reclaimed
wait_for 30 zones_came_back
kill -0 $load || fail "fio ended before: $(tail -n 5 fio.out)"
kill $load
wait $load || :
stop_server
"$COWBD" check
