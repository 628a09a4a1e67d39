# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# trim.sh TYPE - fstrim gives the space of removed files back to the pool
. /tests/lib.sh
type=$1
begin

mapped() {
	cowbd info disk --json | sed -n 's/.*"mapped": \([0-9]*\).*/\1/p' | head -n 1
}

cowbd create disk 1G
attach_stock disk /dev/nbd0
make_fs "$type" /dev/nbd0
mkdir live
mount -t "$type" /dev/nbd0 live
sync
empty=$(mapped)
dd if=/dev/urandom of=live/big bs=1M count=64 2>/dev/null
sync
full=$(mapped)
[ $((full - empty)) -ge 66000000 ] || fail "64 MiB written, and $empty became $full"
rm live/big
sync
fstrim live
after=$(mapped)
echo "mapped: empty $empty, with 64 MiB $full, trimmed $after"
[ $((full - after)) -ge 60000000 ] || fail "fstrim gave nothing back"
umount live
check_fs "$type" /dev/nbd0
detach_stock /dev/nbd0
