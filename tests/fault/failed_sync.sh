#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# failed_sync.sh - a sync fails and the kernel drops the dirty pages: the pool turns read-only at once, and no loss is silent
#
#	pool on /dev/loop: its page cache holds what is not synced
#	  nbdfuse -> nbdkit, whose writes fail while the file `broken` is there
. "$top_srcdir/tests/fault/functions.sh"

fuse_pool loop
"$COWBD" create vol 32M
talk <<END
connect a $(uri vol)
write a 0 8000000 1
flush a
END
"$COWBD" snapshot vol@one >/dev/null
talk <<END
connect a $(uri vol)
write a 0 4000000 2
flush a
write a 1000000 2000000 3
END
for end in stop kill; do
	touch broken
	talk <<END
connect a $(uri vol)
write a 1000000 2000000 4
fails EIO flush a
END
	rm broken

	# the device is whole again, and that helps nobody
	"$COWBD" status >status.out
	grep -q 'read-only' status.out || fail "$(cat status.out)"
	talk <<END
connect a $(uri vol)
fails EIO write a 0 4096 5
fails EIO flush a
connect s $(uri vol@one)
read s 0 8000000 1
END
	expect 1 "$COWBD" create other 1M
	says 'read-only'
	case $end in
	kill) kill_server ;;
	stop)
		kill "$server"
		wait "$server" || :
		;;
	esac

	# nobody opens it by accident; reading is refused too, since it may not be what was acknowledged
	expect 1 "$COWBD" create other 1M
	says 'a sync failed.*--after-error'
	expect 1 "$COWBD" ls
	says 'a sync failed.*--after-error'
	expect 74 "$COWBD" serve
	grep -q 'a sync failed.*--after-error' err || fail "$(cat err)"

	serve after-error=true
	"$COWBD" status >status.out
	grep -q 'a sync failed in the last session' status.out || fail "$(cat status.out)"
	nbdcopy "$(uri vol)" now
	# flushed before the error: there, or what was written later
	bytes now 0 1000000 2
	bytes now 1000000 2000000 234
	bytes now 3000000 1000000 2
	bytes now 4000000 4000000 1
	nbdcopy "$(uri vol@one)" now
	bytes now 0 8000000 1
	"$COWBD" check >check.out || fail "$(cat check.out)"
	talk <<END
connect a $(uri vol)
write a 1000000 2000000 3
flush a
END
done
stop_server
"$COWBD" ls >/dev/null # as any other pool
"$COWBD" check
