# SPDX-License-Identifier: MIT
"""Each packet script is one test (docs/scripts.md)."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import play  # noqa: E402  pylint: disable=wrong-import-position
import run  # noqa: E402  pylint: disable=wrong-import-position


@pytest.mark.parametrize("path", [os.path.relpath(p, run.ROOT) for p in run.scripts()])
def test_script(path):
    problem = play.play_file(os.path.join(run.ROOT, path), run.SO)
    assert problem is None, problem


def test_a_program_asks_the_c_library_of_our_descriptors():
    host = os.path.join(os.path.dirname(run.SO), "script-host")
    result = subprocess.run([host, run.SO], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
