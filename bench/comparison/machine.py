# SPDX-License-Identifier: BSD-3-Clause
"""machine.py - processes, files, loop devices and facts of this machine

Everything that is made is registered for its removal at once: Bench.undo runs on every exit, in reverse order.
"""

import contextlib
import ctypes
import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time

GIB = 1 << 30
MIB = 1 << 20
KEEP_FREE = 10 * GIB


class Failed(Exception):
    """One line: what could not be done."""


class Missing(Exception):
    """A peer or a load can't run here; one line says why."""


def die_with_parent():
    """Runs in a child before exec: it ends when we do, however we end."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    os.setpgid(0, 0)  # our Ctrl-C is not theirs: they end in order


RUN_SECONDS = 600  # the longest command is a copy of a whole volume


def run(*args, env=None, check=True, cwd=None):
    """Runs a command to its end and returns its standard output."""
    args = [str(a) for a in args]
    try:
        done = subprocess.run(args, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, cwd=cwd, preexec_fn=die_with_parent, timeout=RUN_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Failed("%s: %s" % (args[0], e))
    if check and done.returncode != 0:
        raise Failed("%s: status %d: %s" % (" ".join(args), done.returncode,
                                            (done.stderr or done.stdout).strip()[-400:]))
    return done.stdout


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise Missing(tool + " is not installed")


def wait_for(what, seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed("waited %d s in vain for " % seconds + what)
        time.sleep(0.01)


def greets(path):
    """Does an NBD server say something there?  cowbd's socket is there before it can."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(1)
        try:
            s.connect(path)
            return s.recv(8) == b"NBDMAGIC"
        except OSError:
            return False


def first_line(*args):
    """The first line that a program says of itself, or None."""
    if not shutil.which(args[0]):
        return None
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = done.stdout.strip().splitlines()
    return lines[0] if lines else None


def cached_bytes(paths):
    """How much of these files the page cache holds."""
    total = 0
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            counts = (ctypes.c_uint64 * 5)()
            whole = (ctypes.c_uint64 * 2)(0, 0)
            if ctypes.CDLL(None).syscall(451, fd, whole, counts, 0) == 0:  # cachestat, since 6.5
                total += counts[0] * os.sysconf("SC_PAGE_SIZE")
            else:
                total += sum(map(int, run("fincore", "--bytes", "--noheadings", "--output", "RES", path).split()))
        finally:
            os.close(fd)
    return total


def unmount(point):
    """Also when somebody still looks at it."""
    if subprocess.run(["umount", point], stderr=subprocess.DEVNULL).returncode != 0:
        run("umount", "-l", point, check=False)


class Server:
    """A server process: started, waited for, ended; and what it used."""

    def __init__(self, bench, args, ready, env=None):
        self.log = tempfile.NamedTemporaryFile("w+", dir=bench.run_dir, prefix="log.")
        self.process = subprocess.Popen([str(a) for a in args], env=env, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, preexec_fn=die_with_parent)
        self.args = args
        self.pid = self.process.pid
        bench.servers.add(self)
        self.bench = bench
        wait_for(" ".join(map(str, args[:3])), 60, lambda: self.alive() and ready())

    def alive(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise Failed("%s ended with status %d: %s" % (
                self.args[0], self.process.returncode, self.log.read().strip()[-400:]))
        return True

    def stop(self, seconds=120):
        self.bench.servers.discard(self)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def kill(self):
        self.bench.servers.discard(self)
        self.process.kill()
        self.process.wait()
        self.log.close()

    def processes(self):
        """It, and those that it has made and that live: nbd-server has one a connection."""
        found = [self.pid]
        for pid in found:
            try:
                with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                    found += map(int, f.read().split())
            except OSError:
                pass
        return found

    def cpu_seconds(self):
        """User and system time of the server and its children (not of kernel threads that work for it)."""
        ticks = 0
        for pid in self.processes():
            try:
                with open("/proc/%d/stat" % pid) as f:
                    ticks += sum(map(int, f.read().rpartition(")")[2].split()[11:15]))
            except OSError:  # it has ended, and is among the ended children from now on
                pass
        return ticks / os.sysconf("SC_CLK_TCK")

    def written_bytes(self):
        """What it made the kernel owe the disk: pages dirtied, and direct writes."""
        return self._io("write_bytes:")

    def read_bytes(self):
        """What it made the kernel read from the disk."""
        return self._io("read_bytes:")

    def _io(self, what):
        total = 0
        for pid in self.processes():
            try:
                with open("/proc/%d/io" % pid) as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith(what))
            except OSError:
                pass
        return total

    def peak_memory(self):
        with open("/proc/%d/status" % self.pid) as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0


class Daemon(Server):
    """One that goes into the background by itself and writes its process number into a file."""

    def __init__(self, bench, args, ready, pid_file):
        self.pid_file = pid_file
        super().__init__(bench, args, lambda: self.in_background() and ready())

    def alive(self):
        return self.process.poll() in (None, 0) or super().alive()

    def in_background(self):
        try:
            with open(self.pid_file) as f:
                self.pid = int(f.read())
        except (OSError, ValueError):
            return False
        return self.process.poll() is not None

    def stop(self, seconds=20):
        self.bench.servers.discard(self)
        try:
            os.kill(self.pid, signal.SIGTERM)
            wait_for("the end of " + self.args[0], seconds, lambda: not os.path.exists("/proc/%d" % self.pid))
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()


