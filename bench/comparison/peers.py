# SPDX-License-Identifier: BSD-3-Clause
"""peers.py - cowbd, and what one would use instead, as servers of one filled volume each

A peer is made once (create), filled through its own NBD export in 64 KiB writes of random data in random order, flushed,
and then served for all loads.  snapshot() makes what exists now keep while the volume goes on; forget() lets go of it again, so
that each round begins alike.
"""

import json
import os
import shutil
import socket
import time

from .machine import Failed, Server, need, run, wait_for

FILL = ["--op", "write", "--order", "once", "--block", "64K", "--depth", "16", "--requests", "all"]
WARM = ["--op", "read", "--order", "once", "--block", "64K", "--depth", "16", "--requests", "all"]


class Peer:
    name = None
    title = None
    export = ""
    has_data = True
    needs_fill = True
    space = 1.0  # how many times the volume's size it may take, without snapshots
    space_snapshot = 1.0  # and on top of it with one that is overwritten

    def __init__(self, bench):
        self.bench = bench
        self.server = None
        self.threads = None
        self.options = []  # what is printed: how it is served
        self.undo_own = None

    @property
    def dir(self):
        return os.path.join(self.bench.dir, self.name)

    @property
    def socket(self):
        return os.path.join(self.bench.run_dir, self.name + ".sock")

    # ---- for subclasses

    def check(self):
        """Raises Missing where it can't run."""

    def create(self):
        os.mkdir(self.dir)

    def command(self):
        raise NotImplementedError

    def environment(self):
        return None

    def start(self, args):
        return Server(self.bench, args, lambda: os.path.exists(self.socket), self.environment())

    def snapshot(self):
        raise NotImplementedError

    def forget(self):
        pass

    # ---- for loads

    def make(self, size):
        self.check()
        need("nbdkit")
        self.size = size
        if self.needs_fill:
            self.bench.want_space(int(size * (self.space + self.space_snapshot)))
        self.create()
        self.prepare_fill()

    def prepare_fill(self):
        if self.needs_fill:
            self.serve(4)
            self.load(*FILL)

    def serve(self, threads):
        """Serves with so many threads (where it has that option), anew if it must."""
        if self.server and self.threads == threads:
            return
        self.stop()
        self.threads = threads
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        args = self.command()
        self.server = self.start(args)
        self.options = [os.path.basename(str(args[0]))] + [str(a).replace(self.bench.dir, "DIR").replace(
            self.bench.run_dir, "RUN").replace(self.bench.build, "BUILD") for a in args[1:]]

    def warm(self):
        """Reads all of it once, in 64 KiB requests in random order: the same state of the page cache for all."""
        if self.has_data:
            self.load(*WARM)

    def restart(self):
        threads = self.threads
        self.stop()
        self.serve(threads)

    def stop(self):
        if self.server:
            self.server.stop()
            self.server = None

    def load(self, *args, export=None):
        """Runs bench/load to its end: its result."""
        name = self.export if export is None else export
        return json.loads(run(self.bench.program("bench/load"), "--socket", self.socket, "--export", name, *args))

    def remove(self):
        self.stop()
        if self.undo_own:
            self.undo_own.close()
        shutil.rmtree(self.dir, True)


# ---- cowbd --------------------------------------------------------------------------------------


