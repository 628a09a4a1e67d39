#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# commands_long.sh - the scenarios of commands.sh with XFS and btrfs
. "$top_srcdir/tests/vm/functions.sh"
vm_udev=yes
vm_run freeze:xfs freeze:btrfs rollback:xfs rollback:btrfs grow:xfs grow:btrfs udev:xfs
