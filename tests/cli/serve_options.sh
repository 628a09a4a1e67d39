#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# serve_options.sh - serve --readonly, --socket, --threads and -- reach nbdkit
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need nbdinfo qemu-io
new_pool
cowbd create a 4M
cowbd serve --daemon --readonly --threads 2 --socket "$TEST_DIR/my sock" -- -e a >uri
grep -q 'my%20sock' uri || fail "not encoded: $(cat uri)"
nbdinfo "$(cowbd uri a)" | grep -q 'is_read_only: true' || fail "writable"
refused 1 . create b 1M
cowbd info a | grep -q "nbd-client -unix '$TEST_DIR/my sock'" || fail "no line for nbd-client"
cowbd stop
refused 64 'from 1 to' serve --threads 0
refused 64 'exclude each other' serve --socket x --tcp localhost
