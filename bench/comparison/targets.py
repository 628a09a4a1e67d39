# SPDX-License-Identifier: BSD-3-Clause
"""targets.py - what cowbd must reach, held against a result

A target compares two figures of one run, or holds one against a bound.  Loads of one group ran in the same rounds: the
ratio is taken round by round, and its median, least and most are told.  Else medians are compared.

Beside it may stand what the same run says of how far it can be reached on this machine at all (beside()): nbdkit file
held against itself is what can be told from noise, nbdkit null is the transport, a process that does nothing is what every
command takes.
"""

from .report import median, ms

RED, GREEN, UNKNOWN = "red", "green", "not measured"

# Whose flush does nothing: what they hold is gone with them, and so "until durable" says nothing of them.
NEVER_DURABLE = {"cow-filter": "whose overlay is gone with nbdkit, flushed or not"}


class Target:
    def __init__(self, what, text):
        self.what = what
        self.text = text  # the target as a reader sees it
        self.others = []  # [(words, Target)]

    def beside(self, words, other):
        """What else of this run tells how far it can be reached."""
        self.others.append((words, other))
        return self

    def evaluate(self, result):
        """-> {"value", "min", "max"} or None if it was not measured"""
        raise NotImplementedError

    def good(self, value):
        raise NotImplementedError

    def show(self, value):
        return "x %.2f" % value


def values(result, at, figure):
    """at: "load/peer" -> {round: value}"""
    load, peer = at.split("/")
    cells = result["loads"].get(load, {}).get("peers", {}).get(peer, [])
    return {c["round"]: c[figure] for c in cells if figure in c}


class Ratio(Target):
    """figure of a, over that of b, in the same round where both are of one group."""

    def __init__(self, what, a, b, least=None, most=None, figure="rate", figure_b=None):
        super().__init__(what, "at least %g" % least if least is not None else "at most %g" % most)
        self.a, self.b, self.figure, self.figure_b, self.least, self.most = a, b, figure, figure_b or figure, least, most

    def evaluate(self, result):
        a, b = values(result, self.a, self.figure), values(result, self.b, self.figure_b)
        if not a or not b:
            return None
        group = [result["loads"][at.split("/")[0]]["group"] for at in (self.a, self.b)]
        if group[0] != group[1]:
            one = median(list(a.values())) / median(list(b.values()))
            return {"value": one, "min": one, "max": one}
        ratios = [a[r] / b[r] for r in a if b.get(r)]
        return {"value": median(ratios), "min": min(ratios), "max": max(ratios)} if ratios else None

    def good(self, value):
        return value >= self.least if self.least is not None else value <= self.most


class BestPeer(Ratio):
    """Over the best of all others of b's loads (`LOAD,LOAD`) that are not cowbd."""

    def evaluate(self, result):
        found, without = [], []
        for load in self.b.split(","):
            for peer in result["loads"].get(load, {}).get("peers", {}):
                rates = list(values(result, load + "/" + peer, self.figure).values())
                if not rates or peer.startswith("cowbd"):
                    continue
                if self.figure.startswith("durable") and peer.partition("-4k")[0] in NEVER_DURABLE:
                    without.append(peer)
                    continue
                found.append((median(rates), load + "/" + peer))
        if not found:
            return None
        best = max(found)[1]
        ratio = Ratio(self.what, self.a, best, least=self.least, figure=self.figure).evaluate(result)
        note = "the best is " + best.split("/")[1] + "".join(
            "; without %s, %s" % (peer, NEVER_DURABLE[peer.partition("-4k")[0]]) for peer in without[:1])
        return dict(ratio, note=note) if ratio else None


class Processors(Ratio):
    """What one request of b takes of the processors, client and server together, over what one of a takes: their
    rates' ratio if both had the processors to themselves and nothing waited."""

    def __init__(self, a, b):
        super().__init__("", a, b, least=0)

    def evaluate(self, result):
        def cpu(at):
            server, client = values(result, at, "server_cpu_us"), values(result, at, "client_cpu_us")
            return {r: server[r] + client[r] for r in server if r in client}

        a, b = cpu(self.a), cpu(self.b)
        ratios = [b[r] / a[r] for r in a if r in b]
        return {"value": median(ratios), "min": min(ratios), "max": max(ratios)} if ratios else None


