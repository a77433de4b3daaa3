# SPDX-License-Identifier: MIT
"""Keepalive: RFC 9293 3.8.4, and losing a peer without a word.

K s: a probe after s idle seconds, then every second; the count is drill's or the configuration's.
"""
import time

import pytest

import figures
import lib
from raw import ACK, PSH, RST, Peer


def is_probe(peer):
    return lambda s: s.len <= 1 and s.seq == (peer.rcv_nxt - 1) & 0xffffffff and not s.has(RST)


@pytest.mark.limit(30)
def test_silent_peer_is_given_up(family):
    """K 1, then the peer is silent -> probes at SND.NXT - 1, a second apart; after the last one the
    connection ends with the reason `keepalive`."""
    with figures.rises("closed.keepalive", "keepalive_probes", seconds=2), Peer(family) as peer:
        peer.drill("K 1")
        begin = time.monotonic()
        probes = [peer.expect(ACK, 3, is_probe(peer), "(probe)")]
        assert 0.7 < probes[0].time - begin < 1.8
        while (segment := peer.receive(2.5)) and not segment.has(RST):
            if is_probe(peer)(segment):
                probes.append(segment)
        gaps = [b.time - a.time for a, b in zip(probes, probes[1:])]
        assert 3 <= len(probes) <= 9, probes
        assert all(0.7 < gap < 1.5 for gap in gaps), gaps


def test_answered_probes_keep_it_alive(family):
    """K 1, each probe answered -> probes go on, the connection lives and still takes data."""
    with Peer(family) as peer, figures.stays("closed.keepalive"):
        peer.drill("K 1")
        end = time.monotonic() + 5
        answered = 0
        while time.monotonic() < end:
            segment = peer.receive(0.3)
            if segment and is_probe(peer)(segment):
                peer.acknowledge()
                answered += 1
        assert answered >= 3
        peer.send(PSH | ACK, b"discarded")
        peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt)


def test_kernel_client_answers_probes(family):
    """K 1 with a kernel client -> alive after 4 s."""
    with figures.rises("keepalive_probes", by=2), lib.drill("K 1", family) as s:
        time.sleep(4)
        s.sendall(b"discarded")
        lib.expect_open(s)


def test_off_by_default(family):
    """An idle connection without K -> not one probe in 3 s (MUST-25)."""
    with Peer(family) as peer:
        peer.drill("E")
        peer.echo(b"hello")
        peer.silence(3)
