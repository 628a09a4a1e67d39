#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# import_formats.sh - import reads qcow2, vmdk, vdi, vhdx, gz and xz
. "$top_srcdir/tests/cli/functions.sh"

need qemu-img qemu-nbd gzip xz
tests() {
	random_image img 2
	for format in qcow2 vmdk vdi vhdx; do
		qemu-img convert -O $format img img.$format
		cowbd import img.$format $format --json >json
		same "$(field json format)" $format
	done
	gzip -kf img
	xz -kf img
	cowbd import img.gz gz
	cowbd import img.xz xz
	cowbd import - stdin --format gz <img.gz
	for volume in qcow2 vmdk vdi vhdx gz xz stdin; do
		cowbd export $volume out --force
		cmp img out
	done
	mapped=$(cowbd ls qcow2 -o MAPPED --noheadings --bytes | tr -d ' ')
	[ "$mapped" -le 2260992 ] || fail "$mapped bytes mapped"
}
both_ways tests
