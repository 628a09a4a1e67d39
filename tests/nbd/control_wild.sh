#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# control_wild.sh - each argument of each command, of every type it is not; JSON at its limits; the pool stays sound
. "$top_srcdir/tests/nbd/functions.sh"

new_pool
serve
"$COWBD" create vol 1M
"$COWBD" snapshot vol@one
ctl=$(control_socket)

values='null true -1 0 1e999 0.5 9223372036854775807 9223372036854775808 "" "\u0000" "@" "no@such" [] [[]] [null] ["",1] {} {"a":[]}'
n=0
# request NAME ARG: asks once with each value
request() {
	for value in $values; do
		n=$((n + 1))
		case $value in
		# no number of JSON, or none that fits: the line is not JSON, and the connection ends
		1e999 | 9223372036854775808 | *u0000*)
			printf '%s\n' "open x $ctl" 'expect x "hello"' \
				"send x {\"id\":$n,\"cmd\":\"$1\",\"args\":{\"$2\":$value}}" 'expect x "error"' 'drop x'
			continue
			;;
		esac
		printf '%s\n' "send a {\"id\":$n,\"cmd\":\"$1\",\"args\":{\"$2\":$value}}" "expect a {\"id\":$n,\""
	done
}
{
	echo "open a $ctl"
	echo 'expect a "hello"'
	while read -r command args; do
		for arg in $args other; do request "$command" "$arg"; done
	done <<-END
		status
		ls usage
		info name
		diff a b
		check
		create name size sector_size no_wait
		rm names recursive dry_run force no_wait
		rename name new_name no_wait
		resize name size force no_wait
		snapshot names label no_wait
		clone source names no_wait
		rollback name undo keep discard force no_wait
		grow size
		nonsense
	END
} >lines
talk <lines
tried=$(grep -c '^send' lines)

# nested K BRACKET: that often
nested() {
	head -c "$1" /dev/zero | tr '\0' "$2"
}
# refused TEXT...: each is a line that is no request; a connection each
refused() {
	for text in "$@"; do
		tried=$((tried + 1))
		printf '%s\n' "open x $ctl" 'expect x "hello"' "send x $text" 'expect x "error"' 'drop x'
	done | talk
}
refused "$(nested 3000 '[')" "$(nested 60000 '[')" "$(nested 3000 '{')" '{"id":1,"id":2,"cmd":"status"}' \
	'{"cmd":"status","args":{"a":1,"a":2}}' '{"cmd":"sta' '"' '{"cmd":"status"}}' "$(printf '{"cmd":"\377\376"}')" \
	"$(printf '{"cmd":"\355\240\200"}')" "$(printf '{"cmd":"\300\257"}')" '{"cmd":"\ud800"}' '{"cmd":"a\u0000b"}' \
	'{"cmd":"status","args":3}' '{"cmd":["status"]}' '{"v":"1","cmd":"status"}' '{"v":-1,"cmd":"status"}' 'null' '7' \
	"{\"cmd\":\"$(nested 50000 x)\"}" "{\"cmd\":\"create\",\"args\":{\"name\":\"$(nested 50000 x)\",\"size\":512}}"
echo "+ $tried wild requests at the control socket"

"$COWBD" info vol >/dev/null
"$COWBD" check
stop_server
"$COWBD" check
