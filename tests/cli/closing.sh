#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# closing.sh - a client that has just gone is waited for: copy, roll back, in a loop
. "$top_srcdir/tests/cli/functions.sh"

need nbdcopy
new_pool
serve
cowbd create a 4M
cowbd snapshot a@s >/dev/null
uri=$(cowbd uri a)
head -c 4194304 /dev/urandom >img
for i in 1 2 3 4 5 6 7 8 9 10; do
	nbdcopy img "$uri"
	cowbd rollback a@s >/dev/null
done
cowbd stop
