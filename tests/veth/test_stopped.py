# SPDX-License-Identifier: MIT
"""Workers that stand still: noticed, waited for, and replaced when it lasts."""
import contextlib
import os
import re
import subprocess
import sys
import time

import pytest

import lib
import scratch
from scratch import Daemon, all_echo, config, connections, load

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

RULES = scratch.RULE + """\
  - name: either
    protocol: tcp
    port: 7010
    app: echo
    fallback: kernel
"""
SHORT = "heartbeat:\n  grace_ms: 1000\n"
LONG = "heartbeat:\n  grace_ms: 20000\n"

SPIN = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
except PermissionError:
    sys.exit(77)
end = time.monotonic() + 0.2
while time.monotonic() < end:
    pass
"""


def pids(daemon):
    return [lane["pid"] for lane in daemon.lanes()]


def stales(daemon):
    return [lane["stales"] for lane in daemon.lanes()]


def served_by_kernel(pair, listener):
    """A new connection to the rule with fallback: the kernel's listener accepts it."""
    with lib.connect(7010, ns=pair.client) as s:
        end, _ = listener.accept()
        with end:
            s.sendall(b"kernel")
            assert lib.recv_exact(end, 6) == b"kernel"


@pytest.mark.parametrize("seconds", [0.5, 2])
def test_stopped_and_gone_on(pair, tmp_path, seconds):
    """SIGSTOP to both workers under load: counted, said and shown as stale; new connections are the
    kernel's where the rule says so; after SIGCONT the same workers serve the same connections."""
    with Daemon(pair, tmp_path, config(RULES, more=LONG)) as daemon, \
            lib.listen(4, pair.server, 7010) as listener, connections(pair, 100) as made:
        before, count = pids(daemon), stales(daemon)
        with load(made) as running:
            running.more()
            begin = time.monotonic()
            with lib.stopped(before):
                lib.wait_for(lambda: all(lane["state"] == "stale" for lane in daemon.lanes()), 5,
                             "both lanes stale")
                served_by_kernel(pair, listener)
                time.sleep(max(0, begin + seconds - time.monotonic()))
            running.more()
        assert all(now > was for now, was in zip(stales(daemon), count))
        ages = [int(age) for age in re.findall(r"no heartbeat for (\d+) ms: stale",
                                               daemon.log.read_text())]
        assert ages and min(ages) < seconds * 1000
        lib.wait_for(lambda: all(lane["state"] == "serving" for lane in daemon.lanes()), 5,
                     "both lanes serving")
        assert pids(daemon) == before
        all_echo(made, b"none lost")
        with lib.connect(7010, ns=pair.client) as s:
            lib.echo_once(s, 1, b"a lane again")


def is_reset(s):
    """What is sent is answered by a reset, not by silence."""
    s.settimeout(10)
    try:
        s.sendall(lib.tlv(1, b"x"))
        return s.recv(100) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True


def test_stopped_for_longer_than_the_grace_time(pair, tmp_path):
    """SIGSTOP and nothing more: the worker is killed and replaced, its peers are reset at once, the
    other lane's go on."""
    with Daemon(pair, tmp_path, config(RULES, more=SHORT)) as daemon, \
            connections(pair, 40) as made:
        queue = {c["remote_port"]: c["queue"]
                 for c in daemon.tool("conn", "list")["connections"]}
        old = pids(daemon)
        with lib.stopped(old[:1]):
            lib.wait_for(lambda: pids(daemon)[0] not in (old[0], None) and
                         daemon.lanes()[0]["state"] == "serving", 10, "another worker")
        theirs = [s for s in made if queue[s.getsockname()[1]] == 0]
        assert theirs and all(is_reset(s) for s in theirs)
        all_echo([s for s in made if queue[s.getsockname()[1]] == 1], b"untouched")
        assert pids(daemon)[1] == old[1]
        assert "killed" in daemon.log.read_text()
        with connections(pair, 10) as more:
            all_echo(more, b"new ones")


def serves(pair):
    """Ten new connections, unless one is refused."""
    with contextlib.suppress(ConnectionRefusedError), connections(pair, 10) as made:
        all_echo(made, b"it beats again")
        return True
    return False


def test_stopped_without_a_daemon(pair, tmp_path):
    """No daemon to replace the worker: behind the grace time the kernel resets its peers."""
    with Daemon(pair, tmp_path, config(RULES, more=SHORT)) as daemon, \
            connections(pair, 10) as made:
        workers = pids(daemon)
        daemon.kill()
        with lib.stopped(workers):
            assert all(is_reset(s) for s in made)
        lib.wait_for(lambda: serves(pair), 10, "new connections after its first heartbeat")


def test_noisy_neighbour_resets_nobody(pair, tmp_path):
    """200 ms without the CPU, taken by a program of higher priority, or stopped where none may have
    it: every connection goes on, on the same workers."""
    with Daemon(pair, tmp_path, config(RULES)) as daemon, connections(pair, 100) as made:
        before = pids(daemon)
        cpu = min(os.sched_getaffinity(before[0]))
        os.sched_setaffinity(before[0], {cpu})
        with load(made) as running:
            running.more()
            spun = subprocess.run([sys.executable, "-c", SPIN, str(cpu)], timeout=20, check=False)
            if spun.returncode == 77:
                with lib.stopped(before[:1]):
                    time.sleep(0.2)
            running.more()
        assert spun.returncode in (0, 77)
        assert pids(daemon) == before
        assert daemon.figure("gauges", "connections") == 100
