# SPDX-License-Identifier: MIT
"""The daemon is killed: lanes go on, and the next daemon takes them up as they run."""
import contextlib
import mmap
import os
import signal
import socket

import pytest

import estate
import lib
import scratch
from scratch import Daemon, all_echo, config, connections, load, nothing_left

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

RULES = scratch.RULE + """\
  - name: drill
    protocol: tcp
    port: 7006
    app: drill
"""


def workers(daemon):
    return [(lane["pid"], lane["epoch"]) for lane in daemon.lanes()]


def named(name):
    return [pid for pid in scratch.processes() if scratch.name_of(pid) == name]


def served_once(pair):
    """One connection, whose queue may have no lane: then the kernel refuses it."""
    try:
        with lib.connect(lib.ECHO, ns=pair.client) as s:
            lib.echo_once(s, 1, b"anew")
    except ConnectionRefusedError:
        return False
    return True


def counters(daemon):
    stats = daemon.tool("stats", "show")
    packets = sum(verdict["packets"] for verdict in stats["verdicts"])
    rules = sum(rule["packets"] for rule in daemon.tool("rule", "list")["rules"])
    return (packets, rules, stats["counters"]["messages_in"], stats["counters"]["segments_in"])


def restarted(pair, tmp_path, name, before=()):
    (tmp_path / name).mkdir()
    return Daemon(pair, tmp_path / name, config(RULES), before=before)


def serving(stack, pair, tmp_path, n):
    """A daemon with connections: it, they, its workers."""
    daemon = stack.enter_context(Daemon(pair, tmp_path, config(RULES)))
    return daemon, stack.enter_context(connections(pair, n)), workers(daemon)


def taken_up(stack, pair, tmp_path, made, before):
    """The next daemon, which has the same workers, and they the same connections."""
    daemon = stack.enter_context(restarted(pair, tmp_path, "second"))
    assert workers(daemon) == before
    all_echo(made, b"and on")
    return daemon


def test_killed_and_restarted_under_load(pair, tmp_path):
    """SIGKILL to parent and child with 1,000 connections under load: they go on while no daemon is
    there; the next one takes up the same workers, lists the connections, counts on from where the
    counters stood, changes rules again, and leaves nothing when it ends."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, config(RULES)))
        made = stack.enter_context(connections(pair, 1000))
        before, program = workers(first), pair.program()
        with load(made) as running:
            running.more()
            counted = counters(first)
            for pid in (first.pid, *named("millraced-child")):
                os.kill(pid, signal.SIGKILL)
            lib.wait_for(lambda: not named("millraced"), 5, "the daemon's end")
            running.more()
            assert pair.program()["id"] == program["id"]
            second = stack.enter_context(restarted(pair, tmp_path, "second"))
            assert workers(second) == before
            assert all(n >= was for n, was in zip(counters(second), counted))
            assert second.figure("gauges", "connections") == 1000
            listed = second.tool("conn", "list", "--limit", "2000")["connections"]
            assert {c["remote_port"] for c in listed} == {s.getsockname()[1] for s in made}
            generation = second.tool("rule", "list")["generation"]
            with lib.connect(7006, ns=pair.client) as s:
                s.sendall(b"B 7100\n")
                lib.wait_for(lambda: second.tool("rule", "list")["generation"] > generation, 5,
                             "a rule of an application")
            running.more()
        assert "taken up" in second.log.read_text()
        assert second.terminate() == 0
        nothing_left(pair)


@pytest.mark.parametrize("times", [3])
def test_killed_again_and_again(pair, tmp_path, times):
    """An adopted lane can be adopted again."""
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon(pair, tmp_path, config(RULES)))
        made = stack.enter_context(connections(pair, 20))
        before = workers(daemon)
        for i in range(times):
            daemon.kill()
            all_echo(made, b"nobody there")
            daemon = stack.enter_context(restarted(pair, tmp_path, str(i)))
            assert workers(daemon) == before
            all_echo(made, b"somebody there")
        assert daemon.terminate() == 0
        nothing_left(pair)


def test_restart_without_a_look_at_others(pair, tmp_path):
    """Without CAP_SYS_ADMIN, as a hardened service, it knows its predecessor's program and maps."""
    without = ("setpriv", "--bounding-set", "-sys_admin")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, config(RULES), before=without))
        made = stack.enter_context(connections(pair, 10))
        before = workers(first)
        first.kill()
        second = stack.enter_context(restarted(pair, tmp_path, "second", without))
        assert workers(second) == before
        all_echo(made, b"still")
        assert second.terminate() == 0
        nothing_left(pair)