class Control:
    """cowbd's control socket, as cowbd-protocol(7) has it."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rw")
        self.lines.readline()  # the greeting
        self.id = 0

    def ask(self, command, **args):
        self.id += 1
        self.lines.write(json.dumps({"v": 1, "id": self.id, "cmd": command, "args": args}) + "\n")
        self.lines.flush()
        for line in self.lines:
            answer = json.loads(line)
            if answer.get("id") != self.id:
                continue
            if "error" in answer:
                raise Failed("cowbd %s: %s" % (command, answer["error"]["message"]))
            if "ok" in answer:
                return answer["ok"]
        raise Failed("cowbd %s: no answer" % command)

    def close(self):
        self.lines.close()
        self.socket.close()


class Cowbd(Peer):
    name = "cowbd"
    title = "cowbd"
    export = "disk"
    pool_factor = 4
    init_options = []
    serve_options = []

    @property
    def pool(self):
        return os.path.join(self.dir, "pool.cowbd")

    def environment(self):
        return dict(os.environ, COWBD_RUNDIR=self.bench.run_dir, COWBD_POOL=self.pool, COWBD_PLUGIN=self.bench.program(
            "plugin/.libs/nbdkit-cowbd-plugin.so"))

    def cowbd(self, *args):
        return run(self.bench.program("cli/cowbd"), *args, env=self.environment())

    def create(self):
        super().create()
        self.cowbd("init", self.pool, "--size", max(int(self.size * self.pool_factor), 256 << 20), *self.init_options)
        self.cowbd("create", "disk", self.size)

    def command(self):
        threads = ["--threads", self.threads] if self.threads else []
        return [self.bench.program("cli/cowbd"), "serve", self.pool, "--socket", self.socket] + threads + \
            self.serve_options

    def control(self):
        path = json.loads(self.cowbd("status", "--json"))["control"]
        return Control(path)

    def ask(self, command, **args):
        control = self.control()
        try:
            return control.ask(command, **args)
        finally:
            control.close()

    def snapshot(self):
        self.cowbd("snapshot", "disk@bench")

    def forget(self):
        self.cowbd("rm", "disk@bench")
        self.wait_for_reclaim()

    def wait_for_reclaim(self):
        seen = {}

        def quiet():
            status = self.ask("status")
            now = (status["dying"], status["used_blocks"], status["zones_given_back"])
            if now != seen.get("last") or status["dying"]:
                seen["last"], seen["since"] = now, time.monotonic()
            return time.monotonic() - seen["since"] > 0.7

        wait_for("cowbd's reclaim", 120, quiet)


class CowbdPreallocated(Cowbd):
    name = "cowbd-prealloc"
    title = "cowbd, pool preallocated"
    pool_factor = 2.5
    init_options = ["--preallocate"]
    space = 2.5
    space_snapshot = 0.0


class CowbdDirect(Cowbd):
    name = "cowbd-direct"
    title = "cowbd --direct"
    serve_options = ["--direct"]


class Cowbd64K(Cowbd):
    name = "cowbd-64k"
    title = "cowbd, blocks of 64 KiB"
    init_options = ["--block-size", "64K"]


# ---- no snapshots at all ---------------------------------------------------------------------------


class Nbdkit(Peer):
    """nbdkit with a plugin and perhaps a filter."""

    filters = []

    def arguments(self):
        raise NotImplementedError

    def command(self):
        threads = ["--threads", self.threads] if self.threads else []
        return ["nbdkit", "-f", "--exit-with-parent", "-U", self.socket] + threads + self.filters + self.arguments()


class Null(Nbdkit):
    name = "null"
    title = "nbdkit null"
    needs_fill = False
    has_data = False

    def arguments(self):
        return ["null", self.size]


class File(Nbdkit):
    name = "file"
    title = "nbdkit file"
    space_snapshot = 0.0

    @property
    def path(self):
        return os.path.join(self.dir, "disk.img")

    def create(self):
        super().create()
        with open(self.path, "w") as f:
            f.truncate(self.size)

    def arguments(self):
        return ["file", self.path]


# ---- those that fork -------------------------------------------------------------------------------


class Qcow2(Peer):
    """qemu-nbd with a qcow2 image; its snapshots are internal ones, made while it is not served."""

    name = "qcow2"
    title = "qcow2, internal snapshot"
    cache = ["--cache=writeback", "--aio=threads"]

    @property
    def path(self):
        return os.path.join(self.dir, "disk.qcow2")

    def check(self):
        need("qemu-nbd", "qemu-img")

    def create(self):
        super().create()
        run("qemu-img", "create", "-q", "-f", "qcow2", self.path, self.size)

    def command(self):
        return ["qemu-nbd", "-f", "qcow2", "--discard=unmap", "-e", "64", "-t", "-k", self.socket] + self.cache + \
            [self.path]

    def snapshot(self):
        self.stop()
        run("qemu-img", "snapshot", "-c", "bench", self.path)
        self.serve(self.threads)

    def forget(self):
        self.stop()
        run("qemu-img", "snapshot", "-d", "bench", self.path)
        self.serve(self.threads)


class Qcow2None(Qcow2):
    name = "qcow2-none"
    title = "qcow2, internal snapshot, cache=none"
    cache = ["--cache=none", "--aio=native"]


class Qcow2Base(Qcow2):
    name = "qcow2-base"
    title = "the image below the overlays"
    space_snapshot = 0.0


def filled_qcow2(bench, size):
    base = Qcow2Base(bench)
    base.make(size)
    base.stop()
    return base


class Qcow2Overlay(Qcow2):
    """The snapshot is the image, and an overlay goes on: a new one for each round."""

    name = "qcow2-overlay"
    title = "qcow2 overlay"
    needs_fill = False
    create_options = []

    def create(self):
        os.mkdir(self.dir)
        self.base = self.bench.shared("qcow2-base", lambda: filled_qcow2(self.bench, self.size))
        self.bench.want_space(self.size)
        self.overlay()

    def overlay(self):
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", self.base.path, *self.create_options, self.path)

    def snapshot(self):
        self.stop()
        os.unlink(self.path)
        self.overlay()
        self.serve(self.threads)

    def forget(self):
        pass

    def remove(self):
        super().remove()
        if hasattr(self, "base"):
            self.bench.unshare("qcow2-base")


class Qcow2Subclusters(Qcow2Overlay):
    name = "qcow2-subclusters"
    title = "qcow2 overlay, subclusters"
    create_options = ["-o", "extended_l2=on,cluster_size=128k"]  # subclusters of 4 KiB


def all_peers():
    from . import peers_copy

    return [Cowbd, CowbdPreallocated, CowbdDirect, Cowbd64K, Null, File, Qcow2, Qcow2None, Qcow2Overlay,
            Qcow2Subclusters] + peers_copy.ALL
