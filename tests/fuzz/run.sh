#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# run.sh - builds the fuzz targets with clang's libFuzzer, ASan and UBSan, and runs each for a while
#
#	run.sh [TARGET...]		called by `make fuzz`, which says where everything is
#
# FUZZ_SECONDS: how long each runs (60).  What it learns stays in fuzz/corpus/TARGET of the build directory,
# what it finds goes to fuzz/found.  Figures for scripts/reliability go to stdout.
set -eu

all_targets="pages journal pool admin"
seconds=${FUZZ_SECONDS:-60}
here=$top_srcdir/tests/fuzz
out=$top_builddir/fuzz
flags="-std=gnu11 -g -O1 -pthread -fno-omit-frame-pointer -fno-sanitize-recover=undefined -DCOWBD_TINY"

command -v "${CLANG:=clang}" >/dev/null || {
	echo "skipped: clang is not installed"
	exit 77
}
mkdir -p "$out/obj" "$out/found"
echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d && n > 9; }' >"$out/try.c"
"$CLANG" -fsanitize=fuzzer,address,undefined -o "$out/try" "$out/try.c" 2>/dev/null || {
	echo "skipped: $CLANG has no libFuzzer: apt install libclang-rt-14-dev"
	exit 77
}

# ---- building ---------------------------------------------------------------------------------

# Everything again if anything is newer: 20 seconds.
cd "$top_builddir"
if [ ! -f "$out/built" ] || [ -n "$(find "$top_srcdir/src" "$top_srcdir/plugin" "$here" -name '*.[ch]' -newer "$out/built")" ]; then
	for source in $sources; do
		case $source in *.c) echo "$source" ;; esac
	done | xargs -P "$(nproc)" -I{} sh -c '
		# shellcheck disable=SC2086 # lists of words
		'"$CLANG $CPPFLAGS $flags"' -fsanitize=fuzzer-no-link,address,undefined -c \
			-o "'"$out"'/obj/$(basename {} .c).o" "'"$top_srcdir"'/{}"'
	for target in $all_targets; do
		for main in fuzz replay; do
			extra="$here/fuzz_main.c" kind=address,undefined
			[ $main = replay ] || extra='' kind=fuzzer,address,undefined
			# shellcheck disable=SC2086 # lists of words
			$CLANG $CPPFLAGS $flags -fsanitize=$kind -o "$out/${main}_$target" "$here/fuzz_$target.c" \
				"$here/image.c" "$here/use.c" $extra "$out"/obj/*.o $LIBS
		done
	done
	touch "$out/built"
fi

# ---- running ----------------------------------------------------------------------------------

# seconds_between FILE FILE: of processor, that children used between two outputs of `times`.
seconds_between() {
	tail -qn 1 "$1" "$2" | sed 's/[ms]/ /g' |
		awk '{now = $1 * 60 + $2 + $3 * 60 + $4; used = now - before; before = now} END {printf "%d\n", used}'
}

status=0
echo "# Hostile metadata and requests, by libFuzzer with ASan and UBSan (make fuzz | scripts/reliability note fuzz)"
for target in $all_targets; do
	echo "< 1200 $target: seconds of processor"
done
# shellcheck disable=SC2048 # a list of words
for target in ${*:-$all_targets}; do
	corpus=$out/corpus/$target
	mkdir -p "$corpus"
	"$out/replay_$target" --seeds "$corpus"
	dict=
	[ ! -f "$here/$target.dict" ] || dict=-dict=$here/$target.dict
	case $target in pool | journal) max=65536 ;; *) max=8192 ;; esac
	times >"$out/times.before"
	# shellcheck disable=SC2086 # no dictionary is no argument
	"$out/fuzz_$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 -max_len=$max $dict \
		-print_final_stats=1 -artifact_prefix="$out/found/$target-" -verbosity=1 \
		"$corpus" "$here/corpus/$target" >"$out/$target.log" 2>&1 || {
		echo "$target: FOUND something:"
		tail -n 40 "$out/$target.log"
		status=1
	}
	executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$target.log")
	# without the final numbers (it crashed): those of the last line of progress
	[ -n "$executions" ] || executions=$(sed -n 's/^#\([0-9]*\).*/\1/p' "$out/$target.log" | tail -n 1)
	times >"$out/times.after"
	used=$(seconds_between "$out/times.before" "$out/times.after")
	echo "+ ${executions:-0} $target: executions"
	echo "+ $used $target: seconds of processor"
	echo "$target: $executions executions, $used s of processor, $(find "$corpus" -type f | wc -l) inputs kept"
done
exit $status
