#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# fio.sh - fio writes for some seconds, deep and at random, and verifies
. "$top_srcdir/tests/nbd/functions.sh"

need fio
fio --enghelp 2>/dev/null | grep -q nbd || skip "fio has no nbd engine"
new_pool
serve
"$COWBD" create vol 64M
fio --name=verify --ioengine=nbd --uri="$(uri vol)" --rw=randrw --bsrange=512-65536 \
	--blockalign=512 --size=64M --io_size=48M --iodepth=16 \
	--verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=7 \
	--minimal >fio.out 2>&1 || fail "$(tail -n 5 fio.out)"
stop_server
