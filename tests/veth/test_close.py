# SPDX-License-Identifier: MIT
"""Ending connections: RFC 9293 3.6 and 3.10.7.4 (FIN, TIME-WAIT), RFC 5961 (RST and SYN in the
window), RFC 2525 2.17 (RST for unread data)."""
import errno
import socket
import time

import pytest

import figures
import lib
from raw import ACK, FIN, PSH, RST, SYN, Peer


# ----- half-close -----

def test_client_shuts_sending_and_reads_on(family):
    """E, data, FIN -> every byte comes back after our FIN, then FIN."""
    data = lib.pattern.bytes(0, 300000)
    with figures.rises("closed.done"), lib.drill("E", family) as s:
        sender = lib.Background(lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        assert lib.recv_all(s) == data
        sender.result(5)


def test_server_shuts_sending_and_reads_on(family):
    """P -> hello, FIN; what we send after that is still taken and acknowledged; our FIN ends it."""
    with figures.rises("closed.done"), lib.drill("P", family) as s:
        assert lib.recv_all(s) == b"hello"
        with figures.rises("app_bytes_in", by=500000):
            s.sendall(lib.pattern.bytes(0, 500000))


def test_half_closed_client_waits_for_a_slow_answer(family):
    """N ms, data, FIN at once -> the answer comes after ms, although we closed long before."""
    with lib.drill("N 500", family) as s:
        hashed = lib.send_pattern(s, 5000)
        s.shutdown(socket.SHUT_WR)
        begin = time.monotonic()
        assert lib.recv_all(s).decode() == lib.hash_answer(5000, hashed) + "\n"
        assert time.monotonic() - begin > 0.3


def test_fin_with_data_in_one_segment(family):
    """A segment with text and FIN -> the text first, then the end (RFC 9293 3.10.7.4, eighth)."""
    with Peer(family) as peer:
        peer.drill("E")
        peer.send(FIN | PSH | ACK, b"last words")
        assert peer.read(10) == b"last words"
        peer.read_end()


def test_fin_before_a_lost_segment_waits(family):
    """FIN arrives, the text before it is lost -> not closed until the text came."""
    with Peer(family) as peer:
        peer.drill("H")
        gap = peer.snd_nxt
        peer.send(FIN | PSH | ACK, b"world", seq=gap + 5)
        peer.silence(0.3, lambda s: s.has(FIN) or s.len)
        peer.send(PSH | ACK, b"hello", seq=gap)
        peer.snd_nxt = (gap + 11) & 0xffffffff
        hashed = lib.pattern.fnv1a(b"helloworld")
        assert peer.read(12).decode() == lib.hash_answer(10, hashed) + "\n"


# ----- RST both ways -----

def test_client_resets(family):
    """RST from the client -> the connection is gone, with its reason."""
    with figures.rises("resets_in", "closed.reset_by_peer"):
        s = lib.drill("E", family)
        s.sendall(b"x")
        assert lib.recv_exact(s, 1) == b"x"
        lib.abort(s)


def test_server_resets(family):
    """R -> RST; our kernel says ECONNRESET."""
    with figures.rises("resets_out", "closed.aborted"), lib.drill("R", family) as s:
        lib.expect_reset(s)


def test_reset_carries_the_exact_number(family):
    """R -> RST whose number is exactly what we expect next, else a careful peer ignores it
    (RFC 5961 3.2)."""
    with Peer(family) as peer:
        peer.drill("R")
        assert peer.expect(RST).seq == peer.rcv_nxt


def test_reset_while_much_is_under_way(family):
    """RST from the client in the middle of a download -> every frame in flight is freed."""
    with figures.rises("closed.reset_by_peer"):
        s = lib.drill(f"G {64 * lib.MIB}", family)
        lib.recv_pattern(s, lib.MIB)
        lib.abort(s)


def test_rst_inside_the_window_gets_challenge_ack(family):
    """RST near but not at the next number -> challenge ACK, and the connection lives
    (RFC 5961 3.2)."""
    with Peer(family) as peer:
        peer.drill("E")
        peer.echo(b"before")
        with figures.rises("challenge_acks"):
            peer.send(RST, seq=peer.snd_nxt + 10)
            answer = peer.expect(ACK, where=lambda s: not s.has(RST))
        assert (answer.seq, answer.ack) == (peer.rcv_nxt, peer.snd_nxt)
        peer.echo(b"after")


def test_rst_outside_the_window_is_ignored(family):
    """RST far off -> nothing, and the connection lives."""
    with Peer(family) as peer:
        peer.drill("E")
        peer.echo(b"before")
        peer.send(RST, seq=peer.snd_nxt - 100000)
        peer.silence(0.2, lambda s: s.has(RST))
        peer.echo(b"after")


def test_syn_on_an_open_connection_gets_challenge_ack(family):
    """SYN on an established connection -> challenge ACK, and the connection lives (RFC 5961
    4.2)."""
    with Peer(family) as peer:
        peer.drill("E")
        peer.echo(b"before")
        with figures.rises("challenge_acks"):
            peer.send(SYN, seq=peer.snd_nxt + 10, options=[])
            answer = peer.expect(ACK, where=lambda s: not s.has(RST))
        assert answer.ack == peer.snd_nxt
        peer.echo(b"after")


def test_segments_for_no_connection_are_reset(family):
    """ACK or SYN|ACK for nobody, at a port that listens -> RST at its ACK number; RST and text
    without ACK -> silence (RFC 9293 3.10.7.2)."""
    with Peer(family) as peer:
        with figures.rises("drop.tcp_no_connection", "resets_out"):
            peer.send(ACK, ack=777000)
            answer = peer.expect(RST)
            assert answer.seq == 777000
            peer.send(SYN | ACK, ack=888000)
            answer = peer.expect(RST)
            assert answer.seq == 888000
        peer.send(PSH, b"hello")
        peer.silence(0.2)
        with figures.rises("drop.tcp_rst_unknown"):
            peer.send(RST)
            peer.silence(0.2)


# ----- closing by the server -----

def test_server_closes_first(family):
    """C -> FIN at once; our FIN is acknowledged, and again when it is repeated (TIME-WAIT)."""
    with Peer(family) as peer:
        peer.drill("C")
        fin = peer.expect(FIN)
        peer.take(fin)
        peer.send(FIN | ACK)
        answer = peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt)
        lib.wait_for(lambda: figures.figure("time_wait") > 0, 2, "in TIME-WAIT")
        peer.send(FIN | ACK, seq=peer.snd_nxt - 1)
        again = peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt)
        assert (again.seq, again.ack) == (answer.seq, answer.ack)


