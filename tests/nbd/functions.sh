# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# functions.sh - a pool of its own, served by the real nbdkit
#
# Begins every test here:  . "$top_srcdir/tests/nbd/functions.sh"

. "$top_srcdir/tests/lib/test.sh"
need_plugin

TALK=${TALK:-$top_builddir/tests/nbd/talk}
[ -x "$TALK" ] || skip "tests/nbd/talk is not built"

pool=$TEST_DIR/pool.cowbd
sock=$TEST_DIR/nbd.sock
server=
COWBD_POOL=$pool
export COWBD_POOL

# new_pool [ARG...]: makes the pool; 256 MiB unless told otherwise.
new_pool() {
	"$COWBD" init "$pool" --size 256M "$@" >/dev/null
}

# serve [ARG...]: serves it on $sock; returns when clients may come.  Log: server.log.  SERVE_WRAPPER: runs nbdkit.
serve() {
	rm -f "$sock"
	# shellcheck disable=SC2086 # list of words
	${SERVE_WRAPPER:-} nbdkit -f -U "$sock" "$COWBD_PLUGIN" "pool=$pool" "$@" >>"$TEST_DIR/server.log" 2>&1 &
	server=$!
	wait_for 20 server_is_there
	kill -0 "$server" 2>/dev/null || fail "nbdkit ended: $(cat "$TEST_DIR/server.log")"
}

server_is_there() {
	[ -S "$sock" ] || ! kill -0 "$server"
}

server_is_gone() {
	! kill -0 "$server"
}

# stop_server [SIGNAL]: ends it in order; its exit status must be 0.
stop_server() {
	kill -s "${1:-TERM}" "$server"
	wait_for 20 server_is_gone
	wait "$server" || fail "nbdkit ended with status $?: $(cat "$TEST_DIR/server.log")"
	server=
}

# tail_path: of the volatile tail of the server that runs.
tail_path() {
	"$COWBD" status --json | sed -n 's/.*"tail": *"\([^"]*\)".*/\1/p'
}

# uri NAME: where to find the export.
uri() {
	echo "nbd+unix:///$1?socket=$sock"
}

# talk: runs tests/nbd/talk on standard input.
talk() {
	"$TALK"
}

# talk_to NAME: talk, with a connection called a.
talk_to() {
	{
		echo "connect a $(uri "$1")"
		cat
		echo "bye a"
	} | talk
}

hostile=${HOSTILE:-$top_builddir/tests/nbd/hostile}

# hostile EXPORT WHAT [N]: a client that means harm; the server must be there afterwards.
hostile() {
	"$hostile" "$sock" "$@" | sed 's/^\([0-9]*\) tried/+ \1 requests and options of hostile NBD clients/'
	kill -0 "$server" 2>/dev/null
}

# resources: descriptors and KiB of memory of the server.
resources() {
	echo "$(find "/proc/$server/fd" -type l | wc -l) $(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$server/status")"
}

# spent_little BEFORE KIB: fails if the server has more descriptors than in BEFORE, or that much more memory.
# A few are fine: each of its own threads may have got a ring meanwhile.
spent_little() {
	now=$(resources)
	echo "descriptors and memory: before $1, now $now, $2 KiB more are fine"
	wait_for 10 closed_again $((${1% *} + 4))
	# freed memory is kept for a while by AddressSanitizer, which itself looks for leaks
	[ "${enable_sanitize:-no}" = address ] || [ "${now#* }" -le $((${1#* } + $2)) ] || fail "the server grew: $1, now $now"
}
closed_again() {
	[ "$(find "/proc/$server/fd" -type l | wc -l)" -le "$1" ]
}

# hostile_rounds EXPORT WHAT OTHER: three times hostile EXPORT WHAT; nothing of it stays, and OTHER can be written.
hostile_rounds() {
	hostile "$1" "$2"
	hostile_before=$(resources)
	for hostile_round in 1 2; do hostile "$1" "$2"; done
	spent_little "$hostile_before" 20000
	echo "write a 0 4096 7" | talk_to "$3"
	stop_server
	"$COWBD" check
}

# alone: is no client there?
alone() {
	"$COWBD" status --json | grep -q '"clients": *\[\]'
}

# control_socket: its path.
control_socket() {
	set -- "$COWBD_RUNDIR"/*-*-*-*-*.ctl
	[ $# -eq 1 ] && [ -S "$1" ] || fail "no control socket"
	echo "$1"
}

# on_full_error: the parameter for a pool that answers ENOSPC when it is full, if it would wait otherwise.
on_full_error() {
	nbdkit "$COWBD_PLUGIN" --dump-plugin | sed -n 's/^cowbd_on_full=.*error.*/on-full=error/p'
}

# fill VOLUME MIB: writes so much of it, in order, until the pool is full; the error must be ENOSPC, and some must fit: $filled MiB.
fill() {
	{
		echo "connect a $(uri "$1")"
		seq 0 $(($2 - 1)) | awk '{ print "write a", $1 * 1048576, 1048576, $1 % 250 + 1 }'
	} >fill.script
	if talk <fill.script 2>fill.out; then
		fail "$2 MiB fit"
	fi
	filled=$(($(sed -n 's/^talk: line \([0-9]*\):.*/\1/p' fill.out) - 2))
	[ $filled -gt 20 ] || fail "only $filled MiB fit: $(cat fill.out)"
	grep -q 'No space left on device' fill.out || fail "not ENOSPC: $(cat fill.out)"
}

# in_place_works VOLUME: of one that fill filled: all that was written is there, and can be written again.
in_place_works() {
	{
		echo "connect a $(uri "$1")"
		seq 0 $((filled - 1)) | awk '{ print "read a", $1 * 1048576, 1048576, $1 % 250 + 1 }'
		echo "write a 0 20000000 77"
		echo "flush a"
		echo "read a 0 20000000 77"
	} | talk
}

# random_file NAME BYTES: makes one.
random_file() {
	head -c "$2" /dev/urandom >"$1"
}

# held COUNT: are so many writes held now?
held() {
	"$COWBD" status --json | grep -q "^  \"held\": *$1,"
}

# fill_and_hold NAME: writes to it until the pool is full; its last write is held, by process $filling.
fill_and_hold() {
	{
		echo "connect f $(uri "$1")"
		fill_at=0
		while [ $fill_at -lt 1024 ]; do
			echo "write f $((fill_at * 1048576)) 1048576 3"
			fill_at=$((fill_at + 1))
		done
	} | "$TALK" >fill.out 2>&1 &
	filling=$!
	wait_for 60 held 1
}

# now_ms: milliseconds of a clock.
now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

# An orderly end if possible: a killed server leaves its tail in memory for one that never comes.
end_server() {
	[ -n "$server" ] || return 0
	kill "$server" 2>/dev/null || return 0
	end_tries=60
	while kill -0 "$server" 2>/dev/null && [ $end_tries -gt 0 ]; do
		sleep 0.05
		end_tries=$((end_tries - 1))
	done
	kill -9 "$server" 2>/dev/null || :
}
trap end_server EXIT
