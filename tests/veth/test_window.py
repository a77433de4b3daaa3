# SPDX-License-Identifier: MIT
"""Flow control: RFC 9293 3.8.6 (zero-window probes, silly windows), both directions.

    lane is the slow reader:  drill N ms pauses reading; its window closes and opens again
    client is the slow reader: drill G sends to a client that does not read
"""
import socket
import time

import pytest

import figures
import lib
from raw import ACK, PSH, Capture, Peer, seq_diff


def right_edges(segments, shift):
    """Right edge of the window each segment offered, SYN-ACK left out (its field is unscaled)."""
    return [(s.ack + (s.window << shift)) & 0xffffffff for s in segments
            if s.has(ACK) and not s.flags & 2]


@pytest.mark.limit(40)
def test_lane_window_closes_and_opens(family):
    """N 1500 and 16 MiB -> the offered window goes to 0 while nothing is read, its right edge never
    moves back (but by what scaling rounds off, RFC 7323 2.4), and after the pause every byte is
    taken: count and hash are right."""
    n = 16 * lib.MIB
    with Capture(lib.DRILL) as wire:
        with lib.drill("N 1500", family, timeout=20) as s:
            hashed = lib.send_pattern(s, n, block=65536)
            s.shutdown(socket.SHUT_WR)
            assert lib.recv_all(s).decode() == lib.hash_answer(n, hashed) + "\n"
    received = wire.received
    shift = next(s.window_shift for s in received if s.flags & 2)
    edges = right_edges(received, shift)
    assert all(seq_diff(b, a) > -(1 << shift) for a, b in zip(edges, edges[1:])), \
        "a right edge moved back"
    assert any(s.window << shift < 1460 for s in received if not s.flags & 2), "never closed"


@pytest.mark.limit(30)
def test_lane_window_closed_for_a_raw_peer(family):
    """N 2000 to a peer that fills the window exactly -> window 0; a probe byte beyond it is
    answered with an ACK of what was taken, not accepted; after the pause the window opens by
    itself."""
    with Peer(family) as peer:
        first = peer.open([("MSS", 1400)])
        peer.send(PSH | ACK, b"N 2000\n")
        start = peer.snd_nxt
        edge = (first.ack + first.window) & 0xffffffff
        while True:
            while (room := seq_diff(edge, peer.snd_nxt)) > 0:
                at = seq_diff(peer.snd_nxt, start)
                peer.send(ACK, lib.pattern.bytes(at, min(1400, room)))
            answer = peer.receive(0.5)
            if answer is None or answer.window == 0:
                break
            edge = max(edge, (answer.ack + answer.window) & 0xffffffff,
                       key=lambda e: seq_diff(e, start))
        assert answer is not None and answer.window == 0, f"last answer {answer}"
        count = seq_diff(peer.snd_nxt, start)
        peer.send(ACK, b"!", seq=peer.snd_nxt)
        probed = peer.expect(ACK)
        assert (probed.ack, probed.window) == (peer.snd_nxt, 0)
        opened = peer.expect(ACK, 4, where=lambda s: s.window > 0, what="(window update)")
        assert opened.ack == peer.snd_nxt
        peer.send(0x11, lib.pattern.bytes(count, 10))
        line = f"{count + 10} {lib.pattern.fnv1a(lib.pattern.bytes(0, count + 10)):08x}\n"
        assert peer.read(len(line)) == line.encode()


@pytest.mark.limit(40)
def test_client_that_never_reads_then_reads(family):
    """G 8 MiB to a client that reads nothing for 3 s -> zero-window probes on the wire, then all
    bytes intact; others are served meanwhile."""
    n = 8 * lib.MIB
    with Capture(lib.DRILL) as wire, lib.Wellbehaved() as other, figures.rises("window_probes"):
        with lib.drill(f"G {n}", family, rcvbuf=8192, timeout=20) as s:
            time.sleep(3)
            closed = [one for one in wire.sent if one.window == 0]
            assert closed, "the client's window never closed"
            after = [one for one in wire.received if one.time > closed[0].time]
            assert after, "no zero-window probe"
            other.more()
            lib.recv_pattern(s, n)


@pytest.mark.limit(30)
def test_zero_window_probes_back_off(family):
    """We take 1,000 bytes and close the window -> probes, at growing distances, that carry at most
    one byte; a window update lets the rest out, and no byte is lost or doubled."""
    with Peer(family) as peer:
        peer.window = 1000
        peer.open([("MSS", 1400)])
        peer.send(PSH | ACK, b"G 5000\n")
        received = b""
        while len(received) < 1000:
            segment = peer.expect(ACK, where=lambda s: s.len)
            peer.take(segment)
            received = bytes(peer.data)
            assert len(received) <= 1000, "more than the window"
        peer.window = 0
        peer.acknowledge()
        probes = []
        while len(probes) < 3:
            probe = peer.expect(ACK, 6, what="(zero-window probe)")
            assert probe.len <= 1
            probes.append(probe)
            peer.acknowledge()
        gaps = [b.time - a.time for a, b in zip(probes, probes[1:])]
        assert gaps[1] > gaps[0] * 1.4, f"distances {gaps}"
        peer.window = 65535
        peer.acknowledge()
        assert peer.read(5000, 8) == lib.pattern.bytes(0, 5000)


def test_probes_go_on_while_they_are_answered(family):
    """A window that stays closed for 4 s, each probe answered -> the connection lives (MUST-37)."""
    with Peer(family) as peer:
        peer.window = 500
        peer.open([("MSS", 1400)])
        peer.send(PSH | ACK, b"G 2000\n")
        peer.take(peer.expect(ACK, where=lambda s: s.len))
        peer.window = 0
        peer.acknowledge()
        end = time.monotonic() + 4
        while time.monotonic() < end:
            if probe := peer.receive(0.5):
                assert probe.len <= 1 and not probe.has(4)
                peer.acknowledge()
        peer.window = 65535
        peer.acknowledge()
        assert peer.read(2000, 10) == lib.pattern.bytes(0, 2000)


def test_small_window_is_not_used_in_crumbs(family):
    """A window that opens by 10 bytes only -> nothing, or no more than the window: never beyond
    it."""
    with Peer(family) as peer:
        peer.window = 600
        peer.open([("MSS", 536)])
        peer.send(PSH | ACK, b"G 3000\n")
        edge = (peer.rcv_nxt + 600) & 0xffffffff
        while segment := peer.receive(0.3):
            assert seq_diff((segment.seq + segment.len) & 0xffffffff, edge) <= 0
            if segment.len:
                peer.take(segment)
        peer.window = 10
        peer.acknowledge()
        edge = (peer.rcv_nxt + 10) & 0xffffffff
        while segment := peer.receive(0.4):
            assert seq_diff((segment.seq + segment.len) & 0xffffffff, edge) <= 0
        peer.window = 65535
        peer.acknowledge()
        assert peer.read(3000, 8) == lib.pattern.bytes(0, 3000)


@pytest.mark.limit(30)
def test_fifty_clients_that_never_read(family):
    """Fifty clients of echo that send and never read -> each costs a bounded number of frames, a
    fifty-first client is served at full speed, and all is freed when they go."""
    blocked = []
    with lib.Wellbehaved(family) as other:
        for _ in range(50):
            s = lib.connect(lib.ECHO_BYTES, family, rcvbuf=4096, sndbuf=65536)
            s.setblocking(False)
            blocked.append(s)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for s in blocked:
                try:
                    s.send(b"z" * 65536)
                except BlockingIOError:
                    pass
            time.sleep(0.05)
        other.more()
        for s in blocked:
            lib.abort(s)
        other.more()
