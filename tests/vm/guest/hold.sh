# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# hold.sh - a full pool: writes wait, for longer than the kernel waits by itself; others go on
. /tests/lib.sh
begin 192M

held() {
	cowbd status --json | sed -n 's/.*"held": \([0-9]*\).*/\1/p' | awk '{n += $1} END {exit n == 0}'
}

cowbd create other 32M
other=$(cowbd attach other)
dd if=/dev/urandom of=data bs=1M count=4 2>/dev/null
dd if=data of="$other" bs=1M conv=fsync 2>/dev/null
cowbd create ballast 48M
ballast=$(cowbd attach ballast --connections 1)
dd if=/dev/urandom of="$ballast" bs=1M count=48 conv=fsync 2>/dev/null
cowbd snapshot ballast@s
cowbd create big 1G
big=$(cowbd attach big)
dd if=/dev/urandom of=/dev/shm/big bs=1M count=100 2>/dev/null
dd if=/dev/shm/big of="$big" bs=1M conv=fsync 2>/dev/null &
dd=$!
wait_for 120 held
cowbd status
# The kernel's client of several connections gives up a silent one after 30 s, unless told otherwise.
sleep 40
held || fail "nothing is held any more"
kill -0 $dd || fail "dd ended"
echo 3 >/proc/sys/vm/drop_caches
dd if="$other" bs=1M count=4 iflag=direct 2>/dev/null | cmp - data
dd if=data of="$other" bs=64k count=4 oflag=direct conv=notrunc 2>/dev/null || fail "a write in place"
if dmesg | grep -i 'nbd.*timed out'; then
	fail "the kernel's client lost patience"
fi

cowbd grow 512M
wait $dd || fail "dd failed"
echo 3 >/proc/sys/vm/drop_caches
dd if="$big" bs=1M count=100 2>/dev/null | cmp - /dev/shm/big
rm /dev/shm/big
for name in big ballast other; do
	cowbd detach $name
done
