# SPDX-License-Identifier: MIT
"""What the benchmarks measure: scenarios, who takes part in each, and what is read from a run.

A scenario is one load; its sides are the servers that bear it in turn, Millrace first. Scenarios
of one group take turns together, so that a server starts once for all of them.
"""
from dataclasses import dataclass

ECHO, DISCARD, SOURCE = 7000, 7004, 7005

# sides
MILLRACE = "millrace"      # the daemon, one lane
AWAKE = "awake"            # the same, and its lane never sleeps
EPOLL = "epoll"            # epoll-echo and epoll-bulk, no XDP program on the server's interface
EPOLL_XDP = "epoll+xdp"    # the same with an XDP program that passes everything
URING = "io_uring"         # uring-echo
FLOOR = "floor"            # xsk-reflect --answer: the same client, no server behind it
RAW = "raw"                # xsk-reflect, and a client without TCP: what the link carries
EPOLL_TSO = "epoll+tso"    # epoll with the segmentation offload that veth.sh leaves off


@dataclass(frozen=True)
class Metric:
    key: str
    unit: str
    better: str         # "more" or "less"
    of: object          # value from mr-load's report


def whole_cpu(r):
    """CPU seconds of everybody that works for the run: server, client and ksoftirqd."""
    return r["server_cpu_s"] + r["client_cpu_s"] + r["ksoftirqd_cpu_s"]


RATE = Metric("rate", "requests/s", "more", lambda r: r["rate"])
P50 = Metric("p50", "us", "less", lambda r: r["p50_us"])
P99 = Metric("p99", "us", "less", lambda r: r["p99_us"])
P999 = Metric("p999", "us", "less", lambda r: r["p999_us"])
PER_CPU = Metric("per-cpu", "requests/CPU s, whole machine", "more",
                 lambda r: r["measured"] / whole_cpu(r))
SERVER_CPU = Metric("server-cpu", "us/request, server processes", "less",
                    lambda r: r["server_cpu_s"] * 1e6 / r["measured"])
GBIT = Metric("rate", "Gbit/s", "more", lambda r: r["gbit_s"])
GBIT_PER_CPU = Metric("per-cpu", "Gbit/CPU s, whole machine", "more",
                      lambda r: r["bytes"] * 8e-9 / whole_cpu(r))
SENT = Metric("sent", "share of what was offered", "more", lambda r: r["rate"] / r["offered"])

LATENCY = (P50, P99, P999)
REQUESTS = (RATE, PER_CPU, SERVER_CPU, *LATENCY)
BULK = (GBIT, GBIT_PER_CPU)


@dataclass(frozen=True)
class Scenario:
    name: str
    group: str
    sides: tuple
    args: tuple                 # of mr-load
    metrics: tuple
    port: int = ECHO
    via: str = "lane"
    processes: int = 1          # of epoll-echo, where one may not have enough descriptors
    offered: float = 0


def words(**options):
    return tuple(w for k, v in options.items() for w in (f"--{k}", str(v)))


def size_name(size):
    return f"{size}b" if size < 1024 else f"{size // 1024}k"


def echo(connections, size=64, depth=1, sides=(MILLRACE, EPOLL), group=None, name=None):
    name = name or f"echo-{size_name(size)}-c{connections}" + (f"-d{depth}" if depth > 1 else "")
    return Scenario(name, group or f"echo-{size_name(size)}-d{depth}", sides,
                    words(connections=connections, size=size, depth=depth), REQUESTS)


CONNECTIONS = (1, 8, 64, 1000, 10000)
SIZES = (16, 256, 4096, 16384)
OFFERED = (10000, 25000, 50000, 100000, 150000, 200000)
ALL = (MILLRACE, EPOLL, EPOLL_XDP, URING, FLOOR)
IDLE, ACTIVE = 100000, 1000
WAKEUPS = 500    # a second


def scenarios():
    out = []
    for depth in (1, 16):
        for size in (64, 1024):
            out += [echo(n, size, depth) for n in CONNECTIONS]
    # the whole field, at three points; raw: the same load with a client that has no TCP
    for n, depth in ((1, 1), (64, 1), (64, 16)):
        tail = f"c{n}" + (f"-d{depth}" if depth > 1 else "")
        out.append(echo(n, 64, depth, ALL, "peers", f"peers-{tail}"))
        out.append(Scenario(f"peers-raw-{tail}", "peers", (RAW,),
                            words(connections=n, depth=depth), REQUESTS, via="raw"))
    # the client that most people have; what it costs itself stands in both figures
    out += [Scenario(f"kernel-client-c{n}", "kernel-client", (MILLRACE, EPOLL),
                     words(connections=n), REQUESTS, via="kernel") for n in (1, 64)]
    out += [echo(64, size, 1, group="size", name=f"size-{size_name(size)}") for size in SIZES]
    for rate in OFFERED:
        out.append(Scenario(f"offered-{rate // 1000}k", "offered", (MILLRACE, EPOLL),
                            words(connections=64, rate=rate, depth=1024),
                            (SENT, PER_CPU, *LATENCY), offered=rate))
    # requests so far apart that the lane sleeps before each; the client itself does not
    out.append(Scenario("wakeup", "wakeup", (MILLRACE, AWAKE, EPOLL),
                        words(connections=1, rate=WAKEUPS, depth=64) + ("--busy-poll", "1000000"),
                        (SENT, *LATENCY), offered=WAKEUPS))
    for n in (1, 64):
        out.append(Scenario(f"connect-c{n}", "connect", (MILLRACE, EPOLL),
                            words(workload="connect", connections=n, sources=4), REQUESTS))
    for via in ("lane", "kernel"):
        for name, workload, port in (("in", "sink", DISCARD), ("out", "source", SOURCE)):
            sides = (MILLRACE, EPOLL, EPOLL_TSO) if via == "kernel" else (MILLRACE, EPOLL)
            out.append(Scenario(f"bulk-{name}-{via}", f"bulk-{via}", sides,
                                words(workload=workload), BULK, port=port, via=via))
    out.append(Scenario("fanin-100k", "fanin", (MILLRACE, EPOLL),
                        words(connections=IDLE, active=ACTIVE, sources=4), REQUESTS, processes=8))
    return out
