# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# test.sh - what every test script begins with:  . "$top_srcdir/tests/lib/test.sh"
#
# A test that ends without a failed command has passed (set -e); skip ends one that can't run here.
# tests/lib/run gives it TEST_DIR and COWBD_RUNDIR, and removes both.

set -eu

: "${top_srcdir:?run me by make check}" "${TEST_DIR:?run me by make check}"
: "${COWBD:?run me by make check}" "${COWBD_PLUGIN:?run me by make check}"
cd "$TEST_DIR"

# skip WHY: ends the test, counted as skipped.
skip() {
	echo "skipped: $*"
	exit 77
}

# fail WHY: ends the test, counted as failed.
fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# need TOOL...: skips the test unless each is installed.
need() {
	for need_tool in "$@"; do
		command -v "$need_tool" >/dev/null 2>&1 || skip "$need_tool is not installed"
	done
}

# need_root: skips the test unless it runs as root.
need_root() {
	[ "$(id -u)" -eq 0 ] || skip "not root"
}

# need_plugin: skips the test where nbdkit can't load the plugin as it is built.
need_plugin() {
	need nbdkit
	case ${enable_sanitize:-no} in
	no) ;;
	address) sanitized_nbdkit ;;
	*) skip "nbdkit can't load a plugin built with a sanitizer" ;;
	esac
}

# sanitized_nbdkit: from here on nbdkit, and nothing else, is started with AddressSanitizer's library, which its
# plugin needs.  What it finds goes to asan.PID, and fails the test (tests/lib/run).
sanitized_nbdkit() {
	asan_library=$(${CC:-gcc} -print-file-name=libasan.so)
	[ -e "$asan_library" ] || skip "no libasan.so for nbdkit to load"
	mkdir -p "$TEST_DIR/bin"
	# With libasan before it, glibc 2.36 leaves the lock of its locales unlocked once too often, and the
	# destructor of libp11-kit, which nbdkit is linked with, waits for it for ever: so it frees nothing.
	echo 'void freelocale(void *locale) { (void)locale; }' |
		${CC:-gcc} -shared -fPIC -x c -o "$TEST_DIR/bin/locale.so" - || skip "no compiler"
	cat >"$TEST_DIR/bin/nbdkit" <<-END
		#!/bin/sh
		LD_PRELOAD="$asan_library $TEST_DIR/bin/locale.so" exec $(command -v nbdkit) "\$@"
	END
	chmod +x "$TEST_DIR/bin/nbdkit"
	PATH=$TEST_DIR/bin:$PATH
	ASAN_OPTIONS=log_path=$TEST_DIR/asan:detect_leaks=1:exitcode=98
	UBSAN_OPTIONS=log_path=$TEST_DIR/asan:print_stacktrace=1
	LSAN_OPTIONS=print_suppressions=0
	export PATH ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS
}

# expect STATUS COMMAND...: runs it, output in $TEST_DIR/out and err; fails on another exit status.
expect() {
	expect_want=$1
	shift
	expect_got=0
	"$@" >"$TEST_DIR/out" 2>"$TEST_DIR/err" || expect_got=$?
	if [ "$expect_got" -ne "$expect_want" ]; then
		cat "$TEST_DIR/out" "$TEST_DIR/err" >&2
		fail "$*: status $expect_got instead of $expect_want"
	fi
}

# says PATTERN: fails unless the last expect printed exactly one line of error, with PATTERN in it.
says() {
	if [ "$(wc -l <"$TEST_DIR/err")" -ne 1 ] || ! grep -q -e "$1" "$TEST_DIR/err"; then
		cat "$TEST_DIR/err" >&2
		fail "expected one line of error with: $1"
	fi
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails when it doesn't in time.
wait_for() {
	wait_tries=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		wait_tries=$((wait_tries - 1))
		[ $wait_tries -gt 0 ] || fail "waited in vain for: $*"
		sleep 0.05
	done
}

# kills_noted N WHAT: figures of a long test, for `scripts/reliability note mounted`, in $KILL_REPORT if that is set.
kills_noted() {
	[ -z "${KILL_REPORT:-}" ] || {
		echo "# Kills of the daemon under load, seen by nobody above it (make check-vm-long check-attach-long check-qemu-long)"
		echo "+ $1 $2"
		echo "< 20 $2"
	} >>"$KILL_REPORT"
}
