# SPDX-License-Identifier: MIT
"""Tests that run inside a guest of scripts/vm.sh, as root, on the build's own outputs.

They use the helpers of tests/veth. What a guest found out beside passed and failed, such as the
verifier's figures, goes through the fixture `fact` into /vm/facts.json.
"""
import json
import os
import pathlib
import platform
import sys

import pytest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "veth"), str(ROOT / "tests" / "vm")]

FACTS = pathlib.Path(os.environ.get("MR_FACTS", "/vm/facts.json"))


def pytest_configure(config):
    for words in ("limit(seconds): for tests/veth", "scratch: for tests/veth",
                  "kills_workers: for tests/veth"):
        config.addinivalue_line("markers", words)


def pytest_collection_modifyitems(items):
    if "vm_run=" not in pathlib.Path("/proc/cmdline").read_text() and "MR_HERE" not in os.environ:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="runs inside a guest only: make vm"))


@pytest.fixture(name="fact")
def write_fact():
    """fact(name, value): into the kernel's report."""
    def note(name, value):
        facts = json.loads(FACTS.read_text()) if FACTS.exists() else {}
        facts[name] = value
        FACTS.write_text(json.dumps(facts, indent=1) + "\n")

    return note


@pytest.fixture(name="kernel", scope="session")
def kernel_version():
    """(6, 12): for what a kernel has since a version."""
    return tuple(int(part) for part in platform.release().split(".")[:2])


@pytest.fixture(name="tools", scope="session")
def tools_folder():
    """The folder of tests/vm/fetch.sh tools."""
    words = pathlib.Path("/proc/cmdline").read_text().split()
    return pathlib.Path(next(word.split("=", 1)[1] for word in words
                             if word.startswith("vm_tools=")))


@pytest.fixture(name="clean_environment", autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("MR_START_SECONDS", "300")
    assert os.geteuid() == 0
