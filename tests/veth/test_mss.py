# SPDX-License-Identifier: MIT
"""Segment sizes: RFC 9293 3.7.1 (MSS option) and 3.7.3, the interface's and the route's MTU."""
import contextlib

import pytest

import figures
import lib
from raw import ACK, PSH, Capture, Peer

DEFAULT_MSS = {4: 536, 6: 1220}
IP_HEADER = {4: 20, 6: 40}
BYTES = 200000


def largest_tcp(segments):
    """Largest TCP payload with its options: what the MSS limits (RFC 9293 3.7.1, RFC 6691)."""
    return max(s.len + sum(2 + len(body) for body in s.options.values()) for s in segments)


@pytest.mark.parametrize("mss", [536, 900, 1300])
def test_client_with_small_mss(mss, family):
    """A client whose SYN says MSS n -> no segment to it carries more, and few carry much less."""
    with Capture(lib.DRILL) as wire, lib.drill(f"G {BYTES}", family, mss=mss) as s:
        lib.recv_pattern(s, BYTES)
    said = next(one.mss for one in wire.sent if one.mss)
    assert said <= mss
    assert largest_tcp(wire.received) <= said
    full = [one for one in wire.received if one.len >= said - 40]
    assert len(full) > 0.8 * BYTES / said, "segments are smaller than they might be"


def test_full_segments_without_limits(family):
    """A client with the interface's MTU -> full segments, none beyond 1,500 bytes."""
    with Capture(lib.DRILL) as wire, lib.drill(f"G {BYTES}", family) as s:
        lib.recv_pattern(s, BYTES)
    assert max(one.ip_len for one in wire.received) == 1500


def test_syn_without_mss_means_the_default(family):
    """No MSS option -> at most 536 bytes (IPv6 1,220) a segment (RFC 9293 MUST-15)."""
    with Peer(family) as peer:
        peer.drill("G 5000", options=[])
        largest = 0
        while len(peer.data) < 5000:
            segment = peer.expect(ACK, where=lambda s: s.len)
            largest = max(largest, segment.len)
            peer.take(segment)
            peer.acknowledge()
        assert bytes(peer.data) == lib.pattern.bytes(0, 5000)
        assert largest == DEFAULT_MSS[family]


@pytest.mark.parametrize("mss", [0, 1, 47, 65535])
def test_absurd_mss(mss, family):
    """MSS 0, 1, 47 or 65,535 -> served all the same, never beyond the MTU, others unharmed."""
    with lib.Wellbehaved() as other, Peer(family) as peer:
        peer.drill("G 3000", options=[("MSS", mss)])
        largest = 0
        while len(peer.data) < 3000:
            segment = peer.expect(ACK, where=lambda s: s.len)
            largest = max(largest, segment.ip_len)
            peer.take(segment)
            peer.acknowledge()
        assert bytes(peer.data) == lib.pattern.bytes(0, 3000)
        assert largest <= 1500
        other.more()


def test_segments_to_the_lane_of_all_sizes(family):
    """Segments of 1 to 1,448 bytes into the lane -> each byte is echoed."""
    with Peer(family) as peer:
        peer.drill("E", options=[("MSS", 1460)])
        for n in (1, 2, 3, 63, 64, 65, 535, 536, 537, 1000, 1420, 1439, 1440):
            peer.echo(lib.pattern.bytes(0, n))


@contextlib.contextmanager
def route_mtu(address, family, mtu):
    """The server's kernel has a host route with this MTU to the address meanwhile."""
    length = {4: 32, 6: 128}[family]
    route = [f"{address}/{length}", "dev", lib.SERVER_IF]
    lib.server.run("ip", f"-{family}", "route", "replace", *route, "mtu", str(mtu))
    try:
        yield
    finally:
        lib.server.run("ip", f"-{family}", "route", "del", *route)


@pytest.mark.parametrize("active", [False, True], ids=["passive", "active"])
def test_mtu_of_a_route(active, family):
    """A host route with MTU 1,280 in the server -> no packet to that host is larger, although its
    MSS allows it."""
    with Peer(family, port=None if active else lib.DRILL) as peer:
        with route_mtu(peer.address, family, 1280), contextlib.ExitStack() as stack:
            if active:
                largest = _active_largest(peer, stack)
            else:
                peer.drill("G 10000", options=[("MSS", 1460)])
                largest = _largest_of_download(peer, 10000)
        assert 1000 < largest <= 1280


def _active_largest(peer, stack):
    control = stack.enter_context(lib.drill(f"A {peer.address} {peer.sport}", peer.family))
    peer.accept_syn()
    peer.send(0x12, options=[("MSS", 1460)])
    assert lib.recv_line(control) == "0"
    for at in range(0, 10000, 1000):
        peer.send(PSH | ACK, lib.pattern.bytes(at, 1000))
    return _largest_of_download(peer, 10000)


def _largest_of_download(peer, n):
    largest = 0
    while len(peer.data) < n:
        segment = peer.expect(ACK, where=lambda s: s.len)
        largest = max(largest, segment.ip_len)
        peer.take(segment)
        peer.acknowledge()
    assert bytes(peer.data) == lib.pattern.bytes(0, n)
    return largest


def test_mtu_of_the_interface_lowered(family):
    """The server's interface gets MTU 1,300 while it serves -> new connections keep to it."""
    lib.server.run("ip", "link", "set", lib.SERVER_IF, "mtu", "1300")
    try:
        with figures.stays("retransmit_timeouts"), Capture(lib.DRILL) as wire:
            with lib.drill(f"G {BYTES}", family) as s:
                lib.recv_pattern(s, BYTES)
        assert max(one.ip_len for one in wire.received) <= 1300
        assert max(one.ip_len for one in wire.received) > 1200
    finally:
        lib.server.run("ip", "link", "set", lib.SERVER_IF, "mtu", "1500")
