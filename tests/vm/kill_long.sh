#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# kill_long.sh - 20 deaths of the daemon below ext4, XFS and btrfs each, on the kernel's NBD client
. "$top_srcdir/tests/vm/functions.sh"
vm_timeout=600
rounds=${VM_ROUNDS:-20}
vm_run "kill:ext4:$rounds" "kill:xfs:$rounds" "kill:btrfs:$rounds" kill:ext4:2:2
