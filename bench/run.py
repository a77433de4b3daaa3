#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The benchmarks: Millrace and its peer side by side, in one run, on one machine.

    bench/run.py            all of them
    bench/run.py NAME ...   those whose names begin with NAME (see --list)

Writes build/bench/results.json, a list of {name, value, unit, peer, peer_value, ratio} and more,
and prints it as a table. `ratio` says how many times better than the peer, whichever direction is
better: above 1 Millrace is ahead. It is the median of the ratios of the pairs; value and
peer_value are medians of their own.

Echo benchmarks: two namespaces joined by a veth pair with one queue. Millrace and the epoll server
take turns (A B A B ...) on the same addresses, each alone, pinned to CPU 0; the client, ordinary
kernel sockets, is pinned to CPU 1 and samples the CPU time of the server's processes at both ends
of the measured time. Server CPU time is utime + stime of all of them (the daemon included). Work
that the kernel does for one side on the other's CPU is charged to whom it interrupts, so CPU time
of the whole machine stands beside it; that figure is only as good as the machine is quiet.

Others are programs of their own: wire (the stack alone, over an in-memory wire) and xdp (the XDP
program alone, by BPF_PROG_TEST_RUN).

BENCH_PAIRS (5) and BENCH_SECONDS (3), measured for each half of a pair, come from the environment.
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
PORT = 7000
WARMUP_S = 0.5
START_S = 15
STOP_S = 10

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

ECHO = {  # name: connections; one request in flight on each, 64 bytes of value
    "echo-c64": 64,
    "echo-c1": 1,
}
PROGRAMS = {  # name: a program of its own, which prints one JSON object a line
    "wire": "mr-bench-wire",
    "xdp": "mr-bench-xdp",
}

METRICS = [  # key, unit, which direction is better, value from the client's report
    ("rate", "messages/s", "more", lambda r: r["rate"]),
    ("p50", "us", "less", lambda r: r["p50_us"]),
    ("p99", "us", "less", lambda r: r["p99_us"]),
    ("server-cpu", "CPU s/million messages", "less",
     lambda r: r["server_cpu_s"] * 1e6 / r["measured"]),
    ("machine-cpu", "CPU s/million messages", "less",
     lambda r: r["machine_cpu_s"] * 1e6 / r["measured"]),
    ("machine-softirq", "CPU s/million messages", "less",
     lambda r: r["machine_softirq_s"] * 1e6 / r["measured"]),
]


class BenchError(Exception):
    """One line for the user."""


# ----- processes -----

def command(args, **options):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=False,
                          **options)
    if done.returncode:
        words = (done.stderr or done.stdout).strip() or f"exit {done.returncode}"
        raise BenchError(f"{Path(args[0]).name}: {words}")
    return done.stdout


def veth(*args):
    command([VETH, *args], env={**os.environ, **NAMES})


def inside(side, cpu, *args):
    """The command line that runs `args` in a namespace, pinned to a CPU."""
    pin = ["taskset", "-c", str(cpu)] if os.cpu_count() > 1 else []
    return [*pin, "nsenter", f"--net=/run/netns/{NAMES[side]}", *map(str, args)]


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


def leftovers():
    """Processes of an earlier run: our programs, in our server namespace or with our config."""
    ours = {str(BUILD / n) for n in ("millraced", "millrace-worker", "bench/epoll-echo")}
    namespace = Path("/run/netns") / NAMES["MR_SERVER_NS"]
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(proc / "exe").removesuffix(" (deleted)") not in ours:
                continue
            words = (proc / "cmdline").read_bytes().split(b"\0")
            same_namespace = namespace.exists() and os.path.samefile(proc / "ns/net", namespace)
            if same_namespace or str(CONFIG).encode() in words:
                found.append(int(proc.name))
    return found