class Difference(Target):
    """figure of a less that of b: at most so much."""

    def __init__(self, what, a, b, most, figure, unit):
        super().__init__(what, "at most %g %s" % (most, unit))
        self.a, self.b, self.most, self.figure, self.unit = a, b, most, figure, unit

    def evaluate(self, result):
        a, b = values(result, self.a, self.figure), values(result, self.b, self.figure)
        each = [a[r] - b[r] for r in a if r in b]
        return {"value": median(each), "min": min(each), "max": max(each)} if each else None

    def good(self, value):
        return value <= self.most

    def show(self, value):
        return "%.1f %s" % (value, self.unit)


class Bound(Target):
    """A figure itself: at most or at least so much."""

    def __init__(self, what, at, figure, most=None, least=None, show=None, worst=False):
        self.render = show or (lambda v: "%.2f" % v)
        super().__init__(what, "at most " + self.render(most) if most is not None else "at least " + self.render(least))
        self.at, self.figure, self.most, self.least, self.worst = at, figure, most, least, worst

    def evaluate(self, result):
        v = list(values(result, self.at, self.figure).values())
        if not v:
            return None
        return {"value": max(v) if self.worst else median(v), "min": min(v), "max": max(v)}

    def good(self, value):
        return value <= self.most if self.most is not None else value >= self.least

    def show(self, value):
        return self.render(value)


class Instant(Target):
    """A figure of the part without load (instant.py): the worst of all its rows; median: theirs, where each is a quantile
    of its own sample, so that the worst of them would be one of a far higher order."""

    def __init__(self, what, figure, most, rows=lambda row: True, show=ms, worst=True):
        super().__init__(what, "at most " + show(most))
        self.figure, self.most, self.rows, self.render, self.worst = figure, most, rows, show, worst

    def evaluate(self, result):
        v = [row[self.figure] for row in result.get("instant", []) if self.figure in row and self.rows(row)]
        return {"value": max(v) if self.worst else median(v), "min": min(v), "max": max(v)} if v else None

    def good(self, value):
        return value <= self.most

    def show(self, value):
        return self.render(value)


def millions(value):
    return "%.2f million" % (value / 1e6)


def longest(at):
    return Bound("", at, "write_max_us", most=5000, show=us, worst=True)


def us(value):
    return ms(value / 1e6)


ITSELF = "nbdkit file / itself:"  # measured twice in each round
NULL = "nbdkit null:"
CPU = "by the processors' time alone:"
COMMAND = "a command that does nothing:"

