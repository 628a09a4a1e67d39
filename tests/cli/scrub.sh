#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# scrub.sh - scrub finds one rotten byte in what a snapshot holds, names it, and raises no false alarm
. "$top_srcdir/tests/cli/functions.sh"

# flip OFFSET: changes one bit of the pool.
flip() {
	flip_byte=$(dd if="$pool" bs=1 skip="$1" count=1 status=none | od -An -tu1 | tr -d ' ')
	# shellcheck disable=SC2059
	printf "$(printf '\\%03o' $((flip_byte ^ 16)))" |
		dd of="$pool" bs=1 seek="$1" conv=notrunc status=none
}

# place TEXT: where in the pool this text is, which is in one block only.
place() {
	grep -abo "$1" "$pool" | head -n 1 | cut -d: -f1
}

# fine KEY=NUMBER...: a scrub finds nothing, and counts this.
fine() {
	expect 0 "$COWBD" scrub --json
	json_ok out
	same "$(field out rotten_blocks)" 0
	for fine_count; do
		same "$(field out "${fine_count%=*}")" "${fine_count#*=}"
	done
}

# image FILE TEXT: 1 MiB, the text at 40960.
image() {
	head -c 1048576 /dev/urandom >"$1"
	printf %s "$2" | dd of="$1" bs=1 seek=40960 conv=notrunc status=none
}

tests() {
	image one the-first-disk
	image two the-second-disk
	cowbd import one a
	cowbd import two b
	cowbd snapshot a@s >/dev/null
	cowbd clone a@s c >/dev/null

	# what no snapshot reaches is read, and has no checksum
	fine new_checksums=256 verified_blocks=0 read_blocks=512
	fine new_checksums=0 verified_blocks=256
	flip "$(place the-second-disk)"
	fine verified_blocks=256
	cowbd rm b

	# what a snapshot reaches: for each that has the block, and where
	offset=$(place the-first-disk)
	flip "$offset"
	expect 2 "$COWBD" scrub
	for name in a a@s c; do
		grep -q "^damage: $name: bytes 40960 to 45055 are not .* (offset $offset)" out ||
			fail "$name is not named: $(cat out)"
	done
	grep -q '^damaged: ' out || fail "no summary: $(cat out)"
	expect 2 "$COWBD" scrub --json
	json_ok out
	same "$(field out rotten_blocks)" 1
	flip "$offset"
	fine verified_blocks=256

	# without the snapshots of then, a checksum of then says nothing
	cowbd rm c a@s
	flip "$offset"
	fine verified_blocks=0 new_checksums=0
	cowbd snapshot a@t >/dev/null
	fine verified_blocks=0 new_checksums=256
	fine verified_blocks=256 new_checksums=0

	# a rollback, and the end of all snapshots
	cowbd rollback a@t >/dev/null
	fine verified_blocks=256
	cowbd rm a@t
	cowbd rm -r a
	image three the-third-disk
	cowbd import three d
	cowbd snapshot d@s >/dev/null
	fine new_checksums=256
	fine verified_blocks=256
	cowbd rm -r d
	fine verified_blocks=0
}
both_ways tests

# metadata that is damaged is found as by check
new_pool
cowbd import one a
cowbd snapshot a@s >/dev/null
cowbd dump >dump
offset=$(sed -n 's/.*"what":"map".*"offset":\([0-9]*\).*"level":0,"first":0.*/\1/p' dump | head -n 1)
flip $((offset + 1000))
expect 2 "$COWBD" scrub
grep -q '^damage: a' out || fail "no damage named: $(cat out)"

# a pool that is served read-only is verified, and gets no checksums
flip $((offset + 1000))
serve --readonly
expect 0 "$COWBD" scrub --json
same "$(field out without_checksum)" 256
cowbd stop
