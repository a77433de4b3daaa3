# SPDX-License-Identifier: MIT
"""Nagle's algorithm: RFC 9293 3.7.4. A small segment waits while another is unacknowledged.

W n, D n: n small writes of the application, with it and without; E: an answer a segment of ours.
"""
import time

import lib
from raw import ACK, PSH, Capture, Peer

WRITE = b"0123456789"


def test_second_small_segment_waits_for_the_ack(family):
    """Three small segments echoed, nothing acknowledged -> the first answer leaves, the others
    wait; the ACK lets them out in one piece."""
    with Peer(family) as peer:
        peer.drill("E")
        for word in (b"one", b"two", b"three"):
            peer.send(PSH | ACK, word)
            time.sleep(0.02)
        first = peer.new_data(0.1)
        assert [s.payload for s in first] == [b"one"]
        peer.take(first[0])
        peer.acknowledge()
        assert peer.expect(ACK, where=lambda s: s.len).payload == b"twothree"


def test_full_segments_do_not_wait(family):
    """Echo of much, nothing acknowledged -> full segments leave up to the initial window; at most
    one is small."""
    with Peer(family) as peer:
        peer.drill("E", options=[("MSS", 1000)])
        for _ in range(5):
            peer.send(PSH | ACK, bytes(1100))
        segments = peer.new_data(0.15)
        assert sum(s.len for s in segments) >= 5000
        assert sum(1 for s in segments if s.len < 1000) <= 1


def test_nagle_holds_small_writes_back(family):
    """W 20, nothing acknowledged -> one segment, no second; every byte comes once that is
    acknowledged."""
    with Peer(family) as peer:
        peer.drill("W 20")
        first = peer.new_data(0.15)
        assert len(first) == 1, first
        peer.take(first[0])
        peer.acknowledge()
        assert peer.read(20 * len(WRITE)) == WRITE * 20


def test_without_nagle_small_writes_leave_at_once(family):
    """D 8, nothing acknowledged -> all 80 bytes leave, a write a segment (fewer segments than the
    initial congestion window)."""
    with Peer(family) as peer:
        peer.drill("D 8")
        assert [s.len for s in peer.new_data(0.15)] == [len(WRITE)] * 8


def test_many_small_writes_to_a_kernel_client(family):
    """W 200 and D 200 to a kernel client -> all intact; W in fewer segments than writes. Counted
    are texts, not transmissions: a probe for a late ACK sends the last one again (RFC 8985 7)."""
    counts = {}
    for command in "WD":
        with Capture(lib.DRILL) as wire, lib.drill(f"{command} 200", family) as s:
            assert lib.recv_exact(s, 2000) == WRITE * 200
        counts[command] = len({one.seq for one in wire.received if one.len})
    assert counts["W"] <= 100 and counts["W"] < counts["D"] <= 200, counts