TARGETS = [
    Ratio("random 4 KiB write, depth 16 / nbdkit file", "write-d16/cowbd", "write-d16/file", 0.95)
    .beside(ITSELF, Ratio("", "write-d16-again/file", "write-d16/file", 0)),
    Ratio("random 4 KiB write, depth 16, until durable / nbdkit file", "write-d16/cowbd", "write-d16/file", 0.95, figure="durable_rate"),
    Ratio("random 4 KiB write, depth 16 / nbdkit null", "write-d16/cowbd", "write-d16/null", 0.9)
    .beside("nbdkit file:", Ratio("", "write-d16/file", "write-d16/null", 0)),
    Ratio("random 4 KiB write, depth 16, 16 threads / nbdkit file", "write-d16-t16/cowbd", "write-d16-t16/file", 0.95)
    .beside(ITSELF, Ratio("", "write-d16-t16-again/file", "write-d16-t16/file", 0)),
    Ratio("random 4 KiB write, depth 16, 16 threads / nbdkit null", "write-d16-t16/cowbd", "write-d16-t16/null", 0.9)
    .beside("nbdkit file:", Ratio("", "write-d16-t16/file", "write-d16-t16/null", 0)),
    Ratio("after a snapshot / own before it, preallocated pool", "after-d16/cowbd-prealloc", "write-d16/cowbd-prealloc", 0.9)
    .beside(CPU, Processors("after-d16/cowbd-prealloc", "write-d16/cowbd-prealloc")),
    Ratio("after a snapshot / own before it, growing pool", "after-d16/cowbd", "write-d16/cowbd", 0.8)
    .beside(CPU, Processors("after-d16/cowbd", "write-d16/cowbd")),
    Ratio("after a snapshot / qcow2 after an internal one", "after-d16/cowbd", "after-d16/qcow2", 50),
    BestPeer("after a snapshot / the best peer", "after-d16/cowbd", "after-d16,after-others", 3)
    .beside(NULL, BestPeer("", "write-d16/null", "after-d16,after-others", 0)),
    BestPeer("after a snapshot, until durable / the best peer", "after-d16/cowbd", "after-d16,after-others", 3, figure="durable_rate")
    .beside(NULL, BestPeer("", "write-d16/null", "after-d16,after-others", 0, figure="durable_rate"))
    .beside("cowbd / XFS:", Ratio("", "after-d16/cowbd", "after-d16/xfs", 0, figure="durable_rate")),
    Ratio("random 4 KiB read, depth 16 / nbdkit file", "read-d16/cowbd", "read-d16/file", 0.95)
    .beside(ITSELF, Ratio("", "read-d16-again/file", "read-d16/file", 0)),
    Ratio("random 4 KiB read, 1,000 snapshots deep / nbdkit file", "read-deep-1000/cowbd@deep2", "read-deep-1000/file", 0.95),
    Ratio("random 4 KiB read, 10,000 snapshots deep / nbdkit file", "read-deep-10000/cowbd@deep2", "read-deep-10000/file", 0.95),
    Ratio("sequential 256 KiB write / nbdkit file", "seq-write/cowbd", "seq-write/file", 0.95, figure="bytes_rate")
    .beside(ITSELF, Ratio("", "seq-write-again/file", "seq-write/file", 0, figure="bytes_rate")),
    Ratio("sequential 256 KiB write after random overwrites, the first time / nbdkit file", "pieces-seq-write/cowbd@seq",
          "pieces-seq-write/file@seq", 0.95, figure="bytes_rate"),
    Ratio("sequential 256 KiB read / nbdkit file", "seq-read/cowbd", "seq-read/file", 0.95, figure="bytes_rate")
    .beside(ITSELF, Ratio("", "seq-read-again/file", "seq-read/file", 0, figure="bytes_rate")),
    Ratio("sequential read after random overwrites / fresh", "pieces-seq-read/cowbd@seq", "fresh-seq-read/cowbd@seq", 0.7,
          figure="bytes_rate"),
    Ratio("sequential read after random overwrites / fresh, not in the page cache", "pieces-seq-read-cold/cowbd@seq",
          "fresh-seq-read-cold/cowbd@seq", 0.7, figure="bytes_rate")
    .beside("nbdkit file's 4 KiB reads in random order / its sequential ones:",
            Ratio("", "pieces-disk/file@seq", "pieces-seq-read-cold/file@seq", 0, figure="bytes_rate")),
    Ratio("write + flush each / nbdkit file", "flush-each/cowbd", "flush-each/file", 0.95),
    Ratio("write + flush each after a snapshot, preallocated pool / nbdkit file", "after-flush-each/cowbd-prealloc", "flush-each/file",
          0.55),
    Ratio("write + flush each after a snapshot, growing pool / nbdkit file", "after-flush-each/cowbd", "flush-each/file", 0.4),
    Ratio("write + flush each after a snapshot / qcow2", "after-flush-each/cowbd", "after-flush-each/qcow2", 3),
    Ratio("a snapshot every 100 ms / none", "stall-every/cowbd", "stall-none/cowbd", 0.9)
    .beside(CPU, Processors("stall-every/cowbd", "stall-none/cowbd"))
    .beside("nbdkit file with a flush every 100 ms / without:", Ratio("", "stall-flush/file", "stall-none/file", 0)),
    Ratio("p99.9 of writes, a snapshot every 100 ms / none", "stall-every/cowbd", "stall-none/cowbd", most=2, figure="write_p999_us")
    .beside("nbdkit file with a flush every 100 ms:", Ratio("", "stall-flush/file", "stall-none/file", most=0, figure="write_p999_us")),
    Ratio("a snapshot --no-wait every 100 ms / none", "stall-every-no-wait/cowbd", "stall-none/cowbd", 0.9)
    .beside(CPU, Processors("stall-every-no-wait/cowbd", "stall-none/cowbd"))
    .beside("`cowbd --version` instead:", Ratio("", "stall-nothing/cowbd", "stall-none/cowbd", 0)),
    Bound("the longest write beside snapshots, of any round", "stall-every-no-wait/cowbd", "write_max_us", most=5000, show=us, worst=True)
    .beside("without snapshots:", longest("stall-none/cowbd"))
    .beside("nbdkit file, without and with a flush every 100 ms:", longest("stall-none/file"))
    .beside("", longest("stall-flush/file")),
    Instant("`snapshot --no-wait` by the command, p99", "snapshot_no_wait_p99", 0.002, worst=False)
    .beside(COMMAND, Instant("", "nothing_p99", 0, worst=False))
    .beside("by the socket:", Instant("", "snapshot_socket_p99", 0, worst=False)),
    Instant("`snapshot --no-wait` in the engine, p99", "snapshot_engine_p99", 0.0002, worst=False),
    Instant("`clone -n 1000`", "clone_1000", 0.3),
    Bound("deletion under writes returns, durable", "delete/cowbd", "delete_seconds", most=0.005, show=ms)
    .beside("beside the same writes, a flush:", Bound("", "delete/cowbd", "flush_seconds", most=0, show=ms))
    .beside(COMMAND, Bound("", "delete/cowbd", "nothing_seconds", most=0, show=ms)),
    Bound("the same with --no-wait", "delete/cowbd", "delete_no_wait_seconds", most=0.005, show=ms)
    .beside(COMMAND, Bound("", "delete/cowbd", "nothing_seconds", most=0, show=ms)),
    Bound("4 KiB blocks reclaimed a second", "delete/cowbd", "reclaim_blocks_rate", least=1e6, show=millions),
    Bound("writes beside a deletion / before", "delete/cowbd", "during_ratio", least=0.8),
    Bound("the longest write beside a deletion, of any round", "delete/cowbd", "write_max_us", most=5000, show=us, worst=True)
    .beside("without:", longest("stall-none/cowbd")),
    Bound("bytes on disk a byte written after a snapshot", "amplification/cowbd@loop", "device_written_per_byte", most=1.2),
    Ratio("a volume's flush while 15 others write / alone (median)", "flush-among-15/cowbd", "flush-alone/cowbd", most=3,
          figure="flush_p50_us"),
    Instant("open after kill -9 with a full journal (median of 3)", "recovery_full_journal", 1.0, lambda row: row.get("default") and row["writes"] == "dense"),
    Instant("open after kill -9 after scattered writes that were never flushed (median of 3)", "recovery_full_journal", 1.0,
            lambda row: row.get("default") and row["writes"] == "scattered"),
    Difference("CPU of a 4 KiB write above nbdkit file (null and the copy into the page cache)", "write-d16/cowbd",
               "write-d16/file", 3, "server_cpu_us", "us"),
]


