# SPDX-License-Identifier: MIT
"""`interface: bond0`: lanes on the slaves, addresses on the bond. Where the kernel has bonds.

    mr-test-client                              mr-test-server
    mrc0 --+                                  +-- mrs0
           +-- br0, 192.0.2.1     bond0 -----+         192.0.2.2 on bond0
    mrc1 --+                                  +-- mrs1
"""
import json

import pytest

import lib
import scratch
from scratch import INTERFACE, Daemon, Pair, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

SECOND = "mrs1"


def tell(ns, *lines):
    for line in lines:
        ns.run(*line.split())


@pytest.fixture
def bond():
    with Pair() as pair:
        made = pair.server.run("ip", "link", "add", "bond0", "type", "bond", "mode",
                               "active-backup", "miimon", "20", check=False)
        if made.returncode:
            pytest.skip(f"this kernel makes no bonds: {made.stderr.strip()}")
        tell(pair.client,
             f"ip link add mrc1 type veth peer name {SECOND} netns {scratch.SERVER_NS}",
             "ethtool -K mrc1 tx off",
             "ip link add br0 type bridge", "ip addr flush dev mrc0",
             "ip link set mrc0 master br0", "ip link set mrc1 master br0", "ip link set mrc1 up",
             "ip addr add 192.0.2.1/24 dev br0", "ip link set br0 up")
        tell(pair.server, f"ethtool -K {SECOND} tx off", f"ip addr flush dev {INTERFACE}",
             f"ip link set {INTERFACE} down", f"ip link set {INTERFACE} master bond0",
             f"ip link set {SECOND} master bond0", "ip link set bond0 up",
             "ip addr add 192.0.2.2/24 dev bond0")
        yield pair
    scratch.leave_nothing()


def all_queues():
    return config(interface="bond0").replace("    queues: 2\n", "")


def links(daemon):
    return {lane["interface"]: (lane["state"], lane["link"], lane["bond"])
            for lane in daemon.lanes()}


def becomes(daemon, expected):
    lib.wait_for(lambda: links(daemon) == expected, 10,
                 lambda: f"{expected}: {links(daemon)}\n{daemon.log.read_text()}")


def echo(pair):
    with lib.connect(lib.ECHO, ns=pair.client) as s:
        lib.echo_once(s, 1, b"over the bond")


def test_slaves_are_served_and_followed(bond, tmp_path):
    """Lanes on both slaves; the backup's frames are the kernel's. Another slave becomes active: new
    connections come there. One leaves: its lanes are off; joins again: they serve."""
    with Daemon(bond, tmp_path, all_queues()) as daemon:
        becomes(daemon, {INTERFACE: ("serving", "up", "bond0"),
                         SECOND: ("serving", "backup", "bond0")})
        echo(bond)
        bond.server.run("ip", "link", "set", "bond0", "type", "bond", "active_slave", SECOND)
        becomes(daemon, {INTERFACE: ("serving", "backup", "bond0"),
                         SECOND: ("serving", "up", "bond0")})
        echo(bond)
        bond.server.run("ip", "link", "set", INTERFACE, "nomaster")
        becomes(daemon, {INTERFACE: ("off", "gone", "bond0"), SECOND: ("serving", "up", "bond0")})
        echo(bond)
        tell(bond.server, f"ip link set {INTERFACE} down", f"ip link set {INTERFACE} master bond0")
        becomes(daemon, {INTERFACE: ("serving", "backup", "bond0"),
                         SECOND: ("serving", "up", "bond0")})
        shown = bond.server.run(lib.BUILD / "millrace", "-s", daemon.socket, "lane", "list").stdout
        assert f"{SECOND} of bond0" in shown
        assert daemon.terminate() == 0
    for name in (INTERFACE, SECOND):
        shown = bond.server.run("ip", "-j", "-d", "link", "show", name).stdout
        assert "xdp" not in json.loads(shown)[0]


def test_slave_that_joins_while_lanes_serve(bond, tmp_path):
    """One that was none at the start: it gets lanes of its own."""
    bond.server.run("ip", "link", "set", SECOND, "nomaster")
    with Daemon(bond, tmp_path, all_queues()) as daemon:
        becomes(daemon, {INTERFACE: ("serving", "up", "bond0")})
        tell(bond.server, f"ip link set {SECOND} down", f"ip link set {SECOND} master bond0")
        becomes(daemon, {INTERFACE: ("serving", "up", "bond0"),
                         SECOND: ("serving", "backup", "bond0")})
        echo(bond)
