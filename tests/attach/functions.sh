# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# functions.sh - a served pool whose disks become block devices here, by nbdfuse and loop
#
# Begins every test here:  . "$top_srcdir/tests/attach/functions.sh"
# Whatever a test leaves mounted and attached of its pool is taken away at its end.

. "$top_srcdir/tests/cli/functions.sh"

need_root
need_plugin
need nbdfuse losetup mount umount fusermount3
[ -w /dev/fuse ] || skip "/dev/fuse can't be used"
[ -w /dev/loop-control ] || skip "there are no loop devices"
[ -e "$(nbdkit --dump-config | sed -n 's/^filterdir=//p')/nbdkit-retry-filter.so" ] ||
	skip "nbdkit has no retry filter"
unset COWBD_POOL
uuid=none

# pool_uuid: of the pool that is served.
pool_uuid() {
	cowbd status --json | sed -n 's/^  "uuid": "\(.*\)",*$/\1/p'
}

# serve_pool [SIZE]: makes a pool and serves it.
serve_pool() {
	new_pool --size "${1:-1G}"
	COWBD_POOL=$pool
	export COWBD_POOL
	serve
	uuid=$(pool_uuid)
}

# restart: kills the daemon and serves the pool again.
restart() {
	kill -9 "$(server_pid)"
	serve
}

# our_loops: the loop devices of the pool.
our_loops() {
	grep -l -e "cowbd-$uuid-" /sys/block/loop*/loop/backing_file 2>/dev/null |
		sed 's,/sys/block/\(loop[0-9]*\)/.*,/dev/\1,'
}

nothing_attached() {
	[ -z "$(our_loops)" ] && ! pgrep -f "cowbd-$uuid-" >/dev/null
}

# make_fs TYPE DEVICE: a small file system.
make_fs() {
	need "mkfs.$1"
	case $1 in
	ext4) mkfs.ext4 -q -F "$2" ;;
	xfs) mkfs.xfs -q -f "$2" ;;
	btrfs) mkfs.btrfs -q -f "$2" ;;
	esac
}

# need_fs TYPE: skips the test where the kernel can't mount it.
need_fs() {
	need "mkfs.$1"
	grep -qw "$1" /proc/filesystems || modprobe -q "$1" 2>/dev/null || skip "this kernel has no $1"
}

# check_fs TYPE DEVICE: is the file system on it, which is not mounted, as it should be?
check_fs() {
	case $1 in
	ext4) e2fsck -fn "$2" ;;
	xfs) xfs_repair -n "$2" ;;
	btrfs) btrfs check "$2" ;;
	esac >"$TEST_DIR/fsck" 2>&1 || fail "$1 on $2: $(cat "$TEST_DIR/fsck")"
}

# An orderly end if possible, bounded in any case.
end_attached() {
	sed -n "s,^[^ ]* \($TEST_DIR/[^ ]*\) .*,\1,p" /proc/self/mounts | sort -r |
		while read -r end_dir; do umount -l "$end_dir"; done
	for end_loop in $(our_loops); do losetup -d "$end_loop" 2>/dev/null || :; done
	end_tries=40
	until nothing_attached || [ $end_tries -eq 0 ]; do
		sleep 0.1
		end_tries=$((end_tries - 1))
	done
	end_server
}
trap end_attached EXIT
