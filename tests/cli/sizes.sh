#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# sizes.sh - sizes: units, fractions, and what is refused
. "$top_srcdir/tests/cli/functions.sh"

new_pool
size_of() {
	cowbd create v "$1" 2>/dev/null || fail "$1 was refused"
	cowbd ls -o SIZE --noheadings --bytes v | tr -d ' '
	cowbd rm v
}
same "$(size_of 4096)" 4096
same "$(size_of 512)" 512
same "$(size_of 1K)" 1024
same "$(size_of 10m)" 10485760
same "$(size_of 10MiB)" 10485760
same "$(size_of 512KB)" 512000
same "$(size_of 1.5G)" 1610612736
same "$(size_of 2T)" 2199023255552

refused 64 'is zero' create v 0
refused 64 'no multiple of 512 bytes: the next one up is 1024' create v 1000
refused 64 'beyond what 64 bits hold' create v 16E
refused 64 'beyond what 64 bits hold' create v 99999999999999999999999
refused 64 'is no size' create v 10X
refused 64 'is no size' create v -- -5
refused 64 'is no size' create v ten
refused 64 'is no size' create v ''
refused 64 'is no size' create v 1.5
refused 64 'is no size' create v 0x1000
refused 64 'sector size' create v 1M --sector-size 0
refused 1 'choose 512 or 4096' create v 1M --sector-size 1024
refused 1 'no multiple of the sector size' create v 512 --sector-size 4096
cowbd create v 1M
refused 64 'is zero' resize v 0
refused 64 'the next one up is 1024' resize v 513
