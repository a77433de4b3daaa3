# SPDX-License-Identifier: MIT
"""The configuration, read again: SIGHUP and `millrace config reload`."""
import contextlib
import os
import signal

import pytest

import lib
import scratch
from scratch import Daemon, all_echo, config, connections

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

OTHER = scratch.RULE.replace("name: echo", "name: other").replace("7000", "7100")
BLOCK = """\
guard:
  block:
    - {path}
"""


@pytest.fixture
def pair():
    with scratch.Pair() as made:
        yield made
    scratch.leave_nothing()


def reload(daemon):
    """By the tool: its JSON; the same workers serve on."""
    before = [(lane["pid"], lane["epoch"]) for lane in daemon.lanes()]
    answer = daemon.tool("config", "reload")
    lib.wait_for(lambda: [(lane["pid"], lane["epoch"]) for lane in daemon.lanes()] == before, 10,
                 "the same workers")
    return answer


def refused(daemon):
    done = daemon.pair.server.run(lib.BUILD / "millrace", "-s", daemon.socket, "config", "reload",
                                  check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def names(daemon):
    return sorted(rule["name"] for rule in daemon.tool("rule", "list")["rules"]
                  if not rule.get("leaving"))


def serves(pair, port):
    with lib.connect(port, ns=pair.client) as s:
        lib.echo_once(s, 1, b"served")
    return True


def is_refused(pair, port):
    with pytest.raises(ConnectionRefusedError):
        lib.connect(port, ns=pair.client)


def test_rules_of_the_file(pair, tmp_path):
    """A rule more, and one less: in force at once, no worker is replaced, no connection lost, those
    of the rule that goes go on; by the tool, and by SIGHUP."""
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon(pair, tmp_path, config()))
        made = stack.enter_context(connections(pair, 10))
        daemon.path.write_text(config(scratch.RULE + OTHER))
        assert reload(daemon) == {"v": 1, "file": str(daemon.path), "rules": 2, "left": [],
                                  "dropped": []}
        assert names(daemon) == ["echo", "other"] and serves(pair, 7100)
        daemon.path.write_text(config(OTHER))
        os.kill(daemon.pid, signal.SIGHUP)
        lib.wait_for(lambda: daemon.lanes() and names(daemon) == ["other"], 10, "one rule")
        is_refused(pair, 7000)
        all_echo(made, b"of a rule that goes")
        assert serves(pair, 7100)
        assert daemon.terminate() == 0
        scratch.nothing_left(pair)


def test_additions_stay_and_the_file_wins(pair, tmp_path):
    """What `rule add` made stays beside the file's rules; what it took of them, or put in their
    place, is as the file has it; and all is so for the next daemon, after a SIGKILL."""
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon(pair, tmp_path, config(scratch.RULE + OTHER)))
        assert daemon.tool("rule", "add", "mine", "steer", "--port", "7200", "--app", "echo")
        assert daemon.tool("rule", "add", "clash", "steer", "--port", "7300", "--app", "echo")
        assert daemon.tool("rule", "del", "echo")
        is_refused(pair, 7000)
        third = OTHER.replace("name: other", "name: third").replace("7100", "7300")
        daemon.path.write_text(config(scratch.RULE + OTHER + third))
        answer = reload(daemon)
        assert answer["dropped"] == ["clash"] and answer["rules"] == 4
        assert names(daemon) == ["echo", "mine", "other", "third"]
        assert all(serves(pair, port) for port in (7000, 7100, 7200, 7300))
        daemon.kill()
        lib.wait_for(lambda: not any(scratch.name_of(pid) == "millraced-child"
                                     for pid in scratch.processes()), 5, "its end")
        (tmp_path / "next").mkdir()
        second = stack.enter_context(Daemon(pair, tmp_path / "next",
                                            config(scratch.RULE + OTHER + third)))
        assert names(second) == ["echo", "mine", "other", "third"]
        assert serves(pair, 7200)
        assert second.terminate() == 0
        scratch.nothing_left(pair)