def spread_text(target, found):
    return "%s to %s" % (target.show(found["min"]), target.show(found["max"]))


def evaluate(result):
    """All targets, as they stand: [{what, target, value, min, max, state}]"""
    rows = []
    for t in TARGETS:
        found = t.evaluate(result)
        row = {"what": t.what, "target": t.text, "state": UNKNOWN}
        if found:
            row.update(found, state=GREEN if t.good(found["value"]) else RED, shown=t.show(found["value"]),
                       spread=spread_text(t, found), others=[
                           (words + " " + other.show(value["value"]) + " (" + spread_text(other, value) + ")").strip()
                           for words, other in t.others for value in [other.evaluate(result)] if value])
        rows.append(row)
    return rows


def table(result):
    lines = ["| load | target | measured | least to most | | what else of this run tells of it |", "|---|---|---|---|---|---|"]
    for row in evaluate(result):
        if row["state"] == UNKNOWN:
            lines.append("| %s | %s | not measured | | | |" % (row["what"], row["target"]))
            continue
        what = row["what"] + (" (%s)" % row["note"] if "note" in row else "")
        lines.append("| %s | %s | %s | %s | %s | %s |" % (what, row["target"], row["shown"], row["spread"], "yes" if row["state"] == GREEN
                                                          else "**no**", "; ".join(row["others"])))
    return lines
