#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The grid: Millrace and the kernel's CUBIC over the same bad links, both ways.

    tests/badnet/grid.py              all cells and the fairness of two kinds of senders (make badnet)
    tests/badnet/grid.py --only RE    those whose name it matches, such as rtt100 or loss5.*mtu1500

A cell is a link: loss and reordering in both directions, a round-trip time, an MTU, a bottleneck of
100 Mbit/s with a queue of one bandwidth-delay product (64 KiB at least). In each cell, one after
the other with the same seed, so that frame n meets the same fate:

    down       Millrace sends, the client's kernel receives; every byte compared
    down_peer  the server's kernel sends with CUBIC instead: the figure to compare with
    up         the client's kernel sends with CUBIC, Millrace receives and answers count and hash
    up_peer    the server's kernel receives instead (MTU 1500 only)
    finish     Millrace sends 128 KiB and FIN: all of it, and the end
    active     Millrace opens the connection; 128 KiB there and back

A wrong byte, a missing one or a connection that stalls is an error, and the exit status is 1. A rate is
a figure: ratio is down over down_peer. Results are kept in build/badnet/results.json cell by cell:
a run that was interrupted goes on; those of another worker or of other settings are put aside as
results-old.json. The table is build/badnet/results.md, too.
"""
import argparse
import collections
import contextlib
import hashlib
import itertools
import json
import os
import re
import signal
import statistics
import sys
import time

sys.dont_write_bytecode = True

import badlink  # noqa: E402  pylint: disable=wrong-import-position
import lib  # noqa: E402  pylint: disable=wrong-import-position

RESULTS = badlink.OUT / "results.json"
TABLE = badlink.OUT / "results.md"
SHORT_STREAM = 131072
IDLE_SECONDS = 60
OTHER_MTU_HEADERS = 60  # IPv4, TCP and what is left of a frame for options

LOSS, REORDER, RTT, MTU = (0, 0.1, 1, 5), (0, 5), (0, 20, 100), (1500, 1280, 9000)


class Cell(collections.namedtuple("Cell", "loss reorder rtt mtu")):
    """A bad link. loss and reorder in per cent, rtt in milliseconds."""

    @property
    def name(self):
        return f"loss{self.loss:g}-reorder{self.reorder:g}-rtt{self.rtt:g}-mtu{self.mtu}"

    def options(self, rate):
        """Of mr-impair. Addresses are known beforehand: only TCP meets the bad luck."""
        words = ["--match", "tcp", "--drop", self.loss / 100,
                 "--reorder", f"{self.reorder / 100},3", "--delay", self.rtt / 2]
        if rate:
            words += ["--rate", rate, "--queue", max(65536, int(rate * 1e6 / 8 * self.rtt / 1e3))]
        return words

    @property
    def seed(self):
        return int(hashlib.sha256(self.name.encode()).hexdigest()[:8], 16)


ALL = [Cell(*values) for values in itertools.product(LOSS, REORDER, RTT, MTU)]
ALL.sort(key=lambda cell: MTU.index(cell.mtu))  # one daemon an MTU

# Every value of every axis, in six.
SIX = [Cell(0, 0, 20, 1500), Cell(1, 0, 100, 1500), Cell(5, 0, 0, 1500),
       Cell(0.1, 5, 0, 1280), Cell(1, 5, 20, 1280), Cell(5, 5, 20, 9000)]


# ----- one cell -----

def across(cell, rate, daemon, work, *args, seed=None, **settings):
    """Do it on the cell's link, which stays until the lane has no connection; the link's figures."""
    with badlink.Impair(*cell.options(rate), seed=cell.seed if seed is None else seed) as impair:
        done = work(*args, **settings)
        daemon.wait_idle(IDLE_SECONDS)
    return done, impair.statistics


def check(moved):
    assert moved.bytes > 0, "nothing arrived"
    assert moved.hash == moved.expected, \
        f"{moved.bytes} bytes with hash {moved.hash}, {moved.expected} was sent"
    return moved


def lane_mss(daemon, mtu):
    """Largest segment of the lane: its frames may hold less than the link's MTU."""
    found = re.search(r"a frame of \d+ bytes holds (\d+)", daemon.log.read_text(encoding="utf-8"))
    return (int(found[1]) if found else mtu) - OTHER_MTU_HEADERS


