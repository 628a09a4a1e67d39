# SPDX-License-Identifier: BSD-3-Clause
"""special.py - loads with something beside them: snapshots, deletions, trims, other volumes, many clones"""

import threading
import time

from . import clients
from .loads import Load, Usage, figures, read, sequential, write
from .machine import MIB, disk_bytes_written, run
from .report import median

RANDOM_WRITES = dict(op="write", order="random", block=4096, depth=16)


class Beside(threading.Thread):
    """Something that goes on while a load runs; its failure is the load's."""

    def __init__(self, what):
        super().__init__(daemon=True)
        self.what = what
        self.error = None
        self.result = {}
        self.enough = threading.Event()

    def run(self):
        try:
            self.what(self)
        except Exception as e:  # raised again in end()
            self.error = e

    def end(self):
        self.enough.set()
        self.join()
        if self.error:
            raise self.error
        return self.result


class Every(Load):
    """Writes while something is done every 100 ms: do they feel it?"""

    def __init__(self, name, title, peers):
        super().__init__(name, "stall", title, RANDOM_WRITES, peers, short=True, own=True)

    def act(self, peer, i):
        raise NotImplementedError

    def undo(self, peer, n):
        """After n of them."""

    def run(self, peer, setting, number):
        peer.serve(self.threads)
        peer.warm()
        times = []

        def acts(beside):
            while not beside.enough.wait(0.1):
                begin = time.monotonic()
                self.act(peer, len(times))
                times.append(time.monotonic() - begin)

        beside = Beside(acts)
        beside.start()
        cell = self.measure(peer, setting, number)
        beside.end()
        self.undo(peer, len(times))
        if times:
            cell.update(self.told(times))
        return cell

    def told(self, times):
        return {"beside_seconds": median(times)}


class SnapshotEvery(Every):
    def __init__(self, name, title, peers, wait):
        super().__init__(name, title, peers)
        self.wait = wait

    def act(self, peer, i):
        peer.snapshot_as("s%d" % i, self.wait)

    def undo(self, peer, n):
        peer.forget_all(["s%d" % i for i in range(n)])

    def told(self, times):
        return dict(snapshots=len(times), snapshot_seconds=median(times), snapshot_max_seconds=max(times))


class FlushEvery(Every):
    """As long as a snapshot is durable when it returns, it can be no cheaper than a flush."""

    def act(self, peer, i):
        peer.load("--op", "none")


class NothingEvery(Every):
    """A process that starts and ends, as any command must."""

    def act(self, peer, i):
        peer.nothing()


class Deep(Load):
    """A load on a volume with n snapshots, a few blocks written between each two."""

    def __init__(self, n, kind, load, peers, **more):
        super().__init__("%s-deep-%d" % (kind, n), "deep-%d" % n, "random 4 KiB %s, depth 16, %d snapshots deep" % (
            {"read": "read", "after": "first writes"}[kind], n), load, peers, once=self.deepen, **more)
        self.n = n

    def deepen(self, peer, setting):
        peer.serve(self.threads)
        if peer.can_be_deep:
            peer.deepen(self.n)


def series_rate(out, begin, end):
    """Requests a second between two instants (time.monotonic)."""
    step = out["series_seconds"]
    first = max(0, int((begin - out["start"]) / step))
    last = max(first + 1, int((end - out["start"]) / step) + 1)
    counts = out["series"][first:last]
    return sum(counts) / (len(counts) * step) if counts else 0.0


class DeleteUnderLoad(Load):
    """A snapshot that alone holds a whole volume's blocks is deleted while the volume is written to."""

    times = 2
    extra_seconds = 15.0

    def __init__(self):
        super().__init__("delete", "delete", "random 4 KiB write, depth 16, while a snapshot with a volume of blocks is deleted",
                         RANDOM_WRITES, ["cowbd"], short=True, own=True)

    def run(self, peer, setting, number):
        peer.serve(self.threads)
        peer.snapshot_as("older", True)
        peer.snapshot_as("old", True)
        peer.load("--op", "write", "--order", "once", "--block", "64K", "--depth", "16", "--requests", "all", "--seed",
                  "%d" % (number + 100))
        told = {}

        def delete(beside):
            time.sleep(0.7)
            begin = time.monotonic()
            peer.nothing()
            told["nothing"] = time.monotonic() - begin
            told["flush"] = peer.load("--op", "none")["seconds"]
            time.sleep(0.2)
            told["no_wait"] = time.monotonic()
            peer.delete_as("older", wait=False)  # which shares all it has
            told["no_wait"] = time.monotonic() - told["no_wait"]
            told["begin"] = time.monotonic()
            peer.delete_as("old")
            told["returned"] = time.monotonic()
            told["blocks"] = peer.wait_until_reclaimed()
            told["end"] = time.monotonic()

        beside = Beside(delete)
        used = Usage(peer)
        beside.start()
        out = peer.load("--series", *clients.own_arguments(self.load, 2 * self.seconds(setting) + 2, number + 1))
        beside.end()
        peer.settle()
        cell = figures(out)
        cell.update(used.since(out))
        cell["rate_before"] = series_rate(out, out["start"] + 0.2, told["begin"])
        cell["rate_during"] = series_rate(out, told["begin"], told["end"])
        cell["rate_after"] = series_rate(out, told["end"], out["start"] + out["ack_seconds"] - 0.05)
        cell["during_ratio"] = cell["rate_during"] / max(cell["rate_before"], 1)
        cell["after_ratio"] = cell["rate_after"] / max(cell["rate_before"], 1)
        cell["nothing_seconds"] = told["nothing"]
        cell["flush_seconds"] = told["flush"]
        cell["delete_no_wait_seconds"] = told["no_wait"]
        cell["delete_seconds"] = told["returned"] - told["begin"]
        cell["reclaim_seconds"] = told["end"] - told["begin"]
        cell["reclaim_blocks_rate"] = self.size_blocks(peer) / cell["reclaim_seconds"]
        return cell

    @staticmethod
    def size_blocks(peer):
        return peer.size / 4096


