# SPDX-License-Identifier: MIT
"""Bits flipped on the way with TCP's checksum made good again: what the message layer makes of it.

The layer sees tag and length, no checksum: a flipped bit in a tag or a value looks like another
message (docs/badnet.md). A flipped bit in a length puts the reader out of step. These messages are
such that a reader out of step cannot go on unseen: bytes of values are 128 to 255, so that four of
them are no length within the limit, and tags have no zero byte. The promise: such a connection ends
with a reason that is counted, at most the one message with the wrong length was delivered,
and nobody else's connection notices.
"""
import collections
import random
import socket
import struct

import pytest

import badlink
import lib

DAMAGE = ["--match", "data", "--dir", "ab", "--where", "data", "--repair"]
REASONS = ("tlv_too_long", "tlv_bad", "tlv_cut", "tlv_memory", "tlv_check", "heartbeat_partial")


def high_bytes(generator, n):
    return bytes(generator.randrange(128, 256) for _ in range(n))


def bits_between(a, b):
    return sum((x ^ y).bit_count() for x, y in zip(a, b))


def reasons(daemon):
    closes = daemon.figures()["closes"]
    return {name: closes[name] for name in REASONS}


def risen(daemon, before):
    """Connections that ended for a reason of the message layer since then."""
    now = reasons(daemon)
    return {name: now[name] - before[name] for name in REASONS if now[name] != before[name]}


class Outcome:
    """What became of the connections of a test."""

    def __init__(self):
        self.intact = self.altered = 0  # answers
        self.cut_short = 0  # answers of another length: the connection must end next
        self.closed = 0  # connections that the server ended


def read_answer(s):
    """tag, value; None: the server has closed or reset."""
    try:
        return lib.read_tlv(s)
    except ConnectionResetError:
        return None
    except AssertionError as error:
        if "closed after" in str(error):
            return None
        raise


def ask(s, tag, value, outcome):
    """One message and its answer; false: the server ended the connection."""
    try:
        s.sendall(lib.tlv(tag, value))
    except (ConnectionResetError, BrokenPipeError):
        outcome.closed += 1
        return False
    answer = read_answer(s)
    if answer is None:
        outcome.closed += 1
        return False
    if answer == (tag, value):
        outcome.intact += 1
        return True
    got_tag, got = answer
    if len(got) == len(value):
        flipped = bits_between(struct.pack("!H", tag), struct.pack("!H", got_tag))
        flipped += bits_between(value, got)
        assert flipped == 1, f"{flipped} bits of an answer differ: the reader is out of step"
        outcome.altered += 1
        return True
    # A length was damaged and was still believable: out of step now, and it must not go on.
    assert got == value[:len(got)], "an answer made of several messages"
    outcome.cut_short += 1
    after = read_answer(s)
    assert after is None, f"out of step, and still answering: tag {after[0]}"
    outcome.closed += 1
    return False


@pytest.mark.limit(120)
def test_echo_out_of_step_ends_with_a_counted_reason(daemon, family):
    """80 connections, small messages, a bit flipped in 3 % of the segments."""
    generator = random.Random(family)
    outcome = Outcome()
    before = reasons(daemon)
    with badlink.Impair(*DAMAGE, "--corrupt", 0.03, seed=family) as impair:
        for number in range(80):
            with badlink.connect(lib.ECHO, family, timeout=6) as s:
                for message in range(25):
                    tag = 0x1101 + (number << 8 & 0x6f00) + message
                    if not ask(s, tag, high_bytes(generator, 12), outcome):
                        break
        daemon.wait_idle(20)
    found = risen(daemon, before)
    flipped = impair.statistics["ab"]["corrupted"]
    assert outcome.closed > 5 and outcome.altered > 5, vars(outcome)
    assert sum(found.values()) == outcome.closed, f"{found}, {outcome.closed} ended"
    assert outcome.altered + outcome.closed <= flipped
    with badlink.Impair():
        with badlink.connect(lib.ECHO, family) as s:
            lib.echo_once(s, 7, b"\0" * 5000)
        daemon.wait_idle()


