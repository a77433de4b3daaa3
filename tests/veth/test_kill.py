# SPDX-License-Identifier: MIT
"""Workers that die, hang or are stopped: the lane comes back, the other one does not notice."""
import contextlib
import os
import signal
import socket
import time

import pytest

import figures
import lib

pytestmark = [pytest.mark.kills_workers, pytest.mark.limit(40)]

RESTART_S = 2


class Line:
    """A connection to echo, and the queue whose lane serves it."""

    def __init__(self, family):
        self.socket = lib.connect(lib.ECHO, family, timeout=3)
        self.port = self.socket.getsockname()[1]
        self.queue = None

    def echo(self, value=b"are you there"):
        lib.echo_once(self.socket, 1, value)

    def state(self):
        """`alive`, `reset` or, what must not be, `hangs`."""
        try:
            self.echo()
            return "alive"
        except (ConnectionResetError, BrokenPipeError, AssertionError):
            return "reset"
        except socket.timeout:
            return "hangs"


@contextlib.contextmanager
def lines(n=40):
    """n open connections that were served once, with the queue of each."""
    with contextlib.ExitStack() as stack:
        made = []
        for i in range(n):
            line = Line(4 + 2 * (i % 2))
            stack.enter_context(line.socket)
            line.echo()
            made.append(line)
        queue_of = {conn["remote_port"]: conn["queue"]
                    for conn in figures.rows(figures.tool("conn", "list"), "connections")}
        for line in made:
            line.queue = queue_of[line.port]
        assert {line.queue for line in made} == {0, 1}
        yield made


def kill(queue):
    """SIGKILL to the worker of a queue; its pid."""
    pid = figures.pids()[queue]
    os.kill(pid, signal.SIGKILL)
    return pid


def restarted(queue, old):
    """Wait until another worker serves the queue; how long that took."""
    begin = time.monotonic()

    def serves():
        lane = figures.lanes()[queue]
        return lane["pid"] not in (old, 0, None) and lane["state"] == "serving"

    lib.wait_for(serves, RESTART_S, lambda: f"queue {queue} served anew: {figures.lanes()[queue]}")
    return time.monotonic() - begin


def serves_new_connections(n=20):
    for i in range(n):
        with lib.connect(lib.ECHO, 4 + 2 * (i % 2), timeout=3) as s:
            lib.echo_once(s, i, b"new")


@pytest.mark.parametrize("queue", [0, 1])
def test_killed_worker_is_replaced(queue):
    """SIGKILL -> another worker within two seconds; the other lane's connections go on, those of
    the killed one are served on or reset, none hangs; new ones work on both lanes."""
    with lines() as made:
        old = kill(queue)
        for line in made:
            if line.queue != queue:
                line.echo(b"meanwhile")
        restarted(queue, old)
        states = {line.port: line.state() for line in made}
        assert "hangs" not in states.values(), states
        assert all(states[line.port] == "alive" for line in made if line.queue != queue), states
        serves_new_connections()


def test_frames_are_all_there_after_a_kill_under_load(running_demo):
    """SIGKILL in the middle of transfers both ways -> every frame of the lane is accounted for, new
    transfers are intact."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(lib.drill(line, family, timeout=5))
                   for line in ("E", f"G {256 * lib.MIB}", "H") for family in (4, 6)
                   for _ in range(2)]
        workers = [lib.Background(_push_and_pull, s) for s in sockets]
        time.sleep(0.5)
        for queue in (0, 1):
            restarted(queue, kill(queue))
        for s in sockets:
            lib.abort(s)
        for worker in workers:
            worker.result(10)
    running_demo.check(workers_may_change=True)
    for family in (4, 6):
        with lib.drill("E", family, timeout=10) as s:
            sender = lib.Background(lib.send_pattern, s, lib.MIB)
            lib.recv_pattern(s, lib.MIB)
            sender.result(5)


def _push_and_pull(s):
    """Send and receive until the end, whatever it is."""
    s.setblocking(False)
    end = time.monotonic() + 8
    block = bytes(65536)
    while time.monotonic() < end:
        try:
            s.send(block)
        except BlockingIOError:
            pass
        except OSError:
            return
        try:
            s.recv(65536)
        except BlockingIOError:
            time.sleep(0.002)
        except OSError:
            return


def test_killed_again_and_again():
    """Six kills in a row -> replaced each time; the count of restarts says six."""
    before = sum(lane["restarts"] for lane in figures.lanes())
    for i in range(6):
        restarted(i % 2, kill(i % 2))
    assert sum(lane["restarts"] for lane in figures.lanes()) == before + 6
    assert all("9" in lane["last_exit"] or "KILL" in lane["last_exit"].upper()
               for lane in figures.lanes())
    serves_new_connections()


def test_both_killed_at_once():
    """SIGKILL to both -> both are replaced; nothing hangs."""
    with lines(20) as made:
        old = [kill(0), kill(1)]
        for queue in (0, 1):
            restarted(queue, old[queue])
        states = [line.state() for line in made]
        assert "hangs" not in states, states
    serves_new_connections()


def test_stopped_for_a_moment():
    """SIGSTOP for 0.3 s -> a hiccup: the same worker goes on, no connection is lost, what was sent
    meanwhile is answered."""
    with lines() as made:
        pid = figures.pids()[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            for line in made:
                line.socket.sendall(lib.tlv(2, b"sent while it slept"))
            time.sleep(0.3)
        finally:
            os.kill(pid, signal.SIGCONT)
        for line in made:
            assert lib.read_tlv(line.socket) == (2, b"sent while it slept")
            line.echo()
        assert figures.pids()[0] == pid


def test_worker_cannot_be_talked_to_death():
    """The workers run without capabilities, as an unprivileged user, under seccomp."""
    for pid in figures.pids():
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = dict(line.split(":", 1) for line in f.read().splitlines())
        assert status["Uid"].split()[0] != "0"
        assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Seccomp"].strip() == "2"
