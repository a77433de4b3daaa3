# SPDX-License-Identifier: MIT
"""Two virtio NICs on one wire: the daemon on one, a kernel on the other.

    mr-test-client  eth1 192.0.2.1  <-- QEMU's hub -->  eth0 192.0.2.2  mr-test-server

What arrived is looked at in the client, never by completions.
"""
import json
import os
import socket

import pytest

import lib
import scratch
from deaths import kill_worker
from scratch import Daemon, config

DRIVER_ZEROCOPY_SINCE = (6, 13)  # virtio_net
RULES = scratch.RULE + """\
  - name: drill
    protocol: tcp
    port: 7006
    app: drill
"""
PATIENT = "heartbeat:\n  stale_ms: 2000\n  grace_ms: 20000\n"
BULK = 256 << 10


class Wire:
    """The two namespaces, as scratch.Pair, on NICs that were there before."""

    def __init__(self):
        self.client = lib.Namespace(scratch.CLIENT_NS)
        self.server = lib.Namespace(scratch.SERVER_NS)

    def _place(self, namespace, device, number):
        lib.command("ip", "netns", "add", namespace.name)
        lib.command("ip", "link", "set", device, "netns", namespace.name)
        for line in (f"sysctl -qw net.ipv6.conf.{device}.accept_dad=0", "ip link set lo up",
                     f"ip addr add 192.0.2.{number}/24 dev {device}",
                     f"ip addr add 2001:db8::{number}/64 dev {device} nodad",
                     f"ip link set {device} up"):
            namespace.run(*line.split())

    def __enter__(self):
        self._place(self.client, "eth1", 1)
        self._place(self.server, "eth0", 2)
        lib.wait_for(lambda: "LOWER_UP" in self.server.run("ip", "link", "show", "eth0").stdout, 10,
                     "a carrier")
        return self

    def __exit__(self, *_):
        for namespace, device in ((self.client, "eth1"), (self.server, "eth0")):
            namespace.run("ip", "link", "set", device, "netns", "1", check=False)
            namespace.forget()
            lib.command("ip", "netns", "del", namespace.name, check=False)
        scratch.leave_nothing()

    def program(self):
        shown = json.loads(self.server.run("ip", "-j", "-d", "link", "show", "eth0").stdout)[0]
        return shown.get("xdp", {}).get("prog", {})


@pytest.fixture(scope="module")
def wire():
    if not os.path.exists("/sys/class/net/eth1"):
        pytest.skip("this guest has no two NICs")
    with Wire() as made:
        yield made


@pytest.fixture(scope="module")
def daemon(wire, tmp_path_factory):
    text = config(RULES, interface="eth0", more=PATIENT).replace("queues: 2", "queues: 1")
    with Daemon(wire, tmp_path_factory.mktemp("nic"), text) as running:
        yield running


def lane(daemon):
    return daemon.lanes()[0]


def hashes_both_ways(wire):
    """Bulk in and out by way of drill: every byte is compared, or hashed."""
    with lib.drill("H", ns=wire.client) as s:
        hashed = lib.send_pattern(s, BULK, block=16384)
        s.shutdown(socket.SHUT_WR)
        assert lib.recv_all(s).decode() == lib.hash_answer(BULK, hashed) + "\n"
    with lib.drill(f"F {BULK}", ns=wire.client) as s:
        data = lib.recv_all(s)
        assert len(data) == BULK
        lib.pattern.check(data, 0)


def test_zerocopy_where_the_driver_has_it(daemon, kernel, fact):
    """`millrace lane list` says which rung of the ladder it is, and on copy why not the better one."""
    has = kernel >= DRIVER_ZEROCOPY_SINCE
    shown = lane(daemon)
    fact("virtio_net", {"bind": shown["bind"], "why": shown["why"]})
    fact("zerocopy", "zero" in shown["bind"])
    assert ("zero" in shown["bind"]) == has, shown
    assert has or "zero-copy refused by the driver" in shown["why"], shown


def test_messages_and_bulk(wire, daemon):
    """TLV messages on a hundred connections, IPv4 and IPv6; bulk both ways, by hash."""
    with scratch.connections(wire, 100) as made:
        scratch.all_echo(made, os.urandom(700))
    hashes_both_ways(wire)
    scratch.wait_settled(daemon)


def test_killed_worker(wire, daemon):
    """kill -9 of the worker: connections go on, but at most the one in hand; same bind."""
    before = lane(daemon)
    with scratch.connections(wire, 40) as made:
        assert kill_worker(daemon, made) >= 39
    hashes_both_ways(wire)
    assert lane(daemon)["bind"] == before["bind"]


def test_down_and_up(wire, daemon):
    """ip link down, up: the lane's socket is as before, connections go on."""
    before = lane(daemon)["bind"]
    with scratch.connections(wire, 4) as made:
        for state in ("down", "up"):
            wire.server.run("ip", "link", "set", "eth0", state)
        wire.server.run("ip", "addr", "replace", "2001:db8::2/64", "dev", "eth0", "nodad")
        scratch.all_echo(made, b"after down and up")
    hashes_both_ways(wire)
    assert lane(daemon)["bind"] == before


def test_unload_leaves_nothing(wire, daemon):
    """Last of this daemon: SIGTERM; neither program nor pins are left, and the kernel has its NIC."""
    assert daemon.terminate() == 0
    assert wire.program() == {}
    assert not os.path.exists(scratch.PINS) and not os.path.exists(scratch.RUN)
    with pytest.raises(ConnectionRefusedError):
        lib.connect(lib.ECHO, ns=wire.client)


def test_renewed_sockets(wire, tmp_path, kernel):
    """`sockets: renew`: the bind is the driver's best again for each worker, and connections go on."""
    text = config(RULES, interface="eth0", more="  sockets: renew\n" + PATIENT)
    with Daemon(wire, tmp_path, text.replace("queues: 2", "queues: 1")) as daemon:
        before = lane(daemon)
        assert before["socket"] == "renewed"
        assert ("zero" in before["bind"]) == (kernel >= DRIVER_ZEROCOPY_SINCE), before
        with scratch.connections(wire, 40) as made:
            assert kill_worker(daemon, made) >= 39
        hashes_both_ways(wire)
        assert lane(daemon)["bind"] == before["bind"]
        assert daemon.terminate() == 0
