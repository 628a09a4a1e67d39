# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# functions.sh - a pool of its own for the command, served or not
#
# Begins every test here:  . "$top_srcdir/tests/cli/functions.sh"
# A test that says both_ways FUNCTION runs it on a pool that nobody serves, and again
# on one with a daemon: a command is the same both ways.

. "$top_srcdir/tests/lib/test.sh"

pool=$TEST_DIR/pool.cowbd
COWBD_POOL=$pool
export COWBD_POOL

cowbd() {
	"$COWBD" "$@"
}

# new_pool [ARG...]: makes the pool; 256 MiB unless told otherwise.
new_pool() {
	rm -f "$pool"
	cowbd init "$pool" --size 256M "$@" >/dev/null
}

# serve [ARG...]: serves the pool in the background.
serve() {
	need_plugin
	cowbd serve --daemon "$@" >"$TEST_DIR/uri"
}

end_server() {
	end_pid=$(server_pid) || return 0
	kill -9 "$end_pid" 2>/dev/null || :
}
trap end_server EXIT

# server_pid: of the daemon, if there is one.
server_pid() {
	cowbd status --json 2>/dev/null | sed -n 's/^  "pid": \([0-9]*\).*/\1/p' | grep .
}

# both_ways FUNCTION: see above.
both_ways() {
	for way in direct served; do
		new_pool
		if [ $way = served ]; then
			if command -v nbdkit >/dev/null && [ "${enable_sanitize:-no}" = no ]; then
				serve
			else
				echo "without a daemon only: nbdkit can't load the plugin here"
				continue
			fi
		fi
		echo "# $way"
		"$1"
		[ $way = direct ] || cowbd stop
		cowbd check
	done
}

# names: what there is, one a line.
names() {
	cowbd ls -o NAME --noheadings | sed 's/ *$//'
}

# field FILE KEY: the number or word that a JSON file has first under KEY.
field() {
	sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$1" | head -n 1
}

# same A B: fails unless they are the same text.
same() {
	[ "$1" = "$2" ] || fail "expected '$2', got '$1'"
}

# fingerprint: of all that the pool holds, for "it changed nothing".
fingerprint() {
	cowbd ls --json -o NAME,MAPPED | grep -v '"clients"'
}

# refused STATUS PATTERN ARG...: the command fails with one clear line, and changes nothing.
refused() {
	refused_status=$1
	refused_pattern=$2
	shift 2
	refused_before=$(fingerprint)
	expect "$refused_status" "$COWBD" "$@"
	says "$refused_pattern"
	same "$(fingerprint)" "$refused_before"
}

# random_image FILE MIB: data, a hole, data.
random_image() {
	head -c "$(($2 * 1048576))" /dev/urandom >"$1"
	truncate -s "$(($2 * 3))M" "$1"
	head -c 70000 /dev/urandom >>"$1"
	truncate -s "$(($2 * 4))M" "$1"
}

# poke VOL TEXT OFFSET: writes into a volume by importing nothing: through whatever way is open.
poke() {
	need qemu-io
	case $way in
	served) qemu-io -f raw -c "write -P $2 $3 ${4:-4k}" "$(cowbd uri "$1")" >/dev/null ;;
	*) fail "poke needs a daemon" ;;
	esac
}

# json_ok FILE: is it JSON, with a version?
json_ok() {
	perl -MJSON::PP -0777 -e '
		my $o = JSON::PP->new->utf8->decode(scalar <>);
		exit !(ref $o eq "HASH" && $o->{version} == 1)' "$1" ||
		fail "not one JSON object with a version: $(cat "$1")"
}
