# SPDX-License-Identifier: MIT
"""The unit under a systemd that is PID 1: installed as `make install` does it, and looked after.

    mr-client namespace  mrc0 192.0.2.1  <-- veth -->  mrs0 192.0.2.2  where systemd runs units
"""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

import lib

UNIT = "millraced.service"
CONFIG = pathlib.Path("/etc/millrace/millraced.yaml")
EXPOSURE_MOST = 3.0
SLOW_START = "/run/systemd/system/millraced.service.d/slow.conf"

TEXT = """\
interfaces:
  - name: mrs0
    queues: 2
heartbeat:
  stale_ms: 2000
  grace_ms: 20000
lanes:
  frames: 1024
  connections: 4096
rules:
  - name: echo
    port: 7000
    app: echo
"""


def systemctl(*words, check=True):
    return lib.command("systemctl", *words, check=check, timeout=60)


def show(name):
    return systemctl("show", "-P", name, UNIT).stdout.strip()


def main_pid():
    return int(show("MainPID"))


def lanes():
    done = lib.command("/usr/local/bin/millrace", "-j", "lane", "list", check=False)
    return json.loads(done.stdout)["lanes"] if done.returncode == 0 else []


def all_serve():
    found = lanes()
    return len(found) == 2 and all(lane["state"] == "serving" for lane in found)


def workers():
    return [(lane["pid"], lane["epoch"]) for lane in lanes()]


def journal(*words):
    """The unit's entries, oldest first."""
    done = lib.command("journalctl", "-u", UNIT, "-o", "json", "--no-pager", *words)
    return [json.loads(line) for line in done.stdout.splitlines()]


def serves():
    with lib.connect(lib.ECHO) as s:
        lib.echo_once(s, 1, b"hello")


@pytest.fixture(scope="module", name="veth", autouse=True)
def make_veth():
    """The server's end is where the unit runs, so that it needs no namespace."""
    os.makedirs("/run/netns", exist_ok=True)
    for line in ("ip netns add mr-client",
                 "ip link add mrs0 numtxqueues 2 numrxqueues 2 type veth peer name mrc0 "
                 "netns mr-client numtxqueues 2 numrxqueues 2",
                 "sysctl -qw net.ipv6.conf.mrs0.accept_dad=0",
                 "ip addr add 192.0.2.2/24 dev mrs0", "ip addr add 2001:db8::2/64 dev mrs0 nodad",
                 "ip link set mrs0 up", "ethtool -K mrs0 tx off"):
        lib.command(*line.split())
    for line in ("ip link set lo up", "ip addr add 192.0.2.1/24 dev mrc0",
                 "ip addr add 2001:db8::1/64 dev mrc0 nodad", "ip link set mrc0 up",
                 "ethtool -K mrc0 tx off"):
        lib.client.run(*line.split())


@pytest.fixture(scope="module", name="unit", autouse=True)
def install(veth):  # pylint: disable=unused-argument
    """Installed, configured, started. Only time-outs differ from a real machine's."""
    lib.command("env", "SYSTEMD_DIR=/etc/systemd/system", lib.ROOT / "scripts" / "install.sh",
                "install")
    lib.command("systemd-sysusers", "/usr/local/lib/sysusers.d/millrace.conf")
    CONFIG.parent.mkdir(parents=True, exist_ok=True)
    CONFIG.write_text(TEXT)
    os.makedirs(os.path.dirname(SLOW_START), exist_ok=True)
    pathlib.Path(SLOW_START).write_text("[Service]\nTimeoutStartSec=600\nTimeoutStopSec=300\n")
    systemctl("daemon-reload")
    done = systemctl("start", UNIT, check=False)
    assert done.returncode == 0, lib.command("journalctl", "-u", UNIT, "--no-pager").stdout[-5000:]
    lib.wait_for(all_serve, 20, "lanes serving")


def test_started():
    """active, ready only when it serves, its status line says so; lanes run without rights."""
    assert show("ActiveState") == "active" and show("SubState") == "running"
    assert show("StatusText")
    serves()
    for pid, _ in workers():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^CapEff:\s+0+$", status, re.M) and re.search(r"^Seccomp:\s+2$", status, re.M)
        assert not re.search(r"^Uid:\s+0\b", status, re.M)
        assert UNIT in pathlib.Path(f"/proc/{pid}/cgroup").read_text()


def test_security(fact):
    """`systemd-analyze security`, asked of the running manager."""
    said = lib.command("systemd-analyze", "security", "--no-pager", UNIT).stdout
    exposure = float(re.search(r"exposure level for \S+: ([0-9.]+)", said).group(1))
    fact("systemd-analyze security", exposure)
    assert exposure <= EXPOSURE_MOST


def test_journal_has_levels():
    """Each line is an entry with its level; no line shows the prefix that says it."""
    entries = journal()
    ours = [entry for entry in entries if entry.get("_COMM") == "millraced"]
    assert ours, entries
    assert {entry["PRIORITY"] for entry in ours} & {"6", "5"}
    assert not [entry["MESSAGE"] for entry in ours if re.match(r"<\d>", entry["MESSAGE"])]
    assert not [entry["MESSAGE"] for entry in ours if int(entry["PRIORITY"]) <= 3]


