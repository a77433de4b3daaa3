# SPDX-License-Identifier: MIT
"""Rules that steer, changed while the daemon runs: lanes know a rule before frames come, and those
of a rule that goes keep its connections. Whoever has to do with another rule notices nothing."""
import contextlib
import json
import os
import signal
import socket

import pytest

import lib
import scratch
from scratch import Daemon, Pair, all_echo, config, connections, load

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

RULES = scratch.RULE + """\
  - name: drill
    port: 7006
    app: drill
"""
PATIENT = "heartbeat: {grace_ms: 30000}\n"


@pytest.fixture(name="pair")
def one_pair():
    scratch.leave_nothing()
    with Pair() as made:
        yield made
    scratch.leave_nothing()


@pytest.fixture(name="daemon")
def one_daemon(pair, tmp_path):
    with Daemon(pair, tmp_path, config(RULES)) as one:
        yield one
        assert one.terminate() == 0


def tool(daemon, *words):
    return daemon.pair.server.run(lib.BUILD / "millrace", "-s", daemon.socket, "rule", *words,
                                  check=False)


def change(daemon, *words):
    done = tool(daemon, *words)
    assert done.returncode == 0, done.stderr


def refused(daemon, *words):
    done = tool(daemon, *words)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def rules(daemon):
    return daemon.tool("rule", "list")["rules"]


def rule(daemon, name, leaving=False):
    found = [one for one in rules(daemon) if one["name"] == name and one["leaving"] == leaving]
    return found[0] if found else None


@contextlib.contextmanager
def talkers(pair, port, n):
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(lib.connect(port, ns=pair.client)) for _ in range(n)]
        all_echo(made, b"first")
        yield made


def echoes(pair, port):
    with lib.connect(port, ns=pair.client) as s:
        lib.echo_once(s, 1, b"there and back")


def is_refused(pair, port):
    with pytest.raises(ConnectionRefusedError):
        lib.connect(port, ns=pair.client)


def test_rules_come_and_go_under_load(pair, daemon):
    """add, replace, del while 200 connections of another rule talk: they go on; what the rule had
    goes on, too, and the rule is gone with its last connection."""
    with connections(pair, 200) as made, load(made) as running:
        is_refused(pair, 7100)
        change(daemon, "add", "new", "steer", "--port", "7100", "--app", "echo", "--comment", "hi",
               "--congestion-control", "newreno", "--tlv", "tag_bytes=2,length_bytes=4")
        with talkers(pair, 7100, 8) as theirs:
            running.more()
            new = rule(daemon, "new")
            assert new["connections"] == 8 and new["congestion_control"] == "newreno"
            assert new["added"] and new["packets"]
            assert not rule(daemon, "echo")["added"]
            change(daemon, "replace", "new", "steer", "--port", "7101", "--app", "echo",
                   "--congestion-control", "newreno", "--backlog", "9")
            assert rule(daemon, "new")["backlog"] == 9
            is_refused(pair, 7100)
            echoes(pair, 7101)
            all_echo(theirs, b"as before")
            moved = rule(daemon, "new")
            change(daemon, "replace", "new", "steer", "--port", "7101", "--app", "echo",
                   "--congestion-control", "newreno", "--comment", "the same")
            same = rule(daemon, "new")
            assert same["id"] == moved["id"] != new["id"] and same["packets"] >= moved["packets"]
        change(daemon, "del", "new")
        is_refused(pair, 7101)
        lib.wait_for(lambda: not rule(daemon, "new", leaving=True), 5, "the rule to be forgotten")
        running.more()
    assert "nothing has changed" not in daemon.log.read_text()


def test_connections_of_a_deleted_rule_go_on(pair, daemon):
    """del -> its connections go on, its port is the kernel's for new ones, which stay there."""
    change(daemon, "add", "new", "steer", "--port", "7100", "--app", "echo")
    with talkers(pair, 7100, 8) as theirs:
        change(daemon, "del", "new")
        left = rule(daemon, "new", leaving=True)
        assert left["connections"] == 8 and not rule(daemon, "new")
        is_refused(pair, 7100)
        with lib.listen(4, pair.server, 7100) as listener, \
                lib.connect(7100, ns=pair.client) as s:
            end, _ = listener.accept()
            with end:
                s.sendall(b"kernel")
                assert lib.recv_exact(end, 6) == b"kernel"
                all_echo(theirs, b"lane")
                end.sendall(b"back")
                assert lib.recv_exact(s, 4) == b"back"
                s.close()  # before the server's end, whose port shall be free again
                assert end.recv(1) == b""
        assert len(daemon.tool("conn", "list", "--rule", "new")["connections"]) == 8
    lib.wait_for(lambda: not rule(daemon, "new", leaving=True), 5, "the rule to be forgotten")
    change(daemon, "add", "new", "steer", "--port", "7100", "--app", "echo")
    assert rule(daemon, "new")["packets"] == 0
    echoes(pair, 7100)


