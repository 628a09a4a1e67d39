#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# names.sh - names that can't be are refused
. "$top_srcdir/tests/cli/functions.sh"

tests() {
	cowbd create good 1M
	long=$(printf '%0256d' 0)
	for bad in '' -x .x a/b 'a@' '@a' 'a@b@c' "$long" "$(printf 'a\001b')" "$(printf 'a\nb')" \
		"$(printf '\377')" "$(printf 'a\303')"; do
		refused 1 . create -- "$bad" 1M
		refused 1 . rename -- good "$bad"
		refused 1 . clone -- good "$bad"
	done
	refused 1 . create a@b 1M
	refused 1 . snapshot -- good@
	refused 1 . snapshot -- "good@$long"
	refused 1 . snapshot -- good@-x
	refused 1 'good' create good 2M
	refused 1 'nothere' info nothere
	refused 1 'nothere' rm nothere
	refused 1 'nothere' ls nothere
	refused 1 'nothere' snapshot nothere
	refused 1 'nothere' clone nothere x
	refused 1 'nothere' clone good@nothere x
	refused 1 'nothere' rollback good@nothere
	refused 1 'nothere' rename nothere x
	refused 1 'nothere' resize nothere 1M
	refused 1 'nothere' diff good nothere
	refused 1 'nothere' export nothere out.img
	[ ! -e out.img ] || fail "a file was made for nothing"

	most=$(printf '%0255d' 0)
	cowbd create "$most" 1M
	cowbd snapshot "$most@$most" >/dev/null
	cowbd create 'Bücher und Ähnliches' 1M
	cowbd info 'Bücher und Ähnliches' >/dev/null
}
both_ways tests
