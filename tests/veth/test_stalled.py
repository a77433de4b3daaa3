# SPDX-License-Identifier: MIT
"""The worst moment to be asked: every connection is stalled, and the lanes have no frame to give.

    mrc0: 400 clients, half of them of source-bytes, half of echo-bytes; all send, none reads
    mrs0: two lanes of 1,024 frames each
"""
import contextlib
import errno
import http.client
import statistics
import struct
import time

import pytest

import lib
import scratch

pytestmark = pytest.mark.scratch

CLIENTS = 400
HELD = 1900  # frames of 2,048 that connections hold
FEW = 32     # free ones: none but those in motion
ASKED = 20
MEDIAN_MS = 50
WEB = 9271

RULES = """\
  - name: source-bytes
    port: 7005
    app: source-bytes
  - name: echo-bytes
    port: 7003
    app: echo-bytes
"""

# Each is told apart: which one is slow says the name of the test.
PAGES = ["/v1/status", "/v1/lanes", "/v1/rules", "/v1/stats", "/v1/conns?limit=all", "/v1/conns?lane=mrs0:0&id=0.1",
         "/v1/conns?format=tsv&min_idle_ms=1&rule=echo-bytes", "/v1/traces", "/v1/traces?events=yes",
         "/v1/traces?live=yes&limit=all&events=yes", "/v1/traces?live=yes&min_events=0&limit=all", "/v1/guard",
         "/v1/guard/blocks", "/v1/programs", "/v1/config", "/metrics", "/"]


@pytest.fixture(name="daemon", scope="module")
def fixture_daemon(tmp_path_factory):
    with scratch.Pair() as pair:
        text = scratch.config(rules=RULES).replace("frames: 4096", "frames: 1024")
        with scratch.Daemon(pair, tmp_path_factory.mktemp("stalled"),
                            f"http: 127.0.0.1:{WEB}\n{text}") as daemon:
            yield daemon


def client(pair, port):
    """A connection whose client takes nothing: its window is closed by what is under way already."""
    s = pair.client.socket(lib.socket.AF_INET, lib.socket.SOCK_STREAM)
    s.setsockopt(lib.socket.SOL_SOCKET, lib.socket.SO_RCVBUF, 2048)
    s.setblocking(False)
    assert s.connect_ex((lib.SERVER[4], port)) in (0, errno.EINPROGRESS)
    return s


def send_all_that_goes(clients):
    for s in clients:
        with contextlib.suppress(BlockingIOError):
            while True:
                s.send(bytes(65536))


def state(daemon):
    """Free frames, frames that connections hold, and the bytes that went in and out so far."""
    frames = daemon.tool("stats", "show")["frames"]
    conns = daemon.tool("conn", "list", "--state", "ESTABLISHED")["connections"]
    return (frames["free"], sum(frames[name] for name in ("rx", "ooo", "tx", "sent")),
            sum(one["bytes_received"] + one["bytes_sent"] for one in conns))


@pytest.fixture(name="stalled", scope="module")
def fixture_stalled(daemon):
    """Clients that are all stalled; the lanes' frames are where they are."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client(daemon.pair, 7005 if i % 2 else 7003))
                   for i in range(CLIENTS)]
        lib.wait_for(lambda: len(daemon.tool("conn", "list", "--state", "ESTABLISHED")
                                 ["connections"]) == CLIENTS, 20, f"{CLIENTS} connections")
        before = None

        def stuck():
            nonlocal before
            send_all_that_goes(clients)
            last, before = before, state(daemon)
            return before[0] < FEW and before[1] > HELD and last == before
        lib.wait_for(stuck, 25, lambda: f"stalled: free, held, bytes {state(daemon)}")
        yield clients


def milliseconds(daemon, page):
    """One request on the loopback port, as its client sees it."""
    connection = http.client.HTTPConnection("127.0.0.1", WEB, timeout=10)
    start = time.monotonic()
    daemon.pair.server.call(connection.connect)
    with contextlib.closing(connection):
        connection.request("GET", page)
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
    return 1000 * (time.monotonic() - start)


@pytest.mark.limit(60)
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("stalled")
def test_daemon_answers_while_every_connection_is_stalled(daemon, page):
    """Median of twenty within 50 ms: what it says comes from maps and arenas, not from lanes."""
    times = [milliseconds(daemon, page) for _ in range(ASKED)]
    assert statistics.median(times) < MEDIAN_MS, times
    assert state(daemon)[0] < FEW, "there are free frames again"


class Unix(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = lib.socket.socket(lib.socket.AF_UNIX, lib.socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(str(self.path))


@pytest.mark.limit(60)
@pytest.mark.usefixtures("stalled")
def test_frames_sent_are_handed_out_while_every_connection_is_stalled(daemon):
    """What a capture asks, again and again: what lanes still send (probes of closed windows) is in it."""
    times, after, frames = [], {}, 0
    with contextlib.closing(Unix(daemon.socket)) as connection:
        def ask(queue):
            start = time.monotonic()
            connection.request("POST", f"/v1/lanes/sent?lane=mrs0:{queue}{after.get(queue, '')}")
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200
            times.append(1000 * (time.monotonic() - start))
            first, last, _, _ = struct.unpack_from("QQQQ", body)
            after[queue] = f"&after={last}"
            return last - first

        def asked_often():
            nonlocal frames
            frames += ask(0) + ask(1)
            return frames and len(times) >= 2 * ASKED
        lib.wait_for(asked_often, 20, "a probe is sent")
    assert statistics.median(times) < MEDIAN_MS, times


@pytest.mark.limit(60)
def test_tool_answers_while_every_connection_is_stalled(daemon, stalled):
    """Each verb of the tool, too; the lanes still beat and take a new connection."""
    for words in (["lane", "list"], ["conn", "list"], ["stats", "show"], ["guard", "list"], ["trace", "list"],
                  ["trace", "list", "--live"], ["top", "-n", "1", "-d", "0.1"]):
        assert daemon.pair.server.run(lib.BUILD / "millrace", "-s", daemon.socket, *words,
                                      *(["-b"] if words[0] == "top" else [])).stdout
    assert all(lane["beat"] == "fresh" for lane in daemon.lanes())
    assert len(stalled) == CLIENTS
