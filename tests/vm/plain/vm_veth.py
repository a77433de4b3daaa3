# SPDX-License-Identifier: MIT
"""Tests of tests/veth that show something else on this kernel: bonds, which not every kernel makes,
and sockets that are renewed, which is the only way before Linux 6.4."""
import pytest

import scratch
from scratch import Daemon, all_echo, config, connections
# pylint: disable=unused-import
from test_bond import bond, test_slave_that_joins_while_lanes_serve  # noqa: F401
from test_bond import test_slaves_are_served_and_followed  # noqa: F401
from test_sockets import test_child_killed_and_drained, test_daemon_killed  # noqa: F401
from test_sockets import PATIENT, kill_both

BOUND_IS_MAPPED_SINCE = (6, 4)


@pytest.fixture(name="pair")
def two_namespaces():
    scratch.leave_nothing()
    with scratch.Pair() as made:
        yield made
    scratch.leave_nothing()


def test_sockets_are_kept_where_they_can_be(pair, tmp_path, kernel, fact):
    """Without a word in the configuration: `kept` since Linux 6.4, `renewed` before; a worker that
    replaces another goes on with its connections either way."""
    with Daemon(pair, tmp_path, config(more=PATIENT)) as daemon, connections(pair, 20) as made:
        word = daemon.lanes()[0]["socket"]
        fact("sockets", word)
        assert word == ("kept" if kernel >= BOUND_IS_MAPPED_SINCE else "renewed")
        kill_both(daemon)
        all_echo(made, b"after both")
        assert daemon.terminate() == 0
