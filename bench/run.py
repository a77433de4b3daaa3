#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The benchmarks: Millrace and its peers side by side, in one run, on one machine.

    bench/run.py            all of them
    bench/run.py NAME ...   those whose names begin with NAME (see --list)
    bench/run.py --markdown prints the results of the last run as Markdown

Writes build/bench/results.json, a list of {name, value, unit, peer, peer_value, ratio} and more,
prints it as a table and draws plots (build/bench/*.png). `ratio` says how many times better than
the peer, whichever direction is better: above 1 Millrace is ahead. It is the median of the ratios
of the rounds; value and peer_value are medians of their own; low and high are the extremes.

Two namespaces are joined by a veth pair with one queue. The servers take turns (A B A B ...) on the
same addresses, each alone, pinned to CPU 0; the same client, mr-load over a lane of its own where
the name of the scenario does not say otherwise, is pinned to CPU 1. The kernel does the receiving
side's work in the sender's context, so cost is counted for all together: CPU time of the server's
processes (the daemon included), of the client and of ksoftirqd, by the scheduler's clock. What else
runs on the machine is not in it, but disturbs rates and latencies.

Others are programs of their own: wire (the stack alone, over an in-memory wire), xdp (the XDP
program alone, by BPF_PROG_TEST_RUN), scale (a million connections against a thousand) and wake (how
soon the kernel wakes who sleeps in poll, for comparison with the scenario wakeup).

From the environment: BENCH_PAIRS (5) rounds, BENCH_SECONDS (1) measured for each run, and
BENCH_FIFO (0), for machines that others use as well: priority, 1 to 99, at which servers and client
alike run under SCHED_FIFO.
"""
import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import plots
import scenarios as sc
import tables

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
OUT = BUILD / "bench"
VETH = ROOT / "scripts" / "veth.sh"

# Names of our own, so that a demo that stands is not in the way.
NAMES = {
    "MR_CLIENT_NS": "mr-bench-client",
    "MR_SERVER_NS": "mr-bench-server",
    "MR_CLIENT_IF": "mrbc0",
    "MR_SERVER_IF": "mrbs0",
}
RUN_DIRECTORY = Path("/run/millrace-bench")
PIN_DIRECTORY = Path("/sys/fs/bpf/millrace-bench")
CONFIG = OUT / "millraced.yaml"
LOG = OUT / "server.log"

SERVER_CPU, CLIENT_CPU = 0, 1
SERVER_ADDRESS = "192.0.2.2"
SOURCES = [f"192.0.2.{n}/24" for n in (101, 102, 103)]
WARMUP_S = 0.3
START_S = 15
STOP_S = 10
LOAD_S = 120
PROGRAMS = {  # name: a program of its own with its options; it prints one JSON object a line
    "wire": ["mr-bench-wire"],
    "xdp": ["mr-bench-xdp"],
    "scale": ["mr-bench-scale", "--cost"],
    "wake": ["mr-bench-wake", "--rate", str(sc.WAKEUPS), "--cpus", f"{CLIENT_CPU},{SERVER_CPU}"],
}

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class BenchError(Exception):
    """One line for the user."""


def number_from_environment(name, default, kind, least):
    text = os.environ.get(name, default)
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not value >= least:
        raise BenchError(f"{name}={text}: a number, at least {least}")
    return value


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


# ----- processes -----

def command(args, **options):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=False,
                          **options)
    if done.returncode:
        text = (done.stderr or done.stdout).strip()
        raise BenchError(f"{Path(args[0]).name}: exit {done.returncode}: {text}")
    return done.stdout


def veth(*args):
    command([VETH, *args], env={**os.environ, **NAMES})


def in_namespace(side, *args):
    return ["nsenter", f"--net=/run/netns/{NAMES[side]}", *map(str, args)]


def on_cpu(cpu, *args):
    """The command line that runs `args` pinned to a CPU, at the priority of all measured programs."""
    pin = ["taskset", "-c", str(cpu)] if os.cpu_count() > 1 else []
    fifo = number_from_environment("BENCH_FIFO", "0", int, 0)
    first = ["chrt", "-f", str(fifo)] if fifo else []
    return [*pin, *first, *args]


def pinned(side, cpu, *args):
    """The command line that runs `args` in a namespace, pinned to a CPU."""
    return on_cpu(cpu, *in_namespace(side, *args))


def set_up_link():
    veth("up", "1")
    for address in SOURCES:
        command(in_namespace("MR_CLIENT_NS", "ip", "addr", "replace", address, "dev",
                             NAMES["MR_CLIENT_IF"]))


def children():
    """{pid: parent} of all processes."""
    parent = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parent[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    return parent


def tree(pid):
    """pid and all its descendants."""
    parent = children()
    found = [pid]
    for p in found:
        found += [child for child, its_parent in parent.items() if its_parent == p]
    return found


TAKE_PART = ("millraced", "millrace-worker", "bench/epoll-echo", "bench/epoll-bulk",
             "bench/uring-echo", "bench/xsk-reflect", "bench/mr-load")


def leftovers():
    """Processes of an earlier run: our programs, in our namespaces or with our config."""
    ours = {str(BUILD / n) for n in TAKE_PART}
    namespaces = [Path("/run/netns") / NAMES[side] for side in ("MR_SERVER_NS", "MR_CLIENT_NS")]
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(proc / "exe").removesuffix(" (deleted)") not in ours:
                continue
            line = (proc / "cmdline").read_bytes().split(b"\0")
            inside = any(n.exists() and os.path.samefile(proc / "ns/net", n) for n in namespaces)
            if inside or str(CONFIG).encode() in line:
                found.append(int(proc.name))
    return found


def end_leftovers():
    for sig, seconds in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, 2)):
        for pid in leftovers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
        end = time.monotonic() + seconds
        while leftovers() and time.monotonic() < end:
            time.sleep(0.05)


def clean():
    """Remove every trace of this run or an earlier one, the results excepted."""
    end_leftovers()
    veth("down")
    shutil.rmtree(RUN_DIRECTORY, ignore_errors=True)
    shutil.rmtree(PIN_DIRECTORY, ignore_errors=True)
    CONFIG.unlink(missing_ok=True)


def log_tail():
    with contextlib.suppress(OSError):
        return "".join(f"\n  {line}" for line in LOG.read_text(errors="replace").splitlines()[-10:])
    return ""


@contextlib.contextmanager
def server(args, is_ready):
    """Run a server in its namespace until the block ends; gives the pids of all its processes."""
    with open(LOG, "w", encoding="utf-8") as log:
        process = subprocess.Popen(pinned("MR_SERVER_NS", SERVER_CPU, *args),
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
    try:
        end = time.monotonic() + START_S
        while not is_ready():
            if process.poll() is not None:
                raise BenchError(f"{Path(args[0]).name} ended while starting:{log_tail()}")
            if time.monotonic() > end:
                raise BenchError(f"{Path(args[0]).name} not ready in {START_S} s:{log_tail()}")
            time.sleep(0.05)
        yield tree(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ----- the servers -----

def write_config(busy_poll_us):
    rules = (("echo", sc.ECHO), ("discard-bytes", sc.DISCARD), ("source-bytes", sc.SOURCE))
    CONFIG.write_text(f"""\
user: nobody
run_directory: {RUN_DIRECTORY}
pin_directory: {PIN_DIRECTORY}
interfaces:
  - name: {NAMES["MR_SERVER_IF"]}
    queues: 1
lanes:
  frames: 32768
  connections: 262144
  busy_poll_us: {busy_poll_us}
  cpus: [{SERVER_CPU}]
rules:
""" + "".join(f"""\
  - name: {app}
    protocol: tcp
    port: {port}
    app: {app}
    backlog: 4096
    nodelay: true
""" for app, port in rules), encoding="utf-8")


def states(value):
    """Every "state" in a JSON value."""
    if isinstance(value, list):
        return [s for v in value for s in states(v)]
    if isinstance(value, dict):
        return [v for k, v in value.items() if k == "state"] + \
               [s for v in value.values() for s in states(v)]
    return []


def lane_serves():
    try:
        text = command([BUILD / "millrace", "-s", RUN_DIRECTORY / "control.sock", "-j",
                        "lane", "list"], timeout=2)
        return "serving" in states(json.loads(text))
    except (BenchError, subprocess.TimeoutExpired, json.JSONDecodeError):
        return False


BUSY_POLL_US, ALWAYS_US = 50, 1000000  # the default; more than any pause of a load


def millrace(_, busy_poll_us=BUSY_POLL_US):
    write_config(busy_poll_us)
    return server([BUILD / "millraced", "-f", "-c", CONFIG], lane_serves)


def says_ready():
    return "ready" in LOG.read_text(encoding="utf-8")


def refuse_xdp():
    """The kernel at its best: no XDP program may be left on the interface."""
    link = json.loads(command(in_namespace("MR_SERVER_NS", "ip", "-j", "link", "show",
                                           NAMES["MR_SERVER_IF"])))
    if "xdp" in link[0]:
        raise BenchError(f"{NAMES['MR_SERVER_IF']} still has an XDP program; the peer would not "
                         "run over plain kernel sockets")


def epoll(scenario):
    refuse_xdp()
    if scenario.port != sc.ECHO:
        return server([OUT / "epoll-bulk", "--discard", sc.DISCARD, "--source", sc.SOURCE],
                      says_ready)
    return server([OUT / "epoll-echo", "--port", sc.ECHO, "--processes", scenario.processes],
                  says_ready)


@contextlib.contextmanager
def epoll_xdp(scenario):
    link = ["ip", "link", "set", "dev", NAMES["MR_SERVER_IF"]]
    refuse_xdp()
    with server([OUT / "epoll-echo", "--port", sc.ECHO, "--processes", scenario.processes],
                says_ready) as pids:
        command(in_namespace("MR_SERVER_NS", *link, "xdpdrv", "obj", OUT / "pass.bpf.o",
                             "sec", "xdp"))
        try:
            yield pids
        finally:
            command(in_namespace("MR_SERVER_NS", *link, "xdpdrv", "off"))


@contextlib.contextmanager
def epoll_tso(scenario):
    """Both ends leave checksums and segmentation to the link, as veth pairs do by themselves."""
    ends = (("MR_SERVER_NS", "MR_SERVER_IF"), ("MR_CLIENT_NS", "MR_CLIENT_IF"))
    try:
        for ns, name in ends:
            command(in_namespace(ns, "ethtool", "-K", NAMES[name], "tx", "on", "tso", "on"))
        with epoll(scenario) as pids:
            yield pids
    finally:
        for ns, name in ends:
            command(in_namespace(ns, "ethtool", "-K", NAMES[name], "tso", "off", "tx", "off"))


def io_uring(_):
    refuse_xdp()
    return server([OUT / "uring-echo", "--port", sc.ECHO], says_ready)


def reflector(*options):
    refuse_xdp()
    return server([OUT / "xsk-reflect", "--interface", NAMES["MR_SERVER_IF"], *options],
                  says_ready)


STARTS = {
    sc.MILLRACE: millrace,
    sc.AWAKE: lambda scenario: millrace(scenario, ALWAYS_US),
    sc.EPOLL: epoll,
    sc.EPOLL_XDP: epoll_xdp,
    sc.EPOLL_TSO: epoll_tso,
    sc.URING: io_uring,
    sc.FLOOR: lambda _: reflector("--answer"),
    sc.RAW: lambda _: reflector(),
}


def start_key(side, scenario):
    """Scenarios with equal keys can share one start of the server."""
    if side in (sc.EPOLL, sc.EPOLL_XDP, sc.EPOLL_TSO):
        return side, scenario.port != sc.ECHO, scenario.processes
    return (side,)


# ----- running -----

def load(scenario, seconds, pids):
    """One run of the client; its report."""
    watched = [str(w) for pid in pids for w in ("--cpu-of", pid)]
    report = json.loads(command(pinned(
        "MR_CLIENT_NS", CLIENT_CPU, OUT / "mr-load", "--via", scenario.via,
        "--interface", NAMES["MR_CLIENT_IF"], "--connect", f"{SERVER_ADDRESS}:{scenario.port}",
        *scenario.args, "--warmup", WARMUP_S, "--seconds", seconds, "--json", *watched),
        timeout=LOAD_S))
    if "server_cpu_s" not in report:
        raise BenchError("a process of the server ended while it was measured")
    report["offered"] = scenario.offered
    return report


class Runs:
    """The reports of all rounds: [scenario name][side] is a list, None where a run failed."""

    def __init__(self):
        self.reports = {}
        self.failures = []

    def add(self, scenario, side, report):
        self.reports.setdefault(scenario.name, {}).setdefault(side, []).append(report)


def run_side(runs, side, members, seconds, words):
    """All scenarios of a group that one start of a side's server can bear."""
    rest = list(members)
    try:
        with STARTS[side](members[0]) as pids:
            while rest:
                run_once(runs, side, rest.pop(0), seconds, pids, words)
    except BenchError as error:
        runs.failures.append(f"{side}: {error}")
        say(f"{words}: {side}: {error}")
    for scenario in rest:
        runs.add(scenario, side, None)


def run_once(runs, side, scenario, seconds, pids, words):
    try:
        report = load(scenario, seconds, pids)
        value = scenario.metrics[0].of(report)
        say(f"{words}: {scenario.name}: {side}: {value:.4g} {scenario.metrics[0].unit}")
    except (BenchError, subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        report = None
        runs.failures.append(f"{scenario.name}: {side}: {error}")
        say(f"{words}: {scenario.name}: {side}: {error}")
    runs.add(scenario, side, report)


def run_group(runs, members, pairs, seconds):
    sides = list(dict.fromkeys(side for s in members for side in s.sides))
    for pair in range(pairs):
        for side in sides:
            starts = {}
            for scenario in members:
                if side in scenario.sides:
                    starts.setdefault(start_key(side, scenario), []).append(scenario)
            for some in starts.values():
                run_side(runs, side, some, seconds, f"round {pair + 1} of {pairs}")


def run_scenarios(chosen, pairs, seconds):
    runs = Runs()
    set_up_link()
    for group in dict.fromkeys(s.group for s in chosen):
        run_group(runs, [s for s in chosen if s.group == group], pairs, seconds)
    return runs


def run_program(name):
    """Its figures, which have no peer unless they name one."""
    program, *words = PROGRAMS[name]
    program = OUT / program
    if not program.exists():
        raise BenchError(f"{program.relative_to(ROOT)} is not there; run: make")
    records = []
    for line in command(on_cpu(CLIENT_CPU, program, *words), timeout=600).splitlines():
        if line.startswith("{"):
            records.append({"peer": None, "peer_value": None, "ratio": None, **json.loads(line)})
    return records


# ----- results -----

def better_by(value, peer_value, better):
    above, below = (value, peer_value) if better == "more" else (peer_value, value)
    return above / below if above and below else None


def values_of(reports, metric):
    return [metric.of(r) if r else None for r in reports]


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def compare(name, metric, ours, peer, theirs):
    """One result record: values of one side against a peer's, round by round."""
    pairs = [(a, b) for a, b in zip(ours, theirs) if a is not None and b is not None]
    ratios = [r for r in (better_by(a, b, metric.better) for a, b in pairs) if r is not None]
    return {
        "name": f"{name}.{metric.key}", "value": median(ours), "unit": metric.unit,
        "peer": peer, "peer_value": median(theirs),
        "ratio": statistics.median(ratios) if ratios else None,
        "spread_low": min(ratios, default=None), "spread_high": max(ratios, default=None),
        "pairs": len(pairs), "better": metric.better,
    }


def alone(scenario, metric, values):
    some = [v for v in values if v is not None]
    return {
        "name": f"{scenario.name}.{metric.key}", "value": median(values), "unit": metric.unit,
        "peer": None, "peer_value": None, "ratio": None,
        "low": min(some, default=None), "high": max(some, default=None), "pairs": len(some),
        "better": metric.better,
    }


def results(chosen, runs):
    records = []
    for scenario in chosen:
        reports = runs.reports.get(scenario.name, {})
        first, *peers = scenario.sides
        for metric in scenario.metrics:
            ours = values_of(reports.get(first, []), metric)
            if not peers:
                records.append(alone(scenario, metric, ours))
            for peer in peers:
                records.append(compare(scenario.name, metric, ours, peer,
                                       values_of(reports.get(peer, []), metric)))
    return records + floor_against_others(chosen, runs) + against_raw(chosen, runs)


def floor_against_others(chosen, runs):
    """How far ahead any server could be on this link, with this client."""
    records = []
    for scenario in chosen:
        reports = runs.reports.get(scenario.name, {})
        for peer in (sc.EPOLL, sc.URING):
            if sc.FLOOR in scenario.sides and peer in scenario.sides:
                records += [compare(f"{scenario.name}-floor", metric,
                                    values_of(reports.get(sc.FLOOR, []), metric), peer,
                                    values_of(reports.get(peer, []), metric))
                            for metric in scenario.metrics]
    return records


def against_raw(chosen, runs):
    """What the link carries was measured with another client, in the same rounds."""
    records = []
    by_name = {s.name: s for s in chosen}
    for scenario in chosen:
        raw = by_name.get(scenario.name.replace("peers-", "peers-raw-", 1))
        if scenario.group != "peers" or raw in (None, scenario):
            continue
        for metric in scenario.metrics:
            records.append(compare(
                scenario.name, metric,
                values_of(runs.reports.get(scenario.name, {}).get(sc.MILLRACE, []), metric),
                sc.RAW, values_of(runs.reports.get(raw.name, {}).get(sc.RAW, []), metric)))
    return records


def figure(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def print_table(records):
    rows = [("name", "value", "peer", "", "ratio", "low..high", "unit")]
    for r in records:
        spread = "-"
        if r.get("spread_low") is not None:
            spread = f"{r['spread_low']:.2f}..{r['spread_high']:.2f}"
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.2f}"
        rows.append((r["name"], figure(r["value"]), figure(r["peer_value"]), r["peer"] or "-",
                     ratio, spread, r["unit"]))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2]),
                 row[3].ljust(widths[3]), row[4].rjust(widths[4]), row[5].rjust(widths[5])]
        print("  ".join([*cells, row[6]]))
    print("ratio: how many times better than the peer, median of the rounds; above 1 is ahead")


# ----- start -----

def select(names, known):
    for name in names:
        if not any(k.startswith(name) for k in known):
            raise BenchError(f"{name}: no such benchmark; there are {', '.join(known)}")
    return [k for k in known if not names or any(k.startswith(n) for n in names)]


def need_programs():
    if os.geteuid():
        raise BenchError("must be root for namespaces and XDP; try: sudo make bench")
    for program in (*TAKE_PART, "millrace", "bench/pass.bpf.o"):
        if not (BUILD / program).exists():
            raise BenchError(f"build/{program} is not there; run: make")


def run_all(names):
    pairs = number_from_environment("BENCH_PAIRS", "5", int, 1)
    seconds = number_from_environment("BENCH_SECONDS", "1", float, 0.1)
    chosen = [s for s in sc.scenarios() if s.name in names]
    records, failures = [], []
    OUT.mkdir(parents=True, exist_ok=True)
    if chosen:
        need_programs()
        try:
            clean()
            runs = run_scenarios(chosen, pairs, seconds)
            records, failures = results(chosen, runs), runs.failures
            (OUT / "runs.json").write_text(json.dumps(runs.reports) + "\n", encoding="utf-8")
        finally:
            handlers = {s: signal.signal(s, signal.SIG_IGN) for s in ENDING_SIGNALS}
            clean()
            for sig, handler in handlers.items():
                signal.signal(sig, handler)
    for name in (n for n in PROGRAMS if n in names):
        try:
            records += run_program(name)
        except (BenchError, subprocess.TimeoutExpired, json.JSONDecodeError) as error:
            failures.append(f"{name}: {error}")
            say(failures[-1])
    return records, failures


def end_on_signal(sig, _frame):
    sys.exit(128 + sig)


def main():
    parser = argparse.ArgumentParser(description="run benchmarks; see the top of this file")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only those that begin so")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--markdown", action="store_true", help="print the last results again")
    options = parser.parse_args()
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, end_on_signal)
    try:
        names = select(options.names, [*(s.name for s in sc.scenarios()), *PROGRAMS])
        if options.list:
            print("\n".join(names))
            return 0
        path = OUT / "results.json"
        if options.markdown:
            print(tables.markdown(json.loads(path.read_text(encoding="utf-8"))))
            return 0
        records, failures = run_all(names)
        path.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        pictures = plots.draw(records, OUT)
    except (BenchError, OSError, subprocess.CalledProcessError) as error:
        say(error)
        return 1
    except KeyboardInterrupt:
        return 130
    print_table(records)
    for picture in pictures:
        print(f"bench: drew {picture.relative_to(ROOT)}")
    print(f"bench: wrote {path.relative_to(ROOT)}")
    for failure in failures:
        print(f"bench: failed: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
