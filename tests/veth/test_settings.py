# SPDX-License-Identifier: MIT
"""Settings that the demo leaves at their defaults: TLV formats, heartbeats, addresses, fallback."""
import contextlib
import socket
import struct
import time

import pytest

import lib
import scratch
from raw import ACK, PSH, Peer
from scratch import Daemon, Pair, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(30)]

RULES = """\
  - name: narrow
    port: 7101
    app: echo
    tlv: { tag_bytes: 1, length_bytes: 2, order: little, length_has_header: true, max_bytes: 1000 }
  - name: wide
    port: 7102
    app: echo
    tlv: { tag_bytes: 8, length_bytes: 8, max_bytes: 5000 }
  - name: slow
    port: 7103
    app: echo
    heartbeat: { partial_ms: 700 }
  - name: idle
    port: 7104
    app: echo
    heartbeat: { idle_ms: 700 }
  - name: pinged
    port: 7105
    app: echo
    heartbeat: { ping_tag: 65280, pong_tag: 65281, ping_ms: 300, pong_ms: 500 }
  - name: only4
    port: 7106
    app: echo
    address: 192.0.2.2
  - name: untagged
    port: 7107
    app: echo
    vlan: 0
  - name: yielding
    port: 7108
    app: echo
    fallback: kernel
  - name: unread
    port: 7109
    app: echo
    heartbeat: { send_ms: 800 }
  - name: prompt
    port: 7110
    app: echo-bytes
    nodelay: true
  - name: nagling
    port: 7111
    app: echo-bytes
"""
PING, PONG = 65280, 65281


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    text = config(RULES, more="heartbeat: { stale_ms: 50, grace_ms: 1500 }\n")
    with Pair() as pair, Daemon(pair, tmp_path_factory.mktemp("settings"), text) as one:
        yield one
    scratch.leave_nothing()


@contextlib.contextmanager
def closes(daemon, reason):
    """A connection closes for this reason in the block, or soon after."""
    before = daemon.figure("closes", reason)
    yield
    lib.wait_for(lambda: daemon.figure("closes", reason) == before + 1, 3, f"closed: {reason}")


def connect(daemon, port, family=4, **settings):
    return lib.connect(port, family, ns=daemon.pair.client, **settings)


def ended(s, seconds):
    """Seconds until the server ends the connection by FIN or RST."""
    begin = time.monotonic()
    try:
        while (left := begin + seconds - time.monotonic()) > 0:
            s.settimeout(left)
            if not s.recv(65536):
                break
    except (ConnectionResetError, socket.timeout):
        pass
    return time.monotonic() - begin


# ----- TLV formats -----

def test_narrow_format(daemon, family):
    """Tag 1, length 2, little endian, counting the header: there and back, up to its own limit."""
    def message(tag, value):
        return struct.pack("<BH", tag, len(value) + 3) + value

    with connect(daemon, 7101, family) as s:
        for n in (0, 1, 999, 1000):
            s.sendall(message(9, b"v" * n))
            assert lib.recv_exact(s, n + 3) == message(9, b"v" * n)
        with closes(daemon, "tlv_too_long"):
            s.sendall(struct.pack("<BH", 9, 1004))
            ended(s, 3)


def test_length_below_its_header(daemon):
    """A length that counts the header but is smaller than it -> malformed, with that reason."""
    with connect(daemon, 7101) as s, closes(daemon, "tlv_bad"):
        s.sendall(struct.pack("<BH", 9, 2))
        ended(s, 3)


def test_wide_format(daemon, family):
    """Tag 8, length 8, big endian: there and back; a length of 2^63 closes."""
    def message(tag, value):
        return struct.pack("!QQ", tag, len(value)) + value

    with connect(daemon, 7102, family) as s:
        tag = (1 << 64) - 2
        for n in (0, 1, 5000):
            s.sendall(message(tag, b"w" * n))
            assert lib.recv_exact(s, n + 16) == message(tag, b"w" * n)
        with closes(daemon, "tlv_too_long"):
            s.sendall(struct.pack("!QQ", 1, 1 << 63))
            ended(s, 3)


# ----- heartbeats -----

def test_slow_sender_is_closed(daemon, family):
    """A message at one byte each 0.2 s with a limit of 0.7 s for a whole one -> closed for that
    reason, after 0.7 s and not at once."""
    with connect(daemon, 7103, family) as s, closes(daemon, "heartbeat_partial"):
        begin = time.monotonic()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for byte in lib.tlv(1, bytes(60)):
                s.send(bytes([byte]))
                time.sleep(0.2)
        assert 0.6 < time.monotonic() - begin < 3


def test_whole_messages_are_not_slow(daemon):
    """Whole messages with pauses of a second -> the limit for incomplete ones never fires."""
    with connect(daemon, 7103) as s:
        for _ in range(2):
            lib.echo_once(s, 1, b"whole")
            time.sleep(1)
        lib.echo_once(s, 1, b"whole")


def test_idle_connection_is_closed(daemon, family):
    """Nothing for 0.7 s -> closed for that reason; messages before it put it off."""
    with connect(daemon, 7104, family) as s, closes(daemon, "heartbeat_idle"):
        for _ in range(4):
            lib.echo_once(s, 1, b"busy")
            time.sleep(0.3)
        assert ended(s, 5) < 2