def run_cell(cell, seconds, rate, daemon, say=lambda text: None, more_peers=True):
    """All of the cell's transfers; its record. AssertionError or OSError: something was wrong.

    more_peers: measure the kernel as a receiver and with jumbo segments, too.
    """
    record = {"name": cell.name, **cell._asdict(), "seed": cell.seed}
    cap = lane_mss(daemon, cell.mtu) if cell.mtu > 1500 else None
    plan = [
        ("down", badlink.download, {}),
        ("down_peer", badlink.download, {"port": badlink.KERNEL_SOURCE, "mss": cap}),
        ("up", badlink.upload, {}),
    ]
    if cell.mtu == 1500 and more_peers:
        plan.append(("up_peer", badlink.upload, {"port": badlink.KERNEL_HASH, "line": b""}))
    if cap and more_peers:
        plan.append(("down_peer_jumbo", badlink.download, {"port": badlink.KERNEL_SOURCE}))
    before = daemon.pids()
    for name, work, settings in plan:
        counters = daemon.counters()
        moved, link = across(cell, rate, daemon, work, seconds, **settings)
        check(moved)
        record[name] = round(moved.mbits, 3)
        record[f"{name}_bytes"], record[f"{name}_hash"] = moved.bytes, moved.hash
        record[f"{name}_largest_frame"] = link["ba" if "down" in name else "ab"]["largest"]
        if name == "down":
            after = daemon.counters()
            record["retransmits"] = after["retransmits"] - counters["retransmits"]
            record["timeouts"] = after["retransmit_timeouts"] - counters["retransmit_timeouts"]
        say(f"{cell.name} {name} {moved.mbits:.2f} Mbit/s")
    across(cell, rate, daemon, badlink.finish, SHORT_STREAM)
    across(cell, rate, daemon, badlink.active_open, SHORT_STREAM)
    assert daemon.pids() == before, "a worker died"
    record["ratio"] = round(record["down"] / record["down_peer"], 3)
    if "up_peer" in record:
        record["up_ratio"] = round(record["up"] / record["up_peer"], 3)
    return record


# ----- fairness -----

def jain(rates):
    """Jain's index: 1 when all are equal, 1/n when one has everything."""
    return sum(rates) ** 2 / (len(rates) * sum(r * r for r in rates)) if any(rates) else 0.0


def fairness(seconds, daemon, flows=4):
    """Four flows of Millrace and four of the kernel's CUBIC on one bottleneck, at once."""
    link = ["--dir", "ba", "--rate", 50, "--queue", 125000, "--dir", "both", "--delay", 10]
    ports = [lib.SOURCE_BYTES, badlink.KERNEL_SOURCE] * flows
    with badlink.Impair(*link, seed=1):
        running = [lib.Background(badlink.download, seconds, port) for port in ports]
        moved = [check(one.result(seconds + 60)) for one in running]
        daemon.wait_idle(IDLE_SECONDS)
    rates = [m.mbits for m in moved]
    ours, theirs = rates[0::2], rates[1::2]
    return {"name": "fairness", "jain": round(jain(rates), 4), "millrace": round(sum(ours), 2),
            "kernel": round(sum(theirs), 2), "share": round(sum(ours) / sum(rates), 3),
            "flows": [round(r, 2) for r in rates]}


# ----- results -----

