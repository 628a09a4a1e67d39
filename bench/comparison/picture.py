# SPDX-License-Identifier: BSD-3-Clause
"""picture.py - the main loads as bars, in SVG that needs no other program

One chart a load: a bar a peer, its median, and a whisker from least to most.
"""

from html import escape

from .report import RENDER, summarize

SHOWN = ["write-d16", "after-d16", "flush-each", "after-flush-each", "read-d16"]
JOINED = {"write-d16": "others-write", "after-d16": "after-others"}  # the same load on peers that had other rounds
WIDTH, LEFT, RIGHT = 760, 220, 130
BAR, GAP, HEAD = 16, 6, 40
OURS, THEIRS = "#1f6f8b", "#b0b7bd"


def bar(y, title, figures, scale, color, text):
    middle = y + BAR / 2
    x, least, most = (LEFT + figures[k] * scale for k in ("median", "min", "max"))
    return [
        '<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (LEFT - 8, middle + 4, escape(title)),
        '<rect x="%d" y="%.1f" width="%.1f" height="%d" fill="%s"/>' % (LEFT, y, max(x - LEFT, 1), BAR, color),
        '<path d="M%.1f %.1fH%.1f M%.1f %.1fv6 M%.1f %.1fv6" stroke="#333" fill="none"/>' % (
            least, middle, most, least, middle - 3, most, middle - 3),
        '<text x="%.1f" y="%.1f">%s</text>' % (max(x, most) + 6, middle + 4, escape(text)),
    ]


def chart(top, load, titles, more):
    """more: (peer, rounds) from elsewhere.  -> (lines of SVG, y below)"""
    rows = [(peer, summarize(rounds)[load["figure"]]) for peer, rounds in list(load["peers"].items()) + more]
    rows.sort(key=lambda row: -row[1]["median"])
    scale = (WIDTH - LEFT - RIGHT) / max([f["max"] for _, f in rows] + [1])
    lines = ['<text x="%d" y="%d" font-weight="bold">%s, a second</text>' % (8, top + 24, escape(load["title"]))]
    y = top + HEAD
    for peer, f in rows:
        color = OURS if peer.startswith("cowbd") else THEIRS
        lines += bar(y, titles.get(peer, peer), f, scale, color, RENDER[load["figure"]](f["median"]))
        y += BAR + GAP
    return lines, y


def svg(result):
    titles = {name: p["title"] for name, p in result["peers"].items()}
    names = [n for n in SHOWN if n in result["loads"]] or list(result["loads"])[:1]
    lines, y = [], 0
    for name in names:
        load = result["loads"][name]
        more = [(peer, rounds) for peer, rounds in result["loads"].get(JOINED.get(name), {"peers": {}})["peers"].items()
                if peer not in load["peers"]]
        if load["peers"]:
            some, y = chart(y, load, titles, more)
            lines += some
    height = y + 34
    machine = result["machine"]
    note = "medians of %d rounds, whiskers least to most; %s, %d cores, Linux %s, %s" % (
        result["setting"]["rounds"], machine["cpu"], machine["cores"], machine["kernel"], machine["date"])
    return "\n".join([
        '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
        'font-family="sans-serif" font-size="12">' % (WIDTH, height, WIDTH, height),
        '<rect width="100%" height="100%" fill="white"/>'] + lines + [
            '<text x="8" y="%d" fill="#555">%s</text>' % (height - 12, escape(note)), "</svg>"]) + "\n"
