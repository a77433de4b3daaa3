# SPDX-License-Identifier: MIT
"""Opening connections: RFC 9293 3.5, RFC 7323 (window scale, timestamps), RFC 6528 (ISN).

    passive:       kernel client or raw peer ---SYN---> lane
    active:        lane ---SYN---> kernel listener, raw peer, or nobody  (drill: A ip port)
    simultaneous:  lane ---SYN---> <---SYN--- raw peer
"""
import contextlib
import errno
import socket
import time

import pytest

import figures
import lib
from raw import ACK, PSH, RST, SYN, Peer, seq_diff

MSS = {4: 1460, 6: 1440}
NOBODY = {4: "192.0.2.250", 6: "2001:db8::fa"}


@pytest.mark.parametrize("name", lib.PORTS)
def test_every_application_accepts(name, family):
    """SYN, SYN-ACK, ACK with each of the seven ports; closing again is orderly."""
    with figures.rises("passive_opens"):
        lib.connect(lib.PORTS[name], family).close()


# ----- what the SYN-ACK says -----

def test_syn_with_all_options_gets_them_all(family):
    """SYN(MSS, window scale, timestamps, SACK permitted) -> SYN-ACK(MSS 1460 or 1440, window scale,
    timestamps that echo ours), acknowledging exactly the SYN."""
    with Peer(family) as peer:
        peer.syn([("MSS", MSS[family]), ("SAckOK", b""), ("Timestamp", (1000, 0)), ("NOP", None),
                  ("WScale", 7)])
        answer = peer.expect(SYN | ACK)
        assert answer.ack == peer.snd_nxt
        assert answer.len == 0
        assert answer.mss == MSS[family]
        assert answer.window_shift is not None and answer.window_shift <= 14
        assert answer.timestamps and answer.timestamps[1] == 1000


def test_syn_without_options_gets_only_mss(family):
    """SYN without options -> SYN-ACK with MSS; nothing that was not offered (RFC 7323 1.3)."""
    with Peer(family) as peer:
        peer.syn([])
        answer = peer.expect(SYN | ACK)
        assert answer.mss == MSS[family]
        assert answer.window_shift is None
        assert answer.timestamps is None
        assert 4 not in answer.options


def test_syn_with_unknown_option_is_accepted(family):
    """SYN(kind 254, length 4) -> SYN-ACK: an unknown option is skipped (RFC 9293 MUST-6)."""
    with Peer(family) as peer:
        peer.open([(254, b"\x01\x02"), ("MSS", 1400)])
        peer.send(PSH | ACK, b"E\n")
        peer.echo(b"still here")


def test_window_scale_is_not_applied_to_syn_ack(family):
    """The window field of SYN-ACK is unscaled, that of later segments is scaled (RFC 7323 2.2):
    the right edge does not move back."""
    with Peer(family) as peer:
        first = peer.open([("MSS", 1460), ("WScale", 4)])
        peer.send(PSH | ACK, b"S\n")
        later = peer.expect(ACK, where=lambda s: not s.has(SYN))
        edge = (later.ack + (later.window << first.window_shift)) & 0xffffffff
        assert seq_diff(edge, (first.ack + first.window) & 0xffffffff) >= 0


# ----- loss and repetition during the handshake -----

def test_lost_final_ack_repeats_syn_ack(family):
    """SYN -> SYN-ACK, silence -> the same SYN-ACK again after about a second (RFC 6298)."""
    with Peer(family) as peer:
        peer.syn()
        first = peer.expect(SYN | ACK)
        again = peer.expect(SYN | ACK, 4)
        assert (again.seq, again.ack) == (first.seq, first.ack)
        assert 0.5 < again.time - first.time < 3.5


def test_repeated_syn_gets_the_same_syn_ack(family):
    """SYN -> SYN-ACK, the same SYN -> the same SYN-ACK, and one connection."""
    with Peer(family) as peer:
        peer.syn()
        first = peer.expect(SYN | ACK)
        peer.send(SYN, seq=peer.snd_nxt - 1, options=[("MSS", 1460)])
        again = peer.expect(SYN | ACK)
        assert (again.seq, again.ack) == (first.seq, first.ack)
        peer.rcv_nxt = (first.seq + 1) & 0xffffffff
        peer.send(PSH | ACK, b"E\n")
        peer.echo(b"one connection")


