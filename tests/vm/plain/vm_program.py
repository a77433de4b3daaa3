# SPDX-License-Identifier: MIT
"""The XDP program and this kernel's verifier; its verdicts; its ways onto an interface."""
import contextlib
import json
import subprocess

import pytest

import lib
import scratch
from scratch import Daemon, Pair, config

OBJECT = lib.BUILD / "millrace.bpf.o"
INSTRUCTIONS_MOST = 500_000  # half of what a verifier walks before it gives up


@pytest.mark.parametrize("section", ["xdp", "xdp.frags"])
def test_verifier_takes_the_section(section, fact):
    """Loads, with at most half of the verifier's own limit; figures go into the report."""
    done = subprocess.run([lib.BUILD / "vm" / "verifier", OBJECT, "-v"], capture_output=True, text=True,
                          check=False)
    found = {line["section"]: line for line in map(json.loads, done.stdout.splitlines())}[section]
    fact(f"verifier {section}", found)
    assert found["loads"], done.stderr
    assert 0 < found["instructions"] <= INSTRUCTIONS_MOST


@pytest.mark.parametrize("program", ["xdp_verdict_test", "xdp_cookie_test"])
def test_bpf_program(program, fact):
    """tests/bpf: every verdict, on frames that this kernel runs the program with."""
    done = subprocess.run([lib.BUILD / "tests" / "bpf" / program], capture_output=True, text=True,
                          cwd=lib.ROOT, check=False)
    output = done.stdout + done.stderr
    passed = output.count("[       OK ]")
    fact(program, {"passed": passed, "skipped": output.count("[  SKIPPED ] ") // 2})
    assert done.returncode == 0 and passed > 0, output[-6000:]


@pytest.fixture(scope="module")
def pair():
    with Pair() as made:
        yield made
    scratch.leave_nothing()


def attach(how):
    return config(more_interface=f"    attach: {how}\n")


def echo(pair):
    with lib.connect(lib.ECHO, ns=pair.client) as s:
        lib.echo_once(s, 1, b"hello")


@pytest.mark.parametrize("way", ["netlink", "link"])
def test_attach(way, pair, tmp_path):
    """Held by netlink or by a bpf_link: serves; after SIGTERM neither program nor pin is left."""
    with Daemon(pair, tmp_path, attach(way)) as daemon:
        echo(pair)
        assert pair.program()["name"].startswith("mr_xdp")
        assert daemon.terminate() == 0
    assert pair.program() == {}
    assert not lib.command("sh", "-c", f"ls {scratch.PINS} 2>/dev/null", check=False).stdout


def test_attach_by_ip_link_and_adopt(pair, tmp_path):
    """ip link's program stands and is adopted; it stays when the daemon ends."""
    ip = ["ip", "link", "set", "dev", scratch.INTERFACE, "xdp"]
    pair.server.run(*ip, "obj", OBJECT, "sec", "xdp")
    try:
        with Daemon(pair, tmp_path, attach("adopt")) as daemon:
            echo(pair)
            assert daemon.terminate() == 0
        assert pair.program() != {}
    finally:
        pair.server.run(*ip, "off")
        lib.command("sh", "-c", "rm -f /sys/fs/bpf/xdp/globals/mr1_*")


def loader(pair, tools, *words):
    library = f"LD_LIBRARY_PATH={tools}/usr/lib/x86_64-linux-gnu"
    return pair.server.run("env", library, tools / "usr" / "sbin" / "xdp-loader", *words)


def test_dispatcher_beside_a_second_program(pair, tools, tmp_path, fact):
    """attach: libxdp, and then another program by xdp-loader: both stand in one dispatcher, frames
    reach the lane; ours goes with SIGTERM, the other stays."""
    with contextlib.ExitStack() as stack:
        try:
            daemon = stack.enter_context(Daemon(pair, tmp_path, attach("libxdp")))
        except AssertionError as error:
            if "only from a libxdp of mid-2025 or later" not in str(error):
                raise
            pytest.skip("Debian 12's libxdp 1.3.1 has a dispatcher that takes no program that "
                        "changes frames on this kernel")
        echo(pair)
        assert "xdp_dispatcher" in pair.program()["name"]
        loader(pair, tools, "load", scratch.INTERFACE, lib.BUILD / "bench" / "pass.bpf.o")
        shown = loader(pair, tools, "status", scratch.INTERFACE).stdout
        assert "mr_xdp" in shown and "pass" in shown, shown
        echo(pair)
        assert daemon.terminate() == 0
    shown = loader(pair, tools, "status", scratch.INTERFACE).stdout
    assert "mr_xdp" not in shown and "pass" in shown, shown
    loader(pair, tools, "unload", scratch.INTERFACE, "--all")
    assert pair.program() == {}
    fact("dispatcher", True)
