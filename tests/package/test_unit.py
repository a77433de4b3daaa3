# SPDX-License-Identifier: MIT
"""The unit under a systemd that is PID 1 of namespaces of its own: tests/vm/systemd, on this kernel."""
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_unit_under_systemd(tmp_path):
    """Started, rated, restarted, killed, hung and stopped by systemd: every test passes there."""
    done = subprocess.run([ROOT / "tests" / "vm" / "here.sh", tmp_path], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=450, check=False)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    log = tmp_path / "systemd.log"
    assert done.returncode == 0, done.stdout + (log.read_text()[-6000:] if log.exists() else "")