def test_child_killed(pair, tmp_path):
    """SIGKILL to the child alone: the parent starts another, the same workers serve."""
    with Daemon(pair, tmp_path, config(RULES)) as daemon, connections(pair, 20) as made:
        before, child = workers(daemon), named("millraced-child")
        os.kill(child[0], signal.SIGKILL)
        all_echo(made, b"without it")
        lib.wait_for(lambda: named("millraced-child") not in ([], child), 5, "another child")
        lib.wait_for(lambda: workers(daemon) == before, 5, "the same workers")
        all_echo(made, b"with it")
        assert daemon.figure("gauges", "connections") == 20
        assert daemon.terminate() == 0
        nothing_left(pair)


def test_child_stopped(pair, tmp_path):
    """SIGSTOP to the child, then SIGKILL to a worker: the parent says so and starts another child,
    which replaces the worker; the other one's connections go on, and the daemon ends as ever."""
    with Daemon(pair, tmp_path, config(RULES, more="heartbeat:\n  grace_ms: 20000\n")) as daemon, \
            connections(pair, 20) as made:
        before, child = workers(daemon), named("millraced-child")
        os.kill(child[0], signal.SIGSTOP)
        os.kill(before[0][0], signal.SIGKILL)
        lib.wait_for(lambda: named("millraced-child") not in ([], child), 10, "another child")
        lib.wait_for(lambda: [epoch for _, epoch in workers(daemon)] ==
                     [before[0][1] + 1, before[1][1]] and daemon.lanes()[0]["state"] == "serving",
                     10, "another worker, and the other one as it was")
        assert workers(daemon)[1] == before[1]
        assert "stands still, it was stopped by a signal" in daemon.log.read_text()
        all_echo(made, b"with it")
        assert daemon.figure("gauges", "connections") == 20
        assert daemon.terminate() == 0
        nothing_left(pair)


def test_keeper_killed(pair, tmp_path):
    """SIGKILL to the keeper: another one takes its place, and the daemon can be killed then."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, config(RULES)))
        made = stack.enter_context(connections(pair, 10))
        before, keeper = workers(first), named("millraced-keep")
        os.kill(keeper[0], signal.SIGKILL)
        lib.wait_for(lambda: named("millraced-keep") not in ([], keeper), 5, "another keeper")
        lib.wait_for(lambda: "another takes its place" in first.log.read_text(), 5, "a log line")
        first.kill()
        second = stack.enter_context(restarted(pair, tmp_path, "second"))
        assert workers(second) == before
        all_echo(made, b"still")
        assert second.terminate() == 0
        nothing_left(pair)


def test_worker_died_while_no_daemon_was_there(pair, tmp_path):
    """The lane of that worker is served anew, the other one's connections go on."""
    with contextlib.ExitStack() as stack:
        first, made, before = serving(stack, pair, tmp_path, 40)
        queue = {c["remote_port"]: c["queue"] for c in first.tool("conn", "list")["connections"]}
        first.kill()
        os.kill(before[0][0], signal.SIGKILL)
        second = stack.enter_context(restarted(pair, tmp_path, "second"))
        lanes = second.lanes()
        assert lanes[0]["pid"] != before[0][0] and lanes[0]["epoch"] == before[0][1] + 1
        assert (lanes[1]["pid"], lanes[1]["epoch"]) == before[1]
        all_echo([s for s in made if queue[s.getsockname()[1]] == 1], b"untouched")
        with connections(pair, 10) as more:
            all_echo(more, b"new ones")
        assert second.terminate() == 0
        nothing_left(pair)


