# SPDX-License-Identifier: BSD-3-Clause
"""instant.py - what takes no time whatever the size: snapshots, clones, rollbacks, opening, recovery

Each row is a volume of cowbd, thin, with blocks scattered over it; or a size of the journal, that was full when the
daemon was killed.  Times are those of the command, from its start to its end, unless said otherwise.
"""

import json
import math
import os
import subprocess
import time

from .machine import GIB, MIB, Failed, die_with_parent, run
from .peers import Cowbd
from .report import median, ms

TIB = 1 << 40


def timed(what, *args):
    begin = time.monotonic()
    what(*args)
    return time.monotonic() - begin


def quantile(sample, q):
    """The least value that so much of the sample does not exceed."""
    s = sorted(sample)
    return s[max(math.ceil(len(s) * q) - 1, 0)]


class Pool(Cowbd):
    """A pool for one row."""

    needs_fill = False

    def __init__(self, bench, name, size, init_options=()):
        self.name = name
        super().__init__(bench)
        self.init_options = list(init_options)
        self.make(size)
        self.serve(4)

    def spawn(self, *args):
        """As run by a shell: only the start and the end of the command are timed."""
        args = [self.bench.program("cli/cowbd")] + [str(a) for a in args]
        log = os.path.join(self.bench.run_dir, "command.log")  # names, and the note that volumes promise much
        null = [(os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
        _, status = os.waitpid(os.posix_spawn(args[0], args, self.spawn_environment, file_actions=null), 0)
        if status != 0:
            with open(log) as f:
                raise Failed("%s: %s" % (" ".join(args), f.read().strip()))

    def serve(self, threads):
        super().serve(threads)
        self.spawn_environment = self.environment()

    def reopen(self):
        """-> seconds from the start of `serve` until clients can connect"""
        return timed(self.serve, 4)

    def kill(self):
        self.server.kill()
        self.server = None


class Names:
    def __init__(self):
        self.n = 0

    def __call__(self):
        self.n += 1
        return "disk@n%d" % self.n


def snapshots(pool, row, count):
    """count of each kind, by the command; by the socket twenty times as many, since they take no time."""
    name = Names()
    control = pool.control()
    kinds = {
        "nothing": lambda: pool.spawn("--version"),  # what any command takes to start and end
        "snapshot": lambda: pool.spawn("snapshot", name()),
        "snapshot_no_wait": lambda: pool.spawn("snapshot", "--no-wait", name()),
        "snapshot_socket": lambda: control.ask("snapshot", names=[name()], no_wait=True),
    }
    for kind, what in kinds.items():
        times = [timed(what) for _ in range(20 * count if kind == "snapshot_socket" else count)]
        row[kind + "_p50"], row[kind + "_p99"] = median(times), quantile(times, 0.99)
    control.close()


def measure_volume(bench, size, blocks, count, more_snapshots=0):
    pool = Pool(bench, "instant", size)
    row = {"size": size, "blocks": blocks, "snapshots": more_snapshots}
    try:
        pool.load("--order", "random", "--depth", "16", "--requests", blocks)
        if more_snapshots:
            pool.deepen(more_snapshots)
        snapshots(pool, row, count)
        row["clone"] = median([timed(pool.spawn, "clone", "disk@n1", "c%d" % i) for i in range(5)])
        row["clone_1000"] = median([timed(pool.spawn, "clone", "-n", "1000", "disk@n1", "many%d-" % i) for i in range(3)])
        row["rollback"] = median([timed(pool.spawn, "rollback", "disk@n%d" % i) for i in (1, 2, 3)])
        row["rm"] = median([timed(pool.spawn, "rm", "disk@n%d" % i) for i in range(4, 7)])
        row["rm_no_wait"] = median([timed(pool.spawn, "rm", "--no-wait", "disk@n%d" % i) for i in range(7, 10)])
        pool.stop()
        row["open"] = pool.reopen()
        pool.load("--order", "random", "--depth", "16", "--requests", min(blocks, 100000), "--no-end-flush")
        pool.kill()
        row["recovery"] = pool.reopen()
    finally:
        pool.remove()
    return row


def engine_p99(bench, setting):
    """-> seconds of `snapshot --no-wait` in the engine, without the command and the socket; of a full and of a sparse volume"""
    out = os.path.join(bench.dir, "figures.json")
    run(bench.program("bench/figures"), "--only", "instant", *([] if setting.mode == "full" else ["--quick"]), "--json", out,
        env=dict(os.environ, TMPDIR=bench.dir), check=False)
    with open(out) as f:
        found = [v["value"] / 1e3 for v in json.load(f)["figures"] if v["name"].startswith("snapshot --no-wait, p99")]
    os.unlink(out)
    return max(found)


def measure_sizes(bench, setting, say):
    sizes = {"smoke": [GIB], "short": [GIB, TIB, 16 * TIB], "full": [GIB, 64 * GIB, TIB, 16 * TIB]}[setting.mode]
    blocks = {"smoke": 1000, "short": 16384, "full": 65536}[setting.mode]
    plan = [(size, blocks, 0) for size in sizes]
    if setting.mode == "full":
        plan += [(16 * TIB, 1000000, 0), (TIB, blocks, 10000)]
    rows = []
    for size, n, more in plan:
        row = measure_volume(bench, size, n, 10 if setting.mode == "smoke" else 200, more)
        say("instant: %s, %d blocks, %d snapshots: snapshot %s, clone %s, open %s" % (
            size_text(size), n, more, ms(row["snapshot_p50"]), ms(row["clone"]), ms(row["open"])))
        rows.append(row)
    rows[0]["snapshot_engine_p99"] = engine_p99(bench, setting)
    say("instant: snapshot in the engine, p99: %s" % ms(rows[0]["snapshot_engine_p99"]))
    return rows


def fill(pool):
    """Bytes of the journal since the last checkpoint, watched while a writer fills it; returns at nearly the most."""
    control = pool.control()
    base = control.ask("status")
    most, begin = 0, time.monotonic()
    while time.monotonic() - begin < 30:
        now = control.ask("status")
        if now["checkpoints"] != base["checkpoints"]:
            base = now
        since = now["journal_bytes_written"] - base["journal_bytes_written"]
        most = max(most, since)
        if time.monotonic() - begin > 6 and since >= 0.9 * most:
            break
        time.sleep(0.005)
    control.close()
    return since


# What is lost from memory and replayed.  Dense: first writes within 4 GiB, flushed, so that the journal gets full.
# Scattered: over all 16 GiB and never flushed; a checkpoint comes for the many pages of the map before the journal is
# full, and what is replayed is in the tail, and reads pages all over the pool.
LOST = {
    "dense": ["--order", "once", "--range", str(4 * GIB), "--flush-every", "32"],
    "scattered": ["--order", "random"],
}


def measure_replay(bench, size, lost):
    """One kill."""
    pool = Pool(bench, "journal", 16 * GIB, ["--journal-size", "%dM" % size])
    row = {"journal_bytes": size * MIB, "writes": lost, "default": size == 64}
    try:
        args = [bench.program("bench/load"), "--socket", pool.socket, "--export", "disk", "--depth", "16"] + LOST[lost]
        writer = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        row["journal_used"] = fill(pool)
        pool.kill()
        writer.wait()
        row["recovery_full_journal"] = pool.reopen()
        status = pool.ask("status")
        row["replayed"] = status["replayed_journal"] + status["replayed_tail"]
    finally:
        pool.remove()
    return row


def measure_journal(bench, setting, say):
    sizes = {"smoke": [16], "short": [16, 64], "full": [4, 16, 64, 256]}[setting.mode]
    rows = []
    for size in sizes:
        for lost in LOST:
            kills = [measure_replay(bench, size, lost) for _ in range(3 if setting.mode == "full" and size == 64 else 1)]
            row = sorted(kills, key=lambda r: r["recovery_full_journal"])[len(kills) // 2]
            row["of"] = [r["recovery_full_journal"] for r in kills]
            say("journal: %d MiB, %s, %.1f MiB used, %d records replayed: %s" % (
                size, lost, row["journal_used"] / MIB, row["replayed"], ms(row["recovery_full_journal"])))
            rows.append(row)
    return rows


PARTS = {"instant": measure_sizes, "journal": measure_journal}
PART_OF = {"instant": "size", "journal": "journal_bytes"}  # what a row of each has, and of no other


def size_text(n):
    return "%d TiB" % (n / TIB) if n >= TIB else "%d GiB" % (n / GIB)


def tables(result):
    lines = []
    rows = [r for r in result.get("instant", []) if "size" in r]
    kinds = [("`--version`", "nothing_p50"), ("p99", "nothing_p99"), ("snapshot", "snapshot_p50"), ("p99", "snapshot_p99"), ("--no-wait", "snapshot_no_wait_p50"),
             ("p99", "snapshot_no_wait_p99"), ("by the socket", "snapshot_socket_p50"), ("p99", "snapshot_socket_p99"),
             ("clone", "clone"), ("clone -n 1000", "clone_1000"), ("rollback", "rollback"), ("rm", "rm"), ("open", "open"),
             ("after kill -9", "recovery")]
    if rows:
        lines += ["### snapshots and what else takes no time, by size of the volume (`instant`)", "",
                  "| size | blocks | snapshots | %s |" % " | ".join(k for k, _ in kinds), "|---" * (len(kinds) + 3) + "|"]
        lines += ["| %s | %d | %d | %s |" % (size_text(r["size"]), r["blocks"], r["snapshots"], " | ".join(
            ms(r[k]) for _, k in kinds)) for r in rows] + [""]
    rows = [r for r in result.get("instant", []) if "journal_bytes" in r]
    if rows:
        lines += ["### opening after kill -9 under writes, by size of the journal (`journal`)", "",
                  "| journal | writes | of it used | records replayed | open |", "|---|---|---|---|---|"]
        lines += ["| %d MiB | %s | %.1f MiB | %d | %s |" % (
            r["journal_bytes"] / MIB, r.get("writes", "scattered"), r["journal_used"] / MIB, r["replayed"], ms(r["recovery_full_journal"]))
            for r in rows] + [""]
    return lines
