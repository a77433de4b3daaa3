# SPDX-License-Identifier: MIT
"""millrace top: plain text for scripts, and the screen on a pseudo-terminal."""
import copy
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import pytest

from conftest import BINARY, environment

PATIENCE_S = 20


def growing(daemon, **steps):
    """Counters of the first lane, and of all of them, that grow with every request."""
    lanes, stats = daemon.answers["/v1/lanes"], daemon.answers["/v1/stats"]
    stats["counters"].update(dict.fromkeys(steps, 0))
    n = {"lanes": 0, "stats": 0}

    def grown(name, answer, counters):
        def serve(_):
            n[name] += 1
            for key, step in steps.items():
                counters(answer)[key] = step * n[name]
            return copy.deepcopy(answer)
        return serve

    daemon.answers["/v1/lanes"] = grown("lanes", lanes, lambda a: a["lanes"][0]["counters"])
    daemon.answers["/v1/stats"] = grown("stats", stats, lambda a: a["counters"])


def test_batch_prints_rates_between_samples(daemon, millrace):
    growing(daemon, rx_frames=1000)
    before = time.monotonic()
    result = millrace("top", "-b", "-n", "2", "-d", "0.5")
    took = time.monotonic() - before
    assert result.status == 0 and result.err == ""
    assert took >= 1.0
    assert result.out.startswith("millrace 0.1.0  serving  up 0:01:21  2 of 2 lanes serve  7 rules")
    rates = [line.split()[6] for line in result.out.splitlines() if line.startswith("mrs0:0")]
    assert len(rates) == 2
    for rate in rates:  # 1000 frames in half a second and what the requests took
        number = float(rate.rstrip("k")) * (1000 if rate.endswith("k") else 1)
        assert 1000 / took <= number <= 2000
    assert "! mrs0 queue 1: lane restarts" in result.out
    assert re.search(r"^tcp_checksum +0 +3 +wrong TCP checksum$", result.out, re.M)
    assert re.search(r"^take +0 +9\d\.\dk +taken by the fast path$", result.out, re.M)


def test_batch_sorts(daemon, millrace):
    lanes = daemon.answers["/v1/lanes"]["lanes"]
    lanes.append({**lanes[0], "queue": 1, "connections": 65})
    def order(*key):
        out = millrace("top", "-b", "-n", "1", "-d", "0.1", *key).out
        return re.findall(r"^mrs0:(\d)", out, re.M)
    assert order() == ["0", "1"]
    assert order("--sort", "connections") == ["1", "0"]
    assert order("--sort", "drops") == ["0", "1"]


def test_j_is_an_object_a_line(daemon, millrace):
    lines = millrace("-j", "top", "-n", "2", "-d", "0.1").out.splitlines()
    assert len(lines) == 2
    assert json.loads(lines[1]) == {"v": 1, "status": daemon.answers["/v1/status"],
                                    "lanes": daemon.answers["/v1/lanes"]["lanes"],
                                    "stats": daemon.answers["/v1/stats"]}


@pytest.mark.parametrize("wrong", [("-d", "0"), ("-d", "x"), ("-d", "nan"), ("-d", "61"),
                                   ("-n", "0"), ("--sort", "x"), ("-x",)])
def test_what_makes_no_sense_exits_2(millrace, wrong):
    assert millrace("top", "-b", *wrong).status == 2


def test_no_terminal_is_an_error_with_the_cure(millrace):
    result = millrace("top")
    assert result.status == 1 and "top -b" in result.err


def test_batch_without_daemon_is_an_error(daemon, millrace):
    daemon.answers["/v1/stats"] = (503, {"v": 1, "error": "try again"})
    result = millrace("top", "-b", "-d", "0.1")
    assert result.status == 1 and "try again" in result.err


