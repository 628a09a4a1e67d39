#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# mount.sh - cowbd attach, mount and umount, with the kernel's NBD client; a full pool
. "$top_srcdir/tests/vm/functions.sh"
vm_run mount:ext4 mount:xfs mount:btrfs
