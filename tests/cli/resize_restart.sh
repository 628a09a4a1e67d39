#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# resize_restart.sh - resize under NBD clients while the daemon dies, ends or is taken over: the old size or the new one, and the truth is told
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need qemu-io nbdinfo
places=200
. "$top_srcdir/tests/cli/restart_functions.sh"
new_pool --size 1G
size=64
cowbd create vol ${size}M
serve
sock=$(echo "$COWBD_RUNDIR"/*-*-*.nbd)
start_writer --image-opts "driver=nbd,server.type=unix,server.path=$sock,export=vol,reconnect-delay=60"

died() {
	sleep "$1"
	kill -9 "$2"
}
ended() {
	sleep "$1"
	kill "$2"
}
taken_over() {
	sleep "$1"
	cowbd serve --daemon --takeover >/dev/null
}
is_served() {
	cowbd status --json | grep -q '"pid": *[0-9]'
}

# resize_beside END DELAY: the size may be either; what is told of it is true, and running it again helps.
resize_beside() {
	old=$size
	size=$((size + 8))
	pid=$(server_pid)
	$1 "$2" "$pid" >end.out 2>&1 &
	ending=$!
	status=0
	"$COWBD" resize vol ${size}M >out 2>err || status=$?
	wait $ending || fail "$1: $(cat end.out)"
	if [ "$1" != taken_over ]; then
		while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
		is_served || serve
	fi
	wait_for 20 is_served
	bytes=$(nbdinfo --size "$(cowbd uri vol)")
	same "$(cowbd info vol --json | sed -n 's/^  "size": \([0-9]*\).*/\1/p')" "$bytes"
	case $status:$((bytes >> 20)) in
	0:"$size") told="$told done" ;;
	1:"$old" | 1:"$size")
		same "$(wc -l <err)" 1
		grep -q 'run it again\|is ending\|can.t' err || fail "$1 $2: $(cat err)"
		told="$told failed"
		cat err
		cowbd resize vol ${size}M
		;;
	*) fail "$1 $2: status $status, $bytes bytes, $old MiB before, $size asked for: $(cat err)" ;;
	esac
	same "$(nbdinfo --size "$(cowbd uri vol)")" $((size << 20))
}

told=
for delay in 0 0.0005 0.001 0.0015 0.002 0.005; do
	resize_beside died $delay
	resize_beside ended $delay
	resize_beside taken_over $delay
done
echo "told:$told"
goes_on true
end_writer vol
cowbd stop
cowbd check
