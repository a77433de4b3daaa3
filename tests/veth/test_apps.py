# SPDX-License-Identifier: MIT
"""The applications that are not drill: what each does with what it is sent."""
import os
import random
import socket

import pytest

import figures
import lib


@pytest.mark.parametrize("length", [0, 1, 5, 1400, 1448, 1500, 65536, lib.TLV_MAX])
def test_echo_returns_messages_of_all_lengths(length, family):
    """One TLV there and back, from an empty value to the limit of 1 MiB."""
    with lib.connect(lib.ECHO, family) as s:
        value = os.urandom(length)
        sender = lib.Background(s.sendall, lib.tlv(7, value))
        assert lib.read_tlv(s) == (7, value)
        sender.result(5)


def test_echo_returns_many_messages_of_one_segment(family):
    """Two hundred small TLVs in one write -> two hundred, in order."""
    messages = [(i, bytes([i]) * (i % 7)) for i in range(200)]
    with lib.connect(lib.ECHO, family) as s:
        s.sendall(b"".join(lib.tlv(*message) for message in messages))
        assert [lib.read_tlv(s) for _ in messages] == messages


def test_echo_of_messages_cut_at_every_byte(family):
    """A TLV sent byte by byte, in segments of their own -> comes back whole."""
    message = lib.tlv(0xbeef, b"a value over many segments")
    with lib.connect(lib.ECHO, family) as s:
        for at in range(len(message)):
            s.sendall(message[at:at + 1])
        assert lib.read_tlv(s) == (0xbeef, b"a value over many segments")


def test_echo_of_a_random_mixture(family):
    """Three hundred TLVs of random sizes, written in random pieces -> the same, in order."""
    dice = random.Random(20240 + family)
    messages = [(dice.randrange(65536), dice.randbytes(dice.choice((0, 3, 64, 900, 4000, 20000))))
                for _ in range(300)]
    stream = b"".join(lib.tlv(*message) for message in messages)

    def send(s):
        at = 0
        while at < len(stream):
            n = dice.randrange(1, 9000)
            s.sendall(stream[at:at + n])
            at += n

    with lib.connect(lib.ECHO, family) as s:
        sender = lib.Background(send, s)
        for message in messages:
            assert lib.read_tlv(s) == message
        sender.result(5)


def test_sink_takes_and_says_nothing(family):
    """A thousand TLVs -> taken, counted, no answer; orderly end."""
    stream = b"".join(lib.tlv(1, bytes(100)) for _ in range(1000))
    with figures.rises("messages_in", by=1000), lib.connect(lib.SINK, family) as s:
        s.sendall(stream)
        s.shutdown(socket.SHUT_WR)
        assert lib.recv_all(s) == b""


def test_store_appends_to_a_file_per_tag(family):
    """TLVs of three tags -> three files grow, each by at least its values, which stand in them."""
    tags = [100 + family, 200 + family, 300 + family]
    values = {tag: os.urandom(5000) for tag in tags}
    before = {path: path.stat().st_size for path in lib.STORE.glob("*")}
    with figures.rises("messages_in", by=3), lib.connect(lib.STORE_PORT, family) as s:
        for tag, value in values.items():
            s.sendall(lib.tlv(tag, value))
        s.shutdown(socket.SHUT_WR)
        lib.recv_all(s)
    grown = [path for path in lib.STORE.glob("*") if path.stat().st_size > before.get(path, 0)]
    assert len(grown) == 3, grown
    contents = [path.read_bytes() for path in grown]
    for tag, value in values.items():
        assert sum(value in content for content in contents) == 1, f"tag {tag}"


def test_store_keeps_the_order_of_a_connection():
    """A hundred numbered values of one tag -> in its file in this order, each once."""
    marks = [b"<%08d>" % i + os.urandom(8) for i in range(100)]
    with lib.connect(lib.STORE_PORT) as s:
        s.sendall(b"".join(lib.tlv(999, mark) for mark in marks))
        s.shutdown(socket.SHUT_WR)
        lib.recv_all(s)
    content = next(data for path in lib.STORE.glob("*") if marks[0] in (data := path.read_bytes()))
    places = [content.find(mark) for mark in marks]
    assert -1 not in places and places == sorted(places)
    assert all(content.count(mark) == 1 for mark in marks)


def test_echo_bytes(family):
    """What comes goes back, without any framing."""
    with lib.connect(lib.ECHO_BYTES, family, timeout=15) as s:
        sender = lib.Background(lib.send_pattern, s, 4 * lib.MIB)
        lib.recv_pattern(s, 4 * lib.MIB)
        sender.result(5)
        s.shutdown(socket.SHUT_WR)
        assert lib.recv_all(s) == b""


def test_discard_bytes(family):
    """8 MiB are taken, nothing comes back, orderly end."""
    with figures.rises("app_bytes_in", by=8 * lib.MIB):
        with lib.connect(lib.DISCARD_BYTES, family, timeout=15) as s:
            lib.send_pattern(s, 8 * lib.MIB)
            s.shutdown(socket.SHUT_WR)
            assert lib.recv_all(s) == b""


def test_source_bytes_until_the_peer_closes(family):
    """Bytes come for as long as we read; our FIN ends them."""
    with lib.connect(lib.SOURCE_BYTES, family, timeout=15) as s:
        lib.recv_exact(s, 16 * lib.MIB)
        s.shutdown(socket.SHUT_WR)
        lib.recv_all(s)


@pytest.mark.parametrize("line", ["X", "", "G", "G x", "G -1", "N 99999999999999999999", "EE",
                                  "A 192.0.2.1", "A nowhere 80", "B 0", "B 70000", "K 0"])
def test_drill_refuses_lines_it_does_not_know(line):
    """A line that is no command -> one line that says so, and the end; others go on."""
    with lib.Wellbehaved() as other, lib.drill(line) as s:
        assert lib.recv_all(s).startswith(b"?")
        other.more()


def test_drill_refuses_a_line_without_end():
    """A kilobyte without a newline -> one line that says so, and the end."""
    with lib.connect(lib.DRILL) as s:
        s.sendall(b"E" * 1024)
        try:
            lib.recv_all(s)
        except ConnectionResetError:
            pass  # the rest of the kilobyte was unread


def test_drill_line_in_pieces(family):
    """The first line byte by byte, its first data right behind it."""
    with lib.connect(lib.DRILL, family) as s:
        for byte in b"E\n":
            s.sendall(bytes([byte]))
        s.sendall(b"hello")
        assert lib.recv_exact(s, 5) == b"hello"
