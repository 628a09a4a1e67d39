#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# fio.sh - fio --verify through a proxy that connects again doesn't notice that the daemon is killed
#
# The proxy does what a kernel client does: a request that has no answer is sent again to the next daemon.
. "$top_srcdir/tests/nbd/functions.sh"

need fio
fio --enghelp 2>/dev/null | grep -q nbd || skip "fio has no nbd engine"
nbdkit nbd --version >/dev/null 2>&1 || skip "nbdkit has no nbd plugin"
nbdkit --filter=retry null --version >/dev/null 2>&1 || skip "nbdkit has no retry filter"
new_pool
serve
tail=$(tail_path)
[ -e "$tail" ] || skip "there is no tail here: $tail"
"$COWBD" create vol 64M
proxy_sock=$TEST_DIR/proxy.sock
nbdkit -f -U "$proxy_sock" --filter=retry nbd "uri=$(uri vol)" retry=30 \
	retries=60 retry-delay=1 retry-exponential=no >proxy.log 2>&1 &
proxy=$!
end_proxy() {
	kill $proxy 2>/dev/null || :
	end_server
}
trap end_proxy EXIT
wait_for 10 test -S "$proxy_sock"
# a slow pace: there are to be daemons enough to kill
fio --name=verify --ioengine=nbd --uri="nbd+unix:///?socket=$proxy_sock" --rw=randwrite \
	--bsrange=512-65536 --blockalign=512 --size=64M --io_size=32M --iodepth=16 --rate=4m \
	--verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=11 --fsync=50 --minimal >fio.out 2>&1 &
fio=$!
kills=0
while [ $kills -lt "${KILL_CYCLES:-4}" ] && kill -0 $fio 2>/dev/null; do
	sleep 0.8
	kill -9 "$server"
	wait "$server" || :
	kills=$((kills + 1))
	"$COWBD" snapshot "vol@$kills" >/dev/null # by recovering it alone
	serve
done
wait $fio || fail "$(tail -n 5 fio.out)"
[ $kills -gt 1 ] || fail "killed only $kills times"
kill $proxy
wait $proxy || :
stop_server
"$COWBD" check
