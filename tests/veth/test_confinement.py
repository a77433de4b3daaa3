# SPDX-License-Identifier: MIT
"""What the processes keep, while they work: no capability, no other user, system call filters.

Whatever the filters do not list ends the process (tests/daemon/confine_test.c): that the same
processes still serve after everything that can be asked of them is the test of their lists.
"""
import pathlib
import re

import pytest

import lib
import scratch
from scratch import Daemon, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

RULES = "".join(f"""\
  - name: {app}
    port: {port}
    app: {app}
""" + ("    directory: {store}\n" if app == "store" else "") for app, port in lib.PORTS.items())


@pytest.fixture(scope="module", params=[True, False], ids=["with-store", "without"])
def daemon(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("confined")
    for path in (folder, *list(folder.parents)[:-2]):
        path.chmod(0o755)
    rules = RULES.replace("{store}", str(folder / "store"))
    if not request.param:
        rules = re.sub(r"  - name: store\n.*\n.*\n.*\n", "", rules)
    with scratch.Pair() as pair:
        with Daemon(pair, folder, config(rules)) as running:
            running.store = folder / "store" if request.param else None
            yield running


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return {key: value.split() for key, _, value in
            (line.partition(":") for line in text.splitlines())}


def by_name():
    """{name of the process: pids} of this daemon's processes."""
    found = {}
    for pid in scratch.processes():
        found.setdefault(status_of(pid)["Name"][0], []).append(pid)
    return found


def test_child_and_lanes_have_no_privilege(daemon):
    pids = by_name()
    assert len(pids["millraced-child"]) == 1 and len(pids["millrace-worker"]) == 2
    for pid in pids["millraced-child"] + pids["millrace-worker"]:
        status = status_of(pid)
        for which in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[which][0], 16) == 0, (pid, which)
        assert status["NoNewPrivs"] == ["1"]
        assert status["Seccomp"] == ["2"], "a filter is in force"
        assert status["Uid"] == ["65534"] * 4 and status["Gid"] == ["65534"] * 4
        assert status["Groups"] == []


def ask_everything(daemon):
    """Every command of the tool that only reads, and the metrics."""
    for words in (("lane", "list"), ("rule", "list"), ("conn", "list"), ("stats", "show", "--all"),
                  ("config", "show"), ("lane", "show", scratch.INTERFACE, "0")):
        assert daemon.tool(*words) is not None, words
    done = lib.command("curl", "-sS", "--unix-socket", daemon.socket, "http://m/metrics")
    assert "millrace_info" in done.stdout
    assert lib.command("curl", "-sS", "--unix-socket", daemon.socket, "http://m/nothing",
                       check=False).returncode == 0


def use_everything(daemon, family):
    """Each application once, connections that close and that are reset, and a closed port."""
    client = daemon.pair.client
    for port in (lib.ECHO, lib.SINK, lib.ECHO_BYTES, lib.DISCARD_BYTES, lib.SOURCE_BYTES):
        with lib.connect(port, family, ns=client) as s:
            if port == lib.ECHO:
                lib.echo_once(s, 1, b"x" * 100000)
            elif port == lib.SOURCE_BYTES:
                assert s.recv(1000)
            else:
                s.sendall(lib.tlv(1, b"y" * 1000))
    if daemon.store:
        with lib.connect(lib.STORE_PORT, family, ns=client) as s:
            s.sendall(lib.tlv(family, b"kept"))
            path = daemon.store / f"tag-{family}.bin"
            lib.wait_for(lambda: path.exists() and path.stat().st_size, 5, "stored")


def test_everything_they_are_asked_is_on_their_lists(daemon):
    """Work, questions, log lines to a reader that went, and the same processes after it."""
    before = by_name()
    for family in (4, 6):
        use_everything(daemon, family)
        ask_everything(daemon)
    with lib.connect(lib.ECHO, ns=daemon.pair.client) as held:
        for _ in range(300):
            lib.echo_once(held, 1, b"again")
        ask_everything(daemon)
    assert by_name() == before


def test_they_end_in_order(daemon):
    """The last calls are on the lists, too: exit 0, and no worker had to be killed."""
    assert daemon.terminate() == 0
    log = daemon.log.read_text()
    assert "killed" not in log and "signal" not in log.replace("stopping, signal", ""), log
