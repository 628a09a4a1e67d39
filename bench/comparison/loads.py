# SPDX-License-Identifier: BSD-3-Clause
"""loads.py - what is measured: each load, its peers, and how one cell (load, peer, round) is run

A cell holds figures by name.  `rate` counts requests a second until the last answer, `durable_rate` until all is
durable: the flush at the end is in it.  bytes_rate and durable_bytes_rate likewise.
"""

import os
import time

from . import clients

REFERENCE = ["cowbd", "null", "file"]
SNAPSHOTTERS = ["cowbd", "cowbd-prealloc", "qcow2", "xfs", "cow-filter-4k", "nbd-server", "dm-thin"]
OTHERS = ["qcow2-none", "qcow2-overlay", "qcow2-subclusters", "btrfs", "cow-filter"]

# Groups that no target hangs on: fewer rounds and shorter cells in a full run.
LESSER = {"others", "depths", "batches", "after-sequential", "mixed", "clients", "small", "large", "boot", "pieces-write", "deep-1", "deep-100"}

# What a snapshot of 4 GiB, the flush after the load and the removal take, about: for estimates.
SNAPSHOT_SECONDS = {"xfs": 22.0, "cow-filter-4k": 14.0, "cow-filter": 3.0, "qcow2-subclusters": 9.0, "btrfs": 4.0}


def in_short(load, peer):
    """What short mode and the smoke run leave out takes more time than it tells."""
    few = {"cowbd", "null", "file", "file-dir", "qcow2"} | ({"xfs"} if load.group == "main" else set())
    if load.group == "trim":
        few.discard("file-dir")
    return load.short and peer.partition("@")[0] in few



class Load:
    """One load on the volume, perhaps as first writes after a snapshot.

    group: loads of one group run in the same rounds, so that their ratios hold.  figure: the one that the picture and the
    targets look at.  short: in short mode too.  rare: only when asked for by name.  once: called with (peer, setting) before
    the first round.
    """

    times = 1  # how many times seconds() it runs
    extra_seconds = 0.0  # that a cell takes besides, at 4 GiB

    def __init__(self, name, group, title, load, peers, snapshot=False, threads=4, figure="rate", short=False, own=False,
                 rare=False, once=None):
        self.name = name
        self.group = group
        self.title = title
        self.load = load
        self.peers = peers
        self.snapshot = snapshot
        self.threads = threads
        self.figure = figure
        self.short = short
        self.own = own
        self.rare = rare
        self.once = once

    def seconds(self, setting):
        """Of a cell: those of the main group in full, the others less, so that all of it is done within the hour."""
        share = 1.0 if self.group == "main" else 0.2 if self.group in LESSER else 0.3
        return share * setting.seconds if setting.mode == "full" else setting.seconds

    def rounds(self, setting):
        """Where no target hangs on it, a full run has three rounds at most."""
        return min(3, setting.rounds) if setting.mode == "full" and self.group in LESSER else setting.rounds

    def estimate(self, peer, setting):
        """About how many seconds a cell takes, with what is done before and after it."""
        scale = setting.size / (4 << 30)
        pause = 0.7 + (0 if self.load["op"] == "read" else 1.3 * scale)
        if self.snapshot:
            few = self.load["depth"] < 16 or "flush_every" in self.load  # it leaves little dirty
            pause += SNAPSHOT_SECONDS.get(peer.partition("@")[0], 2.0) * scale * (0.2 if few else self.seconds(setting) / 5)
        return self.extra_seconds * scale + self.times * self.seconds(setting) + pause

    def describe(self):
        return {"title": self.title, "figure": self.figure, "threads": self.threads, "load": self.load,
                "snapshot": self.snapshot, "client": "fio" if clients.fio_can(self.load) and not self.own else "bench/load"}

    def run(self, peer, setting, number):
        """One cell."""
        peer.serve(self.threads)
        cell = {}
        if self.snapshot and peer.can_snapshot:
            begin = time.monotonic()
            peer.snapshot()
            cell["snapshot_seconds"] = time.monotonic() - begin
        peer.warm()
        cell.update(self.measure(peer, setting, number))
        if self.snapshot and peer.can_snapshot:
            peer.forget()
        return cell

    def measure(self, peer, setting, number):
        used = Usage(peer)
        out = clients.measure(peer, self.load, self.seconds(setting), number + 1, self.own or setting.client == "own")
        cell = figures(out)
        cell.update(used.since(out))
        return cell


