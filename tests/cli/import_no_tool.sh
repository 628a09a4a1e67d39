#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# import_no_tool.sh - an image whose tool isn't installed is refused with the line to type
. "$top_srcdir/tests/cli/functions.sh"

new_pool
mkdir bin
printf 'QFI\373' >image
truncate -s 1M image
PATH=$TEST_DIR/bin expect 1 "$COWBD" import image a
says '`apt install qemu-utils`'
printf '\037\213' >image.gz
PATH=$TEST_DIR/bin expect 1 "$COWBD" import image.gz a
says '`apt install gzip`'
same "$(names)" ""
