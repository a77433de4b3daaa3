# SPDX-License-Identifier: MIT
"""The guard in front of real lanes: block lists, limits, and a flood of SYNs.

    flood, honest clients in mr-test-client  == veth ==  XDP (guard) -> two lanes in mr-test-server
"""
import concurrent.futures
import subprocess
import time

import pytest

import lib
import scratch
from scratch import Daemon, Pair, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

HALF_OPEN = 256
CLIENTS = 100
FLOOD_MS = 4000
MESSAGE = b"\x00\x01\x00\x00\x00\x05hello"

FLOOD = f"""\
  half_open: {HALF_OPEN}
tcp:
  syn_ack_retries: 0
guard:
  syn_cookies: on
"""


@pytest.fixture(name="pair", scope="module")
def _pair():
    with Pair() as p:
        yield p
    scratch.leave_nothing()


def connect(pair, family=4, timeout=25, source=None):
    """A connection to echo and how long it took; the message comes back on it."""
    s = pair.client.socket(lib.FAMILY[family], lib.socket.SOCK_STREAM)
    s.settimeout(timeout)
    if source:
        s.bind((source, 0))
    start = time.monotonic()
    s.connect((lib.SERVER[family], 7000))
    took = time.monotonic() - start
    s.sendall(MESSAGE)
    assert lib.recv_exact(s, len(MESSAGE)) == MESSAGE
    return s, took


def exchange(pair, i):
    s, took = connect(pair, 6 if i % 2 else 4)
    s.shutdown(lib.socket.SHUT_WR)
    assert s.recv(1) == b""
    s.close()
    return took


def p99_ms(pair):
    """100 clients, some at a time: the 99th percentile of their connect times."""
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        times = sorted(pool.map(lambda i: exchange(pair, i), range(CLIENTS)))
    return times[CLIENTS - 2] * 1000


def frames(daemon):
    return daemon.figure("counters", "rx_frames")


def answering(daemon):
    return any(lane["on"] for lane in daemon.tool("guard", "list")["lanes"])


def answered(daemon):
    return sum(lane["answered"] for lane in daemon.tool("guard", "list")["lanes"])


def flood(pair):
    program = lib.OUT / "flood"
    lib.OUT.mkdir(parents=True, exist_ok=True)
    lib.command("gcc", "-O2", "-D_GNU_SOURCE", "-o", program, lib.ROOT / "tests" / "veth" / "flood.c")
    mac = lib.command(*pair.server.inside("cat", f"/sys/class/net/{lib.SERVER_IF}/address"),
                      check=False).stdout.strip()
    if mac.count(":") != 5:
        mac = ":".join(f"{b:02x}" for b in pair.server.mac(lib.SERVER_IF))
    return subprocess.Popen(  # pylint: disable=consider-using-with
        pair.client.inside(program, lib.CLIENT_IF, mac, lib.SERVER[4], lib.SERVER[6], "7000",
                           str(FLOOD_MS)), stdout=subprocess.PIPE, text=True)


def test_flood_of_syns_harms_nobody(pair, tmp_path):
    """What XDP sends back over a veth is heard only where a program is attached as well."""
    pair.client.run("ip", "link", "set", "dev", lib.CLIENT_IF, "xdp", "obj",
                    lib.BUILD / "bench" / "pass.bpf.o", "sec", "xdp")
    with Daemon(pair, tmp_path, config(more=FLOOD)) as daemon:
        quiet = p99_ms(pair)
        before = frames(daemon)
        with flood(pair) as sender:
            lib.wait_for(lambda: answering(daemon), 10, "SYNs answered in XDP")
            at_work = p99_ms(pair)
            sent = int(sender.communicate(timeout=30)[0])
        came, done = frames(daemon) - before, answered(daemon)
        print(f"flood of {sent} SYNs in {FLOOD_MS} ms, {done} answered in XDP: connect p99 "
              f"{at_work:.1f} ms, without {quiet:.1f} ms; lanes received {came} frames")
        assert done > sent / 2
        # what filled the records before, what was on its way then, and the honest clients
        assert came < 8 * HALF_OPEN + 40 * CLIENTS + sent / 50
        lib.wait_for(lambda: not answering(daemon), 15, "the lanes take SYNs again")
        before = answered(daemon)
        exchange(pair, 0)
        assert answered(daemon) == before
    pair.client.run("ip", "link", "set", "dev", lib.CLIENT_IF, "xdp", "off")
    scratch.leave_nothing()


