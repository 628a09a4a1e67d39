# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
# kill.sh TYPE:ROUNDS[:CONNECTIONS] - the daemon is killed below a mounted file system under load, and served again
#
#	writes .......... kill -9    served again    writes go on .......... (next round)
#	            low                       snapshot  high
#
# The file system must see nothing, and nothing that was acknowledged may be missing: neither in the end, nor in the
# snapshot of each round, which must hold what was acknowledged before the kill.  In odd rounds `cowbd serve` gives
# the device new connections; in even ones the daemon is started by hand, and only `cowbd reattach --watch` can.
. /tests/lib.sh
type=$(echo "$1" | cut -d : -f 1)
rounds=$(echo "$1" | cut -d : -f 2)
connections=$(echo "$1:" | cut -d : -f 3)
begin

acknowledged() {
	writer show state | awk '{n += $2} END {print n + 0}'
}

# has_moved N: has more been acknowledged?
has_moved() {
	[ "$(acknowledged)" -gt "$1" ]
}

ms() {
	awk '{print int($1 * 1000)}' /proc/uptime
}

cowbd create disk 400M
device=$(cowbd attach disk --connections "${connections:-1}")
make_fs "$type" "$device"
mkdir live look
mount -t "$type" "$device" live
mkdir live/files
sync
by_hand=$(tr '\0' ' ' <"/proc/$daemon/cmdline" | sed 's/ nbd-socket=/ --unix=/')
socket=$(echo "$by_hand" | sed 's/.*--unix=\([^ ]*\) .*/\1/')
cowbd reattach --watch >watched &
watcher=$!
writer write live/files state -t 2 -s 40 >writes &
writer=$!
wait_for 30 has_moved 0

round=0
longest=0
while [ $round -lt "$rounds" ]; do
	round=$((round + 1))
	sleep 0.$((round * 37 % 10))
	cp state low$round
	before=$(acknowledged)
	kill_daemon
	killed=$(ms)
	if [ $((round % 2)) -eq 1 ]; then
		serve
	else
		rm -f "$socket"
		$by_hand >>by_hand.log 2>&1 &
		daemon=$!
		wait_for 30 test -S "$socket"
	fi
	# the one that was under way when the daemon died, and another
	wait_for 60 has_moved $((before + 2))
	took=$(($(ms) - killed))
	[ $took -le $longest ] || longest=$took
	kill -0 $writer || fail "round $round: the writer has ended: $(cat writes)"
	cowbd snapshot "disk@r$round" >/dev/null
	cp state high$round
done
kill $writer
wait $writer || fail "the writer: $(cat writes)"
kill $watcher
wait $watcher || :
if [ "$rounds" -ge 2 ]; then
	grep -q "^$device: " watched || fail "the watcher has connected nothing"
fi
[ "$(acknowledged)" -gt 0 ]
writer verify live/files state
echo still >live/writable
umount live
check_fs "$type" "$device"
echo 3 >/proc/sys/vm/drop_caches
mount -t "$type" "$device" live
writer verify live/files state
umount live
cowbd detach disk
[ "$type" != btrfs ] || btrfs device scan --forget

round=0
while [ $round -lt "$rounds" ]; do
	round=$((round + 1))
	cowbd mount "disk@r$round" look
	writer verify look/files low$round high$round >/dev/null
	where=$(awk '$2 == "/tmp/work/look" {print $1}' /proc/mounts)
	# the device goes with its last use
	exec 9<"$where"
	umount look
	check_fs "$type" "$where"
	exec 9<&-
	wait_for 20 is_detached "$where"
	[ "$type" != btrfs ] || btrfs device scan --forget
done
echo "$type: $rounds kills, writes went on after at most $longest ms"
echo "+ $rounds kernel's NBD client, $type: kills with nothing lost, each with a snapshot verified and passed by fsck"
