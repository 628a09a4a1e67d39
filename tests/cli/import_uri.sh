#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# import_uri.sh - import from an NBD server
. "$top_srcdir/tests/cli/functions.sh"

need nbdkit
random_image img 1
tests() {
	rm -f file.sock
	nbdkit -f -U "$TEST_DIR/file.sock" file img &
	file=$!
	wait_for 20 test -S file.sock
	cowbd import "nbd+unix:///?socket=$TEST_DIR/file.sock" a
	kill $file
	wait $file || :
	cowbd export a out --force
	cmp img out
}
both_ways tests
