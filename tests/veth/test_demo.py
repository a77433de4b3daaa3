# SPDX-License-Identifier: MIT
"""scripts/demo.sh up where something is wrong with the set-up that stands."""
import os
import signal

import pytest

import figures
import lib


def ways():
    return {lane["attach"] for lane in figures.lanes()}


@pytest.mark.kills_workers
@pytest.mark.limit(60)
def test_up_heals_a_program_taken_off():
    """A set-up whose program somebody took off answers nobody, so it begins anew."""
    lib.server.run("ip", "link", "set", "dev", lib.SERVER_IF, "xdp", "off")
    lib.wait_for(lambda: ways() == {"none"}, 5, lambda: f"lanes say so: {ways()}")
    lib.demo("up")
    assert ways() == {"native"}
    with lib.connect(lib.ECHO) as s:
        lib.echo_once(s, 1, b"again")


@pytest.mark.limit(60)
def test_up_after_the_daemon_was_killed_keeps_connections():
    """kill -9 of the daemon: the next one takes up the lanes that live, and their connections."""
    daemon = int((lib.BUILD / "demo" / "millraced.pid").read_text())
    workers = figures.pids()
    with lib.connect(lib.ECHO) as s:
        lib.echo_once(s, 1, b"before")
        os.kill(daemon, signal.SIGKILL)
        lib.echo_once(s, 1, b"without a daemon")
        lib.demo("up")
        lib.echo_once(s, 1, b"with another")
        assert figures.pids() == workers
