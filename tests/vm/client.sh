#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# client.sh - the kernel's NBD client, attached by stock nbd-client
. "$top_srcdir/tests/vm/functions.sh"
vm_run snapshots:ext4 snapshots:xfs snapshots:btrfs trim:ext4 trim:xfs
