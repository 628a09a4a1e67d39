#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# completion.sh - bash completes commands, options, and names of volumes and snapshots
. "$top_srcdir/tests/cli/functions.sh"

need bash
new_pool
cowbd create disk 16M
cowbd create data 16M
cowbd snapshot disk@one disk@two data@one >/dev/null

# completed LINE: what could stand at its end, sorted, with blanks between.
completed() {
	PATH=${COWBD%/*}:$PATH LINE=$1 bash --norc -c '
		. "$1/service/cowbd"
		COMP_LINE=$LINE
		COMP_POINT=${#LINE}
		_cowbd
		printf "%s\n" "${COMPREPLY[@]}"' bash "$top_srcdir" | LC_ALL=C sort | tr '\n' ' ' | sed 's/ $//'
}

# must LINE REPLIES
must() {
	same "$(completed "$1")" "$2"
}

must 'cowbd sna' snapshot
must 'cowbd st' 'status stop'
must 'cowbd help ren' rename
must 'cowbd rm d' 'data data@one disk disk@one disk@two'
must 'cowbd rm disk@' 'one two'
must 'cowbd -p somewhere ren' rename
must "cowbd -p $pool info disk@o" one
must 'cowbd resize d' 'data disk'
must 'cowbd snapshot da' data
must 'cowbd clone --c' '--columns --count'
must 'cowbd --vers' --version
must 'cowbd rollback --un' --undo

# every command and every option that there is
for word in $(cowbd --help | sed -n '/^commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p'); do
	case " $(completed "cowbd $word") " in
	*" $word "*) ;;
	*) fail "$word is not completed" ;;
	esac
	for option in $(cowbd "$word" --help | grep -o '^  \(-., \|    \)--[a-z-]*' | grep -o -e '--.*'); do
		case " $(completed "cowbd $word $option") " in
		*" $option "*) ;;
		*) fail "$word $option is not completed" ;;
		esac
	done
done

# files, where a command takes one
touch image.raw
must 'cowbd import imag' image.raw
