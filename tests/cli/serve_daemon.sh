#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# serve_daemon.sh - serve --daemon says why it could not, and goes on without its parent
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
new_pool
expect 1 "$COWBD" serve --daemon -- --no-such-option
[ "$(wc -l <err)" -eq 1 ] || fail "more than one line: $(cat err)"
sh -c '"$COWBD" serve --daemon --json' >json
json_ok json
sleep 0.3
kill -0 "$(field json pid)" || fail "it ended with its parent"
same "$(server_pid)" "$(field json pid)"
cowbd stop --json >json
json_ok json

# one that can't load the plugin: its error, not what it says of its own use after it
echo 'no library' >nolib.so
COWBD_PLUGIN=$TEST_DIR/nolib.so expect 1 "$COWBD" serve --daemon
says 'nolib.so'