def test_another_application_is_for_new_connections(pair, daemon):
    """replace echo by discard-bytes -> who has echo keeps it, who comes is not answered."""
    before = rule(daemon, "echo")
    with talkers(pair, 7000, 4) as theirs:
        change(daemon, "replace", "echo", "steer", "--port", "7000", "--app", "discard-bytes")
        now = rule(daemon, "echo")
        assert now["id"] != before["id"] and now["app"] == "discard-bytes" and now["packets"] == 0
        with lib.connect(7000, ns=pair.client) as s:
            s.sendall(lib.tlv(1, b"lost"))
            all_echo(theirs, b"as ever")
            s.settimeout(0.2)
            with pytest.raises(socket.timeout):
                s.recv(1)


def test_load_keeps_the_steering_rules_of_the_file(pair, daemon, tmp_path):
    """rule load of JSON and YAML -> all rules of the list; echo and drill of the file stay."""
    change(daemon, "add", "gone", "steer", "--port", "7105", "--app", "echo")
    path = tmp_path / "rules"
    path.write_text("rules:\n"
                    "  - name: one\n    port: 7110-7112\n    app: echo\n    nodelay: true\n"
                    "    heartbeat: {idle_ms: 60000}\n"
                    "  - {name: two, action: drop, source: 198.51.100.0/24, priority: 7}\n",
                    encoding="ascii")
    change(daemon, "load", str(path))
    assert {one["name"] for one in rules(daemon) if not one["leaving"]} == {
        "echo", "drill", "one", "two"}
    assert rule(daemon, "one")["nodelay"] and rule(daemon, "two")["priority"] == 7
    assert rule(daemon, "one")["heartbeat"]["idle_ms"] == 60000
    echoes(pair, 7111)
    is_refused(pair, 7105)
    path.write_text(json.dumps([{"name": "echo", "action": "steer", "port": 7000, "app": "echo"}]),
                    encoding="ascii")
    change(daemon, "load", str(path))
    assert {one["name"] for one in rules(daemon) if not one["leaving"]} == {"echo", "drill"}
    echoes(pair, 7000)


def test_port_of_a_kernel_socket_is_refused(pair, daemon):
    """add for a port that a kernel server has -> one line, nothing changed; fallback: kernel may."""
    generation = daemon.tool("rule", "list")["generation"]
    with lib.listen(4, pair.server, 7100):
        assert "port 7100 is in use by a kernel socket" in refused(
            daemon, "add", "new", "steer", "--port", "7100", "--app", "echo")
        assert daemon.tool("rule", "list")["generation"] == generation
        assert not rule(daemon, "new")
        change(daemon, "add", "new", "steer", "--port", "7100", "--app", "echo", "--fallback",
               "kernel")
        echoes(pair, 7100)


def test_new_worker_has_the_rules(pair, daemon):
    """Rules come and go, then kill -9 of the workers and lane restart: all connections go on, also
    those of the rule that leaves."""
    change(daemon, "add", "stays", "steer", "--port", "7100", "--app", "echo")
    change(daemon, "add", "goes", "steer", "--port", "7101", "--app", "echo")
    with talkers(pair, 7100, 4) as stays, talkers(pair, 7101, 4) as goes:
        change(daemon, "del", "goes")
        for lane in daemon.lanes():
            os.kill(lane["pid"], signal.SIGKILL)
        lib.wait_for(lambda: all(one["state"] == "serving" and one["epoch"] == 2
                                 for one in daemon.lanes()), 5, "other workers")
        all_echo(stays + goes, b"behind the kill")
        assert daemon.tool("lane", "restart")
        all_echo(stays + goes, b"behind the restart")
        echoes(pair, 7100)
        is_refused(pair, 7101)
    lib.wait_for(lambda: not rule(daemon, "goes", leaving=True), 5, "the rule to be forgotten")