def test_restart_keeps_lanes_and_connections():
    """`systemctl restart`: another daemon and, in good order, other workers; the same connections."""
    before, daemon = workers(), main_pid()
    with lib.connect(lib.ECHO) as s:
        lib.echo_once(s, 1, b"before")
        systemctl("restart", UNIT)
        assert main_pid() not in (0, daemon)
        lib.wait_for(lambda: [epoch for _, epoch in workers()] == [epoch + 1 for _, epoch in before]
                     and all_serve(), 20, "new workers")
        lib.echo_once(s, 2, b"after")
    serves()


def test_killed_daemon_is_replaced():
    """kill -9 of the daemon: systemd starts another, which takes up the same workers; nobody
    notices."""
    before, daemon, count = workers(), main_pid(), int(show("NRestarts"))
    with lib.connect(lib.ECHO) as s:
        lib.echo_once(s, 1, b"before")
        os.kill(daemon, signal.SIGKILL)
        lib.echo_once(s, 2, b"without a daemon")
        lib.wait_for(lambda: int(show("NRestarts")) == count + 1 and all_serve(), 30, "another daemon")
        lib.echo_once(s, 3, b"after")
    assert workers() == before and main_pid() not in (0, daemon)


def keeper():
    """The process that holds descriptors when there is no daemon."""
    found = [pid for pid in filter(str.isdigit, os.listdir("/proc"))
             if (pathlib.Path("/proc") / pid / "comm").read_text().strip() == "millraced-keep"]
    assert len(found) == 1, found
    return int(found[0])


def test_systemd_holds_descriptors_too():
    """kill -9 of the keeper and of the daemon: the descriptors come from systemd's store, and the
    same workers and connections go on."""
    assert int(show("NFileDescriptorStore")) > 0
    before, daemon, count = workers(), main_pid(), int(show("NRestarts"))
    with lib.connect(lib.ECHO) as s:
        lib.echo_once(s, 1, b"before")
        os.kill(daemon, signal.SIGSTOP)
        os.kill(keeper(), signal.SIGKILL)
        os.kill(daemon, signal.SIGKILL)
        lib.wait_for(lambda: int(show("NRestarts")) == count + 1 and all_serve(), 30, "another daemon")
        lib.echo_once(s, 2, b"after")
    assert workers() == before


def test_watchdog_replaces_a_daemon_that_hangs():
    """SIGSTOP: no sign of life for WatchdogSec; systemd ends it and starts another; connections go
    on all the while."""
    before, daemon, count = workers(), main_pid(), int(show("NRestarts"))
    with lib.connect(lib.ECHO) as s:
        lib.echo_once(s, 1, b"before")
        os.kill(daemon, signal.SIGSTOP)
        lib.echo_once(s, 2, b"while it hangs")
        lib.wait_for(lambda: int(show("NRestarts")) == count + 1 and all_serve(), 30, "another daemon")
        lib.echo_once(s, 3, b"after")
    assert workers() == before and main_pid() != daemon
    assert [entry for entry in lib.command("journalctl", "-u", UNIT, "--no-pager").stdout.splitlines()
            if "Watchdog timeout" in entry or "watchdog" in entry.lower()]


def test_reload():
    """`systemctl reload`, where the unit has it: the same processes, the file read anew."""
    if show("CanReload") != "yes":
        pytest.skip("the unit has no ExecReload yet")
    before, daemon = workers(), main_pid()
    CONFIG.write_text(TEXT + "  - name: closed\n    port: 7999\n    action: drop\n")
    systemctl("reload", UNIT)
    assert main_pid() == daemon and workers() == before
    lib.wait_for(lambda: "closed" in lib.command("/usr/local/bin/millrace", "rule", "list").stdout, 10,
                 "the new rule")


def test_restart_with_new_sockets():
    """Where each worker gets a socket of its own, the last one is given back by all who held it,
    systemd and what it handed to the daemon too: restarts go on to give other workers."""
    CONFIG.write_text(TEXT.replace("lanes:\n", "lanes:\n  sockets: renew\n"))
    with lib.connect(lib.ECHO) as s:
        for i in range(2):
            before = workers()
            lib.echo_once(s, i, b"before")
            systemctl("reset-failed", UNIT)  # five starts in ten seconds are systemd's limit
            systemctl("restart", UNIT)
            lib.wait_for(lambda epochs=[epoch for _, epoch in before]:
                         all(epoch > was for (_, epoch), was in zip(workers(), epochs))
                         and all_serve(), 20, "new workers")
            lib.echo_once(s, i, b"after")
    assert {lane["socket"] for lane in lanes()} == {"renewed"}


def test_stop_leaves_nothing():
    """`systemctl stop`: program, pins, run directory and processes are gone; no entry is an error
    but those of the deaths that this file meant."""
    systemctl("stop", UNIT)
    assert show("ActiveState") == "inactive"
    shown = json.loads(lib.command("ip", "-j", "-d", "link", "show", "mrs0").stdout)[0]
    assert "prog" not in shown.get("xdp", {})
    words = lib.command("journalctl", "-u", UNIT, "--no-pager", "-n", "12").stdout
    assert not os.path.exists("/sys/fs/bpf/millrace"), words
    assert not os.path.exists("/sys/fs/bpf/xdp"), words
    assert not os.path.exists("/run/millrace")
    left = subprocess.run(["pgrep", "-l", "millrace"], capture_output=True, text=True, check=False)
    assert not left.stdout
    assert int(show("NFileDescriptorStore") or 0) == 0
