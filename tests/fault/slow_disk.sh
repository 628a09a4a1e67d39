#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# slow_disk.sh - on a slow disk, whose syncs fail in the end (nbdkit's eval), nothing is acknowledged falsely
. "$top_srcdir/tests/fault/functions.sh"

nbdkit eval --version >/dev/null 2>&1 || skip "nbdkit has no eval plugin"
truncate -s 64M disk
"$COWBD" init "$TEST_DIR/disk" --size 64M --journal-size 8M --force >/dev/null
fuse_disk --filter=delay eval rdelay=3ms wdelay=5ms delay-trim=5ms \
	get_size="stat -c %s $TEST_DIR/disk" \
	pread="dd if=$TEST_DIR/disk skip=\$4 count=\$3 iflag=skip_bytes,count_bytes status=none" \
	pwrite="dd of=$TEST_DIR/disk seek=\$4 oflag=seek_bytes conv=notrunc status=none" \
	can_write='exit 0' can_flush='exit 0' thread_model='echo serialize_all_requests' \
	flush="[ ! -e $TEST_DIR/broken ] || { echo EIO the disk is broken >&2; exit 1; }"
pool=$TEST_DIR/mnt/disk
COWBD_POOL=$pool
serve
"$COWBD" create vol 8M
talk <<END
connect a $(uri vol)
random a 3 60 9000
write a 0 1000000 1
flush a
write a 0 500000 2
END
"$COWBD" snapshot vol@one >/dev/null
kill_server
serve
touch broken
talk <<END
connect a $(uri vol)
read a 0 500000 2
read a 500000 500000 1
write a 0 4096 3
fails EIO flush a
fails EIO write a 0 4096 3
END
"$COWBD" status | grep -q 'read-only now' || fail "$("$COWBD" status)"
rm broken
kill "$server"
wait "$server" || :
expect 1 "$COWBD" ls
says 'a sync failed.*--after-error'
serve after-error=true
talk <<END
connect a $(uri vol)
read a 4096 495904 2
read a 500000 500000 1
connect s $(uri vol@one)
read s 0 500000 2
END
stop_server
"$COWBD" check
