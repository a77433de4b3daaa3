# SPDX-License-Identifier: MIT
"""Ordinary programs over a bad link, as peers of the applications that take bytes."""
import hashlib
import random
import selectors
import socket
import subprocess

import pytest

import badlink
import lib

# Everything at once, both ways; what is damaged is seen by the checksums, and lost by that.
BAD = ["--match", "tcp", "--drop", 0.01, "--dup", 0.01, "--reorder", "0.02,3", "--corrupt", 0.002,
       "--where", "l4"]
SIZE = 1 << 20


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("programs") / "data"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pipe_through(words, path, daemon, seconds=50):
    """The program's standard output while the file is its input, over the bad link."""
    with badlink.Impair(*BAD, seed=3) as impair, open(path, "rb") as source:
        done = subprocess.run(badlink.client.inside(*words), stdin=source, capture_output=True,
                              timeout=seconds, check=False)
        daemon.wait_idle(30)
    assert done.returncode == 0, done.stderr.decode()
    assert impair.statistics["ab"]["dropped"] > 0
    return done.stdout


def test_nc_closes_its_half_and_gets_everything_back(daemon, need, file, family):
    """nc -N: FIN after the file; echo-bytes returns all of it, then FIN."""
    need("nc")
    got = pipe_through(["nc", "-N", badlink.SERVER[family], str(lib.ECHO_BYTES)], file, daemon)
    assert hashlib.sha256(got).hexdigest() == digest(file)


def test_socat_closes_its_half_and_gets_everything_back(daemon, need, file, family):
    """socat shuts down at the file's end and waits for the rest (-t)."""
    need("socat")
    address = badlink.SERVER[4] if family == 4 else f"[{badlink.SERVER[6]}]"
    got = pipe_through(["socat", "-t", "40", "-", f"TCP{family}:{address}:{lib.ECHO_BYTES}"], file,
                       daemon)
    assert hashlib.sha256(got).hexdigest() == digest(file)


def test_nc_takes_a_stream_to_its_end(daemon, need):
    """drill F: nc ends by itself at the lane's FIN, with just these bytes."""
    need("nc")
    n = 300001
    with badlink.Impair(*BAD, seed=5):
        done = subprocess.run(
            badlink.client.inside("nc", badlink.SERVER[4], str(lib.DRILL)),
            input=f"F {n}\n".encode(), capture_output=True, timeout=50, check=False)
        daemon.wait_idle(30)
    assert done.returncode == 0, done.stderr.decode()
    assert len(done.stdout) == n
    lib.pattern.check(done.stdout, 0)


def test_socat_discards_and_ends(daemon, need, file):
    """discard-bytes: the file goes, nothing comes, both ends close."""
    need("socat")
    got = pipe_through(["socat", "-u", "-", f"TCP4:{badlink.SERVER[4]}:{lib.DISCARD_BYTES}"], file,
                       daemon)
    assert got == b""


class Conversation:
    """One of many: sends its bytes, FIN, and collects what comes back."""

    def __init__(self, number, family):
        self.data = random.Random(number).randbytes(3000 + 37 * number)
        self.sent = 0
        self.got = bytearray()
        self.ended = False
        self.socket = badlink.client.socket(lib.FAMILY[family], socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.connect_ex((badlink.SERVER[family], lib.ECHO_BYTES))

    def write(self):
        self.sent += self.socket.send(self.data[self.sent:])
        if self.sent < len(self.data):
            return True
        self.socket.shutdown(socket.SHUT_WR)
        return False

    def read(self):
        part = self.socket.recv(65536)
        self.got += part
        self.ended = not part
        return bool(part)


@pytest.mark.limit(120)
def test_200_connections_at_once(daemon):
    """All opened in one go, half of them IPv6; each gets its own bytes back, and the end."""
    all_of_them = []
    with badlink.Impair(*BAD, "--delay", 5, seed=9), selectors.DefaultSelector() as selector:
        try:
            for number in range(200):
                one = Conversation(number, 4 if number % 2 else 6)
                all_of_them.append(one)
                selector.register(one.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, one)
            while selector.get_map():
                for key, events in selector.select(60) or pytest.fail("nothing moves for 60 s"):
                    if events & selectors.EVENT_WRITE and not key.data.write():
                        selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                    elif events & selectors.EVENT_READ and not key.data.read():
                        selector.unregister(key.fileobj)
        finally:
            for one in all_of_them:
                one.socket.close()
        daemon.wait_idle(30)
    for one in all_of_them:
        assert one.ended and bytes(one.got) == one.data
