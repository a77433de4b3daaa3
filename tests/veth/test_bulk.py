# SPDX-License-Identifier: MIT
"""Much data, each byte compared: against the pattern, or by the hash that the lane computed."""
import socket

import pytest

import figures
import lib

BULK = 256 * lib.MIB


@pytest.mark.limit(90)
def test_upload_256_mib(family):
    """H: 256 MiB to the lane, FIN -> the count and FNV-1a of just these bytes, FIN."""
    with lib.drill("H", family, timeout=60) as s:
        hashed = lib.send_pattern(s, BULK)
        s.shutdown(socket.SHUT_WR)
        assert lib.recv_all(s).decode() == lib.hash_answer(BULK, hashed) + "\n"


@pytest.mark.limit(90)
def test_download_256_mib(family):
    """G: 256 MiB from the lane, each byte the pattern's; then the connection still stands."""
    with lib.drill(f"G {BULK}", family, timeout=60) as s:
        lib.recv_pattern(s, BULK)
        s.sendall(b"discarded")
        lib.expect_open(s)


@pytest.mark.limit(60)
def test_both_ways_at_once(family):
    """E: 32 MiB out and back at the same time, intact."""
    n = 32 * lib.MIB
    with lib.drill("E", family, timeout=40) as s:
        sender = lib.Background(lib.send_pattern, s, n)
        lib.recv_pattern(s, n)
        sender.result(10)


@pytest.mark.parametrize("n", [0, 1, 1447, 1448, 1449, 65535, 65536, 3 * lib.MIB + 17])
def test_send_and_close(n, family):
    """F n: exactly n pattern bytes, then FIN; the last segment is full, cut or just one byte."""
    with lib.drill(f"F {n}", family) as s:
        data = lib.recv_all(s)
        assert len(data) == n
        lib.pattern.check(data, 0)


@pytest.mark.parametrize("n", [0, 1, 1448, 65536, 2 * lib.MIB + 3])
def test_hash_of_all_sizes(n, family):
    """H after n bytes: the count is n and the hash theirs; H of nothing too."""
    with lib.drill("H", family) as s:
        hashed = lib.send_pattern(s, n)
        s.shutdown(socket.SHUT_WR)
        assert lib.recv_all(s).decode() == lib.hash_answer(n, hashed) + "\n"


@pytest.mark.limit(60)
def test_eight_at_once_share_the_lanes():
    """Eight uploads of 8 MiB at once, IPv4 and IPv6 -> eight right hashes."""
    n = 8 * lib.MIB

    def upload(family):
        with lib.drill("H", family, timeout=40) as s:
            hashed = lib.send_pattern(s, n, block=65536)
            s.shutdown(socket.SHUT_WR)
            assert lib.recv_all(s).decode() == lib.hash_answer(n, hashed) + "\n"

    for one in [lib.Background(upload, 4 + 2 * (i % 2)) for i in range(8)]:
        one.result(50)


def test_nothing_was_retransmitted_without_need(family):
    """A quiet wire: 16 MiB down -> no retransmission timeout."""
    with figures.stays("retransmit_timeouts"):
        with lib.drill(f"F {16 * lib.MIB}", family, timeout=20) as s:
            lib.recv_pattern(s, 16 * lib.MIB)
            assert not s.recv(1)
