# SPDX-License-Identifier: BSD-3-Clause
"""report.py - the results as JSON and as a Markdown table"""

import json
import os

VERSION = 1  # of the JSON
GIB = 1 << 30


def median(values):
    s = sorted(values)
    n = len(s)
    return s[n // 2] if n % 2 else (s[n // 2 - 1] + s[n // 2]) / 2


def spread(values):
    """What is kept of one figure over the rounds."""
    return {"median": median(values), "min": min(values), "max": max(values), "rounds": len(values)}


def summarize(rounds):
    """[{figure: value} a round] -> {figure: spread}"""
    names = []
    for cell in rounds:
        names += [n for n in cell if n not in names and n != "round"]
    return {n: spread([c[n] for c in rounds if n in c]) for n in names}


def thousands(value):
    return "%.1f k" % (value / 1e3) if value >= 10000 else "%.2f k" % (value / 1e3) if value >= 1000 else "%.0f" % value


MIB = 1 << 20
RENDER = {  # figure: how its median is shown
    "rate": thousands,
    "bytes_rate": lambda v: "%.0f MiB" % (v / MIB),
    "device_written_per_byte": lambda v: "%.2f" % v,
}


def ms(value):
    """Seconds."""
    return "%.0f us" % (value * 1e6) if value < 0.001 else "%.2g ms" % (value * 1e3) if value < 0.1 else "%.2f s" % value


def us(value):
    return ms(value / 1e6)


# Heading, figure (or figures: the first that is there), how it is shown. A column that nobody fills is left out.
COLUMNS = [
    ("with the flush at the end", ("durable_FIGURE",), None),
    ("p99", ("write_p99_us", "read_p99_us"), us),
    ("p99.9", ("write_p999_us", "read_p999_us"), us),
    ("longest", ("write_max_us", "read_max_us"), us),
    ("flush, median", ("flush_p50_us",), us),
    ("flush, p99", ("flush_p99_us",), us),
    ("server CPU, us each", ("server_cpu_us",), lambda v: "%.1f" % v),
    ("dirtied a byte", ("written_per_byte",), lambda v: "%.2f" % v),
    ("most memory", ("peak_memory",), lambda v: "%.0f MiB" % (v / MIB)),
    ("snapshot", ("snapshot_seconds",), ms),
    ("longest snapshot", ("snapshot_max_seconds",), ms),
    ("snapshots", ("snapshots",), lambda v: "%.0f" % v),
    ("deletion", ("delete_seconds",), ms),
    ("blocks reclaimed a second", ("reclaim_blocks_rate",), thousands),
    ("trim", ("trim_seconds",), ms),
    ("rate beside it", ("during_ratio",), lambda v: "x %.2f" % v),
    ("and after it", ("after_ratio",), lambda v: "x %.2f" % v),
    ("read from the disk, images", ("disk_read_per_image",), lambda v: "%.1f" % v),
]


def cell_text(figures, name):
    f = figures.get(name)
    if not f:
        return ""
    render = RENDER[name]
    if f["rounds"] == 1:
        return render(f["median"])
    return "%s (%s-%s)" % (render(f["median"]), render(f["min"]), render(f["max"]))


def brief(cell, figure):
    """One cell in a few words, for who watches."""
    text = RENDER[figure](cell[figure])
    if "durable_" + figure in cell:
        text += ", %s with the flush" % RENDER[figure](cell["durable_" + figure])
    return text


def first_of(figures, names, figure):
    for name in names:
        f = figures.get(name.replace("FIGURE", figure))
        if f:
            return f
    return None


def load_table(name, load):
    """Rows are peers; columns that have something to say."""
    rows = {peer: summarize(rounds) for peer, rounds in load["peers"].items()}
    columns = [(head, names, render or RENDER[load["figure"]]) for head, names, render in COLUMNS
               if any(first_of(f, names, load["figure"]) for f in rows.values())]
    unit = "" if load["figure"] == "device_written_per_byte" else " a second"
    lines = ["### %s (`%s`)" % (load["title"], name), "",
             "| |%s (least-most) | %s |" % (unit, " | ".join(c[0] for c in columns)), "|---" * (len(columns) + 2) + "|"]
    for peer, figures in rows.items():
        cells = [first_of(figures, names, load["figure"]) for _, names, _ in columns]
        lines.append("| %s | %s | %s |" % (peer, cell_text(figures, load["figure"]), " | ".join(
            render(f["median"]) if f else "" for f, (_, _, render) in zip(cells, columns))))
    for peer, why in load["skipped"].items():
        lines.append("| %s | skipped: %s |%s" % (peer, why, " |" * len(columns)))
    return lines + [""]


def machine_lines(result):
    m, s = result["machine"], result["setting"]
    versions = ", ".join(v for v in m["versions"].values() if v)
    return [
        "%s, %d cores, %.0f GiB; Linux %s; scratch files on %s. %s." % (
            m["cpu"], m["cores"], m["memory_bytes"] / GIB, m["kernel"], m["file_system"], m["date"]),
        "", versions + ".", "",
        "Volumes of %s, filled with random data through the peer's own NBD export, in 64 KiB writes in random order, "
        "then flushed; what the page cache lacks of one is read before each cell, in 64 KiB requests in random order. "
        "%s, rounds of the peers taking turns: %d rounds of at most %g s (a full run's lesser "
        "loads: three rounds, and shorter); medians, in brackets least and most." % (
            size_text(s["size"]), "All in one run" if result.get("runs", 1) == 1 else "In %d runs, each group in one" % result["runs"],
            s["rounds"], s["seconds"]),
    ] + commit_lines(result)


def commit_lines(result):
    """Of which source the figures are, and which groups are of another."""
    by_commit = {}
    for group, commit in result.get("commits", {}).items():
        by_commit.setdefault(commit or "not known", []).append(group)
    if not by_commit:
        return []
    most = max(by_commit, key=lambda c: len(by_commit[c]))
    others = ["; of %s: %s" % (c, ", ".join(groups)) for c, groups in by_commit.items() if c != most]
    return ["", "cowbd is that of commit %s%s." % (most, "".join(others))]


def size_text(n):
    return "%g GiB" % (n / GIB) if n >= GIB else "%g MiB" % (n / (1 << 20))


def markdown(result, target_lines, instant_lines):
    lines = ["# cowbd and its peers", ""] + machine_lines(result) + ["", "## What cowbd must reach", ""] + target_lines + [
        "", "## All that was measured", ""]
    for name, load in result["loads"].items():
        lines += load_table(name, load)
    lines += instant_lines
    for f in result["failures"]:
        lines.append("FAILED: %(load)s, %(peer)s, round %(round)d: %(error)s" % f)
    if result["left_out"]:
        lines += ["Left out, since the time was up: %s." % ", ".join(result["left_out"]), ""]
    lines += ["## How each was served", ""]
    for p in result["peers"].values():
        lines += ["- %s: `%s`" % (p["title"], " ".join(map(str, o))) for o in p["options"].values()]
    return lines


def write_file(path, text):
    """All of it or nothing."""
    with open(path + ".tmp", "w") as f:
        f.write(text)
    os.replace(path + ".tmp", path)


def write_json(path, result):
    write_file(path, json.dumps(result, indent=1) + "\n")
