# SPDX-License-Identifier: MIT
"""Many connections: at once, and one after the other."""
import contextlib
import errno
import os
import random
import selectors
import socket
import time

import pytest

import figures
import lib

AT_ONCE = 1000
SHORT = 5000
ABREAST = 100


class Talk:
    """A non-blocking client of echo: sends its messages one by one, compares each answer."""

    def __init__(self, family, messages):
        self.socket = lib.tcp_socket(family)
        self.socket.setblocking(False)
        self.socket.connect_ex((lib.SERVER[family], lib.ECHO))
        self.messages = messages
        self.answered = 0
        self._out = b""
        self._in = bytearray()
        self._next()

    @property
    def done(self):
        return self.answered == len(self.messages)

    def _next(self):
        if not self.done:
            self._out = self.messages[self.answered]

    def events(self):
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)

    def write(self):
        if self._out:
            self._out = self._out[self.socket.send(self._out):]

    def read(self):
        data = self.socket.recv(65536)
        assert data, "closed by the server"
        self._in += data
        want = self.messages[self.answered]
        if len(self._in) >= len(want):
            assert bytes(self._in) == want, "another answer than what was sent"
            self._in.clear()
            self.answered += 1
            self._next()


def serve(selector, talks, finished, seconds):
    """Run all talks to their end; finished(talk) is called at each one's."""
    for talk in talks:
        selector.register(talk.socket, talk.events(), talk)
    left = len(talks)
    end = time.monotonic() + seconds
    while left:
        assert time.monotonic() < end, f"{left} of {len(talks)} not done after {seconds} s"
        for key, events in selector.select(1):
            talk = key.data
            if events & selectors.EVENT_WRITE:
                talk.write()
            if events & selectors.EVENT_READ:
                talk.read()
            if talk.done:
                left -= 1
                selector.unregister(talk.socket)
                finished(talk)
            else:
                selector.modify(talk.socket, talk.events(), talk)


def _messages(dice, sizes):
    return [lib.tlv(dice.randrange(65536), dice.randbytes(dice.choice(sizes))) for _ in range(4)]


@pytest.mark.limit(60)
def test_thousand_connections_at_once():
    """1,000 connections, half IPv4 and half IPv6, four messages each -> all answered intact; all
    stand at the same time; all close."""
    dice = random.Random(1000)
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        talks = []
        for i in range(AT_ONCE):
            talk = Talk(6 if i % 2 else 4, _messages(dice, (0, 10, 64, 300, 1400, 5000)))
            stack.enter_context(talk.socket)
            talks.append(talk)
        serve(selector, talks, lambda talk: None, 45)
        lib.wait_for(lambda: figures.figure("connections") == AT_ONCE, 2,
                     lambda: f"{figures.figure('connections')} connections of {AT_ONCE}")
        per_lane = [int(record["connections"]) for record in figures.lane_records()]
        assert min(per_lane) > AT_ONCE // 10, f"connections a lane: {per_lane}"


@pytest.mark.limit(60)
def test_short_connections_one_after_the_other():
    """5,000 connections, a hundred abreast: open, one message there and back, close."""
    dice = random.Random(5000)
    with figures.rises("passive_opens", by=SHORT), selectors.DefaultSelector() as selector:
        for at in range(0, SHORT, ABREAST):
            talks = [Talk(4 if i % 2 else 6, [lib.tlv(i & 0xffff, dice.randbytes(64))])
                     for i in range(at, at + ABREAST)]
            serve(selector, talks, lambda talk: talk.socket.close(), 20)


def test_connections_that_say_nothing():
    """300 connections that send nothing hold no frame, and end like any other."""
    with contextlib.ExitStack() as stack:
        for i in range(300):
            stack.enter_context(lib.connect(lib.ECHO, 4 + 2 * (i % 2)))
        lib.wait_for(lambda: figures.figure("connections") == 300, 3, "300 connections")
        records = figures.lane_records()
        for state in figures.HELD:
            assert figures.figure(f"frames.{state}", records) == 0


def test_all_reset_at_once():
    """300 connections with data under way, all reset by the client at once -> all gone."""
    with figures.rises("closed.reset_by_peer", by=250), lib.Wellbehaved() as other:
        sockets = [lib.connect(lib.ECHO_BYTES, 4 + 2 * (i % 2)) for i in range(300)]
        for s in sockets:
            s.sendall(os.urandom(3000))
        for s in sockets:
            lib.abort(s)
        other.more()


def opened(s):
    """Connects; False while the kernel still holds the last connection's port, in LAST-ACK."""
    error = s.connect_ex((lib.SERVER[4], lib.DRILL))
    if error and error != errno.EADDRNOTAVAIL:
        raise OSError(error, os.strerror(error))
    return not error


def test_ports_are_used_again():
    """The same client port again and again, closed by the server first each time -> every SYN
    opens: TIME-WAIT gives way to a newer SYN (RFC 6191, RFC 9293 3.6.1)."""
    source = 0
    for _ in range(20):
        s = lib.tcp_socket(4)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", source))
        source = s.getsockname()[1]
        lib.wait_for(lambda s=s: opened(s), 3, "the FIN of the connection before is acknowledged")
        s.sendall(b"C\n")
        assert lib.recv_all(s) == b""
        s.close()
