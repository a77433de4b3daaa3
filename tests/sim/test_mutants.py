# SPDX-License-Identifier: MIT
"""The simulator's laws bite: every deliberate fault of mutants.py is found."""
import concurrent.futures
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mutants  # noqa: E402


@pytest.fixture(scope="session", name="verdicts")
def fixture_verdicts():
    """All mutants, two at a time; the tests below read the answers."""
    program = os.path.join(mutants.BUILD, "sim/mr-sim")
    subprocess.run(["make", "--no-print-directory", "B=" + mutants.BUILD, program],
                   cwd=mutants.ROOT, check=True, stdout=subprocess.DEVNULL)
    pool = concurrent.futures.ThreadPoolExecutor(2)
    yield {m.name: pool.submit(mutants.try_mutant, m) for m in mutants.MUTANTS}
    pool.shutdown(wait=False, cancel_futures=True)


def test_there_are_enough_mutants_and_each_has_its_name():
    names = {m.name for m in mutants.MUTANTS}
    assert len(names) == len(mutants.MUTANTS) >= 25


@pytest.mark.parametrize("name", [m.name for m in mutants.MUTANTS])
def test_mutant_is_found(name, verdicts):
    found, words = verdicts[name].result()
    assert found, words
