#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hold.sh - a full pool: the kernel's client waits for space
. "$top_srcdir/tests/vm/functions.sh"
vm_cpus=2 # so that a disk's connections are all used
vm_run hold
