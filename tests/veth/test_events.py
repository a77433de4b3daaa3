# SPDX-License-Identifier: MIT
"""The interface changes under the daemon: a log line, the right state, service without a restart."""
import contextlib
import json
import os
import select
import signal
import socket

import pytest

import lib
import scratch
from scratch import INTERFACE, Daemon, Pair, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]


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


def test_drained_lane_stays_so_when_its_interface_is_back(pair, tmp_path):
    """The interface is deleted and made again: a lane that was drained, or was to be, opens nothing
    on it; resumed, it serves."""
    with Daemon(pair, tmp_path, config()) as daemon:
        daemon.tool("lane", "drain", f"{INTERFACE}:1")
        lib.wait_for(lambda: daemon.lanes()[1]["state"] == "drained", 5, "drained")
        ip(pair, "link", "del", INTERFACE)
        lib.wait_for(lambda: daemon.lanes()[0]["state"] == "off", 10, "off")
        make_veth(pair)
        lib.wait_for(lambda: [lane["state"] for lane in daemon.lanes()] == ["serving", "drained"],
                     10, lambda: states(daemon))
        daemon.tool("lane", "resume", f"{INTERFACE}:1")
        becomes(daemon, "serving", "up")
        echo(pair)
        assert daemon.terminate() == 0


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


def test_moved_to_another_namespace_and_back(pair, tmp_path):
    """To the host the interface is gone; it is back with the program that it took along, once."""
    with Daemon(pair, tmp_path, config()) as daemon:
        ip(pair, "link", "set", INTERFACE, "netns", scratch.CLIENT_NS)
        becomes(daemon, "off", "gone")
        pair.client.run("ip", "link", "set", INTERFACE, "netns", scratch.SERVER_NS)
        ip(pair, "addr", "add", "192.0.2.2/24", "dev", INTERFACE)
        ip(pair, "link", "set", INTERFACE, "up")
        becomes(daemon, "serving", "up")
        echo(pair)
        assert daemon.terminate() == 0
    assert pair.program() == {}


# ----- receive queues that come and go -----

ALL_QUEUES = config().replace("    queues: 2\n", "")


def channels(ns, name, n, check=True):
    return ns.run("ethtool", "-L", name, "rx", n, "tx", n, check=check)


@pytest.fixture
def wide():
    """A pair that could have four queues at each end, and uses two."""
    with Pair(4) as made:
        channels(made.client, lib.CLIENT_IF, 2)
        channels(made.server, INTERFACE, 2)
        yield made
    scratch.leave_nothing()


def serve(daemon, n):
    lib.wait_for(lambda: [lane["state"] for lane in daemon.lanes()] == ["serving"] * n, 10,
                 lambda: f"{n} lanes serve: {daemon.lanes()}\n{daemon.log.read_text()}")


def segments(daemon, queue):
    return daemon.lanes()[queue]["counters"]["segments_in"]


def test_queues_are_added(wide, tmp_path):
    """ethtool -L while connections talk: the new queues get lanes, and what moves to them goes on.
    A daemon that is killed then leaves four lanes to the next one."""
    with Daemon(wide, tmp_path, ALL_QUEUES) as daemon:
        serve(daemon, 2)
        with scratch.connections(wide, 8) as made:
            with scratch.load(made) as load:
                channels(wide.server, INTERFACE, 4)
                serve(daemon, 4)
                load.more()
                # veth: which queue a frame comes to is the sender's choice, now of four
                channels(wide.client, lib.CLIENT_IF, 4)
                load.more()
            logged(daemon, f"{INTERFACE}: 4 receive queues now, 2 before")
            assert status(daemon)["state"] == "serving"
            with scratch.connections(wide, 24) as more:
                assert segments(daemon, 2) and segments(daemon, 3)
                daemon.kill()
                with Daemon(wide, tmp_path, ALL_QUEUES) as daemon:
                    serve(daemon, 4)
                    scratch.all_echo(made + more, b"of the next one")
                    assert daemon.figure("counters", "resets_out") == 0
                    assert daemon.terminate() == 0


def test_connections_wait_for_a_queue_to_get_its_lane(wide, tmp_path):
    """Queues are there before anybody could know, with the program: what comes to them is not for
    the kernel, which would reset it. It comes again when the lane is there."""
    with Daemon(wide, tmp_path, ALL_QUEUES) as daemon:
        child = status(daemon)["child_pid"]
        made = [lib.connect(lib.ECHO, ns=wide.client) for _ in range(12)]
        os.kill(child, signal.SIGSTOP)
        channels(wide.server, INTERFACE, 4)
        ip(wide, "link", "set", INTERFACE, "down")  # veth: now the program runs on all of them
        ip(wide, "link", "set", INTERFACE, "up")
        channels(wide.client, lib.CLIENT_IF, 4)
        for s in made:
            s.sendall(lib.tlv(7, b"patience"))
        # nothing is to be seen of what must not happen; a reset would come within this time
        lib.wait_for(lambda: sum(waits(s) for s in made) > 1, 1, "answers of the lanes there are")
        with contextlib.suppress(ProcessLookupError):  # another one has taken its place
            os.kill(child, signal.SIGCONT)
        serve(daemon, 4)
        for s in made:
            assert lib.read_tlv(s) == (7, b"patience")
            s.close()