def test_a_bad_file_changes_nothing(pair, tmp_path):
    """One line with file, line and cure; SIGHUP says the same in the log; what cannot be had without
    a restart is refused with all of it."""
    with Daemon(pair, tmp_path, config()) as daemon, connections(pair, 4) as made:
        generation = daemon.tool("rule", "list")["generation"]
        daemon.path.write_text(config(scratch.RULE + OTHER) + "    speed: 5\n")
        line = refused(daemon)
        assert f"{daemon.path}:" in line and "speed" in line and "unknown key" in line
        os.kill(daemon.pid, signal.SIGHUP)
        lib.wait_for(lambda: daemon.log.read_text().count("nothing has changed") == 2, 5, "a line")
        store = OTHER.replace("app: echo", f"app: store\n    directory: {tmp_path}/new")
        daemon.path.write_text(config(scratch.RULE + store))
        line = refused(daemon)
        assert "rule other" in line and "restart millraced" in line
        os.unlink(daemon.path)
        assert str(daemon.path) in refused(daemon)
        assert names(daemon) == ["echo"]
        assert daemon.tool("rule", "list")["generation"] == generation
        all_echo(made, b"as ever")
        daemon.path.write_text(config(scratch.RULE + OTHER))
        assert reload(daemon)["rules"] == 2


def test_other_settings_are_named_and_left(pair, tmp_path):
    """What lanes are made of stays as it is until a restart; one line names it; rules change."""
    with Daemon(pair, tmp_path, config()) as daemon:
        daemon.path.write_text(config(scratch.RULE + OTHER, more="tcp:\n  nagle: false\n")
                               .replace("frames: 4096", "frames: 8192")
                               .replace("queues: 2", "queues: 1"))
        was = daemon.tool("config", "show")
        answer = reload(daemon)
        assert answer["left"] == ["interfaces", "lanes.frames", "tcp.nagle"]
        assert "left as they are until a restart: interfaces, lanes.frames, tcp.nagle" in \
            daemon.log.read_text()
        now = daemon.tool("config", "show")
        assert (now["lanes"], now["tcp"], now["interfaces"]) == \
            (was["lanes"], was["tcp"], was["interfaces"])
        assert serves(pair, 7100)


def test_guard_of_the_file(pair, tmp_path):
    """Block lists are read again, with what was changed at run time over them."""
    blocks = tmp_path / "block"
    blocks.write_text("198.51.100.0/24\n")
    text = config(more=BLOCK.format(path=blocks))
    with Daemon(pair, tmp_path, text) as daemon:
        assert daemon.tool("guard", "block", "add", "203.0.113.7")
        blocks.write_text("198.51.100.0/25\n192.0.2.1\n")
        assert reload(daemon)
        shown = {one["prefix"] for one in daemon.tool("guard", "block", "list")["blocks"]}
        assert shown == {"198.51.100.0/25", "192.0.2.1/32", "203.0.113.7/32"}
        with pytest.raises(OSError):
            with lib.connect(lib.ECHO, ns=pair.client, timeout=1) as s:
                lib.echo_once(s, 1, b"blocked")
        blocks.write_text("198.51.100.0/25\n")
        assert reload(daemon)
        assert serves(pair, 7000)
        assert daemon.tool("guard", "reset")
        shown = {one["prefix"] for one in daemon.tool("guard", "block", "list")["blocks"]}
        assert shown == {"198.51.100.0/25"}


def test_reload_while_a_lane_refuses(pair, tmp_path):
    """A lane that stands still does not agree: nothing changes, and who asked is told."""
    with Daemon(pair, tmp_path, config(more="heartbeat:\n  grace_ms: 20000\n")) as daemon:
        stopped = daemon.lanes()[1]["pid"]
        os.kill(stopped, signal.SIGSTOP)
        daemon.path.write_text(config(scratch.RULE + OTHER))
        assert "does not answer" in refused(daemon)
        os.kill(stopped, signal.SIGCONT)
        assert names(daemon) == ["echo"]
        assert reload(daemon)["left"] == ["heartbeat.grace_ms"]
        assert names(daemon) == ["echo", "other"]