class Results:
    """Records by name, written after each; kept only for the same worker and settings."""

    def __init__(self, settings):
        self.settings = {**settings, "worker": self._fingerprint()}
        self.records = {}
        with contextlib.suppress(OSError, json.JSONDecodeError):
            old = json.loads(RESULTS.read_text(encoding="utf-8"))
            if old["settings"] == self.settings:
                self.records = {r["name"]: r for r in old["records"] if "error" not in r}
            else:
                os.replace(RESULTS, RESULTS.with_name("results-old.json"))

    @staticmethod
    def _fingerprint():
        return hashlib.sha256((badlink.BUILD / "millrace-worker").read_bytes()).hexdigest()[:16]

    def add(self, record):
        self.records[record["name"]] = record
        part = RESULTS.with_suffix(".tmp")
        part.write_text(json.dumps({"settings": self.settings,
                                    "records": list(self.records.values())}, indent=1) + "\n",
                        encoding="utf-8")
        os.replace(part, RESULTS)
        TABLE.write_text(self.markdown() + "\n", encoding="utf-8")

    def cells(self):
        return [self.records[c.name] for c in ALL if c.name in self.records]

    def ratios(self):
        return [r["ratio"] for r in self.cells() if r.get("ratio")]

    def errors(self):
        return [r for r in self.records.values() if "error" in r]

    def markdown(self):
        names = ["loss %", "reorder %", "RTT ms", "MTU", "Millrace", "CUBIC", "ratio", "up",
                 "up CUBIC", "up ratio", "resent", "RTOs"]
        lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        for r in self.cells():
            keys = ("loss", "reorder", "rtt", "mtu", "down", "down_peer", "ratio", "up",
                    "up_peer", "up_ratio", "retransmits", "timeouts")
            cells = [f"{r[key]:g}" if key in r else "-" for key in keys]
            lines.append("| " + " | ".join(cells) + " |" + (" " + r["error"] if "error" in r else ""))
        fair = self.records.get("fairness", {})
        if "jain" in fair:
            lines += ["", f"4 + 4 flows, 50 Mbit/s, 20 ms: Jain {fair['jain']}, Millrace "
                          f"{fair['millrace']} and the kernel {fair['kernel']} Mbit/s; "
                          f"flows in turn {fair['flows']}"]
        return "\n".join(lines)

    def last_line(self):
        ratios, fair = self.ratios(), self.records.get("fairness", {})
        words = [f"cells={len(self.cells())}"]
        if ratios:
            words += [f"ratio_median={statistics.median(ratios):.2f}", f"ratio_min={min(ratios):.2f}"]
        if "jain" in fair:
            words.append(f"jain={fair['jain']:.3f}")
        bad = len(self.errors())
        return f"badnet: {f'failed: errors={bad}' if bad else 'ok'} {' '.join(words)}"


# ----- the run -----

def say(text):
    print(f"badnet: {text}", file=sys.stderr, flush=True)


def attempt(results, name, work, *args):
    """Its record, or one that says what was wrong."""
    start = time.monotonic()
    try:
        record = work(*args)
    except (AssertionError, OSError, ValueError) as error:
        record = {"name": name, "error": f"{type(error).__name__}: {error}".splitlines()[0]}
        say(f"{name}: {record['error']}")
    results.add({**record, "took_s": round(time.monotonic() - start, 1)})
    return "error" not in record


def run(options, results):
    wanted = [c for c in ALL
              if re.search(options.only, c.name) and c.name not in results.records]
    with badlink.Network() as network, badlink.KernelServer():
        for mtu in MTU:
            cells = [c for c in wanted if c.mtu == mtu]
            fair = mtu == 1500 and "fairness" not in results.records \
                and re.search(options.only, "fairness")
            while cells or fair:  # after an error a fresh daemon, for the next cell's sake
                network.set_mtu(mtu)
                with badlink.Daemon() as daemon:
                    good = True
                    while cells and good:
                        cell = cells.pop(0)
                        good = attempt(results, cell.name, run_cell, cell, options.seconds,
                                       options.rate, daemon, say)
                    if good and fair:
                        fair = False
                        attempt(results, "fairness", fairness, options.seconds, daemon)


def main():
    parser = argparse.ArgumentParser(description="the bad network; see the top of this file")
    parser.add_argument("--only", default=os.environ.get("BADNET_ONLY", ""), metavar="RE")
    parser.add_argument("--seconds", type=float, default=os.environ.get("BADNET_SECONDS", "20"))
    parser.add_argument("--rate", type=float, default=os.environ.get("BADNET_RATE", "100"),
                        help="Mbit/s of the bottleneck; 0: none")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured")
    parser.add_argument("--list", action="store_true", help="print the names of the cells")
    options = parser.parse_args()
    if options.list:
        print("\n".join(cell.name for cell in ALL))
        return 0
    if os.geteuid():
        print("badnet: failed: must be root for namespaces and XDP; try: sudo make badnet")
        return 1
    badlink.OUT.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    results = Results({"seconds": options.seconds, "rate": options.rate})
    if options.fresh:
        results.records = {}
    run(options, results)
    print(results.markdown())
    print(results.last_line())
    return 1 if results.errors() else 0


if __name__ == "__main__":
    sys.exit(main())
