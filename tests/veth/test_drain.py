# SPDX-License-Identifier: MIT
"""millrace lane drain and lane resume."""
import os
import signal

import pytest

import lib
import scratch
from scratch import Daemon, all_echo, config, connections

pytestmark = [pytest.mark.scratch, pytest.mark.limit(40)]


@pytest.fixture
def daemon(tmp_path):
    scratch.leave_nothing()
    with scratch.Pair() as pair, Daemon(pair, tmp_path, config()) as running:
        yield running
    scratch.leave_nothing()


def states(daemon):
    return [lane["state"] for lane in daemon.lanes()]


def await_state(daemon, state):
    lib.wait_for(lambda: states(daemon) == [state] * 2, 10, lambda: f"{state}: {states(daemon)}")


def refused(daemon):
    with pytest.raises(ConnectionRefusedError):
        lib.connect(lib.ECHO, ns=daemon.pair.client)
    return True


def test_drain_waits_for_those_that_stand(daemon):
    """New connections are refused, old ones go on; when the last is closed the lanes stop, and start
    again when they are told to."""
    with connections(daemon.pair, 20) as made:
        before = [lane["pid"] for lane in daemon.lanes()]
        assert daemon.tool("lane", "drain", "all")
        lib.wait_for(lambda: set(states(daemon)) <= {"draining", "stale"}, 5, "draining")
        assert refused(daemon)
        all_echo(made, b"go on")
        assert [lane["pid"] for lane in daemon.lanes()] == before
        assert daemon.figure("gauges", "connections") == 20
    await_state(daemon, "drained")
    assert [lane["pid"] for lane in daemon.lanes()] == [None, None]
    assert [lane["drain"] for lane in daemon.lanes()] == [{"left_ms": None, "reset": 0}] * 2
    assert refused(daemon)
    assert daemon.tool("lane", "resume", "all")
    await_state(daemon, "serving")
    with connections(daemon.pair, 20) as made:
        all_echo(made, b"anew")


def test_drain_with_a_deadline(daemon):
    """What stands at the deadline is reset and counted."""
    with connections(daemon.pair, 20) as made:
        assert daemon.tool("lane", "drain", "all", "--deadline", "1")
        for s in made:
            lib.expect_reset(s, 10)
    await_state(daemon, "drained")
    assert sum(lane["drain"]["reset"] for lane in daemon.lanes()) == 20
    assert "connections are reset" in daemon.log.read_text()


def test_drain_of_one_lane_and_back(daemon):
    """The other lane opens connections; a resumed one as well, and has lost nobody."""
    with connections(daemon.pair, 20) as made:
        assert daemon.tool("lane", "drain", "mrs0:0")
        lib.wait_for(lambda: states(daemon)[0] == "draining", 5, "draining")
        assert states(daemon)[1] in ("serving", "stale")
        assert daemon.tool("lane", "resume", "0")
        await_state(daemon, "serving")
        with connections(daemon.pair, 20) as more:
            all_echo(made + more, b"all of them")


def children():
    return [pid for pid in scratch.processes() if scratch.name_of(pid) == "millraced-child"]


def another_child(daemon):
    """SIGKILL to the control process, and another one answers."""
    before = children()
    os.kill(before[0], signal.SIGKILL)
    lib.wait_for(lambda: children() not in ([], before) and daemon.lanes(), 10,
                 "another control process")


def another_daemon(daemon, tmp_path):
    """SIGKILL to parent and control process, and another daemon."""
    child = children()
    daemon.kill()
    os.kill(child[0], signal.SIGKILL)
    lib.wait_for(lambda: not children(), 5, "its end")
    (tmp_path / "next").mkdir(exist_ok=True)
    return Daemon(daemon.pair, tmp_path / "next", config(),
                  states=("serving", "draining", "drained", "stale"))


def test_drained_stays_drained(daemon, tmp_path):
    """A lane that is drained is so for the next control process and for the next daemon, which says
    that it has started; resumed there, it serves."""
    assert daemon.tool("lane", "drain", "mrs0:1")
    lib.wait_for(lambda: states(daemon) == ["serving", "drained"], 10, lambda: states(daemon))
    another_child(daemon)
    lib.wait_for(lambda: states(daemon) == ["serving", "drained"], 10, lambda: states(daemon))
    with another_daemon(daemon, tmp_path) as second:
        lib.wait_for(lambda: states(second) == ["serving", "drained"], 10, lambda: states(second))
        assert [lane["pid"] is None for lane in second.lanes()] == [False, True]
        assert second.tool("lane", "resume", "all")
        await_state(second, "serving")
        with connections(daemon.pair, 20) as made:
            all_echo(made, b"of both lanes")
            another_child(second)
            lib.wait_for(lambda: set(states(second)) <= {"serving", "stale"}, 10,
                         lambda: states(second))
            all_echo(made, b"resumed for good")


def test_draining_goes_on(daemon, tmp_path):
    """A lane that drains does so under the next control process and the next daemon; also when its
    worker is killed meanwhile. The deadline holds across both."""
    with connections(daemon.pair, 20) as made:
        assert daemon.tool("lane", "drain", "all", "--deadline", "600")
        lib.wait_for(lambda: set(states(daemon)) <= {"draining", "stale"}, 5, "draining")
        another_child(daemon)
        lib.wait_for(lambda: set(states(daemon)) <= {"draining", "stale"}, 5,
                     lambda: states(daemon))
        with another_daemon(daemon, tmp_path) as second:
            lib.wait_for(lambda: set(states(second)) <= {"draining", "stale"}, 5,
                         lambda: states(second))
            assert all(0 < lane["drain"]["left_ms"] <= 600000 for lane in second.lanes())
            assert refused(second)
            all_echo(made, b"until they are done")
            os.kill(second.lanes()[0]["pid"], signal.SIGKILL)
            lib.wait_for(lambda: second.lanes()[0]["epoch"] == 2 and
                         set(states(second)) <= {"draining", "stale"}, 10, lambda: states(second))
            assert refused(second)
            all_echo(made, b"and on")
            for s in made:
                s.close()
            await_state(second, "drained")


def test_bad_requests_are_refused(daemon):
    """No such lane, a deadline that is none: an error, and nothing drains."""
    for words in (("drain", "mrs0:7"), ("drain", "nowhere"), ("resume", "mrs0:7"),
                  ("drain", "all", "--deadline", "0")):
        assert daemon.tool("lane", *words) is None
    await_state(daemon, "serving")