def test_data_with_the_final_ack_is_taken(family):
    """SYN, SYN-ACK, ACK with text -> the text is served (RFC 9293 3.10.7.4, SYN-RECEIVED)."""
    with Peer(family) as peer:
        peer.syn()
        answer = peer.expect(SYN | ACK)
        peer.rcv_nxt = (answer.seq + 1) & 0xffffffff
        peer.send(PSH | ACK, b"F 5\n")
        assert peer.read(5) == lib.pattern.bytes(0, 5)


def test_final_ack_of_nothing_sent_is_reset(family):
    """SYN-RECEIVED, ACK of what was never sent -> RST with that number (RFC 9293 3.10.7.4,
    fifth)."""
    with Peer(family) as peer:
        peer.syn()
        answer = peer.expect(SYN | ACK)
        wrong = (answer.seq + 5000) & 0xffffffff
        peer.send(ACK, ack=wrong)
        assert peer.expect(RST).seq == wrong


def test_rst_in_syn_received_frees_the_half_open(family):
    """SYN -> SYN-ACK, RST at the exact number -> half open no more, no further SYN-ACK."""
    with Peer(family) as peer:
        before = figures.figure("half_open")
        peer.syn()
        peer.expect(SYN | ACK)
        lib.wait_for(lambda: figures.figure("half_open") == before + 1, 2, "half open")
        peer.send(RST)
        lib.wait_for(lambda: figures.figure("half_open") == before, 2, "half open gone")
        peer.silence(1.5)


@pytest.mark.parametrize("distance", [1000, -1_000_000], ids=["in the window", "outside"])
def test_client_that_begins_anew_in_syn_received(family, distance):
    """The client crashed behind its SYN and opens again from its port: what answers the new SYN is not
    acceptable to it, its RST frees the half-open, and its SYN, once more, is served (3.5.1)."""
    with Peer(family, lib.PORTS["echo-bytes"]) as peer:
        peer.syn()
        first = peer.expect(SYN | ACK)
        peer.snd_nxt = (first.ack + distance) & 0xffffffff
        again = peer.snd_nxt
        peer.syn()
        answer = peer.expect(ACK, what="an answer to the new SYN")
        assert answer.ack == first.ack and answer.seq == first.seq
        peer.send(RST, seq=answer.ack, ack=0)
        peer.snd_nxt = again
        peer.open()
        peer.echo(b"served")


def test_initial_sequence_numbers_differ():
    """Ten connections from ten ports -> ten initial sequence numbers, far apart (RFC 6528)."""
    numbers = []
    for _ in range(10):
        with Peer() as peer:
            peer.syn()
            numbers.append(peer.expect(SYN | ACK).seq)
    assert len(set(numbers)) == 10
    distances = sorted(abs(seq_diff(a, b)) for a, b in zip(numbers, numbers[1:]))
    assert distances[-3] > 1 << 24, numbers


# ----- active open -----

def told(control, seconds=10):
    """The number that drill answers to A and B: 0 or an errno."""
    control.settimeout(seconds)
    return int(lib.recv_line(control))


def test_active_open_to_a_kernel_listener(family):
    """A -> the lane connects to the client's kernel, says 0, and echoes on the new connection."""
    with lib.listen(family) as listener, figures.rises("active_opens"):
        port = listener.getsockname()[1]
        with lib.drill(f"A {lib.CLIENT[family]} {port}", family) as control:
            accepted, address = listener.accept()
            with accepted:
                assert address[0] == lib.SERVER[family]
                assert told(control) == 0
                data = lib.pattern.bytes(0, 200000)
                sender = lib.Background(accepted.sendall, data)
                accepted.settimeout(10)
                assert lib.recv_exact(accepted, len(data)) == data
                sender.result(5)


def test_many_active_opens_use_many_ports(family):
    """Sixty A -> sixty connections from different ports, all of them echo."""
    with lib.listen(family, backlog=64) as listener, contextlib.ExitStack() as stack:
        port = listener.getsockname()[1]
        controls = [stack.enter_context(lib.drill(f"A {lib.CLIENT[family]} {port}", family))
                    for _ in range(60)]
        ends = []
        for _ in controls:
            end, address = listener.accept()
            ends.append((stack.enter_context(end), address[1]))
        assert len({source for _, source in ends}) == 60
        assert [told(control) for control in controls] == [0] * 60
        for end, _ in ends:
            end.settimeout(5)
            end.sendall(b"hello")
        for end, _ in ends:
            assert lib.recv_exact(end, 5) == b"hello"


