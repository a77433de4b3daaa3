# SPDX-License-Identifier: MIT
"""The control socket: who may do what, and clients that mean no good.

root, a member of the group, a stranger  --->  RUN/control.sock  --->  the child
"""
import contextlib
import os
import socket
import struct
import time

import pytest

import lib
import scratch
from scratch import Daemon, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

GROUP = 65534          # of the user nobody, as whom these daemons run
STRANGER = 12345
GET = b"GET /v1/status HTTP/1.1\r\nHost: m\r\n\r\n"
POST = b"POST /v1/status HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with scratch.Pair() as pair:
        with Daemon(pair, tmp_path_factory.mktemp("clients"), config()) as running:
            yield running


def connect_as(daemon, uid=0, groups=(0,)):
    """A connection of another user's making: identified when it connects."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.setgroups(groups[1:])
            os.setresgid(*[groups[0]] * 3)
            os.setresuid(uid, uid, uid)
            s = socket.socket(socket.AF_UNIX)
            s.connect(daemon.socket)
            socket.send_fds(theirs, [b"."], [s.fileno()])
        os._exit(0)
    os.waitpid(pid, 0)
    theirs.close()
    with ours:
        said, fds, _, _ = socket.recv_fds(ours, 1, 1)
    if not said:
        raise PermissionError
    s = socket.socket(fileno=fds[0])
    s.settimeout(5)
    return s


def answer(s, request):
    """The status of the answer; 0 when the connection ends without one."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        s.sendall(request)
    text = b""
    with contextlib.suppress(ConnectionResetError):
        while b"\r\n\r\n" not in text and (got := s.recv(4096)):
            text += got
    return int(text.split()[1]) if text else 0


def serves(daemon):
    """Root is answered, at once, by the same processes."""
    start = time.monotonic()
    status = daemon.tool("stats", "show")
    assert status and time.monotonic() - start < 3
    assert daemon.child() == daemon.first_child


@pytest.fixture(autouse=True)
def unharmed(daemon):
    def child():
        return [p for p in scratch.processes() if open(f"/proc/{p}/comm", encoding="ascii")
                .read().startswith("millraced-child")]

    daemon.child = child
    daemon.first_child = child()
    yield
    serves(daemon)


# ----- who may what -----

def test_socket_belongs_to_root_and_the_group(daemon):
    status = os.stat(daemon.socket)
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, GROUP, 0o660)


def test_stranger_gets_no_connection(daemon):
    with pytest.raises(PermissionError):
        connect_as(daemon, STRANGER, (STRANGER,))


@pytest.mark.parametrize("uid,groups", [(0, (0,)), (STRANGER, (GROUP,)),
                                        (STRANGER, (STRANGER, 7, GROUP))],
                         ids=["root", "group", "supplementary-group"])
def test_root_and_group_may_write(daemon, uid, groups):
    """405: nothing is written by that path; what matters is that it is no 403."""
    with connect_as(daemon, uid, groups) as s:
        assert answer(s, GET) == 200
    with connect_as(daemon, uid, groups) as s:
        assert answer(s, POST % 0) == 405


def test_stranger_whom_somebody_let_in_only_reads(daemon):
    """The mode of the socket is opened by hand: reading is all that it gives."""
    os.chmod(daemon.socket, 0o666)
    try:
        for method in (b"POST", b"PUT", b"DELETE", b"PATCH", b"XYZ"):
            with connect_as(daemon, STRANGER, (STRANGER, 7)) as s:
                assert answer(s, method + POST[4:] % 0) == 403
        with connect_as(daemon, STRANGER, (STRANGER,)) as s:
            assert answer(s, GET) == 200
    finally:
        os.chmod(daemon.socket, 0o660)


# ----- hostile clients -----

def test_headers_without_end(daemon):
    with connect_as(daemon) as s:
        status = answer(s, b"GET /v1/status HTTP/1.1\r\n" + b"X: %s\r\n" % (b"y" * 1000) * 200)
        assert status == 0 or 400 <= status < 500


def test_address_without_end(daemon):
    with connect_as(daemon) as s:
        status = answer(s, b"GET /" + b"a" * 200000)
        assert status == 0 or 400 <= status < 500


def test_body_of_who_may_not_write_is_not_read(daemon):
    """The answer comes before the body, however long that claims to be."""
    os.chmod(daemon.socket, 0o666)
    try:
        for length in (1, 1 << 20, 1 << 40, (1 << 64) - 1):
            with connect_as(daemon, STRANGER, (STRANGER,)) as s:
                assert 400 <= answer(s, POST % length) < 500
    finally:
        os.chmod(daemon.socket, 0o660)


def test_body_that_nobody_wants_is_read_past(daemon):
    with connect_as(daemon) as s:
        assert answer(s, POST % 100000 + b"x" * 100000) == 405


def test_what_is_no_http(daemon):
    for noise in (b"\0" * 5000, b"\r\n" * 5000, os.urandom(5000), b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                  b"GET /v1/conns?" + b"limit=1&" * 500 + b" HTTP/1.1\r\n\r\n",
                  b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"):
        with connect_as(daemon) as s:
            s.settimeout(1)
            with contextlib.suppress(socket.timeout):
                status = answer(s, noise)
                assert status in (0, 200) or 400 <= status < 600


def test_many_requests_at_once(daemon):
    """Pipelined in one piece, and left unread: the daemon does not wait for the reader."""
    with connect_as(daemon) as s:
        s.settimeout(0.5)
        with contextlib.suppress(socket.timeout, BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                s.sendall(GET * 50)
        serves(daemon)


def test_group_cannot_keep_root_out(daemon):
    """A member of the group opens all connections that it can, and begins a request on each: the
    one too many is ended, and root is served meanwhile."""
    held = []
    try:
        for _ in range(40):
            held.append(connect_as(daemon, STRANGER, (GROUP,)))
            with contextlib.suppress(BrokenPipeError):
                held[-1].sendall(b"GET /v1/st")
        serves(daemon)
        ended = 0
        for s in held:
            s.settimeout(0.02)
            with contextlib.suppress(socket.timeout, ConnectionResetError):
                ended += s.recv(1) == b""
        assert ended >= 40 - 24
    finally:
        for s in held:
            s.close()


def test_byte_by_byte_is_ended_in_time(daemon):
    """A byte a second is no idle connection; the request has to be whole after ten seconds."""
    with connect_as(daemon) as s:
        start = time.monotonic()
        s.settimeout(0.5)
        for byte in b"GET /v1/status HTTP/1.1\r\nHost: a-name-that-is-never-told-to-its-end":
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.send(bytes([byte]))
            with contextlib.suppress(socket.timeout):
                with contextlib.suppress(ConnectionResetError):
                    assert s.recv(1) == b""
                break
        assert 8 < time.monotonic() - start < 20


def test_reset_in_the_middle(daemon):
    for piece in (b"", b"GET", GET[:-2], GET, GET * 3):
        for _ in range(20):
            with connect_as(daemon) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.sendall(piece)
    lib.wait_for(lambda: daemon.tool("lane", "list"), 5, "root is served")
