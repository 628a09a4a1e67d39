# SPDX-License-Identifier: BSD-3-Clause
"""loads.py - what is measured: each load, its peers, and how one cell (load, peer, round) is run

A figure of a cell is one number; a cell may give several.  `rate` counts requests a second until the last
answer, `durable_rate` until everything is durable: the final flush is in it.
"""

import os

SNAPSHOTTERS = ["cowbd", "cowbd-prealloc", "qcow2", "qcow2-none", "qcow2-overlay", "qcow2-subclusters", "xfs", "btrfs",
                "cow-filter", "cow-filter-4k", "nbd-server", "dm-thin"]


class Load:
    """One row: a load of bench/load on the volume, perhaps as first writes after a snapshot."""

    def __init__(self, name, group, title, args, peers, warm=True, snapshot=False, threads=4, figure="rate", requests="requests"):
        self.name = name
        self.group = group  # loads of one group run in the same rounds, so that their ratios hold
        self.title = title
        self.args = [str(a) for a in args]
        self.peers = peers
        self.snapshot = snapshot
        self.warm = warm
        self.threads = threads
        self.figure = figure  # the one that the picture and the targets look at
        self.requests = requests  # what is counted, for the table

    def run(self, peer, setting, round_number):
        peer.serve(self.threads)
        if self.snapshot:
            peer.snapshot()
        if self.warm:
            peer.warm()
        cell = self.measure(peer, setting, round_number)
        cell["round"] = round_number
        if self.snapshot:
            peer.forget()
        return cell

    def measure(self, peer, setting, round_number):
        server = peer.server
        cpu, written = server.cpu_seconds(), server.written_bytes()
        out = peer.load("--seconds", str(setting.seconds), "--seed", str(round_number + 1), *self.args)
        requests = max(out["requests"], 1)
        cell = {
            "rate": out["requests"] / out["ack_seconds"],
            "durable_rate": out["requests"] / out["seconds"],
            "bytes_rate": out["bytes"] / out["ack_seconds"],
            "durable_bytes_rate": out["bytes"] / out["seconds"],
            "end_flush_seconds": out["end_flush_seconds"],
            "server_cpu_us": (server.cpu_seconds() - cpu) / requests * 1e6,
            "client_cpu_us": out["client_cpu_seconds"] / requests * 1e6,
            "written_per_byte": (server.written_bytes() - written) / max(out["bytes"], 1),
            "peak_memory": server.peak_memory(),
            "load_average": os.getloadavg()[0],
        }
        for kind in ("write", "read", "flush"):
            latency = out[kind + "_latency"]
            if latency["n"]:
                for part in ("p50_us", "p99_us", "p999_us", "max_us"):
                    cell["%s_%s" % (kind, part)] = latency[part]
        return cell


def random_write(depth, *more):
    """Each block at most once, so that after a snapshot each is a first write."""
    return ["--op", "write", "--order", "once", "--block", 4096, "--depth", depth, "--requests", "all", *more]


def random_read(depth):
    return ["--op", "read", "--order", "random", "--block", 4096, "--depth", depth]


REFERENCE = ["cowbd", "null", "file"]

LOADS = [
    Load("write-d16", "main", "random 4 KiB write, depth 16", random_write(16), REFERENCE + [
        "qcow2", "qcow2-none", "cowbd-direct", "xfs", "btrfs"]),
    Load("after-d16", "main", "first 4 KiB writes after a snapshot, depth 16", random_write(16), SNAPSHOTTERS,
         snapshot=True),
    Load("write-d16-t16", "threads", "random 4 KiB write, depth 16, 16 threads", random_write(16), REFERENCE,
         threads=16),
    Load("write-d1", "depths", "random 4 KiB write, depth 1", random_write(1), REFERENCE),
    Load("write-d64", "depths", "random 4 KiB write, depth 64", random_write(64), REFERENCE),
    Load("read-d1", "depths", "random 4 KiB read, depth 1", random_read(1), REFERENCE),
    Load("read-d16", "depths", "random 4 KiB read, depth 16", random_read(16), REFERENCE + ["qcow2"]),
    Load("read-d64", "depths", "random 4 KiB read, depth 64", random_read(64), REFERENCE),
]
