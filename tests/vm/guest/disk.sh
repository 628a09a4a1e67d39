# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# disk.sh SECONDS - writes to /dev/vdb, which qemu has from a daemon on the host that is killed meanwhile
. /tests/lib.sh
set -eu
mkdir -p /tmp/work
cd /tmp/work
writer write /dev/vdb state -d -t 3 -T "$1"
echo 3 >/proc/sys/vm/drop_caches
writer verify /dev/vdb state
mke2fs -q -F -t ext4 /dev/vdb
mkdir live
mount -t ext4 /dev/vdb live
writer write live files -T 5
umount live
check_fs ext4 /dev/vdb
if dmesg | grep -E "$complaints"; then
	fail "the kernel saw an error"
fi
