# SPDX-License-Identifier: MIT
"""Every fuzz target: its seeds and old crashes once, then FUZZ_SECONDS of new inputs (60)."""
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import run  # noqa: E402

BUILD = os.environ.get("FUZZ_BUILD", os.path.join(run.ROOT, "build", "fuzz"))
SECONDS = int(os.environ.get("FUZZ_SECONDS", "60"))
WHY_NOT = run.without_libfuzzer()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


@pytest.fixture(scope="session")
def pool():
    """Two targets run at a time, in the background of the tests that wait for them."""
    with ThreadPoolExecutor(max_workers=run.JOBS) as executor:
        yield {target: executor.submit(run.fuzz, BUILD, target, SECONDS)
               for target in run.TARGETS}


@pytest.mark.parametrize("target", run.TARGETS)
def test_replay(target):
    assert run.replay(BUILD, target) > 0


@pytest.mark.parametrize("target", run.TARGETS)
def test_fuzz(target, pool):
    assert pool[target].result() > 100