def waits(s):
    """Is there something to be read? Raises when it is a reset."""
    return bool(select.select([s], [], [], 0)[0] and s.recv(1, socket.MSG_PEEK))


def test_queue_is_taken_away_when_its_lane_is_drained(wide, tmp_path):
    """The kernel keeps a queue that has a lane. Drained, it may go: its lane is off, the other one
    serves; when it is back, so is its lane."""
    with Daemon(wide, tmp_path, ALL_QUEUES) as daemon:
        channels(wide.client, lib.CLIENT_IF, 1)
        assert channels(wide.server, INTERFACE, 1, check=False).returncode != 0
        daemon.tool("lane", "drain", f"{INTERFACE}:1")
        lib.wait_for(lambda: daemon.lanes()[1]["state"] == "drained", 5, "drained")
        lib.wait_for(lambda: channels(wide.server, INTERFACE, 1, check=False).returncode == 0, 3,
                     "the queue to be free")
        lib.wait_for(lambda: daemon.lanes()[1]["state"] == "off", 5, lambda: daemon.lanes())
        assert "no such queue" in daemon.lanes()[1]["why"]
        assert any("no such queue" in line for line in status(daemon)["problems"])
        with lib.connect(lib.ECHO, ns=wide.client) as s:
            lib.echo_once(s, 1, b"on the one that is left")
            channels(wide.server, INTERFACE, 2)
            serve(daemon, 2)
            lib.echo_once(s, 2, b"still")
        logged(daemon, f"{INTERFACE}: 1 receive queues now, 2 before")


def test_drained_lane_is_resumed_on_a_new_socket(wide, tmp_path):
    """Its socket was closed: resume opens one over the same memory, and what was in hand is free."""
    with Daemon(wide, tmp_path, ALL_QUEUES) as daemon:
        frames = {lane["queue"]: sum(lane["frames"].values()) for lane in daemon.lanes()}
        for _ in range(2):
            with scratch.connections(wide, 8):
                for queue in (0, 1):
                    daemon.tool("lane", "drain", f"{INTERFACE}:{queue}", "--deadline", "1")
                lib.wait_for(lambda: {x["state"] for x in daemon.lanes()} == {"drained"}, 5,
                             lambda: f"drained: {daemon.lanes()}")
            daemon.tool("lane", "resume", f"{INTERFACE}:0")
            daemon.tool("lane", "resume", f"{INTERFACE}:1")
            serve(daemon, 2)
            with scratch.connections(wide, 8) as made:
                scratch.all_echo(made, b"again")
        assert {x["queue"]: sum(x["frames"].values()) for x in daemon.lanes()} == frames


def test_more_queues_than_the_configuration_has_lanes_for(wide, tmp_path):
    """queues: 2 means two: lane list names what goes to the kernel, and what to do about it."""
    with Daemon(wide, tmp_path, config()) as daemon:
        channels(wide.server, INTERFACE, 4)
        logged(daemon, f"{INTERFACE}: 2 of 4 receive queues have a lane")

        def shown():
            return wide.server.run(lib.BUILD / "millrace", "-s", daemon.socket, "lane", "list",
                                   check=False).stdout

        # the control process that the parent starts for it knows
        lib.wait_for(lambda: f"{INTERFACE}: 2 of 4 receive queues have a lane" in shown(), 5, shown)
        checked = wide.server.run(lib.BUILD / "millrace", "-s", daemon.socket, "check", INTERFACE,
                                  check=False).stdout
        assert "4 to receive, 2 have a lane" in checked
        echo(wide)


def test_program_taken_off(pair, tmp_path):
    """`ip link ... xdp off` under the daemon: said, shown, and served again once it is put back."""
    with Daemon(pair, tmp_path, config()) as daemon:
        ip(pair, "link", "set", "dev", INTERFACE, "xdp", "off")
        logged(daemon, "somebody took our XDP program off")
        assert {lane["attach"] for lane in daemon.lanes()} == {"none"}
        assert any("XDP program" in problem for problem in status(daemon)["problems"])
        ip(pair, "link", "set", "dev", INTERFACE, "xdp", "pinned", f"{scratch.PINS}/program_xdp")
        logged(daemon, "an XDP program is attached again")
        assert {lane["attach"] for lane in daemon.lanes()} == {"native"}
        echo(pair)
        assert daemon.terminate() == 0
    assert pair.program() == {}
