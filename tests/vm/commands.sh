#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# commands.sh - snapshot --freeze, rollback and resize of what is mounted from the kernel's client, bad use, and udev
. "$top_srcdir/tests/vm/functions.sh"
vm_udev=yes
vm_run bad_use freeze:ext4 rollback:ext4 grow:ext4 udev:ext4
