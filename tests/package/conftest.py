# SPDX-License-Identifier: MIT
"""The Debian packages, of the programs that stand in build/; lintian finds no error in them."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", name="deb")
def make_deb():
    if not shutil.which("dh"):
        pytest.skip("there is no debhelper")
    done = subprocess.run([ROOT / "scripts" / "deb.sh"], env=dict(os.environ, MR_PREBUILT="build"),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                          check=False)
    line = done.stdout.splitlines()[-1] if done.stdout else ""
    assert re.fullmatch(r"deb: ok package=\S+ bytes=\d+ lintian_errors=0 lintian_warnings=\d+",
                        line), done.stdout
    return ROOT / re.search(r"package=(\S+)", line).group(1)
