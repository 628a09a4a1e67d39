#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# rollback.sh - rollback, undo, keep, discard
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	random_image old 1
	random_image new 1
	cowbd import old a
	cowbd snapshot a@s >/dev/null
	# the volume's new content: a clone of another image takes its place
	cowbd rename a keep
	cowbd rename keep a
	change a new
	cowbd rollback a@s | grep -q 'a@before-rollback'
	content a old
	content a@before-rollback new
	cowbd rollback --undo a >/dev/null
	content a new
	content a@before-rollback old
	cowbd rollback --undo a >/dev/null
	content a old
	content a@before-rollback new

	cowbd rollback a@s --keep lasting >/dev/null
	content a@lasting old
	refused 1 'lasting' rollback a@s --keep lasting
	refused 64 'exclude each other' rollback a@s --keep x --discard
	refused 1 'which snapshot' rollback a
	refused 1 'undo takes a volume' rollback --undo a@s
	cowbd rm a@before-rollback
	same "$(cowbd rollback a@s --discard)" ""
	refused 1 'before-rollback' rollback --undo a
	content a old
}
content() {
	cowbd export "$1" out --force
	cmp "$2" out
}
# change VOL FILE: writes the file over the volume.
change() {
	need nbdcopy
	if [ $way = served ]; then
		nbdcopy "$2" "$(cowbd uri "$1")"
	else
		serve
		nbdcopy "$2" "$(cowbd uri "$1")"
		cowbd stop
	fi
}
both_ways tests
