#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# repair.sh - check --repair: mends, names what is lost, leaves what is right alone
. "$top_srcdir/tests/cli/functions.sh"

sum() {
	sha256sum <"$pool"
}

# damage OFFSET: flips bits of one byte of the pool.
damage() {
	damage_byte=$(dd if="$pool" bs=1 skip="$1" count=1 status=none | od -An -tu1 | tr -d ' ')
	# shellcheck disable=SC2059
	printf "$(printf '\\%03o' $((damage_byte ^ 16)))" |
		dd of="$pool" bs=1 seek="$1" conv=notrunc status=none
}

need qemu-io
new_pool
random_image img 4
cowbd import img a
cowbd snapshot a@s >/dev/null
random_image other 4
cowbd import other b
cowbd check

# a right pool stays as it is, to the byte
before=$(sum)
expect 0 "$COWBD" check --repair
grep -q '^nothing to repair' out || fail "it found something: $(cat out)"
same "$(sum)" "$before"
expect 64 "$COWBD" check --dry-run

# nor does it touch the checksums that a scrub has left there
cowbd scrub
before=$(sum)
expect 0 "$COWBD" check --repair
grep -q '^nothing to repair' out || fail "it found something after a scrub: $(cat out)"
same "$(sum)" "$before"

# one copy of the superblock
damage 2097952
expect 2 "$COWBD" check
expect 0 "$COWBD" check --repair
expect 0 "$COWBD" check

# a leaf of the map of a, which its snapshot shares
cowbd dump >dump
offset=$(sed -n 's/.*"what":"map".*"offset":\([0-9]*\).*"level":0,"first":0.*/\1/p' dump | head -n 1)
damage $((offset + 1000))
before=$(sum)
expect 2 "$COWBD" check --repair --dry-run
same "$(sum)" "$before"
grep -q '^lost: a: bytes 0 to 2097151' out || fail "a's loss is not listed: $(cat out)"
expect 0 "$COWBD" check --repair --json
json_ok out
grep -q '"object": "a@s"' out || fail "the loss of a@s is not listed: $(cat out)"
expect 0 "$COWBD" check
cowbd export b b.img
cmp b.img other || fail "another volume has changed"
cowbd export a a.img
cmp -i 2097152 a.img img || fail "more is lost than was said"
cowbd export a@s s.img
cmp s.img a.img || fail "the snapshot differs"

# a pool that is served
serve
expect 1 "$COWBD" check --repair
says 'is being served'
cowbd stop

# a batch of the journal of a daemon that was killed, with others after it: what was before it is kept, the rest told of
new_pool
serve
cowbd create v 64M
n=1
while [ $n -le 12 ]; do
	qemu-io -f raw -c "write -P $n $((n * 64))k 64k" -c flush "$(cowbd uri v)" >/dev/null
	n=$((n + 1))
done
kill -9 "$(server_pid)"
# the journal begins at 4 MiB, and a flush alone is a batch of one page: batch 8 is of the 7th write
damage $((4194304 + 7 * 4096 + 100))
expect 2 "$COWBD" check
grep -q 'journal batch 8 is damaged, and batch 9 is there' out || fail "the batch is not named: $(cat out)"
expect 1 "$COWBD" serve --daemon
says 'batch 8 .*--after-error'
before=$(sum)
expect 2 "$COWBD" check --repair --dry-run
same "$(sum)" "$before"
grep -q '^lost: .*from a damaged batch of the journal on' out || fail "the loss is not told: $(cat out)"
expect 0 "$COWBD" check --repair
grep -q '^lost: .*from a damaged batch of the journal on' out || fail "the loss is not told: $(cat out)"
expect 0 "$COWBD" check
serve
n=1
while [ $n -le 12 ]; do
	qemu-io -f raw -c "read -P $((n <= 6 ? n : 0)) $((n * 64))k 64k" "$(cowbd uri v)" >out
	grep -q '^read ' out && ! grep -qi 'verification failed' out || fail "write $n: $(cat out)"
	n=$((n + 1))
done
cowbd stop
expect 0 "$COWBD" check