def test_active_open_refused(family):
    """A to a port where nobody listens -> the client's RST -> 111 (ECONNREFUSED)."""
    with lib.listen(family) as listener:
        port = listener.getsockname()[1]
    with figures.rises("closed.refused"):
        with lib.drill(f"A {lib.CLIENT[family]} {port}", family) as control:
            assert told(control) == errno.ECONNREFUSED


def test_active_open_to_nobody(family):
    """A to an address that answers no ARP and no NDP -> 113 (EHOSTUNREACH); the first connection
    lives on meanwhile."""
    with figures.rises("closed.unreachable"):
        with lib.drill(f"A {NOBODY[family]} 9", family) as control:
            assert told(control, 15) == errno.EHOSTUNREACH


def test_active_open_without_route():
    """A to an address without a route -> an errno that says so, at once."""
    with lib.drill("A 198.51.100.77 9") as control:
        assert told(control, 5) in (errno.EHOSTUNREACH, errno.ENETUNREACH)


def test_active_open_repeats_a_lost_syn(family):
    """The lane's SYN unanswered -> the same SYN again after about a second; RST|ACK then -> 111."""
    with Peer(family, port=None) as peer:
        with lib.drill(f"A {peer.address} {peer.sport}", family) as control:
            first = peer.accept_syn()
            assert first.mss == MSS[family]
            again = peer.expect(SYN, 4)
            assert again.seq == first.seq
            assert 0.5 < again.time - first.time < 3.5
            peer.send(RST | ACK, seq=0)
            assert told(control) == errno.ECONNREFUSED


def test_rst_with_wrong_ack_does_not_refuse(family):
    """SYN-SENT, RST with an ACK of something else -> ignored (RFC 9293 3.10.7.3); the right
    SYN-ACK after it still opens."""
    with Peer(family, port=None) as peer:
        with lib.drill(f"A {peer.address} {peer.sport}", family) as control:
            peer.accept_syn()
            peer.send(RST | ACK, seq=0, ack=peer.rcv_nxt + 77)
            peer.silence(0.2, lambda s: not s.has(SYN))
            peer.send(SYN | ACK, options=[("MSS", 1460)])
            peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt)
            assert told(control) == 0
            peer.echo(b"opened all the same")


def test_simultaneous_open(family):
    """Both sides send SYN -> both answer SYN-ACK with their first number -> open (RFC 9293 3.5,
    figure 7); the lane says 0 and echoes."""
    with Peer(family, port=None) as peer:
        with lib.drill(f"A {peer.address} {peer.sport}", family) as control:
            syn = peer.accept_syn()
            first = peer.snd_nxt
            peer.send(SYN, options=[("MSS", 1460)])
            answer = peer.expect(SYN | ACK)
            assert answer.seq == syn.seq
            assert answer.ack == peer.snd_nxt
            peer.send(SYN | ACK, seq=first, options=[("MSS", 1460)])
            assert told(control) == 0
            peer.echo(b"both at once")


# ----- a listener of an application -----

def _try_connect(port, family, seconds):
    s = lib.tcp_socket(family, timeout=seconds)
    try:
        s.connect((lib.SERVER[family], port))
        return s
    except socket.timeout:
        s.close()
        return None


@pytest.mark.limit(30)
def test_full_backlog_leaves_syns_unanswered(family):
    """B with a backlog of one that nobody empties -> one or two connections, then silence: no RST,
    no refusal, a counter. When its connection ends, the port is refused again."""
    port = 7900 + family
    with contextlib.ExitStack() as stack:
        with lib.drill(f"B {port}", family) as control:
            assert told(control) == 0
            with figures.rises("accept_overflow"):
                got = [_try_connect(port, family, 0.7) for _ in range(5)]
            opened = [stack.enter_context(s) for s in got if s]
            assert 1 <= len(opened) <= 2, f"{len(opened)} connections with a backlog of 1"
            assert got[-1] is None
        time.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            lib.connect(port, family, timeout=3)
