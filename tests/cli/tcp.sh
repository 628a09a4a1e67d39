#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# tcp.sh - serve --tcp: loopback, or TLS, or --insecure
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need nbdinfo
new_pool
cowbd create a 4M
for address in 0.0.0.0 :10809 '[::]:10809' 192.0.2.1:10809; do
	refused 1 'use --tls, or --insecure' serve --tcp $address
done
refused 64 'port' serve --tcp localhost:0
refused 64 'port' serve --tcp localhost:99999
refused 64 'missing' serve --tcp '[::1'
refused 1 . serve --tcp no.such.host.invalid
port=$((20000 + $$ % 20000))
cowbd serve --daemon --tcp 127.0.0.1:$port >uri
same "$(cat uri)" "nbd://127.0.0.1:$port/"
same "$(cowbd uri a)" "nbd://127.0.0.1:$port/a"
same "$(nbdinfo --size "$(cowbd uri a)")" 4194304
random_image img 1
cowbd import img b
cowbd export b copy
cmp img copy
cowbd stop