class Screen:
    """The tool on a terminal of its own; what it wrote, kept as bytes."""

    def __init__(self, socket, *more, rows=30, columns=160, **env):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execve(BINARY, [BINARY, "-s", socket, "top", "-d", "0.2", *more],
                      environment(**{"TERM": "xterm", **env}))
        self.size(rows, columns)
        self.written = b""

    def size(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, text):
        """Read until @text was written, from here on."""
        new = b""
        end = time.monotonic() + PATIENCE_S
        while text not in new:
            assert time.monotonic() < end, (text, new[-2000:])
            if select.select([self.fd], [], [], 0.2)[0]:
                new += os.read(self.fd, 65536)
        self.written += new

    def press(self, text):
        os.write(self.fd, text)

    def end(self):
        """Press q: how it ends."""
        self.press(b"q")
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.written += os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("does not end")

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def screen(daemon):
    shown = []
    def start(*more, **env):
        shown.append(Screen(daemon.socket, *more, **env))
        return shown[-1]
    yield start
    for one in shown:
        one.close()


def test_keys(screen):
    top = screen()
    top.until(b"sorted by lane")
    top.press(b"s")
    top.until(b"connections")
    top.press(b"p")
    top.until(b"PAUSED")
    top.press(b"p+\x0c")
    top.until(b"every 0.4 s")
    top.press(b"h")
    top.until(b"pause, and go on")
    top.press(b"h")
    top.until(b"native, copy")
    assert top.end() == 0
    assert b"\x1b[?1049l" in top.written, "the terminal is not given back"


def test_resize_draws_anew(screen):
    top = screen()
    top.until(b"h: help")
    top.size(12, 60)
    os.kill(top.pid, signal.SIGWINCH)
    top.until(b"\x1b[12;1H")  # the last line of the new size
    assert top.end() == 0


@pytest.mark.parametrize("columns, last, cut", [(80, b"MSG/s DROP/s", b"RETR"), (109, b"TXbit/s", b"FREE"),
                                                (200, b"TX   SENT", None)])
def test_lanes_are_cut_between_columns(screen, columns, last, cut):
    """Half a rate would be a wrong one: what does not fit as a whole is left out."""
    top = screen(rows=24, columns=columns)
    top.until(b"h: help")
    assert last in top.written
    assert cut is None or cut not in top.written
    assert top.end() == 0


@pytest.mark.parametrize("env, coloured", [({}, True), ({"NO_COLOR": "1"}, False),
                                           ({"TERM": "vt100"}, False)])
def test_colours_are_left_out_where_they_are_not_wanted(screen, env, coloured):
    top = screen(**env)
    top.until(b"h: help")
    assert top.end() == 0
    assert bool(re.search(rb"\x1b\[[0-9;]*3[12]m", top.written)) == coloured


def test_an_absent_daemon_is_waited_for(daemon, screen):
    answer = daemon.answers["/v1/status"]
    daemon.answers["/v1/status"] = (503, {"v": 1, "error": "not yet"})
    top = screen()
    top.until(b"not yet; trying again")
    daemon.answers["/v1/status"] = answer
    top.until(b"lanes serve")
    assert top.end() == 0


def test_figures_from_before_are_told_to_be_old(daemon, screen):
    """The daemon goes while the screen is open: what it said last stays, and says so."""
    top = screen()
    top.until(b"lanes serve")
    daemon.answers["/v1/status"] = (503, {"v": 1, "error": "not now"})
    top.until(b"what follows is older")
    assert b"not now; trying again" in top.written
    assert top.end() == 0


@pytest.mark.parametrize("packets, text", [(9999, "9999"), (10000, "10.0k"), (999949, "999.9k"), (999951, "1.0M"),
                                           (2926300, "2.9M"), (99_960_000_000, "100.0G")])
def test_numbers_keep_to_six_characters(daemon, millrace, packets, text):
    daemon.answers["/v1/stats"]["verdicts"][0]["packets"] = packets
    out = millrace("top", "-b", "-n", "1", "-d", "0.1").out
    assert re.search(rf"^take +[0-9-]+ +{re.escape(text)} ", out, re.M), out


def test_n_ends_it(screen):
    top = screen("-n", "2")
    top.until(b"h: help")
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        pid, status = os.waitpid(top.pid, os.WNOHANG)
        if pid:
            top.pid = 0
            assert os.waitstatus_to_exitcode(status) == 0
            return
        if select.select([top.fd], [], [], 0.05)[0]:
            try:
                os.read(top.fd, 65536)
            except OSError:
                pass
    raise AssertionError("does not end")