def test_block_list_of_the_configuration(pair, tmp_path):
    """An exception inside a blocked prefix gets through; the rest hears nothing."""
    pair.client.run("ip", "addr", "replace", "192.0.2.65/24", "dev", lib.CLIENT_IF)
    pair.client.run("ip", "addr", "replace", "192.0.2.66/24", "dev", lib.CLIENT_IF)
    blocked = tmp_path / "blocked"
    blocked.write_text("# a list\n192.0.2.64/26\nallow 192.0.2.66\n2001:db8::/64\n")
    more = f"guard:\n  block: [ {blocked} ]\n"
    with Daemon(pair, tmp_path, config(more=more)) as daemon:
        connect(pair)[0].close()
        connect(pair, source="192.0.2.66")[0].close()
        for family, source in ((4, "192.0.2.65"), (6, None)):
            with pytest.raises(TimeoutError):
                connect(pair, family, 0.5, source)
        assert daemon.tool("guard", "block", "list")["blocks"] == [
            {"prefix": "192.0.2.64/26", "action": "block", "from": "configuration"},
            {"prefix": "192.0.2.66/32", "action": "allow", "from": "configuration"},
            {"prefix": "2001:db8::/64", "action": "block", "from": "configuration"}]
        counters = {c["name"]: c["packets"] for c in daemon.tool("guard", "list")["counters"]}
        assert counters["blocked"] >= 2
        assert counters["allowed"] >= 3
    scratch.leave_nothing()


def test_limit_of_new_connections(pair, tmp_path):
    """A source has its burst; the next SYN is dropped, and comes again when there is room."""
    more = "guard:\n  limits:\n    - { connections_per_s: 1, connections_burst: 3 }\n" \
           "  rules:\n    - { rule: echo, packets_per_s: 1000000 }\n"
    with Daemon(pair, tmp_path, config(more=more)) as daemon:
        start = time.monotonic()
        for _ in range(6):
            connect(pair)[0].close()
        assert time.monotonic() - start > 1.5
        counters = {c["name"]: c["packets"] for c in daemon.tool("guard", "list")["counters"]}
        assert counters["source_syns"] >= 1
        assert counters["rule_packets"] == 0
    scratch.leave_nothing()


def full_drops(daemon):
    stats = daemon.tool("stats", "show", "--all")
    return sum(v["packets"] for v in stats["verdicts"] if v["name"] == "source_full")


def test_source_at_its_limit_of_connections(pair, tmp_path):
    """What it has goes on; its SYNs end in XDP until one of its connections does."""
    pair.client.run("ip", "addr", "replace", "192.0.2.66/24", "dev", lib.CLIENT_IF)
    more = "tcp:\n  per_source: { connections: 4 }\n"
    with Daemon(pair, tmp_path, config(more=more)) as daemon:
        made = []
        with pytest.raises(TimeoutError):  # four a lane: the second lane's are full as well then
            for _ in range(40):
                made.append(connect(pair, timeout=0.4)[0])
        assert 4 <= len(made) <= 8
        for _ in range(30):
            with pair.client.socket(lib.FAMILY[4], lib.socket.SOCK_STREAM) as s:
                s.setblocking(False)
                s.connect_ex((lib.SERVER[4], 7000))
            if full_drops(daemon) >= 5:
                break
        assert full_drops(daemon) >= 5
        connect(pair, source="192.0.2.66")[0].close()
        for s in made:
            s.sendall(MESSAGE)
            assert lib.recv_exact(s, len(MESSAGE)) == MESSAGE
            s.close()
        scratch.wait_settled(daemon)
        made = [connect(pair)[0] for _ in range(4)]
        for s in made:
            s.close()
    scratch.leave_nothing()
