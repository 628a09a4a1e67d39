#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# qemu.sh - qemu-img and qemu-io work on a volume, at odd places too
. "$top_srcdir/tests/nbd/functions.sh"

need qemu-img qemu-io
new_pool
serve
"$COWBD" create vol 32M
vol="nbd:unix:$sock:exportname=vol"

qemu-img info "$vol" | grep -q 'virtual size: 32 MiB'
random_file data $((32 * 1024 * 1024))
dd if=/dev/zero of=data bs=1M seek=4 count=9 conv=notrunc status=none
qemu-img convert -n -f raw -O raw data "$vol"
qemu-img compare -f raw -F raw data "$vol" >/dev/null
qemu-img map -f raw --output=json "$vol" |
	grep -q '"start": 4194304, "length": 9437184.*"zero": true'
qemu-img convert -f raw -O qcow2 "$vol" copy.qcow2
qemu-img compare -f qcow2 -F raw copy.qcow2 "$vol" >/dev/null

qemu-io -f raw "$vol" \
	-c 'write -P 0x11 0 64k' \
	-c 'write -P 0x22 513 1023' \
	-c 'write -P 0x33 4095 2' \
	-c 'write -f -P 0x44 32767 4099' \
	-c 'write -z 8191 8195' \
	-c 'discard 49152 4096' \
	-c 'flush' \
	-c 'read -P 0x11 0 513' \
	-c 'read -P 0x22 513 1023' \
	-c 'read -P 0x11 1536 2559' \
	-c 'read -P 0x33 4095 2' \
	-c 'read -P 0x11 4097 4094' \
	-c 'read -P 0 8191 8195' \
	-c 'read -P 0x11 16386 16381' \
	-c 'read -P 0x44 32767 4099' \
	-c 'read -P 0 49152 4096' \
	-c 'read -P 0x11 53248 12288' >out 2>&1
! grep -i -e failed -e error out || fail "$(cat out)"
stop_server
