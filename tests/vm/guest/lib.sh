# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# lib.sh - what the scenarios in the guest share
#
# Begins each:  . /tests/lib.sh; begin.  One that ends without a failed command has passed, if
# the kernel has not complained meanwhile of I/O errors or of itself.

POOL=/host/pool.cow
COWBD_POOL=$POOL
COWBD_PLUGIN=/bin/nbdkit-cowbd-plugin.so
export COWBD_POOL COWBD_PLUGIN

# busybox prefers its own.
mke2fs() {
	/bin/mke2fs "$@"
}

# What the kernel must not say.
complaints='I/O error|EXT4-fs (error|warning)|Aborting journal|XFS.*([Ss]hut|[Cc]orrupt)|BTRFS.*(error|critical)|BUG:|Oops|WARNING:|hung_task|blocked for more|Call Trace'

# load MODULE...
load() {
	for load_name in "$@"; do
		while read -r load_file; do
			load_module=$(echo "${load_file%.ko}" | tr - _)
			[ -d "/sys/module/$load_module" ] || insmod "/modules/$load_file" || return 1
		done <"/modules/$load_name.list"
	done
}

fail() {
	echo "FAILED: $*"
	exit 1
}

skip() {
	echo "$*" >/run/why
	exit 77
}

# wait_for SECONDS COMMAND...
wait_for() {
	wait_tries=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		wait_tries=$((wait_tries - 1))
		[ $wait_tries -gt 0 ] || fail "waited in vain for: $*"
		sleep 0.1
	done
}

# begin [SIZE [ARG...]]: a new pool, served.  At the end everything is taken down, and the pool must be clean.
begin() {
	set -eu
	rm -rf /tmp/work "$POOL"
	mkdir -p /tmp/work
	cd /tmp/work
	cowbd init "$POOL" --size "${1:-2G}" >/dev/null
	trap end EXIT
	trap 'exit 143' TERM
	serve
}

serve() {
	daemon=$(cowbd serve --daemon --json "$@" | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
	[ -n "$daemon" ] || fail "the daemon has no pid"
}

# kill_daemon: as a crash would.
kill_daemon() {
	[ -n "$daemon" ] || return 0
	kill -9 "$daemon"
	while [ -d "/proc/$daemon" ]; do :; done
}

# So that the next scenario finds an empty system; what is told comes first.
take_down_hard() {
	echo "FAILED with status $1; the kernel, the daemon, the processes:"
	dmesg | tail -n 30
	tail -n 20 /run/cowbd/*-*.log
	ps -o pid,stat,args | grep -v "]$"
	take_down "umount -l"
	kill_daemon
}

# take_down UMOUNT
take_down() {
	take_status=0
	for take_dir in $(awk '$2 ~ "^/tmp/work/" {print $2}' /proc/mounts | sort -r); do
		$1 "$take_dir" || take_status=1
	done
	for take_device in /sys/block/nbd*; do
		[ ! -e "$take_device/pid" ] || nbd-client -d "/dev/${take_device##*/}" >/dev/null
	done
	return $take_status
}

end() {
	end_status=$?
	set +e
	cd /
	case $end_status in
	0) ;;
	77)
		take_down umount
		cowbd stop
		exit 77
		;;
	*)
		take_down_hard "$end_status"
		exit "$end_status"
		;;
	esac
	take_down umount || end_status=1
	cowbd stop || end_status=1
	cowbd check || end_status=1
	if dmesg | grep -E "$complaints" | grep -vE "${expected_complaints:-^$}"; then
		echo "FAILED: the kernel complained"
		end_status=1
	fi
	exit $end_status
}

# ---- disks --------------------------------------------------------------------------------------

# attach_stock NAME DEVICE [ARG...]: with nbd-client as Debian has it.
attach_stock() {
	attach_name=$1
	device=$2
	shift 2
	nbd-client -unix /run/cowbd/pool.nbd "$device" -N "$attach_name" -b 512 "$@" >/dev/null
	wait_for 10 is_attached "$device"
}

is_attached() {
	[ "$(cat "/sys/block/${1#/dev/}/size")" -gt 0 ]
}

is_detached() {
	[ ! -e "/sys/block/${1#/dev/}/pid" ]
}

detach_stock() {
	nbd-client -d "$1" >/dev/null
	wait_for 10 is_detached "$1"
}

# ---- file systems: each takes the type first -------------------------------------------------------

make_fs() {
	case $1 in
	ext4) mke2fs -q -t ext4 "$2" ;;
	xfs) load xfs && mkfs.xfs --unsupported -q -l size=10m "$2" 2>/dev/null ;;
	btrfs) load btrfs && mkfs.btrfs -q "$2" ;;
	esac
}

# mount_copy TYPE DEVICE DIR: beside a mounted file system with the same UUID.
mount_copy() {
	mkdir -p "$3"
	case $1 in
	xfs) mount -t xfs -o nouuid "$2" "$3" ;;
	*) mount -t "$1" "$2" "$3" ;;
	esac
}

# check_fs TYPE DEVICE: whole and clean?
check_fs() {
	case $1 in
	ext4) e2fsck -fn "$2" >/tmp/fsck 2>&1 ;;
	xfs) xfs_repair -n "$2" >/tmp/fsck 2>&1 ;;
	btrfs) btrfs check --readonly "$2" >/tmp/fsck 2>&1 ;;
	esac || {
		cat /tmp/fsck
		fail "fsck of $2"
	}
}
