# SPDX-License-Identifier: MIT
"""What goes wrong all the same: garbage in memory, full disks, processes that are killed in any
order. Afterwards the lanes serve, and an orderly end leaves nothing."""
import contextlib
import mmap
import os
import random
import signal

import pytest

import estate
import lib
import scratch
from scratch import Daemon, config, connections

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]


@pytest.fixture
def pair():
    scratch.leave_nothing()
    with scratch.Pair() as made:
        yield made
    scratch.leave_nothing()


def serves_with_another(daemon, lane, old):
    now = daemon.lanes()[lane]
    return now["pid"] not in (old, None) and now["state"] == "serving"


@pytest.mark.parametrize("what", ["header", "pages"])
def test_arena_full_of_garbage(pair, tmp_path, what):
    """A worker that was taken over writes what it likes into its arena, and dies: another one
    serves the lane, by the third start at the latest, and the other lane never notices."""
    rng = random.Random(1)
    with Daemon(pair, tmp_path, config()) as daemon, connections(pair, 20):
        lanes = daemon.lanes()
        with estate.held(scratch.RUN) as held, mmap.mmap(held["lane0.arena"], 0) as arena:
            os.kill(lanes[0]["pid"], signal.SIGSTOP)
            size = 4096 if what == "header" else len(arena)
            for at in range(0 if what == "header" else 4096, size, 4096):
                if what == "header" or rng.randrange(8) == 0:
                    arena[at:at + 4096] = rng.randbytes(4096)
            os.kill(lanes[0]["pid"], signal.SIGKILL)
        lib.wait_for(lambda: serves_with_another(daemon, 0, lanes[0]["pid"]), 10,
                     lambda: f"another worker:\n{daemon.log.read_text()}")
        assert daemon.tool("conn", "list") is not None
        assert daemon.lanes()[1]["pid"] == lanes[1]["pid"]
        with contextlib.ExitStack() as stack:
            for i in range(20):
                s = stack.enter_context(lib.connect(lib.ECHO, ns=pair.client))
                lib.echo_once(s, i, b"anew")
        assert daemon.terminate() == 0
        scratch.nothing_left(pair)