class TrimUnderLoad(Load):
    """Trims a volume of 1 TiB that is written to here and there, while another is written to."""

    size = 1 << 40
    times = 2
    extra_seconds = 3.0

    def __init__(self):
        super().__init__("trim", "trim", "random 4 KiB write, depth 16, while 1 TiB is trimmed", RANDOM_WRITES,
                         ["cowbd", "file-dir"], short=True, own=True)

    def run(self, peer, setting, number):
        peer.serve(self.threads)
        peer.warm()
        peer.new_volume("huge", self.size)
        peer.load("--op", "write", "--order", "random", "--depth", "16", "--requests", "10000", export=peer.export_of("huge"))
        told = {}

        def trim(beside):
            time.sleep(self.seconds(setting) / 2)
            told["begin"] = time.monotonic()
            peer.load("--op", "trim", "--order", "seq", "--block", "1G", "--requests", "all", "--depth", "1",
                      "--no-end-flush", export=peer.export_of("huge"))
            told["end"] = time.monotonic()

        beside = Beside(trim)
        used = Usage(peer)
        beside.start()
        out = peer.load("--series", *clients.own_arguments(self.load, 2 * self.seconds(setting), number + 1))
        beside.end()
        peer.remove_volume("huge")
        cell = figures(out)
        cell.update(used.since(out))
        cell["trim_seconds"] = told["end"] - told["begin"]
        cell["rate_before"] = series_rate(out, out["start"] + 0.1, told["begin"])
        cell["rate_during"] = series_rate(out, told["begin"], told["end"])
        cell["during_ratio"] = cell["rate_during"] / max(cell["rate_before"], 1)
        return cell