def end_leftovers():
    for sig, seconds in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, 2)):
        pids = leftovers()
        for pid in pids:
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
        process = subprocess.Popen(inside("MR_SERVER_NS", SERVER_CPU, *args),
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


# ----- the two servers -----

def write_config():
    CONFIG.write_text(f"""\
user: nobody
run_directory: {RUN_DIRECTORY}
pin_directory: {PIN_DIRECTORY}
interfaces:
  - name: {NAMES["MR_SERVER_IF"]}
    queues: 1
lanes:
  frames: 8192
  connections: 65536
  cpus: [{SERVER_CPU}]
rules:
  - name: echo
    protocol: tcp
    port: {PORT}
    app: echo
""", encoding="utf-8")


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
        words = command([BUILD / "millrace", "-s", RUN_DIRECTORY / "control.sock", "-j",
                         "lane", "list"], timeout=2)
        return "serving" in states(json.loads(words))
    except (BenchError, subprocess.TimeoutExpired, json.JSONDecodeError):
        return False


def millrace():
    write_config()
    return server([BUILD / "millraced", "-f", "-c", CONFIG], lane_serves)


def epoll_echo():
    """The peer, over kernel sockets alone: no XDP program may be left on the interface."""
    link = json.loads(command(["nsenter", f"--net=/run/netns/{NAMES['MR_SERVER_NS']}",
                               "ip", "-j", "link", "show", NAMES["MR_SERVER_IF"]]))
    if "xdp" in link[0]:
        raise BenchError(f"{NAMES['MR_SERVER_IF']} still has an XDP program; the peer would not "
                         "run over plain kernel sockets")
    return server([OUT / "epoll-echo", "--port", PORT],
                  lambda: "ready" in LOG.read_text(encoding="utf-8"))


def load(connections, seconds, pids):
    """One run of the client; its report."""
    watched = [word for pid in pids for word in ("--cpu-of", pid)]
    report = json.loads(command(inside(
        "MR_CLIENT_NS", CLIENT_CPU, OUT / "mr-load", "--connect", f"192.0.2.2:{PORT}",
        "--connections", connections, "--size", 64, "--warmup", WARMUP_S, "--seconds", seconds,
        "--json", *watched)))
    if "server_cpu_s" not in report:
        raise BenchError("a process of the server ended while it was measured")
    return report


# ----- the benchmarks -----

def better_by(value, peer_value, better):
    """How many times better; a CPU time below one clock tick cannot be compared."""
    above, below = (value, peer_value) if better == "more" else (peer_value, value)
    return above / below if above and below else None


def compare(name, ours, theirs):
    """Result records of one workload from the reports of its pairs."""
    records = []
    for key, unit, better, value_of in METRICS:
        value, peer = [value_of(r) for r in ours], [value_of(r) for r in theirs]
        ratios = [r for r in map(better_by, value, peer, [better] * len(value)) if r is not None]
        records.append({
            "name": f"{name}.{key}", "value": statistics.median(value), "unit": unit,
            "peer": "epoll-echo", "peer_value": statistics.median(peer),
            "ratio": statistics.median(ratios) if ratios else None,
            "spread_low": min(ratios, default=None), "spread_high": max(ratios, default=None),
            "pairs": len(value), "better": better,
        })
    return records


def run_echo(names, pairs, seconds):
    reports = {name: ([], []) for name in names}
    veth("up", "1")
    for pair in range(pairs):
        for side, start in enumerate((millrace, epoll_echo)):
            with start() as pids:
                for name in names:
                    report = load(ECHO[name], seconds, pids)
                    reports[name][side].append(report)
                    print(f"bench: pair {pair + 1} of {pairs}: {start.__name__} {name}: "
                          f"{report['rate']:.0f}/s", file=sys.stderr, flush=True)
    return [r for name in names for r in compare(name, *reports[name])]


def run_program(name):
    """Its figures, which have no peer unless they name one."""
    program = OUT / PROGRAMS[name]
    if not program.exists():
        print(f"bench: {name}: {program.relative_to(ROOT)} is not built, left out", file=sys.stderr)
        return []
    pin = ["taskset", "-c", str(CLIENT_CPU)] if os.cpu_count() > 1 else []
    records = []
    for line in command([*pin, program], timeout=600).splitlines():
        if line.startswith("{"):
            records.append({"peer": None, "peer_value": None, "ratio": None, **json.loads(line)})
    return records


# ----- report -----

def figure(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def print_table(records):
    rows = [("name", "value", "peer", "ratio", "low..high", "unit")]
    for r in records:
        spread = "-"
        if r.get("spread_low") is not None:
            spread = f"{r['spread_low']:.2f}..{r['spread_high']:.2f}"
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.2f}"
        rows.append((r["name"], figure(r["value"]), figure(r["peer_value"]), ratio, spread,
                     r["unit"]))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [row[i].rjust(widths[i]) for i in range(1, 5)]
        print("  ".join([*cells, row[5]]))
    print("ratio: how many times better than the peer, median of the pairs; above 1 is ahead")


# ----- start -----

def number_from_environment(name, default, kind, least):
    words = os.environ.get(name, default)
    try:
        value = kind(words)
    except ValueError:
        value = None
    if value is None or not value >= least:
        raise BenchError(f"{name}={words}: a number, at least {least}")
    return value


def select(names):
    known = [*ECHO, *PROGRAMS]
    for name in names:
        if not any(k.startswith(name) for k in known):
            raise BenchError(f"{name}: no such benchmark; there are {', '.join(known)}")
    return [k for k in known if not names or any(k.startswith(n) for n in names)]


def need_programs():
    if os.geteuid():
        raise BenchError("must be root for namespaces and XDP; try: sudo make bench")
    for program in ("millraced", "millrace-worker", "millrace", "bench/mr-load",
                    "bench/epoll-echo"):
        if not (BUILD / program).exists():
            raise BenchError(f"build/{program} is not there; run: make")


def run_all(names):
    pairs = number_from_environment("BENCH_PAIRS", "5", int, 1)
    seconds = number_from_environment("BENCH_SECONDS", "3", float, 0.1)
    echo = [n for n in names if n in ECHO]
    records = []
    if echo:
        need_programs()
    OUT.mkdir(parents=True, exist_ok=True)
    if echo:
        try:
            clean()
            records += run_echo(echo, pairs, seconds)
        finally:
            handlers = {s: signal.signal(s, signal.SIG_IGN) for s in ENDING_SIGNALS}
            clean()
            for number, handler in handlers.items():
                signal.signal(number, handler)
    for name in PROGRAMS:
        if name in names:
            records += run_program(name)
    return records


def end_on_signal(number, _frame):
    sys.exit(128 + number)


def main():
    parser = argparse.ArgumentParser(description="run benchmarks; see the top of this file")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only those that begin so")
    parser.add_argument("--list", action="store_true", help="print the names")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_on_signal)
    try:
        names = select(options.names)
        if options.list:
            print("\n".join(names))
            return 0
        records = run_all(names)
        results = OUT / "results.json"
        results.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    except (BenchError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print_table(records)
    print(f"bench: wrote {results.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
