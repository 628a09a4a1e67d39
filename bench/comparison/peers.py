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
import subprocess
import time

from .machine import GIB, MIB, Failed, cached_bytes, Server, die_with_parent, greets, need, run, wait_for

WARM = ["--op", "read", "--order", "once", "--block", "64K", "--depth", "16", "--requests", "all"]


class Peer:
    """name: CLASS or CLASS@VARIANT. @loop: its files on an ext4 of their own on a loop device; @seq: filled in order;
    @large: a volume four times as large."""

    name = None
    title = None
    export = ""
    has_data = True
    needs_fill = True
    can_snapshot = True
    can_be_deep = False
    flush_by_another_connection = True  # as NBD_FLAG_CAN_MULTI_CONN says
    space = 1.0  # how many times the volume's size it may take, without snapshots
    space_snapshot = 1.0  # and on top of it with one that is overwritten

    def __init__(self, bench, variant=""):
        self.bench = bench
        self.variant = variant
        self.server = None
        self.threads = None
        self.options = []  # what is printed: how it is served
        self.undo_own = None
        self.volumes = set()
        if variant:
            self.name = self.name + "@" + variant
        self.dir = os.path.join(bench.dir, self.name)
        self.socket = os.path.join(bench.run_dir, self.name + ".sock")

    # ---- for subclasses

    def check(self):
        """Raises Missing where it can't run."""

    def create(self):
        """Makes self.dir and what is in it; of self.size."""
        self.make_dir()

    def make_dir(self):
        if self.variant == "loop":
            self.dir, self.device, self.undo_own = self.bench.loop_file_system(
                self.name, 4 * self.size + 2 * GIB, ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
        else:
            os.mkdir(self.dir)

    def command(self):
        raise NotImplementedError

    def environment(self):
        return None

    def start(self, args):
        return Server(self.bench, args, lambda: greets(self.socket), self.environment())

    def snapshot(self):
        """What is now stays, beside the volume, until forget()."""
        raise NotImplementedError

    def forget(self):
        pass

    def backing_files(self):
        """What the page cache holds the volume's data of."""
        return [os.path.join(self.dir, name) for name in os.listdir(self.dir) if name != "lost+found"]

    def complete(self):
        """Nothing that the load caused is left to be written but by the kernel."""

    # ---- for loads

    def make(self, size):
        self.check()
        need("nbdkit")
        self.size = 4 * size if self.variant == "large" else size
        if self.needs_fill:
            self.bench.want_space(int(self.size * (self.space + self.space_snapshot)))
        self.create()
        if self.needs_fill:
            self.serve(4)
            self.fill()

    def fill(self):
        order = "seq" if self.variant == "seq" else "once"
        self.load("--op", "write", "--order", order, "--block", "64K", "--depth", "16", "--requests", "all")

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
        """Reads all of it once, in 64 KiB requests in random order, unless the page cache has it: the same state for all."""
        if self.has_data and cached_bytes(self.backing_files()) < 0.98 * self.size:
            self.load(*WARM)

    def drop_cache(self):
        """Takes the backing files out of the page cache, and nothing else."""
        self.load("--op", "none")  # flushed: what is dirty stays in the cache
        run("sync", "-f", self.dir)
        for path in self.backing_files():
            fd = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

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

    def nothing(self):
        """What any command takes to start and end."""
        run(self.bench.program("cli/cowbd"), "--version")

    def fragment(self):
        """Random 4 KiB writes over all of it, as first writes where the peer can fork."""
        self.load("--op", "write", "--order", "once", "--block", "4K", "--depth", "16", "--requests", "all")

    def export_of(self, volume):
        """The export of a volume made by new_volume."""
        return volume

    def has_volume(self, name):
        return name in self.volumes

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
    pool_size = 64 * GIB  # sparse; a fixed size, so that the journal's is the same for all
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
        self.cowbd("init", self.pool, "--size", self.pool_bytes(), *self.init_options)
        self.cowbd("create", "disk", self.size)

    def pool_bytes(self):
        return self.pool_size

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
        self.settle()

    def snapshot_as(self, name, wait):
        self.cowbd("snapshot", "disk@" + name, *([] if wait else ["--no-wait"]))

    def delete_as(self, name, wait=True):
        self.cowbd("rm", "disk@" + name, *([] if wait else ["--no-wait"]))

    def forget_all(self, names):
        if names:
            self.cowbd("rm", *["disk@" + name for name in names])
            self.settle()

    def wait_until_reclaimed(self):
        """Until the dying list is empty."""
        control = self.control()
        try:
            wait_for("cowbd's reclaim", 120, lambda: control.ask("status")["dying"] == 0)
        finally:
            control.close()

    def settle(self):
        """Until nothing changes any more: reclaimed, and given back to the host."""
        seen = {}

        def quiet():
            status = self.ask("status")
            now = (status["dying"], status["used_blocks"], status["zones_given_back"])
            if now != seen.get("last") or status["dying"]:
                seen["last"], seen["since"] = now, time.monotonic()
            return time.monotonic() - seen["since"] > 0.7

        wait_for("cowbd's reclaim", 120, quiet)

    def complete(self):
        self.restart()  # closing makes a checkpoint

    def fragment(self):
        self.snapshot()
        super().fragment()
        self.forget()

    can_be_deep = True

    def deepen(self, n):
        """Until there are n snapshots, 16 blocks written between each two."""
        have = sum(o["kind"] == "snapshot" for o in self.ask("ls")["objects"])
        if have >= n:
            return
        control = self.control()
        writer = subprocess.Popen([self.bench.program("bench/load"), "--socket", self.socket, "--export", "disk", "--order",
                                   "random", "--rate", "8000", "--seed", str(n)], preexec_fn=die_with_parent,
                                  stdout=subprocess.DEVNULL)
        try:
            for i in range(have, n):
                control.ask("snapshot", names=["disk@deep%d" % i], no_wait=True)
                time.sleep(0.002)
        finally:
            writer.terminate()
            writer.wait()
            control.close()

    def new_volume(self, name, size):
        self.cowbd("create", name, size)
        self.volumes.add(name)

    def remove_volume(self, name):
        self.cowbd("rm", name)
        self.volumes.discard(name)
        self.settle()

    def make_clones(self, prefix, n):
        self.ask("clone", source="disk", names=["%s%d" % (prefix, i) for i in range(1, n + 1)])

    def remove_clones(self, prefix, n):
        self.ask("rm", names=["%s%d" % (prefix, i) for i in range(1, n + 1)])
        self.settle()


class CowbdPreallocated(Cowbd):
    name = "cowbd-prealloc"
    title = "cowbd, pool preallocated"
    init_options = ["--preallocate", "--journal-size", "64M"]  # the journal that the others have
    space = 2.5
    space_snapshot = 0.0

    def pool_bytes(self):
        return int(2.5 * self.size) + 256 * MIB


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
    can_snapshot = False

    def arguments(self):
        return ["null", self.size]


class File(Nbdkit):
    name = "file"
    title = "nbdkit file"
    can_snapshot = False
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


class FileDir(File):
    """nbdkit file with a directory: each file is an export."""

    name = "file-dir"
    title = "nbdkit file dir="
    export = "disk.img"

    def arguments(self):
        return ["file", "dir=" + self.dir]

    def export_of(self, volume):
        return volume

    def new_volume(self, name, size):
        with open(os.path.join(self.dir, name), "x") as f:
            f.truncate(size)
        self.volumes.add(name)

    def remove_volume(self, name):
        os.unlink(os.path.join(self.dir, name))
        self.volumes.discard(name)


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
        self.make_dir()
        self.base = self.bench.shared("qcow2-base", lambda: filled_qcow2(self.bench, self.size))
        self.bench.want_space(self.size)
        self.overlay()

    def backing_files(self):
        return [self.base.path]

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

    return [Cowbd, CowbdPreallocated, CowbdDirect, Cowbd64K, Null, File, FileDir, Qcow2, Qcow2None, Qcow2Overlay,
            Qcow2Subclusters] + peers_copy.ALL