def test_the_neighbour_of_a_damaged_connection_does_not_notice(daemon):
    """One connection's third segment is damaged in its length; the other's answers stay right."""
    before = reasons(daemon)
    with badlink.Impair():
        good = badlink.connect(lib.ECHO)
        bad = badlink.connect(lib.ECHO)
        with good, bad:
            for i in range(20):
                lib.echo_once(good, i, b"good" * 50)
                if i == 3:
                    bad.sendall(struct.pack("!HI", 1, 0x80000005) + b"value")
            assert read_answer(bad) is None
            good.close()
            bad.close()
            daemon.wait_idle()
    assert risen(daemon, before) == {"tlv_too_long": 1}


# ----- store: what was written is what was sent -----

MESSAGES, CONNECTIONS, VALUE = 150, 12, 1000


def value_of(connection, message):
    """Its first bytes say which it is, eight times over; none is below 128."""
    name = bytes((0x80 + connection, 0x80 + message // 100, 0x80 + message % 100)) * 8
    return name + high_bytes(random.Random(connection * 1000 + message), VALUE - len(name))


def most_common(values):
    return collections.Counter(values).most_common(1)[0][0]


def name_of(value):
    """Connection and message by majority of the eight names; flipped bits do not hide it."""
    part = value[:24]
    connection, hundreds, ones = (most_common(part[i::3]) - 0x80 for i in range(3))
    return connection, hundreds * 100 + ones


def stored():
    """{connection id: records}, in the order of each file."""
    found = collections.defaultdict(list)
    for path in sorted(badlink.STORE.glob("tag-*.bin")):
        data = path.read_bytes()
        while data:
            owner, length = struct.unpack("!QI", data[:12])
            assert len(data) >= 12 + length, f"{path.name} ends within a record"
            found[owner].append(data[12:12 + length])
            data = data[12 + length:]
    return found


def send_messages(connection):
    """The whole stream, then FIN, then until the server ends it."""
    with badlink.connect(lib.STORE_PORT, timeout=20) as s:
        try:
            for message in range(MESSAGES):
                s.sendall(lib.tlv(0x1111 + connection, value_of(connection, message)))
            s.shutdown(socket.SHUT_WR)
            lib.recv_all(s)
        except (ConnectionResetError, BrokenPipeError):
            pass


def judge(records):
    """Records of one connection: which connection, how many are right, altered, of wrong length."""
    right = altered = misfits = 0
    connection = None
    for value in records:
        number, message = name_of(value)
        sent = value_of(number, message)
        assert connection in (None, number), "records of two connections under one id"
        connection = number
        if value == sent:
            right += 1
        elif len(value) == len(sent):
            assert bits_between(value, sent) <= 4, "a record that nobody sent"
            altered += 1
        else:
            common = min(len(value), len(sent))
            assert bits_between(value[:common], sent[:common]) <= 4, "a record that nobody sent"
            misfits += 1
    return connection, right, altered, misfits


@pytest.mark.limit(120)
def test_store_writes_no_message_that_was_not_sent(daemon):
    """A pipelined stream, damaged: all records are messages sent, or the connection was ended."""
    before = reasons(daemon)
    for path in badlink.STORE.glob("tag-*.bin"):
        path.unlink()
    with badlink.Impair(*DAMAGE, "--corrupt", 0.01, seed=11) as impair:
        for connection in range(CONNECTIONS):
            send_messages(connection)
        daemon.wait_idle(20)
    ended = sum(risen(daemon, before).values())
    incomplete = altered_in_all = 0
    for records in stored().values():
        _, right, altered, misfits = judge(records)
        assert misfits <= 1, "out of step, and still writing"
        altered_in_all += altered
        if misfits or right + altered < MESSAGES:
            incomplete += 1
    assert impair.statistics["ab"]["corrupted"] > 0
    assert altered_in_all > 0  # the damage was there, and only this can be seen of it
    assert incomplete <= ended, f"{incomplete} connections lack records, {ended} have a reason"