class Usage:
    """What the server has used, from here on."""

    def __init__(self, peer):
        self.server = peer.server
        self.cpu = self.server.cpu_seconds()
        self.written = self.server.written_bytes()

    def since(self, out):
        return {
            "server_cpu_us": (self.server.cpu_seconds() - self.cpu) / max(out["requests"], 1) * 1e6,
            "written_per_byte": (self.server.written_bytes() - self.written) / max(out["bytes"], 1),
            "peak_memory": self.server.peak_memory(),
            "load_average": os.getloadavg()[0],
        }


def figures(out):
    """The result of a client as figures of a cell."""
    cell = {
        "rate": out["requests"] / out["ack_seconds"],
        "bytes_rate": out["bytes"] / out["ack_seconds"],
        "client_cpu_us": out["client_cpu_seconds"] / max(out["requests"], 1) * 1e6,
    }
    if out["write_latency"]["n"]:
        cell["durable_rate"] = out["requests"] / out["seconds"]
        cell["durable_bytes_rate"] = out["bytes"] / out["seconds"]
        cell["end_flush_seconds"] = out["end_flush_seconds"]
    for kind in ("write", "read", "flush"):
        latency = out[kind + "_latency"]
        if latency["n"]:
            for part in ("p50_us", "p99_us", "p999_us", "max_us"):
                cell["%s_%s" % (kind, part)] = latency[part]
    return cell


def write(depth, block=4096, **more):
    """Each block at most once, so that after a snapshot each is a first write."""
    return dict(op="write", order="once", block=block, depth=depth, **more)


def read(depth):
    return dict(op="read", order="random", block=4096, depth=depth)


def sequential(op):
    return dict(op=op, order="seq", block=256 << 10, depth=4)


MIXED = dict(op="mixed", order="random", block=4096, depth=16, reads=70)