def test_lost_fin_is_repeated(family):
    """C -> FIN, silence -> FIN again with the same number."""
    with Peer(family) as peer:
        peer.drill("C")
        first = peer.expect(FIN)
        again = peer.expect(FIN, 4)
        assert again.seq == first.seq


def test_both_close_at_once(family):
    """The FINs cross -> CLOSING, then TIME-WAIT on our ACK (RFC 9293 3.6, figure 13)."""
    with Peer(family) as peer:
        peer.drill("C")
        fin = peer.expect(FIN)
        peer.send(FIN | ACK)  # acknowledges nothing of the server's FIN
        peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt)
        peer.take(fin)
        peer.acknowledge()
        lib.wait_for(lambda: figures.figure("time_wait") > 0, 2, "in TIME-WAIT")
        peer.send(FIN | ACK, seq=peer.snd_nxt - 1)
        peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt and not s.has(RST))


def test_last_ack_repeats_its_fin(family):
    """We close first and lose the server's FIN -> it comes again until acknowledged (LAST-ACK)."""
    with figures.rises("closed.done"), Peer(family) as peer:
        peer.drill("S")
        peer.send(FIN | ACK)
        first = peer.expect(FIN)
        again = peer.expect(FIN, 4)
        assert again.seq == first.seq
        peer.take(again)
        peer.acknowledge()
        peer.silence(1.0)


def test_time_wait_gives_way_to_a_newer_syn(family):
    """A SYN beyond the old connection's numbers in TIME-WAIT -> a new connection (RFC 9293
    3.6.1)."""
    with Peer(family) as peer:
        peer.drill("C")
        peer.take(peer.expect(FIN))
        peer.send(FIN | ACK)
        peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt)
        peer.snd_nxt = (peer.snd_nxt + 100000) & 0xffffffff
        peer.open()
        peer.send(PSH | ACK, b"E\n")
        peer.echo(b"a new life")


def test_data_for_a_closed_application_is_reset(family):
    """C, then we send data -> RST: nobody is left to read it (RFC 9293 3.6, closing by half)."""
    with lib.drill("C", family) as s:
        assert lib.recv_all(s) == b""
        s.sendall(b"too late")
        lib.expect_reset_on_use(s)


def test_unread_data_makes_close_a_reset(family):
    """U ms with bytes unread -> RST instead of FIN, with its reason (RFC 2525 2.17)."""
    with figures.rises("closed.unread"), lib.drill("U 300", family) as s:
        s.sendall(b"never read")
        lib.expect_reset(s)


def test_close_with_nothing_unread_is_orderly(family):
    """U ms with nothing unread -> FIN."""
    with lib.drill("U 200", family) as s:
        assert lib.recv_all(s) == b""


def test_reading_shut_down_answers_data_with_reset(family):
    """Q, then data -> RST, counted by name."""
    with figures.rises("drop.tcp_after_shutdown", "resets_out"), lib.drill("Q", family) as s:
        lib.expect_open(s)
        s.sendall(b"unwanted")
        lib.expect_reset(s)


def test_reading_shut_down_allows_fin(family):
    """Q, then our FIN -> no RST: an end is not data."""
    with Peer(family) as peer:
        peer.drill("Q")
        peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt)
        peer.send(FIN | ACK)
        answer = peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt)
        assert not answer.has(RST)


@pytest.mark.parametrize("line", ["E", "S", "H", "G 100000", "P", "W 3", "D 3", "K 5"])
def test_every_command_ends_when_the_client_closes(line, family):
    """Each command, then close() of both directions -> nothing is left behind."""
    with lib.drill(line, family) as s:
        time.sleep(0.05)
        s.shutdown(socket.SHUT_WR)
        lib.recv_all(s)


def test_close_of_a_client_that_read_nothing(family):
    """G, closed by our kernel with data unread -> its RST ends it at once."""
    with figures.rises("closed.reset_by_peer"):
        s = lib.drill("G 100000", family)
        time.sleep(0.2)
        s.close()


def test_errno_after_reset_is_kept():
    """R while we wait in recv() -> ECONNRESET, and sending then is refused."""
    with lib.drill("R") as s:
        with pytest.raises(OSError) as error:
            lib.recv_exact(s, 1)
        assert error.value.errno == errno.ECONNRESET
