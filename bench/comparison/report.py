# SPDX-License-Identifier: BSD-3-Clause
"""report.py - the results as JSON and as a Markdown table"""

import json
import os

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


def cell_text(figures, name, render=thousands):
    f = figures.get(name)
    if not f:
        return ""
    if f["rounds"] == 1:
        return render(f["median"])
    return "%s (%s-%s)" % (render(f["median"]), render(f["min"]), render(f["max"]))


def brief(cell, figure):
    """One cell in a few words, for who watches."""
    return "%s a second, %s with the flush" % (thousands(cell[figure]), thousands(cell["durable_" + figure]))


def load_table(name, load):
    lines = ["### %s (`%s`)" % (load["title"], name), "",
             "| | %s a second (min-max) | with the flush at the end | p99 | longest | server CPU, us each | written a byte |" %
             load["requests"], "|---|---|---|---|---|---|---|"]
    for peer, rounds in load["peers"].items():
        figures = summarize(rounds)
        kind = "read" if "read_p99_us" in figures and "write_p99_us" not in figures else "write"
        lines.append("| %s | %s | %s | %s | %s | %s | %s |" % (
            peer, cell_text(figures, load["figure"], load_render(load)), cell_text(figures, "durable_" + load["figure"],
            load_render(load)), us(figures, kind + "_p99_us"), us(figures, kind + "_max_us"),
            one(figures, "server_cpu_us", "%.1f"), one(figures, "written_per_byte", "%.2f")))
    for peer, why in load["skipped"].items():
        lines.append("| %s | skipped: %s | | | | | |" % (peer, why))
    return lines + [""]


def load_render(load):
    return (lambda v: "%.0f MiB" % (v / (1 << 20))) if load["figure"] == "bytes_rate" else thousands


def us(figures, name):
    f = figures.get(name)
    if not f:
        return ""
    v = f["median"]
    return "%.0f us" % v if v < 1000 else "%.1f ms" % (v / 1e3)


def one(figures, name, form):
    f = figures.get(name)
    return form % f["median"] if f else ""


def machine_lines(result):
    m, s = result["machine"], result["setting"]
    versions = ", ".join(v for v in m["versions"].values() if v)
    return [
        "%s, %d cores, %.0f GiB; Linux %s; scratch files on %s. %s." % (
            m["cpu"], m["cores"], m["memory_bytes"] / GIB, m["kernel"], m["file_system"], m["date"]),
        "", versions + ".", "",
        "Volumes of %s, filled with random data through the peer's own NBD export, in 64 KiB writes in random order, then flushed; "
        "before each cell all of the volume is read once, in 64 KiB requests in random order. All in one run, rounds of the peers "
        "taking turns: %d rounds of at most %g s; medians, in brackets least and most." % (size_text(s["size"]), s["rounds"], s["seconds"]),
    ]


def size_text(n):
    return "%g GiB" % (n / GIB) if n >= GIB else "%g MiB" % (n / (1 << 20))


def markdown(result):
    lines = ["# cowbd and its peers", ""] + machine_lines(result) + [""]
    for name, load in result["loads"].items():
        lines += load_table(name, load)
    lines += ["## How each was served", ""]
    for peer, p in result["peers"].items():
        lines += ["- %s: `%s`" % (p["title"], " ".join(map(str, o))) for o in p["options"].values()]
    return "\n".join(lines) + "\n"


def write_file(path, text):
    """All of it or nothing."""
    with open(path + ".tmp", "w") as f:
        f.write(text)
    os.replace(path + ".tmp", path)


def write_json(path, result):
    write_file(path, json.dumps(result, indent=1) + "\n")
