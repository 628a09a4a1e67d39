# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# functions.sh - a pool on a disk that can be broken from outside: nbdfuse, served by another nbdkit
#
# Begins some tests here:  . "$top_srcdir/tests/fault/functions.sh"

. "$top_srcdir/tests/nbd/functions.sh"

loop=
fuse=
backend=

end_fuse() {
	end_server
	[ -z "$loop" ] || losetup -d "$loop" 2>/dev/null || :
	[ -z "$fuse" ] || fusermount3 -u mnt 2>/dev/null || umount -l mnt 2>/dev/null || :
	[ -z "$fuse" ] || wait "$fuse" || :
	[ -z "$backend" ] || kill "$backend" 2>/dev/null || :
}

# fuse_disk NBDKIT-ARGS...: makes mnt/nbd, a file of the disk that nbdkit serves.
fuse_disk() {
	need nbdfuse fusermount3
	[ -w /dev/fuse ] || skip "/dev/fuse can't be used"
	trap end_fuse EXIT
	nbdkit -f -U "$TEST_DIR/backend.sock" "$@" >>backend.log 2>&1 &
	backend=$!
	wait_for 10 test -S "$TEST_DIR/backend.sock"
	mkdir -p mnt
	nbdfuse mnt/disk "nbd+unix:///?socket=$TEST_DIR/backend.sock" &
	fuse=$!
	wait_for 10 test -f mnt/disk || skip "nbdfuse can't mount here"
}

# fuse_pool file|loop: makes a pool of 128 MiB there, and serves it; writes fail while the file `broken` is there,
# reads while `unreadable` is.
fuse_pool() {
	nbdkit --filter=error null --version >/dev/null 2>&1 || skip "nbdkit has no error filter"
	truncate -s 128M disk
	"$COWBD" init "$TEST_DIR/disk" --size 128M --journal-size 8M --force >/dev/null
	fuse_disk --filter=error file "$TEST_DIR/disk" error=EIO \
		error-pwrite-rate=100% error-pwrite-file="$TEST_DIR/broken" \
		error-pread-rate=100% error-pread-file="$TEST_DIR/unreadable"
	pool=$TEST_DIR/mnt/disk
	if [ "$1" = loop ]; then
		need_root
		need losetup
		loop=$(losetup -f --show mnt/disk 2>err) || skip "no loop device here: $(cat err)"
		pool=$loop
	fi
	COWBD_POOL=$pool
	serve
}

kill_server() {
	kill -9 "$server"
	wait "$server" || :
}

# bytes FILE OFFSET LENGTH DIGITS: each byte there has one of these values.
bytes() {
	tail -c +$(($2 + 1)) "$1" | head -c "$3" | tr -d "$(printf '%s' "$4" | sed 's/./\\00&/g')" | wc -c >left
	[ "$(cat left)" -eq 0 ] || fail "$(cat left) bytes of $1 at $2 are none of $4"
}
