#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# logwrites.sh - a log of the kernel's dm-log-writes: it is read right, and a pool survives a cut anywhere in it
. "$top_srcdir/tests/vm/functions.sh"
need dmsetup
logwrites=$top_builddir/tests/crash/logwrites
bytes=$((128 << 20))

truncate -s $bytes vdb
truncate -s 1G vdc
for name in vdb vdc; do
	vm_disks="${vm_disks:-} -drive file=$TEST_DIR/$name,format=raw,if=none,id=$name,cache=unsafe,discard=unmap
		-device virtio-blk-pci,drive=$name"
done
vm_run logwrites

"$logwrites" list vdc >list
echo "$(head -n 1 list), $(grep -c flush list) with a flush, $(grep -c fua list) with FUA, $(grep -c discard list) discards"
for mark in written discarded made created-v4 stopped; do
	grep -q "mark $mark\$" list || fail "no mark $mark"
done

# replay MARK|"" [ARG...]: to image
replay() {
	rm -f image
	replay_mark=$1
	shift
	"$logwrites" replay vdc image --size $bytes ${replay_mark:+--mark "$replay_mark"} "$@" >said
}

# what was written before the first mark, made here
letters() { # LETTER BYTES
	head -c "$2" /dev/zero | tr '\0' "$1"
}
{
	letters 0 65536
	letters 1 4096
	letters x 4096
	letters 1 57344
	letters 2 65536
	letters 3 65536
} >want
replay written
cmp -n 262144 want image
[ "$(tail -c +262145 image | tr -d '\0' | wc -c)" -eq 0 ] || fail "something that was not written"
replay discarded
letters '\0' 65536 | dd of=want bs=64k seek=2 conv=notrunc status=none
cmp -n 262144 want image

# all of it is what the disk holds
replay ''
cmp image vdb

# The power goes: the pool opens, is whole, and has all that was acknowledged before.
first=$(sed -n 's/ .* mark made$//p' list)
"$logwrites" cuts vdc | awk -v first="$first" '$1 > first' >cuts
tried=0
for cut in $(awk -v n="$(wc -l <cuts)" 'NR % (int(n / 25) + 1) == 1' cuts); do
	for lose in '' "--lose $cut"; do
		# shellcheck disable=SC2086 # a list of words
		replay '' --upto "$cut" $lose
		"$COWBD" -p image check >checked 2>&1 || fail "cut at $cut $lose: $(cat checked)"
		"$COWBD" -p image ls -o NAME --noheadings | tr -d ' ' >names
		for name in $(awk -v cut="$cut" '$1 < cut' list | sed -n 's/.* mark created-//p'); do
			grep -qx "$name" names || fail "cut at $cut $lose: $name is gone"
		done
		tried=$((tried + 1))
	done
done
echo "$tried cuts of a pool's log, of $(wc -l <cuts) places"
[ $tried -ge 20 ] || fail "too few"
