# SPDX-License-Identifier: MIT
"""Rules with prefixes, ranges and verbs, and modes, as a kernel client meets them, changed while
the daemon serves. The client speaks from 192.0.2.1 and, for those whom rules treat otherwise, from
192.0.2.9."""
import json
import os
import resource
import socket
import time

import pytest

import lib
import scratch
from scratch import Daemon, Pair, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

OTHER = "192.0.2.9"
MANY = 100_000

RULES = """\
  - name: range
    port: 8000-8010
    app: echo
    comment: eleven ports
  - name: theirs
    port: 8020
    app: echo
    source: 192.0.2.8/29
  - name: prefixed
    port: 8030
    app: echo
    destination: 192.0.2.0/24, 2001:db8::/64
  - name: narrower
    port: 8030
    app: sink
    destination: 192.0.2.128/25
  - name: listed
    action: drop
    port: 8005
    source_file: {directory}/list
"""


def prefixes(n):
    """Hosts that nobody here is, and 192.0.2.9."""
    yield "# a list"
    for i in range(n - 1):
        yield f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"
    yield f"{OTHER}  # us"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    directory = tmp_path_factory.mktemp("rules")
    (directory / "list").write_text("\n".join(prefixes(MANY)) + "\n", encoding="utf-8")
    with Pair() as pair:
        pair.client.run("ip", "addr", "add", f"{OTHER}/24", "dev", lib.CLIENT_IF)
        with Daemon(pair, directory, config(RULES.format(directory=directory))) as one:
            yield one
    scratch.leave_nothing()


def connect(daemon, port, family=4, source=None, address=None, timeout=5):
    s = daemon.pair.client.socket(lib.FAMILY[family], socket.SOCK_STREAM)
    s.settimeout(timeout)
    try:
        if source:
            s.bind((source, 0))
        s.connect((address or lib.SERVER[family], port))
    except BaseException:
        s.close()
        raise
    return s


def echoes(daemon, port, **how):
    with connect(daemon, port, **how) as s:
        lib.echo_once(s, 1, b"there and back")


def is_dropped(daemon, port, **how):
    with pytest.raises(socket.timeout):
        connect(daemon, port, timeout=0.4, **how).close()


def rules(daemon):
    return {rule["name"]: rule for rule in daemon.tool("rule", "list")["rules"]}


