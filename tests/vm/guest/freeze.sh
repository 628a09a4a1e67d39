# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# freeze.sh TYPE - a frozen snapshot holds what was written without sync, bears its label, and mounts beside its origin
#
# btrfs too, on a kernel that can't tell a copy from its origin: the clone gets another UUID.
. /tests/lib.sh
type=$1
begin

label() {
	cowbd info "$1" --json | sed -n 's/^ *"label": "\(.*\)",$/\1/p'
}

cowbd create disk 1G
device=$(cowbd attach disk)
make_fs "$type" "$device"
cowbd detach disk
mkdir live look
cowbd mount disk live
mkdir live/files
sync
dd if=/dev/urandom of=data bs=1M count=3 2>/dev/null
cowbd snapshot disk@crash >/dev/null
[ "$(label disk@crash)" = crash ] || fail "label $(label disk@crash)"
cp data live/auto
cowbd snapshot disk@auto --freeze auto >/dev/null
cp data live/dir
cowbd snapshot disk@dir --freeze live >/dev/null
writer write live/files state -t 2 -s 40 -T 3 >writes &
writer=$!
sleep 1
cp state low
cowbd snapshot disk@busy --freeze auto >/dev/null
cp state high
wait $writer || fail "the writer: $(cat writes)"
for name in auto dir busy; do
	[ "$(label disk@$name)" = frozen ] || fail "$name has the label $(label disk@$name)"
	cowbd ls -o NAME,LABEL --noheadings | grep -q "^disk@$name *frozen" || fail "ls does not say that $name was frozen"
	cowbd mount disk@$name look
	cmp data look/auto
	[ $name = auto ] || cmp data look/dir
	[ $name != busy ] || writer verify look/files low high
	cowbd umount look
done
if [ "$type" = ext4 ]; then
	device=$(cowbd attach disk@auto)
	! tune2fs -l "$device" | grep needs_recovery || fail "its journal was left to replay"
	check_fs ext4 "$device"
	cowbd detach disk@auto
fi
! cowbd snapshot disk@no --freeze /host 2>why || fail "froze what holds the pool"
cat why
[ "$(wc -l <why)" -eq 1 ]
cowbd umount live
[ "$type" != btrfs ] || btrfs device scan --forget
cowbd snapshot disk@flushed --freeze auto >/dev/null 2>&1
[ "$(label disk@flushed)" = flushed ] || fail "label $(label disk@flushed)"
