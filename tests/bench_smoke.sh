#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# bench_smoke.sh - bench/compare, very small: table, JSON, picture and README come out; nothing is left. No figure is judged
. "$top_srcdir/tests/lib/test.sh"

need_plugin
need python3 fio fincore
load=$top_builddir/bench/load
[ -x "$load" ] || skip "bench/load is not built"

# compare ARG...: results in results/.
compare() {
	"$top_srcdir/bench/compare" --smoke --build "$top_builddir" --dir "$TEST_DIR" --out results "$@" >compare.out 2>&1
}

status=0
compare --only write-d16,after-d16,flush-each,stall-every,delete,amplification,instant,cowbd,file,null,qcow2,dm-thin ||
	status=$?
cat compare.out
[ $status -ne 77 ] || skip "no room"
[ $status -eq 0 ] || fail "status $status"

python3 - <<'END' || fail "the JSON is not as it should be"
import json
import xml.dom.minidom

r = json.load(open("results/smoke.json"))
assert r["version"] == 1 and r["failures"] == []
assert r["setting"]["rounds"] == 1 and r["machine"]["versions"]["cowbd"]
for name in ("write-d16", "after-d16", "stall-every", "delete"):
    cell = r["loads"][name]["peers"]["cowbd"][0]
    assert cell["round"] == 0 and cell["rate"] > 0 and cell["durable_rate"] > 0 and cell["write_max_us"] > 0, name
assert set(r["loads"]["write-d16"]["peers"]) >= {"cowbd", "null", "file"}
assert r["loads"]["flush-each"]["peers"]["cowbd"][0]["flush_p50_us"] > 0
assert r["loads"]["delete"]["peers"]["cowbd"][0]["reclaim_blocks_rate"] > 0
assert r["instant"][0]["snapshot_p50"] > 0 and r["instant"][0]["recovery"] > 0
states = {t["what"]: t["state"] for t in r["targets"]}
assert states["random 4 KiB write, depth 16 / nbdkit file"] in ("red", "green")
assert "not measured" in states.values()
xml.dom.minidom.parse("results/smoke.svg")
END
grep -q '^| random 4 KiB write, depth 16 / nbdkit file |' results/smoke.md || fail "no table of targets"
grep -q '^### .*(`after-d16`)' results/smoke.md || fail "no table of a load"

# A run that goes on keeps what is there and measures the rest; what is named is measured anew, by whole groups.
cp results/smoke.json before.json
compare --resume --only reads || fail "--resume: status $?"
python3 - <<'END' || fail "--resume does not keep what was there"
import json

before, after = json.load(open("before.json")), json.load(open("results/smoke.json"))
assert set(after["loads"]) == set(before["loads"]) | {"read-d16", "read-d16-again"}, set(after["loads"])
assert all(after["loads"][name] == load for name, load in before["loads"].items())
assert after["instant"] == before["instant"]
END
expect 64 "$top_srcdir/bench/compare" --smoke --resume --only read-d16,cowbd
says "whole groups"
"$top_srcdir/bench/compare" --smoke --build "$top_builddir" --dir "$TEST_DIR" --out results --estimate --only read-d16 2>estimate.out
grep -q '^about .* minutes: reads ' estimate.out || fail "no estimate"

# The same result goes into a README, between its marks, and only there.
printf 'before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n' >README.md
cp results/smoke.json results/full.json
"$top_srcdir/bench/compare" --readme README.md --out results
grep -q '| random 4 KiB write, depth 16 / nbdkit file |' README.md || fail "no table in the README"
! grep -q old README.md || fail "the old text is still there"
[ "$(sed -n '1p;$p' README.md)" = "before
after" ] || fail "the README's own text is changed"

# Interrupted: no process, no file, no mount left.
compare --only write-d16,cowbd --rounds 100 &
pid=$!
it_measures() {
	grep -q write-d16 compare.out
}
wait_for 30 it_measures
interrupted=$(pgrep -P $pid -f compare || echo $pid)
kill -TERM "$interrupted"
status=0
wait $pid || status=$?
[ $status -eq 143 ] || fail "interrupted: status $status"
! ls -d "$TEST_DIR"/cowbd-bench.* 2>/dev/null || fail "left behind by the interrupted one"

expect 64 "$top_srcdir/bench/compare" --only nothing
says "neither a load"