def change(daemon, *words):
    """A verb of `millrace rule` that must do."""
    done = daemon.pair.server.run(lib.BUILD / "millrace", "-s", daemon.socket, "rule", *words,
                                  check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(daemon, *words):
    """One that must not; the words why."""
    done = daemon.pair.server.run(lib.BUILD / "millrace", "-s", daemon.socket, "rule", *words,
                                  check=False)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.fixture(autouse=True)
def as_before(daemon):
    """What a test changed is undone."""
    yield
    for name, rule in rules(daemon).items():
        if rule["action"] != "steer" and name != "listed":
            change(daemon, "del", name)
    change(daemon, "mode", "enforce")


def test_each_port_of_a_range_is_served(daemon):
    """8000-8010, both families at the ends -> echo; 7999 and 8011 are the kernel's, which refuses."""
    for port in range(8000, 8011):
        echoes(daemon, port)
    for port in (8000, 8010):
        echoes(daemon, port, family=6)
    for port in (7999, 8011):
        with pytest.raises(ConnectionRefusedError):
            connect(daemon, port)


def test_ports_of_a_range_are_reserved(daemon):
    """A bound port of the range -> nobody else binds it."""
    s = daemon.pair.server.socket(socket.AF_INET, socket.SOCK_STREAM)
    with s, pytest.raises(OSError):
        s.bind(("0.0.0.0", 8003))


def test_source_prefix_chooses_who_is_served(daemon):
    """Echo for 192.0.2.8/29 only -> 192.0.2.9 is the lane's, 192.0.2.1 a kernel listener's."""
    with lib.listen(4, daemon.pair.server, 8020) as listener:
        echoes(daemon, 8020, source=OTHER)
        with connect(daemon, 8020) as s:
            end, _ = listener.accept()
            with end:
                s.sendall(b"kernel")
                assert lib.recv_exact(end, 6) == b"kernel"


def test_destination_prefix_and_a_narrower_one(daemon):
    """An address of the /24 -> echo; one that stands in the /25 too -> its sink."""
    echoes(daemon, 8030)
    echoes(daemon, 8030, family=6)
    daemon.pair.server.run("ip", "addr", "add", "192.0.2.200/24", "dev", scratch.INTERFACE)
    with connect(daemon, 8030, address="192.0.2.200") as s:
        s.sendall(lib.tlv(1, b"swallowed"))
        lib.wait_for(lambda: rules(daemon)["narrower"]["connections"] == 1, 3, "the sink has it")
        s.settimeout(0.2)
        with pytest.raises(socket.timeout):
            s.recv(1)


def test_list_of_a_hundred_thousand(daemon):
    """The file's 100,000 prefixes -> who is on it is dropped, who is not is served."""
    assert rules(daemon)["listed"]["source_prefixes"] == MANY
    is_dropped(daemon, 8005, source=OTHER)
    echoes(daemon, 8005)
    assert rules(daemon)["listed"]["packets"] > 0


def test_list_is_loaded_while_the_daemon_serves(daemon, tmp_path):
    """rule add with as many prefixes -> in force, and a connection beside it goes on."""
    path = tmp_path / "many"
    path.write_text("\n".join(prefixes(MANY)) + "\n", encoding="utf-8")
    with connect(daemon, 8001) as s:
        began = time.monotonic()
        change(daemon, "add", "many", "drop", "--source-file", str(path), "--port", "8007")
        seconds = time.monotonic() - began
        lib.echo_once(s, 1, b"still here")
    print(f"rule add with {MANY} prefixes: {seconds:.2f} s")
    is_dropped(daemon, 8007, source=OTHER)
    echoes(daemon, 8007)


def test_rules_come_and_go(daemon):
    """add, replace, del -> the client meets each at once; ids and counters stay a rule's own."""
    echoes(daemon, 8002, source=OTHER)
    change(daemon, "add", "away", "drop", "--source", OTHER, "--comment", "for a test")
    is_dropped(daemon, 8002, source=OTHER)
    added = rules(daemon)["away"]
    assert added["action"] == "drop" and added["comment"] == "for a test" and added["packets"]
    change(daemon, "replace", "away", "drop", "--source", OTHER, "--port", "8003")
    echoes(daemon, 8002, source=OTHER)
    is_dropped(daemon, 8003, source=OTHER)
    replaced = rules(daemon)["away"]
    assert replaced["id"] == added["id"] and replaced["packets"] > added["packets"]
    change(daemon, "add", "kernel", "pass", "--port", "8004", "--priority", "5")
    with pytest.raises(ConnectionRefusedError):  # nobody listens there: the kernel has it
        connect(daemon, 8004)
    change(daemon, "del", "away")
    echoes(daemon, 8003, source=OTHER)


def test_rules_are_replaced_as_a_whole(daemon, tmp_path):
    """rule load -> those of the file and no others; what stays keeps its id."""
    listed = rules(daemon)["listed"]
    change(daemon, "add", "old", "drop", "--source", OTHER)
    path = tmp_path / "rules.json"
    path.write_text(json.dumps([
        {"name": "listed", "action": "drop", "port": 8005, "source": [OTHER, "10.0.0.0/8"]},
        {"name": "new", "action": "pass", "protocol": "any", "source": "10.0.0.0/8",
         "port": "80-90"}]), encoding="utf-8")
    change(daemon, "load", str(path))
    now = rules(daemon)
    assert "old" not in now and now["new"]["port"] == "80-90"
    assert now["listed"]["id"] == listed["id"]
    is_dropped(daemon, 8005, source=OTHER)
    echoes(daemon, 8002, source=OTHER)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_hundred_thousand_prefixes_are_loaded_in_two_seconds(daemon, tmp_path):
    """rule load of as many -> in force; all processes together have the CPU for less than two
    seconds. The time that passed is printed: others may have the CPUs meanwhile."""
    path = tmp_path / "rules.json"
    path.write_text(json.dumps([{"name": "many", "action": "drop", "port": 8005,
                                 "source": list(prefixes(MANY))[1:-1] + [OTHER]}]))
    shown = lib.command("curl", "-s", "--unix-socket", daemon.socket, "http://m/v1/status").stdout
    pids = [json.loads(shown)[key] for key in ("pid", "child_pid")]
    cpu, began = sum(map(cpu_seconds, pids)), time.monotonic()
    tools = resource.getrusage(resource.RUSAGE_CHILDREN)
    change(daemon, "load", str(path))
    passed, cpu = time.monotonic() - began, sum(map(cpu_seconds, pids)) - cpu
    tool = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu += tool.ru_utime + tool.ru_stime - tools.ru_utime - tools.ru_stime
    print(f"rule load of {MANY} prefixes: {passed:.2f} s, of which {cpu:.2f} s of CPU time")
    assert rules(daemon)["many"]["source_prefixes"] == MANY
    is_dropped(daemon, 8005, source=OTHER)
    assert cpu < 2


def test_bad_changes_change_nothing(daemon):
    """Each mistake -> one line with the cure, exit 1, and the generation that was."""
    before = daemon.tool("rule", "list")["generation"]
    assert 'key "app" is missing' in refused(daemon, "add", "x", "steer", "--port", "1")
    assert "none of echo, sink" in refused(daemon, "add", "x", "steer", "--port", "1", "--app", "y")
    assert "is for rules that steer" in refused(daemon, "add", "x", "drop", "--app", "echo")
    assert "no rule of the configuration file has directory" in refused(
        daemon, "add", "x", "steer", "--port", "1", "--app", "store", "--directory", "/tmp")
    assert "port 8000 is in use" not in refused(daemon, "add", "x", "steer", "--port", "8000-8010",
                                                "--app", "echo")
    assert "none of steer, pass, drop" in refused(daemon, "add", "x", "lose")
    assert "behind its length" in refused(daemon, "add", "x", "drop", "--source", "10.0.0.1/8")
    assert "lower one first" in refused(daemon, "add", "x", "drop", "--port", "9-8")
    assert "there is one of this name" in refused(daemon, "add", "range", "drop")
    assert "there is none" in refused(daemon, "del", "nobody")
    assert "there is none" in refused(daemon, "replace", "nobody", "drop")
    assert "interfaces" in refused(daemon, "add", "x", "drop", "--interface", "lo")
    assert "none of enforce" in refused(daemon, "mode", "dream")
    assert daemon.tool("rule", "list")["generation"] == before


def test_mode_monitor_only_counts(daemon):
    """monitor -> the kernel has every frame, and refuses; the rule counts what it would have got;
    the mode is shown. bypass -> nothing is counted. enforce -> the lane serves again."""
    change(daemon, "mode", "monitor")
    assert daemon.tool("rule", "list")["mode"] == "monitor"
    before = rules(daemon)["range"]["packets"]
    with pytest.raises((ConnectionRefusedError, socket.timeout)):
        connect(daemon, 8000, timeout=0.5)
    counted = rules(daemon)["range"]["packets"]
    assert counted > before
    change(daemon, "mode", "bypass")
    with pytest.raises((ConnectionRefusedError, socket.timeout)):
        connect(daemon, 8000, timeout=0.5)
    assert rules(daemon)["range"]["packets"] == counted
    shown = daemon.pair.server.run(lib.BUILD / "millrace", "-s", daemon.socket, "lane", "list")
    assert "mode bypass" in shown.stdout
    change(daemon, "mode", "enforce")
    echoes(daemon, 8000)


def test_rates_are_shown(daemon):
    """rule list -w 1 while messages flow -> packets per second of the rule."""
    with connect(daemon, 8000) as s:
        talk = lib.Background(lambda: [(lib.echo_once(s, 1, b"x"), time.sleep(0.01))
                                       for _ in range(200)])
        done = daemon.pair.server.run("timeout", "1.6", lib.BUILD / "millrace", "-s",
                                      daemon.socket, "rule", "list", "-w", "1", check=False)
        talk.result(20)
    line = next(one for one in done.stdout.splitlines() if " range " in one)
    assert "PACKETS/S" in done.stdout and int(line.split()[4]) > 0
