#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# logwrites lists a dm-log-writes log, says where a cut is worth a look, replays up to an entry or a mark, and loses what no flush covers.
. "$top_srcdir/tests/lib/test.sh"
logwrites=$top_builddir/tests/crash/logwrites

# bytes WORD...: each as eight bytes, little-endian
bytes() {
	for word in "$@"; do
		for shift in 0 8 16 24 32 40 48 56; do
			# shellcheck disable=SC2059 # the format is the byte
			printf "\\$(printf %03o $((word >> shift & 255)))"
		done
	done
}
sector() { # what stdin holds, filled up to 512 bytes
	cat >part
	truncate -s 512 part
	cat part
}
data() { # LETTER
	head -c 512 /dev/zero | tr '\0' "$1"
}

{
	bytes $((0x6a736677736872)) 1 6 512 | sector
	bytes 1 1 0 0 | sector && data A # a write
	bytes 0 0 1 0 | sector           # flush
	{ bytes 0 0 8 4 && printf here; } | sector
	bytes 2 1 0 0 | sector && data B
	bytes 3 1 2 0 | sector && data C # with FUA
	bytes 1 1 4 0 | sector           # discard
} >log

$logwrites list log >out
cat >want <<'END'
# 6 entries, sectors of 512 bytes
0 512 512
1 0 0 flush
2 0 0 mark here
3 1024 512
4 1536 512 fua
5 512 512 discard
END
cmp want out
[ "$($logwrites cuts log | tr '\n' ' ')" = "2 3 5 6 " ] || fail "cuts: $($logwrites cuts log)"

letters() { tr '\0' . <"$1" | fold -w 512 | cut -c 1 | tr -d '\n'; }
[ "$($logwrites replay log image --size 2048)" = "applied 4 of 6 entries, 0 lost" ]
[ "$(letters image)" = "..BC" ] || fail "$(letters image)"
rm image
$logwrites replay log image --size 2048 --mark here >out
[ "$(letters image)" = ".A.." ] || fail "up to the mark: $(letters image)"
lost=
for seed in 1 2 3 4 5 6 7 8 9 10 11 12; do
	rm image
	$logwrites replay log image --size 2048 --upto 6 --lose $seed >out
	lost="$lost $(letters image)"
done
for may in ..BC .ABC ...C .A.C; do
	case $lost in *" $may"*) ;; *) fail "never $may: $lost" ;; esac
done
[ "$(echo "$lost" | tr ' ' '\n' | sort -u | grep -c .)" -eq 4 ] || fail "something else: $lost"

! $logwrites replay log image --mark nowhere 2>err || fail "a mark that is not there"
grep -q nowhere err
! $logwrites list /dev/null 2>err || fail "no log"