def test_pings_come_and_pongs_are_awaited(daemon, family):
    """A ping each 0.3 s; answered, the connection lives; unanswered, it closes for that reason,
    although our kernel acknowledges every ping."""
    with connect(daemon, 7105, family) as s:
        for _ in range(4):
            tag, value = lib.read_tlv(s)
            assert tag == PING
            s.sendall(lib.tlv(PONG, value))
        with closes(daemon, "heartbeat_pong"):
            assert ended(s, 5) < 3


def test_ping_is_answered_with_its_bytes(daemon, family):
    """Our ping with bytes of the application -> a pong with the same bytes; echo goes on beside
    it."""
    with connect(daemon, 7105, family) as s:
        s.sendall(lib.tlv(PING, b"ours") + lib.tlv(5, b"message"))
        got = set()
        while len(got) < 2:
            tag, value = lib.read_tlv(s)
            if tag == PING:
                s.sendall(lib.tlv(PONG, value))
            else:
                got.add((tag, value))
        assert got == {(PONG, b"ours"), (5, b"message")}


def test_client_that_never_reads_is_closed(daemon):
    """Echo to a client that reads nothing, with a limit of 0.8 s -> closed for that reason."""
    with connect(daemon, 7109, rcvbuf=4096) as s, closes(daemon, "heartbeat_send"):
        s.settimeout(0.5)
        with contextlib.suppress(socket.timeout, OSError):
            for _ in range(200):
                s.sendall(lib.tlv(1, bytes(60000)))
        time.sleep(1.5)


# ----- where a rule holds -----

def test_rule_of_one_address(daemon):
    """A rule for 192.0.2.2 serves IPv4; IPv6 on its port is the kernel's, which refuses."""
    with connect(daemon, 7106, 4) as s:
        lib.echo_once(s, 1, b"four")
    with pytest.raises(ConnectionRefusedError):
        connect(daemon, 7106, 6, timeout=3)


def test_rule_of_an_added_address(daemon):
    """An address added while the daemon runs -> rules for any address serve it at once."""
    daemon.pair.server.run("ip", "addr", "add", "192.0.2.77/24", "dev", scratch.INTERFACE)
    try:
        with connect(daemon, 7103, address="192.0.2.77") as s:
            lib.echo_once(s, 1, b"new address")
    finally:
        daemon.pair.server.run("ip", "addr", "del", "192.0.2.77/24", "dev", scratch.INTERFACE)


def test_rule_for_untagged_frames(daemon):
    """A rule for VLAN 0 serves untagged frames."""
    with connect(daemon, 7107) as s:
        lib.echo_once(s, 1, b"untagged")


def test_nodelay_of_a_rule(daemon, family):
    """Echo of three small segments, none of the answers acknowledged: with nodelay each leaves at
    once, without it (Nagle, RFC 9293 3.7.4) the second and third wait."""
    for port, expected in ((7110, 3), (7111, 1)):
        with Peer(family, port, ns=daemon.pair) as peer:
            peer.open()
            for _ in range(3):
                peer.send(PSH | ACK, b"small")
                time.sleep(0.02)
            assert len(peer.new_data(0.1)) == expected


# ----- workers that hang -----

def test_stale_lane_yields_new_connections(daemon, family):
    """fallback: kernel, workers stopped beyond 50 ms -> a new connection goes to a kernel listener
    and stays with the kernel after the worker goes on; an old one is the lane's as before."""
    with lib.listen(family, daemon.pair.server, 7108) as listener:
        with connect(daemon, 7108, family) as old:
            lib.echo_once(old, 1, b"by the lane")
            with lib.stopped([lane["pid"] for lane in daemon.lanes()]):
                time.sleep(0.15)
                fresh = connect(daemon, 7108, family, timeout=1)
                end, _ = listener.accept()
            with fresh, end:
                fresh.sendall(b"by the kernel")
                assert lib.recv_exact(end, 13) == b"by the kernel"
                end.sendall(b"indeed")
                assert lib.recv_exact(fresh, 6) == b"indeed"
            lib.echo_once(old, 2, b"by the lane again")


def test_hung_worker_is_no_black_hole(daemon, family):
    """Workers stopped beyond the grace time of 1.5 s -> within four seconds the client is served
    again or reset; it does not wait for ever."""
    with connect(daemon, 7103, family) as s:
        lib.echo_once(s, 1, b"before")
        with lib.stopped([lane["pid"] for lane in daemon.lanes()]):
            s.settimeout(5)
            end = time.monotonic() + 5
            try:
                while time.monotonic() < end:
                    s.sendall(lib.tlv(1, b"anyone"))
                    s.settimeout(0.5)
                    with contextlib.suppress(socket.timeout):
                        if lib.read_tlv(s):
                            break
                else:
                    raise AssertionError("neither served nor reset in five seconds")
            except (ConnectionResetError, BrokenPipeError):
                pass
    lib.wait_for(lambda: all(lane["state"] == "serving" for lane in daemon.lanes()), 5, "serving")
    with connect(daemon, 7103, family) as s:
        lib.echo_once(s, 1, b"after")
