# SPDX-License-Identifier: MIT
"""Six cells of the grid, each value of each axis among them; all of it: make badnet.

What is asserted is what arrived: each byte, its count and hash, the end of the stream, and that no
connection stalls. The rates are kept in build/badnet/test-cells.json, and are no reason to fail: this
may be any machine, with any neighbours.
"""
import json
import time

import pytest

import badlink
import grid
import lib

SECONDS = 4
RATE = 100


@pytest.fixture(scope="module")
def report():
    """report(record): kept for who wants to read it."""
    records = []
    yield records.append
    (badlink.OUT / "test-cells.json").write_text(json.dumps(records, indent=1) + "\n")


@pytest.mark.limit(150)
@pytest.mark.parametrize("cell", grid.SIX, ids=lambda cell: cell.name)
def test_cell(cell, house, report):
    record = grid.run_cell(cell, SECONDS, RATE, house.daemon(cell.mtu),
                           more_peers=False)
    report(record)
    assert record["down_bytes"] > 0 and record["up_bytes"] > 0


def test_six_cells_cover_every_value_of_the_grid():
    for axis, values in zip(("loss", "reorder", "rtt", "mtu"),
                            (grid.LOSS, grid.REORDER, grid.RTT, grid.MTU)):
        assert {getattr(cell, axis) for cell in grid.SIX} == set(values)
    assert set(grid.SIX) <= set(grid.ALL)
    assert len(grid.ALL) == 72


def test_jain_knows_equal_and_unequal():
    assert grid.jain([5.0] * 8) == pytest.approx(1)
    assert grid.jain([1.0, 0, 0, 0]) == pytest.approx(0.25)


def test_eight_flows_on_one_bottleneck_all_arrive(daemon, report):
    """4 + 4 flows: each one moves, each byte is right; how fair it was is reported."""
    record = grid.fairness(5, daemon)
    report(record)
    assert min(record["flows"]) > 0


BAD = ["--match", "tcp", "--delay", 5]
KINDS = {
    "bursts": ["--burst", "0.005,0.3"],
    "duplicates": ["--dup", 0.1],
    "jitter-reorders": ["--jitter", 10],
    "jitter-in-order": ["--jitter", 10, "--in-order"],
    "damage-that-shows": ["--corrupt", 0.01, "--where", "l4"],
    "damage-anywhere": ["--corrupt", 0.01],
    "cuts": ["--truncate", 0.01],
    "congestion-marks": ["--ce", 0.05],
    "short-queue": ["--rate", 20, "--queue", 10000],
    "everything": ["--drop", 0.01, "--dup", 0.01, "--reorder", "0.02,3", "--corrupt", 0.002,
                   "--where", "l4", "--jitter", 2],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_trouble_leaves_the_bytes_right(kind, daemon, family):
    """Both ways for a second, a stream that ends, and a connection that the lane opens."""
    with badlink.Impair(*BAD, *KINDS[kind], seed=7):
        grid.check(badlink.download(1, family=family))
        grid.check(badlink.upload(1, family=family))
        badlink.finish(65536, family)
        badlink.active_open(65536, family)
        daemon.wait_idle(30)


SCRIPTS = {
    "first-syn-lost": ["--match", "syn", "--dir", "ab", "--list", "d1"],
    "syn-ack-lost": ["--match", "syn", "--dir", "ba", "--list", "d1"],
    "syn-ack-thrice": ["--match", "syn", "--dir", "ba", "--list", "3x1"],
    "request-lost": ["--match", "data", "--dir", "ab", "--list", "d1"],
    "first-answer-lost": ["--match", "data", "--dir", "ba", "--list", "d1"],
    "tail-lost": ["--match", "data", "--dir", "ba", "--list", "d45-46"],
    "same-segment-lost-twice": ["--match", "data", "--dir", "ba", "--list", "d5,d48"],
    "half-a-window-lost": ["--match", "data", "--dir", "ba", "--list", "d12-24"],
    "ten-acks-lost": ["--match", "tcp", "--dir", "ab", "--list", "d4-13"],
    "one-segment-far-behind": ["--match", "data", "--dir", "ba", "--list", "r10:30"],
    "one-segment-late": ["--match", "data", "--dir", "ba", "--list", "h10:300"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripted_trouble_is_survived(script, daemon, family):
    """A stream of 46 segments with just these frames lost, doubled or late: all of it arrives."""
    with badlink.Impair(*SCRIPTS[script], "--delay", 2) as impair:
        badlink.finish(46 * 1400, family)
        daemon.wait_idle(30)
    figures = impair.statistics["ab"], impair.statistics["ba"]
    assert sum(f["dropped"] + f["duplicated"] + f["reordered"] + f["held"] for f in figures) > 0


def test_link_that_goes_dark_for_two_seconds_goes_on(daemon):
    """Nothing passes for two seconds in the middle of a transfer; then the rest does."""
    n = 4 * lib.MIB
    link = ["--rate", 20, "--delay", 5]
    with badlink.Impair(*link):
        s = badlink.connect(lib.DRILL, timeout=60)
        s.sendall(f"F {n}\n".encode())
        data = lib.recv_exact(s, 100000)
    with badlink.Impair("--drop", 1) as dark:
        time.sleep(2)
    with s, badlink.Impair(*link):
        data += lib.recv_all(s)
        s.close()
        daemon.wait_idle(30)
    assert len(data) == n
    lib.pattern.check(data, 0)
    assert dark.statistics["ba"]["dropped"] > 0
