# SPDX-License-Identifier: MIT
"""The table of kernels in the README, made of guests' reports."""
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

PAGE = "above\n<!-- made by scripts/vm.sh support -->\nold\n<!-- end -->\nbelow\n"


@pytest.fixture(name="support")
def make_support(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)

    def run(*reports):
        folders = []
        for report in reports:
            folders.append(tmp_path / report["series"])
            folders[-1].mkdir(exist_ok=True)
            (folders[-1] / "report.json").write_text(json.dumps(report))
        folders.append(tmp_path / "never-run")
        subprocess.run([sys.executable, ROOT / "tests" / "vm" / "report.py", "support", page,
                        *folders], check=True)
        return page.read_text()

    return run


def report(series, **outcomes):
    tests = {f"tests.vm.plain.{name.replace('__', '::')}": outcome
             for name, outcome in outcomes.items()}
    return {"series": series, "kernel": f"{series}.9", "stages": {"plain": tests},
            "facts": {"virtio_net": {"bind": "zero-copy"}}}


def test_says_what_passed_and_what_did_not(support):
    """A row for each kernel and driver that was tried; a failed or skipped test is never `works`."""
    text = support(report("6.1", vm_main_job__test_demo="passed",
                          vm_main_job__test_killed_worker="failed"),
                   report("7.2", vm_nic__test_down_and_up="passed",
                          vm_nic__test_killed_worker="skipped: no NIC"))
    assert text.startswith("above\n") and text.endswith("-->\nbelow\n") and "old" not in text
    rows = [line for line in text.splitlines() if line.startswith(("| 6", "| 7"))]
    assert rows == [
        "| 6.1.9 | veth | copy | the main job | kill -9 of a worker (failed) |",
        "| 7.2.9 | virtio_net | zero-copy | link down and up | "
        "kill -9 of the worker (skipped: no NIC) |"]


def test_made_anew_is_the_same(support):
    one = report("6.1", vm_main_job__test_demo="passed")
    assert support(one) == support(one)
