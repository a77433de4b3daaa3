# SPDX-License-Identifier: MIT
"""The interface changes under the daemon: a log line, the right state, service without a restart."""
import json

import pytest

import lib
import scratch
from scratch import INTERFACE, Daemon, Pair, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]


@pytest.fixture
def pair():
    with Pair() as made:
        yield made
    scratch.leave_nothing()


def echo(pair, family=4):
    with lib.connect(lib.ECHO, family, ns=pair.client) as s:
        lib.echo_once(s, 1, b"hello")


def status(daemon):
    shown = lib.command("curl", "-s", "--unix-socket", daemon.socket, "http://m/v1/status")
    return json.loads(shown.stdout)


def states(daemon):
    return {(lane["state"], lane["link"]) for lane in daemon.lanes()}


def becomes(daemon, state, link, seconds=10):
    lib.wait_for(lambda: states(daemon) == {(state, link)}, seconds,
                 lambda: f"{state}, link {link}: {states(daemon)}\n{daemon.log.read_text()}")


def logged(daemon, words):
    lib.wait_for(lambda: words in daemon.log.read_text(), 5,
                 lambda: f"log line {words!r}:\n{daemon.log.read_text()}")


def ip(pair, *words):
    pair.server.run("ip", *words)


def make_veth(pair, mtu=1500, queues=2):
    """The pair's interfaces anew, as scripts/veth.sh made them."""
    each = ["numtxqueues", queues, "numrxqueues", queues]
    ip(pair, "link", "add", INTERFACE, "mtu", mtu, *each, "type", "veth", "peer", "name",
       lib.CLIENT_IF, "netns", scratch.CLIENT_NS, *each)
    for ns, name, host in ((pair.server, INTERFACE, 2), (pair.client, lib.CLIENT_IF, 1)):
        ns.run("ethtool", "-K", name, "tx", "off")
        ns.run("ip", "addr", "add", f"192.0.2.{host}/24", "dev", name)
        ns.run("ip", "addr", "add", f"2001:db8::{host}/64", "dev", name, "nodad")
        ns.run("ip", "link", "set", name, "up", "mtu", str(mtu))


@pytest.mark.parametrize("how", ["netlink", "link"])
def test_deleted_and_made_again(how, pair, tmp_path):
    """The interface is deleted: lanes are off. One of its name is made, with another MTU: lanes
    serve on it; a second time, too; SIGTERM leaves nothing."""
    with Daemon(pair, tmp_path, config(more_interface=f"    attach: {how}\n")) as daemon:
        echo(pair)
        for mtu in (1500, 1400):
            ip(pair, "link", "del", INTERFACE)
            becomes(daemon, "off", "gone")
            logged(daemon, f"{INTERFACE}: interface was deleted")
            assert status(daemon)["state"] == "degraded"
            make_veth(pair, mtu)
            becomes(daemon, "serving", "up")
            logged(daemon, f"{INTERFACE}: interface is back")
            interface = status(daemon)["interfaces"][0]
            assert interface["program_id"] == pair.program()["id"] and interface["mtu"] == mtu
            echo(pair, 4)
            echo(pair, 6)
        assert daemon.terminate() == 0
    assert pair.program() == {}


def test_back_with_fewer_queues_waits(pair, tmp_path):
    """One of the name with fewer queues: the log says what is missing, the lanes wait; with enough
    of them they serve."""
    with Daemon(pair, tmp_path, config()) as daemon:
        ip(pair, "link", "del", INTERFACE)
        becomes(daemon, "off", "gone")
        make_veth(pair, queues=1)
        logged(daemon, f"{INTERFACE}: has 1 receive queues")
        logged(daemon, "its lanes wait")
        assert states(daemon) == {("off", "gone")}
        ip(pair, "link", "del", INTERFACE)
        make_veth(pair)
        becomes(daemon, "serving", "up")
        echo(pair)


def test_down_and_up(pair, tmp_path):
    """Set down and up: said in the log and by lane list; an established connection goes on."""
    with Daemon(pair, tmp_path, config()) as daemon, lib.connect(lib.ECHO, ns=pair.client) as s:
        lib.echo_once(s, 1, b"before")
        ip(pair, "link", "set", INTERFACE, "down")
        becomes(daemon, "serving", "down")
        logged(daemon, f"{INTERFACE}: link is down")
        ip(pair, "link", "set", INTERFACE, "up")
        becomes(daemon, "serving", "up")
        logged(daemon, f"{INTERFACE}: link is up")
        lib.echo_once(s, 2, b"after")


def test_renamed(pair, tmp_path):
    """Renamed: said in the log and by lane list; lanes go on; with its name back all is as before."""
    with Daemon(pair, tmp_path, config()) as daemon, lib.connect(lib.ECHO, ns=pair.client) as s:
        for name, other, link in ((INTERFACE, "other0", "renamed"), ("other0", INTERFACE, "up")):
            ip(pair, "link", "set", name, "down")
            ip(pair, "link", "set", name, "name", other)
            ip(pair, "link", "set", other, "up")
            becomes(daemon, "serving", link)
            lib.echo_once(s, 1, b"go on")
        logged(daemon, f"{INTERFACE}: interface is named other0 now")
        logged(daemon, f"{INTERFACE}: interface has its name again")
        assert status(daemon)["state"] == "serving"


def test_mtu_and_addresses(pair, tmp_path):
    """The MTU changes, an address goes and comes: a log line each, and both are used."""
    with Daemon(pair, tmp_path, config()) as daemon:
        ip(pair, "link", "set", INTERFACE, "mtu", "1300")
        logged(daemon, f"{INTERFACE}: MTU is 1300 now")
        lib.wait_for(lambda: status(daemon)["interfaces"][0]["mtu"] == 1300, 3, "MTU in status")
        ip(pair, "link", "set", INTERFACE, "mtu", "1500")
        logged(daemon, f"{INTERFACE}: MTU is 1500 now")
        ip(pair, "addr", "add", "192.0.2.77/24", "dev", INTERFACE)
        logged(daemon, f"{INTERFACE}: address 192.0.2.77 is there now")
        with lib.connect(lib.ECHO, address="192.0.2.77", ns=pair.client) as s:
            lib.echo_once(s, 1, b"new address")
        ip(pair, "addr", "del", "192.0.2.77/24", "dev", INTERFACE)
        logged(daemon, f"{INTERFACE}: address 192.0.2.77 is gone")
        echo(pair)
