# SPDX-License-Identifier: MIT
"""A worker is killed: how long its connections hear nothing of the server.

What is measured is the time from SIGKILL to the answer of a message that was sent behind it: the
kernel notices, the daemon starts another worker, that one rebuilds the lane from 1,000 connections,
takes the message out of the ring and answers. A client's round over many connections would say
something else, namely how busy the client is.
"""
import os
import signal
import statistics
import time

import pytest

import lib
import scratch
from scratch import Daemon, Pair, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(120)]

CONNECTIONS = 1000
KILLS = 20
MOST = 0.1  # seconds of silence


def silence(daemon, queue, probe):
    """Kill the lane's worker; seconds until its connection is answered again."""
    killed = daemon.lanes()[queue]["pid"]
    began = time.monotonic()
    os.kill(killed, signal.SIGKILL)
    lib.echo_once(probe, 1, b"is anybody there?")
    took = time.monotonic() - began
    lib.wait_for(lambda: daemon.lanes()[queue]["state"] == "serving" and
                 daemon.lanes()[queue]["pid"] != killed, 10, "the next worker")
    time.sleep(0.12)  # one that lived shorter than that is not replaced at once
    return took


def test_silence_after_a_kill(tmp_path):
    """SIGKILL 20 times with 1,000 connections -> half of the silences are far below 100 ms, and no
    connection but one a kill is reset. All figures are printed."""
    with Pair() as pair, Daemon(pair, tmp_path, config()) as daemon:
        with lib.connect(lib.ECHO, ns=pair.client) as probe:
            lib.echo_once(probe, 1, b"first")
            queue = next(lane["queue"] for lane in daemon.lanes() if lane["connections"])
            with scratch.connections(pair, CONNECTIONS) as made:
                before = daemon.lanes()[queue]["counters"]["rebuild_us"]
                took = sorted(silence(daemon, queue, probe) for _ in range(KILLS))
                rebuild = daemon.lanes()[queue]["counters"]["rebuild_us"] - before
                scratch.all_echo(made, b"still there")
                taken_over = daemon.lanes()[queue]["counters"]["taken_over"]
        print(f"silence after SIGKILL, {KILLS} times, {taken_over // KILLS} connections in the lane: "
              f"median {statistics.median(took) * 1000:.1f} ms, least {took[0] * 1000:.1f} ms, most "
              f"{took[-1] * 1000:.1f} ms, over 100 ms: {sum(t > MOST for t in took)}; of which "
              f"rebuilding {rebuild / KILLS / 1000:.1f} ms")
        # others may have the CPUs while one of them is measured, not during half of them
        assert statistics.median(took) <= MOST