# first: the volumes are as they were filled
SIMPLE = [
    Load("seq-write", "sequential", "sequential 256 KiB write, depth 4", sequential("write"), REFERENCE,
         figure="bytes_rate", short=True),
    Load("seq-read", "sequential", "sequential 256 KiB read, depth 4", sequential("read"), REFERENCE,
         figure="bytes_rate", short=True),
    Load("seq-write-again", "sequential", "the same once more", sequential("write"), ["file"], figure="bytes_rate"),
    Load("seq-read-again", "sequential", "the same once more", sequential("read"), ["file"], figure="bytes_rate"),
    Load("write-d16", "main", "random 4 KiB write, depth 16", write(16), REFERENCE + [
        "cowbd-prealloc"], short=True),
    Load("after-d16", "main", "random 4 KiB write, depth 16, first writes after a snapshot", write(16), SNAPSHOTTERS,
         snapshot=True, short=True),
    Load("write-d16-again", "main", "random 4 KiB write, depth 16, once more", write(16), ["file"]),
    Load("others-write", "others", "random 4 KiB write, depth 16, by the other peers", write(16), [
        "qcow2", "qcow2-none", "cowbd-direct", "xfs", "btrfs"]),
    Load("after-others", "others", "the same, first writes after a snapshot", write(16), OTHERS, snapshot=True),
    Load("write-d16-t16", "threads", "random 4 KiB write, depth 16, 16 threads", write(16), REFERENCE, threads=16,
         short=True),
    Load("write-d16-t16-again", "threads", "the same once more", write(16), ["file"], threads=16),
    Load("after-d16-t16", "threads", "the same, first writes after a snapshot", write(16), ["cowbd"], threads=16,
         snapshot=True),
    Load("write-own", "client", "random 4 KiB write, depth 16, by bench/load instead of fio", write(16), REFERENCE, own=True,
         rare=True),
    Load("write-d1", "depths", "random 4 KiB write, depth 1", write(1), REFERENCE),
    Load("write-d64", "depths", "random 4 KiB write, depth 64", write(64), REFERENCE),
    Load("after-d1", "depths", "random 4 KiB write, depth 1, first writes after a snapshot", write(1), ["cowbd", "xfs"],
         snapshot=True),
    Load("after-d64", "depths", "random 4 KiB write, depth 64, first writes after a snapshot", write(64), ["cowbd"],
         snapshot=True),
    Load("read-d1", "depths", "random 4 KiB read, depth 1", read(1), REFERENCE),
    Load("read-d16", "reads", "random 4 KiB read, depth 16", read(16), REFERENCE + ["qcow2"], short=True),
    Load("read-d16-again", "reads", "random 4 KiB read, depth 16, once more", read(16), ["file"]),
    Load("read-d64", "depths", "random 4 KiB read, depth 64", read(64), REFERENCE),
    Load("after-seq", "after-sequential", "sequential 256 KiB write, depth 4, after a snapshot",
         dict(sequential("write"), order="once"), ["cowbd", "xfs"], snapshot=True, figure="bytes_rate"),
    Load("mixed", "mixed", "70 % read, 30 % write, 4 KiB random, depth 16", MIXED, REFERENCE + ["qcow2"]),
    Load("after-mixed", "mixed", "the same, after a snapshot", MIXED, ["cowbd", "xfs", "qcow2-subclusters"], snapshot=True),
    Load("flush-each", "flush", "4 KiB write + flush each, depth 1", write(1, flush_every=1), ["cowbd", "file", "qcow2"],
         short=True),
    Load("after-flush-each", "flush", "4 KiB write + flush each, depth 1, after a snapshot", write(1, flush_every=1), [
        "cowbd", "cowbd-prealloc", "qcow2", "xfs"], snapshot=True, short=True),
    Load("flush-32", "batches", "4 KiB write, flush every 32, depth 16", write(16, flush_every=32),
         ["cowbd", "file", "qcow2"]),
    Load("after-flush-32", "batches", "4 KiB write, flush every 32, depth 16, after a snapshot", write(16, flush_every=32), [
        "cowbd", "cowbd-prealloc", "qcow2", "xfs"], snapshot=True),
    Load("four-clients", "clients", "random 4 KiB write, 4 connections of depth 4", write(4, connections=4),
         REFERENCE + ["qcow2"]),
    Load("after-512", "small", "512-byte writes, one a 4 KiB block, depth 16, after a snapshot",
         write(16, block=512, stride=4096), ["cowbd", "xfs", "qcow2-subclusters"], snapshot=True),
    Load("after-4k-in-64k", "small", "4 KiB writes, one a 64 KiB block, depth 16, after a snapshot",
         write(16, stride=65536), ["cowbd-64k", "qcow2", "cow-filter"], snapshot=True),
    Load("write-16g", "large", "random 4 KiB write, depth 16, volume 4 times as large", write(16),
         ["cowbd@large", "file@large"]),
    Load("read-16g", "large", "random 4 KiB read, depth 16, volume 4 times as large", read(16),
         ["cowbd@large", "file@large"]),
    Load("after-16g", "large", "first 4 KiB writes after a snapshot, depth 16, volume 4 times as large", write(16),
         ["cowbd@large"], snapshot=True),
]

# Groups whose peers have a volume each that the page cache holds once only: one peer after the other.
ONE_PEER_AT_A_TIME = {"large"}


def all_loads():
    from . import special

    return SIMPLE + special.SPECIAL