def test_adopted_worker_is_supervised(pair, tmp_path):
    """A worker that another daemon started is replaced when it dies."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, config(RULES)))
        first.kill()
        second = stack.enter_context(restarted(pair, tmp_path, "second"))
        old = second.lanes()[0]["pid"]
        os.kill(old, signal.SIGKILL)
        lib.wait_for(lambda: second.lanes()[0]["pid"] not in (old, None) and
                     second.lanes()[0]["state"] == "serving", 5, "another worker")
        assert second.lanes()[0]["restarts"] == 1
        with connections(pair, 10) as made:
            all_echo(made, b"served")
        assert second.terminate() == 0
        nothing_left(pair)


def test_listener_of_an_application_outlives_the_daemon(pair, tmp_path):
    """A port that an application listens on is reserved and steered still."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, config(RULES)))
        s = stack.enter_context(lib.connect(7006, ns=pair.client))
        s.sendall(b"B 7100\n")
        lib.wait_for(lambda: any(r["dynamic"] for r in first.tool("rule", "list")["rules"]), 5,
                     "the listener")
        first.kill()
        second = stack.enter_context(restarted(pair, tmp_path, "second"))
        rule = next(r for r in second.tool("rule", "list")["rules"] if r["dynamic"])
        assert rule["port"] == 7100
        with pair.server.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
            with pytest.raises(OSError):
                other.bind((lib.SERVER[4], 7100))
        assert second.terminate() == 0
        nothing_left(pair)


def test_other_interfaces_are_refused(pair, tmp_path):
    """A configuration with other lanes than those that run: one line with the cure, and they go on.
    With --fresh they are ended and others begin."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, config(RULES)))
        made = stack.enter_context(connections(pair, 10))
        before = sorted(named("millrace-worker"))
        first.kill()
        path = tmp_path / "one.yaml"
        path.write_text(config(RULES).replace("queues: 2", "queues: 1"))
        line = scratch.refused(pair, path)
        assert "--fresh" in line and "\n" not in line
        all_echo(made, b"go on")
        assert sorted(named("millrace-worker")) == before
        done = pair.server.run(scratch.DAEMON, "--fresh", "-c", path)
        assert done.returncode == 0
        assert not set(before) & set(named("millrace-worker"))
        assert lib.wait_for(lambda: served_once(pair), 5, "a connection on the queue with a lane")
        os.kill(min(named("millraced")), signal.SIGTERM)
        lib.wait_for(lambda: not scratch.processes(), 10, "ended")
        nothing_left(pair)


def hand_over(daemon):
    """What `systemctl restart` does first: SIGUSR2, and the daemon ends in good order."""
    os.kill(daemon.pid, signal.SIGUSR2)
    lib.wait_for(lambda: not named("millraced"), 10, "the daemon's end")
    assert "leaving lanes to the next daemon" in daemon.log.read_text()


def test_handed_over(pair, tmp_path):
    """SIGUSR2: lanes serve on without a daemon; the next one takes them up, puts its own workers in
    place of those that run, and no connection notices; SIGTERM to it leaves nothing."""
    with contextlib.ExitStack() as stack:
        first, made, before = serving(stack, pair, tmp_path, 40)
        hand_over(first)
        all_echo(made, b"nobody there")
        second = stack.enter_context(restarted(pair, tmp_path, "second"))
        lib.wait_for(lambda: [epoch for _, epoch in workers(second)] ==
                     [epoch + 1 for _, epoch in before] and
                     all(lane["state"] == "serving" for lane in second.lanes()), 5, "new workers")
        all_echo(made, b"somebody there")
        second.kill()
        third = stack.enter_context(restarted(pair, tmp_path, "third"))
        all_echo(made, b"and after a kill")
        assert [epoch for _, epoch in workers(third)] == [epoch + 1 for _, epoch in before]
        assert third.terminate() == 0
        nothing_left(pair)


@pytest.mark.parametrize("was,becomes", [("queues: 2", "queues: 1"),
                                         ("connections: 4096", "connections: 8192"),
                                         ("user: nobody", "user: daemon")])
def test_handed_over_to_other_lanes(pair, tmp_path, was, becomes):
    """SIGUSR2, and a configuration whose lanes are others: they are ended and made anew, as after a
    stop, without a word of refusal."""
    text = config(RULES)
    assert was in text
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, text))
        old = set(named("millrace-worker"))
        hand_over(first)
        assert set(named("millrace-worker")) == old
        (tmp_path / "second").mkdir()
        second = stack.enter_context(Daemon(pair, tmp_path / "second", text.replace(was, becomes)))
        assert "made anew" in second.log.read_text()
        assert not old & set(named("millrace-worker"))
        assert lib.wait_for(lambda: served_once(pair), 5, "a connection on a queue with a lane")
        assert second.terminate() == 0
        nothing_left(pair)


def test_changed_rules_are_in_force_after_a_restart(pair, tmp_path):
    """A configuration with one rule more: the same workers learn it, and serve it."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Daemon(pair, tmp_path, config()))
        made = stack.enter_context(connections(pair, 10))
        before = workers(first)
        first.kill()
        second = stack.enter_context(restarted(pair, tmp_path, "second"))
        all_echo(made, b"rules came behind theirs")
        for family in (4, 6):
            with lib.connect(7006, family, ns=pair.client) as s:
                s.sendall(b"B 7100\n")
                assert lib.recv_line(s) == "0"
        assert workers(second) == before
        assert second.terminate() == 0
        nothing_left(pair)


