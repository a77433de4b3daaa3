# SPDX-License-Identifier: MIT
"""Each packet script is one test (docs/scripts.md)."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import play  # noqa: E402  pylint: disable=wrong-import-position
import run  # noqa: E402  pylint: disable=wrong-import-position


@pytest.mark.parametrize("path", [os.path.relpath(p, run.ROOT) for p in run.scripts()])
def test_script(path):
    problem = play.play_file(os.path.join(run.ROOT, path), run.SO)
    assert problem is None, problem
