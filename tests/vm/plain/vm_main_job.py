# SPDX-License-Identifier: MIT
"""The main job between two namespaces of the guest, and what must survive in it."""
import os
import re
import subprocess

import pytest

import lib
import scratch
from deaths import kill_worker
from scratch import Daemon, Pair, all_echo, config, connections

# What the guest's clock calls a hiccup is an emulated processor at work.
PATIENT = "heartbeat:\n  stale_ms: 2000\n  grace_ms: 20000\n"


def test_demo():
    """scripts/demo.sh run: every message comes back intact; nothing is left."""
    done = subprocess.run([lib.DEMO, "run"], env=dict(os.environ, DEMO_SECONDS="3"),
                          capture_output=True, text=True, timeout=600, check=False)
    assert re.search(r"^demo: ok messages=[1-9]\d* .* errors=0$", done.stdout, re.M), \
        done.stdout + done.stderr
    assert not os.path.exists("/run/millrace") and not os.path.exists("/sys/fs/bpf/millrace")
    assert not os.path.exists("/run/netns/mr-server")


@pytest.fixture(scope="module")
def pair():
    with Pair() as made:
        yield made
    scratch.leave_nothing()


@pytest.fixture(scope="module")
def daemon(pair, tmp_path_factory):
    with Daemon(pair, tmp_path_factory.mktemp("daemon"), config(more=PATIENT)) as running:
        yield running


def pids(daemon):
    return [lane["pid"] for lane in daemon.lanes()]


def test_restart_of_lanes_loses_nothing(pair, daemon):
    """`millrace lane restart` with 40 connections: other processes, the same connections."""
    with connections(pair, 40) as made:
        before = pids(daemon)
        for s in made:
            s.sendall(lib.tlv(2, b"on its way"))
        pair.server.run(lib.BUILD / "millrace", "-s", daemon.socket, "lane", "restart")
        for s in made:
            assert lib.read_tlv(s) == (2, b"on its way")
        all_echo(made, b"after")
        assert not set(pids(daemon)) & set(before)


def test_killed_worker(pair, daemon):
    """kill -9 of a worker: the next one goes on with all connections but at most the one in hand."""
    with connections(pair, 40) as made:
        assert kill_worker(daemon, made) >= 39


def test_unload_leaves_nothing(pair, daemon):
    """Last of this file: SIGTERM, and neither program, pins, run directory nor process is left."""
    assert daemon.terminate() == 0
    assert pair.program() == {}
    assert not os.path.exists(scratch.PINS) and not os.path.exists(scratch.RUN)
    assert not scratch.processes()
