#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# import_bad.sh - a failed import leaves no volume
. "$top_srcdir/tests/cli/functions.sh"

need gzip xz
tests() {
	head -c 1000 /dev/urandom >odd
	refused 1 'no multiple of 512.*the next one up is 1024' import odd a
	: >empty
	refused 1 'is empty' import empty a
	refused 1 'No such file' import nothere a
	refused 1 'directory' import / a
	refused 64 'no format' import odd a --format foo
	refused 64 'name has no @' import odd a@b
	head -c 3000000 /dev/urandom | xz | head -c 100000 >cut.xz
	refused 1 'damaged or cut off' import cut.xz a
	printf 'QFI\373' >image
	gzip -kf image
	refused 1 "can't be read from a stream" import image.gz a
	refused 1 . import "nbd+unix:///x?socket=$TEST_DIR/nothere.sock" a
	expect 1 "$COWBD" import - a <odd
	says 'the next one up is 1024'
	same "$(names)" ""
	cowbd import odd a --pad
	cowbd export a out --force
	truncate -s 1024 odd
	cmp odd out
	# more than the pool can hold
	truncate -s 600M large
	head -c 300000000 /dev/urandom | dd of=large conv=notrunc status=none bs=1M iflag=fullblock
	cowbd rm a
	expect 1 "$COWBD" import large b
	grep -v '^cowbd: note: ' err >rest || :
	mv rest err
	[ "$(wc -l <err)" -eq 1 ] || fail "more than one line: $(cat err)"
	same "$(names)" ""
}
both_ways tests
