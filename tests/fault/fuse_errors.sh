#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# fuse_errors.sh - a pool whose disk fails reads and writes from outside: each request that fails says so, and no other is lost
#
# The pool's file is nbdfuse's, which hands each write on at once; see functions.sh.
. "$top_srcdir/tests/fault/functions.sh"

fuse_pool file
"$COWBD" create vol 32M
talk <<END
connect a $(uri vol)
write a 0 8000000 1
flush a
END

# the file's pages are in the cache of the kernel, and go
drop() {
	sync
	dd if=mnt/disk of=/dev/null bs=1 count=0 iflag=nocache status=none 2>/dev/null || :
	dd of=mnt/disk oflag=nocache conv=notrunc,fdatasync count=0 status=none 2>/dev/null || :
}

# reads that fail fail alone
touch unreadable
drop
talk <<END
connect a $(uri vol)
fails EIO read a 0 4096 1
fails EIO read a 4194304 100 1
END
rm unreadable
talk <<END
connect a $(uri vol)
read a 0 8000000 1
END

# so do writes of data, into new blocks and in place
touch broken
talk <<END
connect a $(uri vol)
fails EIO write a 8388608 100000 2
fails EIO write a 100 100 2
END
rm broken
talk <<END
connect a $(uri vol)
read a 8388608 100000 0
read a 200 7000000 1
write a 8388608 100000 3
write a 0 4096 4
flush a
read a 8388608 100000 3
END
! "$COWBD" status | grep -q 'read-only now' || fail "$("$COWBD" status)"

# the journal is another matter
touch broken
expect 1 "$COWBD" create other 1M
says '.'
"$COWBD" status | grep -q 'read-only now' || fail "$("$COWBD" status)"
talk <<END
connect a $(uri vol)
fails EIO write a 0 4096 5
fails EIO flush a
read a 0 4096 4
END
rm broken
kill_server
serve after-error=true
talk <<END
connect a $(uri vol)
read a 0 4096 4
read a 4096 7000000 1
read a 8388608 100000 3
END
stop_server
"$COWBD" check
