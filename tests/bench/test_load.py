# SPDX-License-Identifier: MIT
"""bench/: mr-load finds what is wrong with a server, the peers are servers that are right, and
latency in the open loop counts from the time at which a request was due. Over loopback."""
import json
import os
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "build" / "bench"
LOAD = BENCH / "mr-load"
MESSAGE = 6 + 64


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def load(port, *options):
    return subprocess.run([LOAD, "--connect", f"127.0.0.1:{port}", "--seconds", "0.3", "--json",
                           *map(str, options)], capture_output=True, text=True, timeout=60,
                          check=False)


def report(port, *options):
    done = load(port, *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Peer:
    """A program of bench/peers on loopback."""

    def __init__(self, *args):
        self.process = subprocess.Popen([str(a) for a in args], stdout=subprocess.PIPE, text=True)
        assert "ready" in self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


class Server(threading.Thread):
    """Accepts one connection at a time and hands what comes to `answer`, which gives the reply."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            c, _ = self.listener.accept()
            self.serve(c)

    def serve(self, c):
        with c:
            try:
                while data := c.recv(65536):
                    reply = self.answer(data)
                    if reply is None:
                        return
                    c.sendall(reply)
            except OSError:
                pass


def has_io_uring():
    try:
        return Path("/proc/sys/kernel/io_uring_disabled").read_text(encoding="ascii")[0] == "0"
    except OSError:
        return os.uname().release >= "6"


def peers():
    uring = pytest.mark.skipif(not has_io_uring(), reason="io_uring is switched off here")
    return [pytest.param("epoll-echo", id="epoll"), pytest.param("uring-echo", id="io_uring",
                                                                 marks=uring)]


@pytest.mark.parametrize("peer", peers())
@pytest.mark.parametrize("options", [
    ("--size", 0), ("--connections", 16, "--depth", 16), ("--size", 5000, "--depth", 3),
    ("--size", 300000, "--connections", 2), ("--connections", 4, "--workload", "connect"),
    ("--connections", 20, "--active", 2),
], ids=lambda o: "".join(map(str, o)))
def test_peer_gives_back_every_byte(peer, options):
    port = free_port()
    with Peer(BENCH / peer, "--port", port):
        r = report(port, *options)
    assert r["errors"] == 0
    assert r["measured"] > 0


def test_several_processes_share_a_listener():
    port = free_port()
    with Peer(BENCH / "epoll-echo", "--port", port, "--processes", 3) as peer:
        assert report(port, "--connections", 30)["errors"] == 0
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(peer.process.pid)],
                                  capture_output=True, text=True, check=False).stdout.split()
        assert len(children) == 2
    time.sleep(0.2)
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in children)


@pytest.mark.parametrize("workload, port_option", [("sink", "--discard"), ("source", "--source")])
def test_bulk_moves_bytes(workload, port_option):
    port, other = free_port(), free_port()
    other_option = {"--discard": "--source", "--source": "--discard"}[port_option]
    with Peer(BENCH / "epoll-bulk", port_option, port, other_option, other):
        r = report(port, "--workload", workload)
    assert r["bytes"] > 1 << 20
    assert r["gbit_s"] == pytest.approx(r["bytes"] * 8e-9 / r["seconds"], rel=0.01)


def test_a_changed_byte_is_found():
    count = [0]

    def flip(data):
        start = count[0]
        count[0] += len(data)
        at = 100 * MESSAGE + 33
        if start <= at < start + len(data):
            data = bytearray(data)
            data[at - start] ^= 1
        return bytes(data)

    done = load(Server(flip).port)
    assert done.returncode == 1
    assert "reply 100 differs at byte 33" in done.stderr


def test_a_wrong_pattern_is_found():
    sent = threading.Event()

    class Source(Server):
        def serve(self, c):
            with c:
                c.sendall(bytes(1000))
                sent.wait(5)

    done = load(Source(None).port, "--workload", "source")
    sent.set()
    assert done.returncode == 1
    assert "differ from the pattern" in done.stderr


def test_more_than_was_sent_is_an_error():
    done = load(Server(lambda data: data + b"x").port)
    assert done.returncode == 1
    assert "more bytes came back than were sent" in done.stderr


def test_a_server_that_closes_is_an_error():
    done = load(Server(lambda data: None).port)
    assert done.returncode == 1
    assert re.search(r"closed by the server|reset", done.stderr)


def test_open_loop_charges_a_stall_to_every_request_that_was_due():
    """One stall of 300 ms in a second of 1,000 requests: about 300 of them were due in it. In a
    closed loop one request would have waited."""
    began = time.monotonic()
    stalled = [False]

    def stall(data):
        if not stalled[0] and time.monotonic() - began > 0.4:
            stalled[0] = True
            time.sleep(0.3)
        return data

    server = Server(stall)
    r = report(server.port, "--rate", 1000, "--depth", 1000, "--seconds", 1)
    assert r["errors"] == 0
    assert r["max_us"] > 250_000
    assert r["p90_us"] > 100_000    # of 1,000: 300 waited from 0 to 300 ms, evenly spread
    assert r["measured"] == pytest.approx(1000, rel=0.15)


def test_cpu_time_of_a_process_is_the_schedulers():
    port = free_port()
    with Peer(BENCH / "epoll-echo", "--port", port) as peer:
        r = report(port, "--cpu-of", peer.process.pid)
    assert 0 < r["server_cpu_s"] <= r["seconds"] * 1.1
    assert 0 < r["client_cpu_s"] <= r["seconds"] * 1.1


@pytest.mark.parametrize("options, words", [
    (("--via", "lane"), "name the interface"),
    (("--via", "raw", "--interface", "lo", "--workload", "sink"), "workload echo only"),
    (("--workload", "connect", "--depth", "2"), "depth is 1"),
    (("--active", "2"), "at most as many"),
    (("--via", "pigeon"), "kernel, lane or raw"),
])
def test_what_does_not_go_together_is_refused(options, words):
    done = load(1, *options)
    assert done.returncode == 2
    assert words in done.stderr
