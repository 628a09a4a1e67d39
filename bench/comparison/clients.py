# SPDX-License-Identifier: BSD-3-Clause
"""clients.py - one load, by fio's nbd engine or by our own client (bench/load), with the same result

fio does what it can do right: reads or writes on one connection.  Mixed and flush-heavy loads are ours: fio's engine
polls while it waits for a flush, and shows a millisecond that is not there.

A load is a dict: op (write, read, mixed, trim), order (once, random, seq), block, depth, and perhaps stride,
connections, flush_every, reads (percent), range, requests, rate.
"""

import json
import tempfile

from .machine import run

OWN_ONLY = {"stride", "connections", "flush_every", "rate", "range", "requests"}


def own_arguments(load, seconds, seed):
    args = ["--seconds", seconds, "--seed", seed]
    for key, value in load.items():
        args += ["--" + key.replace("_", "-"), value]
    if load["order"] == "once" and "requests" not in load:
        args += ["--requests", "all"]
    return args


def fio_can(load):
    return load["op"] in ("read", "write") and not OWN_ONLY & set(load)


def fio_arguments(load, peer, seconds, seed):
    kind = {"read": "read", "write": "write"}[load["op"]]
    return [
        "fio", "--name=load", "--ioengine=nbd", "--uri=nbd+unix:///%s?socket=%s" % (peer.export, peer.socket),
        "--rw=" + ("" if load["order"] == "seq" else "rand") + kind, "--bs=%d" % load["block"],
        "--iodepth=%d" % load["depth"], "--size=%d" % peer.size, "--runtime=%g" % seconds,
        "--norandommap=%d" % (load["order"] == "random")] + \
        ([] if load["order"] == "once" else ["--time_based"]) + \
        ["--randseed=%d" % seed, "--output-format=json"]


def fio_latency(side):
    n = side["total_ios"]
    p = side.get("clat_ns", {}).get("percentile", {})
    return {
        "n": n, "mean_us": side["lat_ns"]["mean"] / 1e3, "max_us": side["lat_ns"]["max"] / 1e3,
        "p50_us": p.get("50.000000", 0) / 1e3, "p99_us": p.get("99.000000", 0) / 1e3,
        "p999_us": p.get("99.900000", 0) / 1e3, "p9999_us": p.get("99.990000", 0) / 1e3,
    }


def by_fio(peer, load, seconds, seed):
    with tempfile.TemporaryDirectory(dir=peer.bench.run_dir) as where:  # fio leaves files in its directory
        out = run(*fio_arguments(load, peer, seconds, seed), cwd=where)
    job = json.loads(out[out.index("{"):])["jobs"][0]
    side = job[load["op"]]
    ack = side["runtime"] / 1e3
    flush = 0.0
    if load["op"] == "write" and peer.flush_by_another_connection:
        flush = peer.load("--op", "none")["seconds"]
    none = {"n": 0}
    return {
        "requests": side["total_ios"], "bytes": side["io_bytes"], "ack_seconds": ack, "seconds": ack + flush,
        "end_flush_seconds": flush, "client_cpu_seconds": (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1e3,
        "write_latency": fio_latency(job["write"]) if load["op"] == "write" else none,
        "read_latency": fio_latency(job["read"]) if load["op"] == "read" else none, "flush_latency": none,
    }


def by_own(peer, load, seconds, seed, export=None):
    return peer.load(*own_arguments(load, seconds, seed), export=export)


def measure(peer, load, seconds, seed, own=False):
    """Runs it for so long, or once through, whichever is first."""
    if fio_can(load) and not own:
        return by_fio(peer, load, seconds, seed)
    return by_own(peer, load, seconds, seed)