def test_failed_restart_leaves_the_lanes(pair, tmp_path):
    """A restart that fails, because another program took the rule's port meanwhile, ends nothing."""
    with contextlib.ExitStack() as stack:
        first, made, before = serving(stack, pair, tmp_path, 10)
        first.kill()
        with lib.listen(4, pair.server, 7000):
            path = tmp_path / "again.yaml"
            path.write_text(config(RULES))
            assert "7000" in scratch.refused(pair, path)
        all_echo(made, b"go on")
        second = taken_up(stack, pair, tmp_path, made, before)
        assert second.terminate() == 0
        nothing_left(pair)


def test_second_daemon_is_refused(pair, tmp_path):
    """While one lives, another is refused, and takes nothing."""
    with Daemon(pair, tmp_path, config(RULES)) as daemon, connections(pair, 4) as made:
        path = tmp_path / "second.yaml"
        path.write_text(config(RULES))
        assert str(daemon.pid) in scratch.refused(pair, path)
        all_echo(made, b"go on")
        assert daemon.terminate() == 0
        nothing_left(pair)


def test_keeper_that_stands_still(pair, tmp_path):
    """SIGSTOP to the keeper, then the daemon is killed: the next start says so and ends nothing;
    once it goes on, the lanes are taken up. Stopped again, it does not outlive the daemon's end."""
    with contextlib.ExitStack() as stack:
        first, made, before = serving(stack, pair, tmp_path, 10)
        keeper = named("millraced-keep")[0]
        os.kill(keeper, signal.SIGSTOP)
        first.kill()
        line = scratch.refused(pair, first.path)
        assert "does not answer" in line and "--fresh" in line
        all_echo(made, b"go on")
        os.kill(keeper, signal.SIGCONT)
        second = taken_up(stack, pair, tmp_path, made, before)
        os.kill(keeper, signal.SIGSTOP)
        assert second.terminate() == 0
        nothing_left(pair)


def seen_by_the_demo():
    """Processes that need what the demo would remove, were their directories its own."""
    script = lib.ROOT / "scripts" / "demo.sh"
    functions = script.read_text().split("\n[ $# -eq 1 ] || usage\n")[0]
    told = f"run_dir={scratch.RUN} pins={scratch.PINS} server_ns=mr-none config=/none pid_file=/none"
    done = lib.command("bash", "-c", f"{functions}\n{told}\nforeign_daemons", script)
    return {int(pid) for pid in done.stdout.split()}


def test_the_demo_leaves_lanes_of_a_killed_daemon(pair, tmp_path):
    """scripts/demo.sh removes no directory that a daemon needs, nor what one that was killed left
    for the next: keeper and workers, or workers alone."""
    with contextlib.ExitStack() as stack:
        first, _, before = serving(stack, pair, tmp_path, 2)
        pids, keeper = {pid for pid, _ in before}, named("millraced-keep")
        assert seen_by_the_demo() >= {first.pid, *keeper, *pids}
        first.kill()
        lib.wait_for(lambda: seen_by_the_demo() == {*keeper, *pids}, 5, seen_by_the_demo)
        os.kill(keeper[0], signal.SIGKILL)
        lib.wait_for(lambda: seen_by_the_demo() == pids, 5, seen_by_the_demo)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        lib.wait_for(lambda: not seen_by_the_demo(), 5, seen_by_the_demo)
    scratch.leave_nothing()


def test_lanes_of_another_version(pair, tmp_path):
    """What another version left is refused and stays as it is, for that version to take up."""
    with contextlib.ExitStack() as stack:
        first, made, before = serving(stack, pair, tmp_path, 10)
        first.kill()
        with estate.held(scratch.RUN) as held, mmap.mmap(held["record"], mmap.PAGESIZE) as record:
            version = record[4:8]
            record[4:8] = b"\xff\xff\xff\x7f"
            assert "another version" in scratch.refused(pair, first.path)
            record[4:8] = version
        all_echo(made, b"go on")
        second = taken_up(stack, pair, tmp_path, made, before)
        assert second.terminate() == 0
        nothing_left(pair)