class Bench:
    """The run: its directories, programs and servers; a context manager that takes all of it down."""

    def __init__(self, build, scratch):
        self.build = os.path.abspath(build)
        self.undo = contextlib.ExitStack()
        self.servers = set()
        self.common = {}  # name: [what, users]
        self.scratch_base = os.path.abspath(scratch)

    def __enter__(self):
        try:
            self.dir = self._directory(self.scratch_base)
            # Sockets want short names, cowbd's tail a tmpfs, as /run is.
            self.run_dir = self._directory("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp")
            return self
        except BaseException:
            self.undo.close()
            raise

    def __exit__(self, *args):
        self._stop_servers()  # before their file systems are unmounted
        self.undo.close()

    def _directory(self, where):
        path = tempfile.mkdtemp(prefix="cowbd-bench.", dir=where)
        self.undo.callback(shutil.rmtree, path, True)
        return path

    def _stop_servers(self):
        for server in list(self.servers):
            try:
                server.stop(20)
            except Failed:
                pass

    def program(self, name):
        path = os.path.join(self.build, name)
        if not os.access(path, os.X_OK):
            raise Failed(path + " is not built: make all bench/load")
        return path

    def free_bytes(self):
        s = os.statvfs(self.dir)
        return s.f_bavail * s.f_frsize

    def want_space(self, size):
        """Fails unless so much can be written and KEEP_FREE is left."""
        free = self.free_bytes()
        if free - size < KEEP_FREE:
            raise Missing("wants %.0f GiB of disk and %.0f left over; %.0f are free" % (
                size / GIB, KEEP_FREE / GIB, free / GIB))

    def loop_file_system(self, name, size, mkfs):
        """A file system of its own on a loop device that bypasses the page cache below: its mount point."""
        if os.geteuid() != 0:
            raise Missing("loop devices want root")
        need("losetup", "mount", mkfs[0])
        image = os.path.join(self.dir, name + ".img")
        with open(image, "w") as f:
            f.truncate(size)
        undo = contextlib.ExitStack()
        self.undo.push(undo)
        undo.callback(os.unlink, image)
        try:
            device = run("losetup", "-f", "--show", "--direct-io=on", image).strip()
        except Failed as e:
            raise Missing(str(e))
        undo.callback(run, "losetup", "-d", device, check=False)
        try:
            run(*mkfs, device)
            point = os.path.join(self.dir, name)
            os.mkdir(point)
            run("mount", "-o", "noatime", device, point)
        except Failed as e:
            raise Missing(str(e))
        undo.callback(unmount, point)
        return point, device, undo

    def thin_pool(self, directory, size, block):
        """A dm-thin pool cowbd-bench-pool on two loop devices: what takes it down."""
        undo = contextlib.ExitStack()
        self.undo.push(undo)
        devices = []
        for name, length in (("meta", 256 * MIB), ("data", size)):
            path = os.path.join(directory, name)
            with open(path, "w") as f:
                f.truncate(length)
            devices.append(run("losetup", "-f", "--show", "--direct-io=on", path).strip())
            undo.callback(run, "losetup", "-d", devices[-1], check=False)
        run("dmsetup", "create", "cowbd-bench-pool", "--table", "0 %d thin-pool %s %s %d 0 1 skip_block_zeroing" % (
            size // 512, devices[0], devices[1], block // 512))
        undo.callback(run, "dmsetup", "remove", "cowbd-bench-pool", check=False)
        return undo

    def shared(self, name, make):
        """What several peers use: made by the first of them, removed by the last one's unshare."""
        if name not in self.common:
            self.common[name] = [make(), 0]
        self.common[name][1] += 1
        return self.common[name][0]

    def unshare(self, name):
        self.common[name][1] -= 1
        if self.common[name][1] == 0:
            self.common.pop(name)[0].remove()


def disk_bytes_written(device):
    """Bytes written to a block device since it was made."""
    with open("/sys/block/%s/stat" % os.path.basename(device)) as f:
        return int(f.read().split()[6]) * 512


def cpu_model():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def memory_bytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def commit():
    """Of the source that was built: short, with a + if it was changed since; None where there is no repository."""
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        name = run("git", "-C", here, "rev-parse", "--short=9", "HEAD").strip()
        changed = run("git", "-C", here, "status", "--porcelain", "--untracked-files=no", "--", "../../src", "../../plugin", "../../cli")
    except Failed:
        return None
    return name + ("+" if changed else "")


def facts(bench):
    """What a reader must know of the machine and of the programs."""
    where = run("findmnt", "-no", "FSTYPE,SOURCE,OPTIONS", "-T", bench.dir, check=False).split()
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "kernel": platform.release(),
        "file_system": where[0] if where else "unknown",
        "device": where[1] if len(where) > 1 else "unknown",
        "mount_options": where[2] if len(where) > 2 else "",
        "versions": {
            "cowbd": first_line(bench.program("cli/cowbd"), "--version"),
            "nbdkit": first_line("nbdkit", "--version"),
            "qemu-nbd": first_line("qemu-nbd", "--version"),
            "nbd-server": first_line("nbd-server", "--version"),
            "mkfs.xfs": first_line("mkfs.xfs", "-V"),
            "mkfs.btrfs": first_line("mkfs.btrfs", "-V"),
            "fio": first_line("fio", "--version"),
        },
    }
