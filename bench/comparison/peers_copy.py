# SPDX-License-Identifier: BSD-3-Clause
"""peers_copy.py - peers whose snapshot is a reflink, or a store beside a file that stays as it is"""

import os
import shutil
import socket

from .machine import GIB, Daemon, Missing, greets, need, run, wait_for
from .peers import File, Nbdkit


class Reflink(File):
    """nbdkit file on a file system that can share extents; the snapshot is `cp --reflink`, while it is served."""

    can_snapshot = True
    space_snapshot = 1.0
    mkfs = None

    def create(self):
        self.dir, self.device, self.undo_own = self.bench.loop_file_system(
            self.name, 3 * self.size + 2 * GIB, self.mkfs)
        self.new_file(self.path)
        os.truncate(self.path, self.size)

    def new_file(self, path):
        with open(path, "x"):
            pass

    def snapshot(self):
        self.new_file(self.path + ".snapshot")
        run("cp", "--reflink=always", self.path, self.path + ".snapshot")

    def forget(self):
        os.unlink(self.path + ".snapshot")
        run("sync", "-f", self.dir)

    def snapshot_as(self, name, wait):
        self.new_file(self.path + "." + name)
        run("cp", "--reflink=always", self.path, self.path + "." + name)

    def delete_as(self, name):
        os.unlink(self.path + "." + name)

    def forget_all(self, names):
        for name in names:
            self.delete_as(name)
        self.settle()

    def wait_until_reclaimed(self):
        """XFS and btrfs free in the background, too: until the space is there."""
        used = []

        def steady():
            s = os.statvfs(self.dir)
            used.append(s.f_bfree)
            return len(used) > 50 and used[-1] == used[-50]

        wait_for("the space of a deleted file", 120, steady)

    def settle(self):
        run("sync", "-f", self.dir)

    def fragment(self):
        self.snapshot()
        super().fragment()
        self.forget()


class Xfs(Reflink):
    name = "xfs"
    title = "XFS reflink behind nbdkit file"
    mkfs = ["mkfs.xfs", "-q", "-f", "-m", "reflink=1"]


class XfsDir(Xfs):
    """Each file of the directory is an export."""

    name = "xfs-dir"
    title = "XFS reflink behind nbdkit file dir="
    export = "disk.img"

    def arguments(self):
        return ["file", "dir=" + self.dir]

    def make_clones(self, prefix, n):
        for i in range(1, n + 1):
            run("cp", "--reflink=always", self.path, os.path.join(self.dir, "%s%d" % (prefix, i)))

    def remove_clones(self, prefix, n):
        for i in range(1, n + 1):
            os.unlink(os.path.join(self.dir, "%s%d" % (prefix, i)))


class Btrfs(Reflink):
    """Without checksums and copies of what is not shared, as is advised for images of disks."""

    name = "btrfs"
    title = "btrfs reflink behind nbdkit file, chattr +C"
    mkfs = ["mkfs.btrfs", "-q", "-f"]

    def new_file(self, path):
        super().new_file(path)
        run("chattr", "+C", path)


class OverBase(Nbdkit):
    """What it writes goes beside a raw file, which such peers share, and is gone with the server."""

    needs_fill = False
    space = 0.0

    def make(self, size):
        self.check()
        self.size = size
        self.bench.want_space(2 * size)
        os.mkdir(self.dir)
        self.base = self.bench.shared("base", lambda: filled_file(self.bench, size))

    def backing_files(self):
        return [self.base.path]

    def snapshot(self):
        self.restart()

    def remove(self):
        super().remove()
        if hasattr(self, "base"):
            self.bench.unshare("base")


class Base(File):
    name = "base"
    title = "a raw file"


def filled_file(bench, size):
    """A raw file filled as the volumes of the peers are; .path, and .remove() at the end."""
    base = Base(bench)
    base.make(size)
    base.stop()
    return base


class CowFilter(OverBase):
    name = "cow-filter"
    title = "nbdkit cow filter"
    filters = ["--filter=cow"]
    parameters = []

    def environment(self):
        return dict(os.environ, TMPDIR=self.dir)

    def arguments(self):
        return ["file", self.base.path] + self.parameters


class CowFilter4K(CowFilter):
    name = "cow-filter-4k"
    title = "nbdkit cow filter, blocks of 4 KiB"
    parameters = ["cow-block-size=4096"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class NbdServer(OverBase):
    """Each connection has a store of its own, dropped at its end: each is just after a snapshot."""

    name = "nbd-server"
    title = "nbd-server copyonwrite"
    export = "disk"
    flush_by_another_connection = False

    def check(self):
        need("nbd-server")

    def command(self):
        path = os.path.join(self.bench.run_dir, "nbd-server.conf")
        with open(path, "w") as f:
            # It listens by TCP in any case: on loopback, at a port that is free.
            f.write("[generic]\nunixsock = %s\nlistenaddr = 127.0.0.1\nport = %d\n"
                    "[disk]\nexportname = %s\ncopyonwrite = true\ncowdir = %s\nflush = true\n" % (
                        self.socket, free_port(), self.base.path, self.dir))
        return ["nbd-server", "-C", path, "-p", self.pid_file]

    @property
    def pid_file(self):
        return os.path.join(self.bench.run_dir, "nbd-server.pid")

    def start(self, args):
        if os.path.exists(self.pid_file):
            os.unlink(self.pid_file)
        return Daemon(self.bench, args, lambda: greets(self.socket), self.pid_file)

    def snapshot(self):
        pass


class DmThin(Nbdkit):
    """nbdkit file on a thin device, where the kernel has them."""

    name = "dm-thin"
    title = "dm-thin behind nbdkit file"

    def check(self):
        if os.geteuid() != 0 or not shutil.which("dmsetup"):
            raise Missing("dmsetup and root are needed")
        if "thin-pool" not in run("dmsetup", "targets", check=False):
            raise Missing("the kernel has no thin-pool target")

    def create(self):
        super().create()
        # The pool's data in 64 KiB blocks, as LVM makes them for a pool of this size.
        self.undo_own = self.bench.thin_pool(self.dir, 3 * self.size, 64 << 10)
        run("dmsetup", "message", "cowbd-bench-pool", 0, "create_thin 0")
        run("dmsetup", "create", "cowbd-bench-thin", "--table", "0 %d thin /dev/mapper/cowbd-bench-pool 0" % (
            self.size // 512))
        self.undo_own.callback(run, "dmsetup", "remove", "cowbd-bench-thin", check=False)

    def arguments(self):
        return ["file", "/dev/mapper/cowbd-bench-thin"]

    def snapshot(self):
        run("dmsetup", "suspend", "cowbd-bench-thin")
        run("dmsetup", "message", "cowbd-bench-pool", 0, "create_snap 1 0")
        run("dmsetup", "resume", "cowbd-bench-thin")

    def forget(self):
        run("dmsetup", "message", "cowbd-bench-pool", 0, "delete 1")


ALL = [Xfs, XfsDir, Btrfs, CowFilter, CowFilter4K, NbdServer, DmThin]
