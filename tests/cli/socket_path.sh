#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# socket_path.sh - a socket's path over 107 bytes gets a clear line
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
new_pool
long=$TEST_DIR/$(printf '%0100d' 0)
mkdir -m 0700 "$long"
refused 1 '107' serve --socket "$long/sock"
COWBD_RUNDIR=$long expect 1 "$COWBD" serve
says '107: set COWBD_RUNDIR to a shorter one'
echo here >file
refused 1 'no socket' serve --socket "$TEST_DIR/file"
same "$(cat file)" here
