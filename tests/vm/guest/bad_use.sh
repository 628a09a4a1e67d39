# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# bad_use.sh - what can't be done with the kernel's client gets one clear line, and changes nothing
. /tests/lib.sh
begin

# refused WORDS COMMAND...: fails with one line in which these words are.
refused() {
	refused_words=$1
	shift
	! "$@" >out 2>why || fail "not refused: $*"
	echo "$*: $(cat why)"
	[ "$(wc -l <why)" -eq 1 ] || fail "not one line"
	grep -q "$refused_words" why || fail "it does not say: $refused_words"
}

cowbd create disk 256M
cowbd create other 16M
refused 'no volume "nothing"' cowbd attach nothing
refused '/dev/nbdN or /dev/loopN' cowbd attach disk --device /dev/nothing
refused '/dev/nbdN or /dev/loopN' cowbd attach disk --device /dev/vda
refused 'disk is not attached' cowbd detach disk
refused 'no device /dev/nothing' cowbd detach /dev/nothing
refused '/dev/vda is not attached by cowbd' cowbd detach /dev/vda
device=$(cowbd attach disk)
refused "attached already, as $device" cowbd attach disk
refused "$device" cowbd attach other --device "$device"
make_fs ext4 "$device"
mkdir live again
mount -t ext4 "$device" live
refused "mounted on /tmp/work/live" cowbd detach disk
refused "mounted on /tmp/work/live" cowbd detach "$device"
refused "mounted already, on /tmp/work/live" cowbd mount disk again
refused 'nothing is mounted' cowbd umount again
refused 'mounted on /tmp/work/live' cowbd attach disk
refused '/host' cowbd umount /host
umount live
refused 'nothing that is known' cowbd mount other again
refused 'No such file' cowbd mount disk nothere
cowbd detach disk
# a client that nobody of cowbd's attached is left alone
nbd-client -unix /run/cowbd/pool.nbd /dev/nbd5 -N other -b 512 >/dev/null
wait_for 10 is_attached /dev/nbd5
refused '/dev/nbd5' cowbd attach disk --device /dev/nbd5
detach_stock /dev/nbd5
