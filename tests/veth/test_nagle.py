# SPDX-License-Identifier: MIT
"""Nagle's algorithm: RFC 9293 3.7.4. W: small writes with it, D: without."""
import time

import lib
from raw import ACK, Capture, Peer

WRITE = b"0123456789"


def data_segments(peer, seconds):
    """Segments with new data within some time, none acknowledged."""
    segments = []
    seen = set()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        segment = peer.receive(left)
        if segment and segment.len and segment.seq not in seen:
            seen.add(segment.seq)
            segments.append(segment)
    return segments


def test_nagle_holds_small_writes_back(family):
    """W 20, nothing acknowledged -> one small segment, no second; the ACK lets the rest out in one
    piece."""
    with Peer(family) as peer:
        peer.drill("W 20")
        first = data_segments(peer, 0.15)
        assert len(first) == 1, first
        assert first[0].len < 20 * len(WRITE)
        peer.take(first[0])
        peer.acknowledge()
        second = peer.expect(ACK, where=lambda s: s.len)
        assert first[0].len + second.len == 20 * len(WRITE)
        peer.take(second)
        assert bytes(peer.data) == WRITE * 20


def test_without_nagle_small_writes_leave_at_once(family):
    """D 8, nothing acknowledged -> all 80 bytes leave, a write a segment (fewer segments than the
    initial congestion window)."""
    with Peer(family) as peer:
        peer.drill("D 8")
        segments = data_segments(peer, 0.15)
        assert [s.len for s in segments] == [len(WRITE)] * 8


def test_nagle_to_a_kernel_client(family):
    """W 200 to a kernel client -> all intact, in fewer segments than writes; D 200 -> all intact."""
    counts = {}
    for command in "WD":
        with Capture(lib.DRILL) as wire, lib.drill(f"{command} 200", family) as s:
            assert lib.recv_exact(s, 2000) == WRITE * 200
        counts[command] = sum(1 for one in wire.received if one.len)
    assert counts["W"] <= 100 and counts["D"] <= 200, counts


def test_nagle_sends_full_segments_at_once(family):
    """W 1000 (10,000 bytes), nothing acknowledged -> full segments leave (the initial window), only
    the small rest may wait."""
    with Peer(family) as peer:
        peer.drill("W 1000")
        segments = data_segments(peer, 0.15)
        assert sum(s.len for s in segments) >= 2 * 1460
        assert sum(1 for s in segments if s.len < 1000) <= 2