def test_lane_that_does_not_answer_refuses(pair, tmp_path):
    """A stopped worker -> after 5 s one line, and nothing changed; it comes back to the rules that
    were, and the next try succeeds."""
    with Daemon(pair, tmp_path, config(RULES, more=PATIENT)) as daemon:
        with talkers(pair, 7000, 8) as theirs:
            stopped = daemon.lanes()[1]["pid"]
            os.kill(stopped, signal.SIGSTOP)
            words = refused(daemon, "add", "new", "steer", "--port", "7100", "--app", "echo")
            os.kill(stopped, signal.SIGCONT)
            assert "mrs0 queue 1: the lane does not answer" in words
            assert "nothing has changed" in words and not rule(daemon, "new")
            all_echo(theirs, b"as ever")
            is_refused(pair, 7100)
            change(daemon, "add", "new", "steer", "--port", "7100", "--app", "echo")
            for _ in range(4):
                echoes(pair, 7100)
        assert daemon.terminate() == 0


def kill_all(daemon):
    for pid in (daemon.pid, *(p for p in scratch.processes()
                              if scratch.name_of(p) == "millraced-child")):
        os.kill(pid, signal.SIGKILL)
    lib.wait_for(lambda: not [p for p in scratch.processes()
                              if scratch.name_of(p) in ("millraced", "millraced-child")], 5,
                 "the daemon's end")


def started(pair, tmp_path, name, text):
    (tmp_path / name).mkdir()
    return Daemon(pair, tmp_path / name, text)


def test_next_daemon_has_the_rules(pair, tmp_path):
    """kill -9 of the daemon with rules that came, went and changed: the next one has them all, under
    the same numbers, while connections of each go on; rules that leave are forgotten by it."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, config(RULES)))
        change(first, "add", "stays", "steer", "--port", "7100", "--app", "echo")
        change(first, "add", "goes", "steer", "--port", "7101", "--app", "echo")
        change(first, "add", "bad", "drop", "--source", "198.51.100.0/24")
        change(first, "del", "drill")
        made = stack.enter_context(connections(pair, 100))
        stays = stack.enter_context(talkers(pair, 7100, 8))
        with talkers(pair, 7101, 8) as goes:
            change(first, "del", "goes")
            lib.wait_for(lambda: not rule(first, "drill", leaving=True), 5, "drill forgotten")
            ids = {(one["name"], one["id"]) for one in rules(first)}
            workers = [lane["pid"] for lane in first.lanes()]
            with load(made) as running:
                kill_all(first)
                running.more()
                all_echo(stays + goes, b"nobody there")
                second = stack.enter_context(started(pair, tmp_path, "second", config(RULES)))
                running.more()
            all_echo(stays + goes, b"somebody there")
            assert [lane["pid"] for lane in second.lanes()] == workers
            assert {(one["name"], one["id"]) for one in rules(second)} == ids
            assert rule(second, "goes", leaving=True)["connections"] == 8
            echoes(pair, 7100)
            is_refused(pair, 7101)
            is_refused(pair, 7006)
        lib.wait_for(lambda: not rule(second, "goes", leaving=True), 5, "the rule to be forgotten")
        assert "rules: taken up from the millraced before us" in second.log.read_text()
        assert second.terminate() == 0


def test_next_daemon_says_what_it_dropped(pair, tmp_path):
    """The file has changed meanwhile: it holds; a rule that came stays unless it clashes, which a
    line says; connections of what is gone go on."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, config(RULES)))
        change(first, "add", "stays", "steer", "--port", "7100", "--app", "echo")
        change(first, "add", "clashes", "steer", "--port", "7101", "--app", "echo")
        theirs = stack.enter_context(talkers(pair, 7101, 4))
        kill_all(first)
        other = scratch.RULE + "  - name: files\n    port: 7101\n    app: discard-bytes\n"
        second = stack.enter_context(started(pair, tmp_path, "second", config(other)))
        log = second.log.read_text()
        assert "rule clashes: added at run time, dropped: the file" in log
        assert {one["name"] for one in rules(second) if not one["leaving"]} == {
            "echo", "stays", "files"}
        all_echo(theirs, b"as before")
        echoes(pair, 7100)
        assert second.terminate() == 0


def test_port_taken_meanwhile_drops_the_rule(pair, tmp_path):
    """No daemon, and a kernel server takes the port of a rule that came: the next daemon drops the
    rule with a line, and the connections that it had go on."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, config(RULES)))
        change(first, "add", "new", "steer", "--port", "7100", "--app", "echo")
        theirs = stack.enter_context(talkers(pair, 7100, 4))
        kill_all(first)
        stack.enter_context(lib.listen(4, pair.server, 7100))
        second = stack.enter_context(started(pair, tmp_path, "second", config(RULES)))
        assert "rule new: port 7100 is in use by a kernel socket" in second.log.read_text()
        assert not rule(second, "new") and rule(second, "new", leaving=True)
        all_echo(theirs, b"as before")
        assert second.terminate() == 0
