#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# bad_pool.sh - what is no pool is refused with one line, and left as it is
. "$top_srcdir/tests/cli/functions.sh"

unchanged() {
	file=$1
	pattern=$2
	shift 2
	before=$(cksum <"$file")
	expect 1 "$COWBD" -p "$file" "$@"
	says "$pattern"
	same "$(cksum <"$file")" "$before"
}
head -c 8388608 /dev/urandom >noise
: >empty
echo hello >short
for command in ls 'create a 1M' serve check status; do
	unchanged noise 'not a cowbd pool' $command
	unchanged empty 'not a cowbd pool' $command
	unchanged short 'not a cowbd pool' $command
done
expect 1 "$COWBD" -p "$TEST_DIR/nothere" ls
says 'No such file'
expect 1 "$COWBD" -p "$TEST_DIR" ls
says 'not a pool'
expect 1 "$COWBD" -p nothere ls
says 'no such file, and no daemon serves'
unset COWBD_POOL
expect 1 "$COWBD" ls
says 'which pool'

COWBD_POOL=$pool
export COWBD_POOL
new_pool
expect 1 "$COWBD" init "$pool"
says 'force'
cowbd ls
# truncated
cp --sparse=always "$pool" cut
truncate -s 3M cut
unchanged cut . ls
