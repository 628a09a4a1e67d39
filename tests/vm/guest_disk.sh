#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# guest_disk.sh - a guest's disk through qemu's NBD client: the daemon is killed under it, and the guest sees no error
. "$top_srcdir/tests/vm/functions.sh"

pool=$TEST_DIR/pool.cow
COWBD_POOL=$pool
export COWBD_POOL
rounds=${VM_ROUNDS:-4}

serve() {
	"$COWBD" serve --daemon --socket "$TEST_DIR/nbd.sock" --json >served
	server=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' served)
}

clean_up() {
	vm_clean_up
	kill -9 "$server" 2>/dev/null || :
}

"$COWBD" init "$pool" --size 1G >/dev/null
"$COWBD" create disk 256M
serve
trap clean_up EXIT
vm_disks="-blockdev driver=nbd,node-name=disk,server.type=unix,server.path=$TEST_DIR/nbd.sock,export=disk,reconnect-delay=60
	-device virtio-blk-pci,drive=disk,write-cache=on"
seconds=$((rounds * 8))
vm_boot "disk:$seconds"
wait_for 60 grep -q '^@@ begin' "$vm_console"
n=0
while [ $n -lt "$rounds" ]; do
	n=$((n + 1))
	sleep 4
	kill -9 "$server"
	"$COWBD" snapshot disk@killed$n >/dev/null 2>&1 || :
	serve
	echo "killed and served again: round $n"
done
vm_end "disk:$seconds"
[ "$n" -eq "$rounds" ]
"$COWBD" stop --force
"$COWBD" check
kills_noted "$n" "qemu's NBD client, a guest's disk: kills with nothing lost"
