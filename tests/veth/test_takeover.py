# SPDX-License-Identifier: MIT
"""A worker ends, planned or killed, under load: the next one goes on with its connections."""
import contextlib
import os
import random
import selectors
import shutil
import signal
import socket
import statistics
import struct
import time

import pytest

import figures
import lib

pytestmark = [pytest.mark.kills_workers, pytest.mark.limit(180)]

CONNECTIONS = 1000
KILLS = 200
SERVER_NETWORK = f"/run/netns/{lib.SERVER_NS}"


class Line:
    """A connection that says a piece of its own stream, and says the next when it has it back."""

    def __init__(self, number):
        self.number = number
        self.socket = lib.connect(lib.ECHO_BYTES, 4 + 2 * (number % 2), timeout=5)
        self.socket.setblocking(False)
        self.sent = 0
        self.missing = b""
        self.asked = 0.0

    def piece(self):
        word = struct.pack(">IQ", self.number, self.sent)
        return (word * 9)[:16 + self.sent % 80]

    def say(self, now):
        self.missing = self.piece()
        self.sent += 1
        self.asked = now
        assert self.socket.send(self.missing) == len(self.missing)

    def hear(self):
        """False: a piece is still missing. Raises when what came is not what was said."""
        got = self.socket.recv(4096)
        assert got and self.missing.startswith(got), (self.number, self.sent, got, self.missing)
        self.missing = self.missing[len(got):]
        return not self.missing


class Load:
    """Lines in turn, in one thread."""

    def __init__(self, n):
        self.selector = selectors.DefaultSelector()
        self.lines = [Line(i) for i in range(n)]
        self.resets = 0
        self.pieces = 0
        self.longest = 0.0  # silence of one line since longest was last set
        for line in self.lines:
            self.selector.register(line.socket, selectors.EVENT_READ, line)
            line.say(time.monotonic())

    def drop(self, line):
        self.resets += 1
        self.selector.unregister(line.socket)
        line.socket.close()
        self.lines.remove(line)

    def run(self, seconds):
        """Talk so long."""
        now = time.monotonic()
        end = now + seconds
        while now < end:
            events = self.selector.select(0.5)
            now = time.monotonic()
            for key, _ in events:
                try:
                    if key.data.hear():
                        self.pieces += 1
                        self.longest = max(self.longest, now - key.data.asked)
                        key.data.say(now)
                except (ConnectionResetError, BrokenPipeError):
                    self.drop(key.data)

    def finish(self):
        """Everybody gets what is still missing, and ends in order."""
        end = time.monotonic() + 10
        waiting = {line for line in self.lines if line.missing}
        while waiting and time.monotonic() < end:
            for key, _ in self.selector.select(0.5):
                try:
                    if key.data.hear():
                        waiting.discard(key.data)
                except (ConnectionResetError, BrokenPipeError):
                    waiting.discard(key.data)
                    self.drop(key.data)
        assert not waiting, f"{len(waiting)} connections hang"
        self.selector.close()
        for line in self.lines:
            line.socket.close()


def workers():
    """Process ids of the demo's workers, without asking the daemon. Those of others, who may run on
    the same machine, are in other namespaces."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                if comm.read() == "millrace-worker\n" and \
                        os.path.samefile(f"/proc/{pid}/ns/net", SERVER_NETWORK):
                    found.append(int(pid))
        except OSError:
            pass
    return sorted(found)


def test_planned_restart_loses_nothing():
    """`millrace lane restart` under load, of all lanes and of one -> no connection is reset, no byte
    lost or doubled, other processes serve."""
    load = Load(CONNECTIONS)
    load.run(0.5)
    for lane in (None, "mrs0:1", None):
        before = workers()
        thread = lib.Background(figures.millrace, "lane", "restart",
                                *(["--lane", lane] if lane else []))
        load.run(1)
        thread.result(10)
        after = workers()
        assert len(after) == 2
        assert len(set(after) & set(before)) == (1 if lane else 0)
    load.finish()
    assert load.resets == 0


def test_restart_of_no_lane_is_refused():
    """A lane that does not exist -> one line, nothing happens."""
    before = workers()
    done = figures.millrace("lane", "restart", "--lane", "mrs0:7", check=False)
    assert done.returncode == 1
    assert "no such lane" in done.stderr
    assert workers() == before


def test_other_layout_is_refused():
    """A worker program that does not say our layout -> one line, the old workers go on."""
    program = lib.ROOT / "build" / "millrace-worker"
    kept = program.with_name("millrace-worker.kept")
    before = workers()
    program.rename(kept)
    try:
        shutil.copy("/bin/echo", program)
        done = figures.millrace("lane", "restart", check=False)
    finally:
        kept.replace(program)
    assert done.returncode == 1
    assert "old worker goes on" in done.stderr and done.stderr.count("\n") == 1
    assert workers() == before
    with lib.connect(lib.ECHO) as s:
        lib.echo_once(s, 1, b"still there")


def test_killed_at_random_instants():
    """SIGKILL to a worker 200 times under load -> one connection is reset at most each time, the
    others lose and double no byte. The longest wait of any line is printed for each kill."""
    draw = random.Random(1)
    load = Load(CONNECTIONS)
    silences = []
    load.run(1)
    for kill in range(KILLS):
        before = load.resets
        os.kill(draw.choice(workers()), signal.SIGKILL)
        load.longest = 0.0
        load.run(0.12 + draw.random() / 20)
        silences.append(load.longest)
        assert load.resets <= kill + 1, f"kill {kill}: {load.resets - before} connections reset"
    load.finish()
    assert load.resets <= KILLS
    lib.wait_for(lambda: len(workers()) == 2, 5, lambda: "two workers")
    print(f"kills {KILLS} resets {load.resets} pieces {load.pieces}, longest wait of a line: median "
          f"{statistics.median(silences) * 1000:.0f} ms, most {max(silences) * 1000:.0f} ms, over "
          f"100 ms: {sum(s > 0.1 for s in silences)}")
    assert statistics.median(silences) < 1  # far above what it is; machines are noisy


def test_store_writes_each_message_once():
    """Messages to `store` while its workers are killed -> those of connections that go on stand in
    the file once each, in order; of one that was reset none stands there twice."""
    draw = random.Random(2)
    mark = os.urandom(8)
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(lib.connect(lib.STORE_PORT, 4 + 2 * (i % 2), timeout=10))
                 for i in range(16)]
        alive = dict(enumerate(lines))
        for n in range(400):
            for i in list(alive):
                value = mark + struct.pack(">II", i, n) + bytes(draw.randrange(300))
                try:
                    alive[i].sendall(lib.tlv(998, value))
                except (ConnectionResetError, BrokenPipeError):
                    del alive[i]
            if n % 40 == 20:
                os.kill(draw.choice(workers()), signal.SIGKILL)
                lib.wait_for(lambda: len(workers()) == 2, 5, lambda: "two workers")
        for i in list(alive):
            try:
                alive[i].shutdown(socket.SHUT_WR)
                assert lib.recv_all(alive[i]) == b""
            except ConnectionResetError:
                del alive[i]
    assert len(alive) >= 6
    content = next(data for path in lib.STORE.glob("*") if mark in (data := path.read_bytes()))
    for i in range(16):
        counts = [content.count(mark + struct.pack(">II", i, n)) for n in range(400)]
        assert max(counts) == 1
        assert i not in alive or min(counts) == 1, f"line {i}: {counts.index(0)} is missing"
