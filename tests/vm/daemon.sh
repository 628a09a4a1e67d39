#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# daemon.sh - the kernel's client, and a daemon that is killed, or hands over to the next; a full pool that is emptied
. "$top_srcdir/tests/vm/functions.sh"
vm_run kill:ext4:2 takeover hold_rm