class Sixteen(Load):
    """One volume is written to and flushed, alone or while 15 others are written to and not flushed."""

    def __init__(self, others):
        super().__init__("flush-among-15" if others else "flush-alone", "sixteen",
                         "4 KiB write + flush each, " + ("15 other volumes written to, 500 a second each" if others else
                                                         "no other volume written to"),
                         write(1, flush_every=1), ["cowbd", "file-dir"], short=True, own=True, once=self.volumes)
        self.others = others

    def volumes(self, peer, setting):
        peer.serve(self.threads)
        if peer.has_volume("v16"):
            return
        for i in range(1, 17):
            peer.new_volume("v%d" % i, peer.size // 16)
            peer.load("--op", "write", "--order", "once", "--block", "64K", "--depth", "16", "--requests", "all",
                      export=peer.export_of("v%d" % i))

    def run(self, peer, setting, number):
        peer.serve(self.threads)

        def others(beside):
            peer.load("--op", "write", "--order", "random", "--depth", "1", "--connections", "15", "--rate", "500",
                      "--seconds", "%g" % (self.seconds(setting) + 0.7), export=peer.export_of("v%u"))

        beside = Beside(others)
        if self.others:
            beside.start()
            time.sleep(0.5)
        used = Usage(peer)
        out = peer.load(*clients.own_arguments(self.load, self.seconds(setting), number + 1), export=peer.export_of("v16"))
        if self.others:
            beside.end()
        return dict(figures(out), **used.since(out))


class BootStorm(Load):
    """64 clones of one image are read at once, nothing of it in the page cache."""

    clones = 64
    extra_seconds = 15.0

    def __init__(self):
        super().__init__("boot", "boot", "64 clones of one image read at once, 64 KiB requests, cold", dict(
            op="read", order="seq", block=65536, depth=1, connections=self.clones), ["cowbd", "xfs-dir"], figure="bytes_rate",
            own=True)

    def run(self, peer, setting, number):
        peer.serve(self.threads)
        peer.make_clones("clone", self.clones)
        peer.drop_cache()
        read_before = peer.server.read_bytes()
        used = Usage(peer)
        image = max(peer.size // 16, 16 * MIB)
        out = peer.load("--op", "read", "--order", "seq", "--block", "64K", "--depth", "1", "--connections", self.clones,
                        "--range", image, "--requests", "all", export=peer.export_of("clone%u"))
        cell = dict(figures(out), **used.since(out))
        cell["disk_read_per_image"] = (peer.server.read_bytes() - read_before) / image
        peer.remove_clones("clone", self.clones)
        return cell


class ColdRead(Load):
    """A sequential read of what the page cache does not hold."""

    extra_seconds = 3.0

    def run(self, peer, setting, number):
        peer.serve(self.threads)
        peer.drop_cache()
        return self.measure(peer, setting, number)


def overwrite_all(peer, setting):
    """4 KiB writes in random order over all of it, after a snapshot: what was in one piece is in pieces."""
    peer.serve(4)
    peer.fragment()


class WritePieces(Load):
    """A sequential write of what lies in pieces: the first moves them together."""

    extra_seconds = 25.0

    def run(self, peer, setting, number):
        overwrite_all(peer, setting)
        return super().run(peer, setting, number)


class Amplification(Load):
    """Bytes that reach the disk for each that is written, until all is durable: a file system on a loop device counts."""

    times = 2
    extra_seconds = 5.0

    def __init__(self):
        super().__init__("amplification", "amplification",
                         "bytes written to the device for each byte of random 4 KiB writes after a snapshot (nbdkit file: without)", write(16), [
                             "cowbd@loop", "file@loop", "xfs"], figure="device_written_per_byte",
                         snapshot=True, short=True, own=True)

    def measure(self, peer, setting, number):
        run("sync", "-f", peer.dir)
        before = disk_bytes_written(peer.device)
        out = clients.measure(peer, self.load, 2 * self.seconds(setting), number + 1, own=True)
        peer.complete()
        run("sync", "-f", peer.dir)
        cell = figures(out)
        cell["device_written_per_byte"] = (disk_bytes_written(peer.device) - before) / out["bytes"]
        return cell


def deep_loads(n, peer, short):
    return [Deep(n, "read", read(16), [peer, "file"] if n >= 1000 else [peer], short=short),
            Deep(n, "after", write(16), [peer], snapshot=True, short=short)]


SPECIAL = [
    Load("stall-none", "stall", "random 4 KiB writes, depth 16, no snapshot taken", RANDOM_WRITES, ["cowbd", "file", "xfs"],
         own=True, short=True),
    FlushEvery("stall-flush", "the same, a flush by another client every 100 ms, no snapshot", ["cowbd", "file"]),
    NothingEvery("stall-nothing", "the same, `cowbd --version` every 100 ms, no snapshot", ["cowbd"]),
    SnapshotEvery("stall-every", "the same, a snapshot every 100 ms", ["cowbd", "xfs"], True),
    SnapshotEvery("stall-every-no-wait", "the same, with --no-wait", ["cowbd"], False),
    DeleteUnderLoad(),
    TrimUnderLoad(),
    Sixteen(False),
    Sixteen(True),
    BootStorm(),
    Amplification(),
    Load("fresh-seq-read", "fresh", "sequential 256 KiB read of a volume written in order", sequential("read"), [
        "cowbd@seq", "file@seq"], figure="bytes_rate"),
    ColdRead("fresh-seq-read-cold", "fresh", "the same, not in the page cache", sequential("read"), ["cowbd@seq", "file@seq"],
             figure="bytes_rate"),
    Load("pieces-seq-read", "pieces", "sequential 256 KiB read after random 4 KiB overwrites of all of it", sequential("read"), [
        "cowbd@seq", "file@seq"], figure="bytes_rate", once=overwrite_all),
    ColdRead("pieces-seq-read-cold", "pieces", "the same, not in the page cache", sequential("read"), [
        "cowbd@seq", "file@seq"], figure="bytes_rate"),
    ColdRead("pieces-disk", "pieces", "random 4 KiB read, depth 64, 64 threads, not in the page cache", read(64), ["file@seq"],
             threads=64, figure="bytes_rate"),
    WritePieces("pieces-seq-write", "pieces-write", "sequential 256 KiB write after random 4 KiB overwrites of all of it",
                sequential("write"), ["cowbd@seq", "file@seq"], figure="bytes_rate"),
] + deep_loads(1, "cowbd@deep1", False) + deep_loads(100, "cowbd@deep1", False) + deep_loads(
    1000, "cowbd@deep2", True) + deep_loads(10000, "cowbd@deep2", False)
