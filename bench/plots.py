# SPDX-License-Identifier: MIT
"""Plots of results.json by gnuplot: cost against connections and message size, latency against
offered load. A plot whose scenarios were not run is left out."""
import re
import subprocess

FORMAT = "set terminal pngcairo size 900,560 font 'sans,11'\n"


def points(records, pattern, metric, peer):
    """{x: (value of Millrace, of the peer)} of the scenarios whose name matches, sorted by x."""
    out = {}
    for r in records:
        scenario, _, key = r["name"].rpartition(".")
        match = re.fullmatch(pattern, scenario)
        if match and key == metric and r["peer"] == peer and r["value"] and r["peer_value"]:
            out[number(match.group(1))] = (r["value"], r["peer_value"])
    return sorted(out.items())


def number(text):
    scale = {"k": 1024, "b": 1}
    return int(text[:-1]) * scale[text[-1]] if text[-1] in scale else int(text)


def plot(out, title, xlabel, ylabel, data, logs):
    """data: [(label, [(x, y), ...]), ...]"""
    if not any(len(xy) > 1 for _, xy in data):
        return None
    lines = [FORMAT, f"set output '{out}'", f"set title '{title}'", f"set xlabel '{xlabel}'",
             f"set ylabel '{ylabel}'", "set grid", "set key top left"]
    lines += [f"set logscale {axis}" for axis in logs]
    lines.append("set yrange [0:*]" if "y" not in logs else "")
    for i, (_, xy) in enumerate(data):
        lines += [f"$d{i} << EOD", *(f"{x} {y}" for x, y in xy), "EOD"]
    lines.append("plot " + ", ".join(f"$d{i} with linespoints lw 2 title '{label}'"
                                     for i, (label, _) in enumerate(data)))
    subprocess.run(["gnuplot"], input="\n".join(lines) + "\n", text=True, check=True,
                   capture_output=True)
    return out


def both(records, pattern, metric, value=lambda v: v, names=("Millrace", "epoll")):
    xy = points(records, pattern, metric, "epoll")
    return [(name, [(x, value(pair[i])) for x, pair in xy]) for i, name in enumerate(names)]


def cost(per_cpu):
    return 1e6 / per_cpu


def draw(records, out):
    """Write the plots into the folder `out`; the paths of those that came about."""
    made = []
    for size, words in (("64b", "64 bytes"), ("1k", "1 KiB")):
        for tail, depth in (("", "one request"), ("-d16", "16 requests")):
            made.append(plot(out / f"connections-{size}{tail}.png",
                             f"Echo of {words}, {depth} in flight on each connection",
                             "connections", "CPU us of the whole machine per request",
                             both(records, rf"echo-{size}-c(\d+){tail}", "per-cpu", cost), "x"))
    made.append(plot(out / "size.png", "Echo, 64 connections, one request in flight on each",
                     "bytes of value", "CPU us of the whole machine per request",
                     both(records, r"(?:size|echo)-(\d+[bk])(?:-c64)?", "per-cpu", cost), "x"))
    curves = []
    for metric in ("p50", "p99"):
        curves += both(records, r"offered-(\d+)k", metric,
                       names=(f"Millrace {metric}", f"epoll {metric}"))
    made.append(plot(out / "offered.png", "Echo of 64 bytes, 64 connections, open loop",
                     "thousand requests a second, offered", "us since the request was due",
                     curves, "y"))
    return [m for m in made if m]
