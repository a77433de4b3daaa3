# SPDX-License-Identifier: MIT
"""VLANs: the demo's rules name any VLAN, so a tagged SYN is served and answered with the same tags.

Sub-interfaces, where the kernel has VLAN devices:

    mrc0.100 198.51.100.1, 2001:db8:100::1  ==(tag 100)==  mrs0.100 198.51.100.2, 2001:db8:100::2

A relay that does without them: what a kernel client in a namespace of its own sends gets the tag on
its way, and what comes back with it loses it.

    mr-test-vlan: inner0 192.0.2.60, 2001:db8::60 == relay0 -(Python: tag 101)- mrc0 == mrs0
"""
import select
import socket
import struct
import threading

import pytest

import figures
import lib
from raw import ACK, PSH, SYN, Capture, Peer, packet_socket, receive_frame

VID = 100
CLIENT = {4: "198.51.100.1", 6: "2001:db8:100::1"}
SERVER = {4: "198.51.100.2", 6: "2001:db8:100::2"}
RAW = {4: "198.51.100.77", 6: "2001:db8:100::77"}
LENGTH = {4: 24, 6: 64}


def last_frames_through():
    """The way to the peers stands until the connections of the test have ended."""
    lib.wait_for(lambda: not figures.figure("connections"), 3, "connections closed")


@pytest.fixture
def vlan(running_demo):  # pylint: disable=unused-argument
    """The sub-interfaces of the picture."""
    ends = ((lib.client, lib.CLIENT_IF, CLIENT), (lib.server, lib.SERVER_IF, SERVER))
    for ns, interface, addresses in ends:
        name = f"{interface}.{VID}"
        made = ns.run("ip", "link", "add", "link", interface, "name", name, "type", "vlan", "id",
                      str(VID), check=False)
        if "Unknown device type" in made.stderr:
            pytest.skip("this kernel has no VLAN devices (CONFIG_VLAN_8021Q)")
        assert made.returncode == 0, made.stderr
        for family in (4, 6):
            ns.run("ip", "addr", "add", f"{addresses[family]}/{LENGTH[family]}", "dev", name,
                   *(["nodad"] if family == 6 else []))
        ns.run("ip", "link", "set", name, "up")
    yield
    last_frames_through()
    for ns, interface, _ in ends:
        ns.run("ip", "link", "del", f"{interface}.{VID}", check=False)


@pytest.mark.usefixtures("vlan")
def test_echo_over_a_vlan(family):
    """A kernel client on mrc0.100 -> messages there and back, intact."""
    with lib.connect(lib.ECHO, family, SERVER[family]) as s:
        for n in (0, 10, 1400, 100000):
            sender = lib.Background(s.sendall, lib.tlv(n & 0xffff, lib.pattern.bytes(0, n)))
            assert lib.read_tlv(s)[1] == lib.pattern.bytes(0, n)
            sender.result(5)


@pytest.mark.usefixtures("vlan")
def test_bulk_over_a_vlan(family):
    """16 MiB each way over the VLAN, and no frame beyond the interface's MTU."""
    n = 16 * lib.MIB
    with lib.connect(lib.DRILL, family, SERVER[family], timeout=20) as s:
        s.sendall(b"H\n")
        hashed = lib.send_pattern(s, n)
        s.shutdown(socket.SHUT_WR)
        assert lib.recv_all(s).decode() == lib.hash_answer(n, hashed) + "\n"
    with lib.connect(lib.DRILL, family, SERVER[family], timeout=20) as s:
        s.sendall(f"F {n}\n".encode())
        lib.recv_pattern(s, n)


@pytest.mark.usefixtures("vlan")
def test_every_frame_carries_the_tag(family):
    """What the lane answers on the VLAN is tagged 100, every frame."""
    with Capture(lib.DRILL) as wire, lib.connect(lib.DRILL, family, SERVER[family]) as s:
        s.sendall(b"F 20000\n")
        lib.recv_pattern(s, 20000)
    assert wire.received
    assert all([tci & 0xfff for tci in one.tags] == [VID] for one in wire.received)


@pytest.mark.usefixtures("vlan")
def test_active_open_over_a_vlan(family):
    """A to the client's address on the VLAN -> the SYN is tagged, and the connection works."""
    with lib.listen(family) as listener, Capture(listener.getsockname()[1]) as wire:
        port = listener.getsockname()[1]
        with lib.drill(f"A {CLIENT[family]} {port}", family) as control:
            end, address = listener.accept()
            with end:
                assert address[0] == SERVER[family]
                assert lib.recv_line(control) == "0"
                end.sendall(b"hello")
                end.settimeout(5)
                assert lib.recv_exact(end, 5) == b"hello"
    assert all([tci & 0xfff for tci in one.tags] == [VID] for one in wire.received)


@pytest.mark.usefixtures("vlan")
def test_raw_peer_with_one_tag(family):
    """A tagged SYN by hand -> SYN-ACK with this tag."""
    with Peer(family, tags=(VID,), addresses=(RAW[family], SERVER[family]),
              server_if=f"{lib.SERVER_IF}.{VID}") as peer:
        answer = peer.open()
        assert [tci & 0xfff for tci in answer.tags] == [VID]
        peer.send(PSH | ACK, b"E\n")
        peer.echo(b"tagged")


class Relay:
    """The relay of the picture. A namespace with a kernel client behind a VLAN tag."""

    VID = 101
    NAME = "mr-test-vlan"
    ADDRESS = {4: "192.0.2.60", 6: "2001:db8::60"}

    def __enter__(self):
        self.remove()
        lib.command("ip", "netns", "add", self.NAME)
        self.ns = lib.Namespace(self.NAME)
        lib.command("ip", "link", "add", "relay0", "netns", lib.CLIENT_NS, "type", "veth", "peer",
                    "name", "inner0", "netns", self.NAME)
        lib.client.run("ip", "link", "set", "relay0", "up")
        self.ns.run("sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0",
                    "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.inner0.accept_dad=0")
        self.ns.run("ethtool", "-K", "inner0", "tx", "off")
        self.ns.run("ip", "link", "set", "inner0", "up")
        server_mac = lib.server.mac(lib.SERVER_IF).hex(":")
        for family, length in LENGTH.items():
            self.ns.run("ip", "addr", "add", f"{self.ADDRESS[family]}/{length}", "dev", "inner0")
            self.ns.run("ip", "neigh", "replace", lib.SERVER[family], "lladdr", server_mac, "dev",
                        "inner0", "nud", "permanent")
        self._inner = packet_socket("relay0")
        self._outer = packet_socket(lib.CLIENT_IF, self.ns.mac("inner0"))
        self._stop = threading.Event()
        self._thread = lib.Background(self._relay)
        self.untagged = 0
        return self

    def _relay(self):
        while not self._stop.is_set():
            for s in select.select([self._inner, self._outer], [], [], 0.1)[0]:
                data, outgoing = receive_frame(s)
                if outgoing:
                    continue
                if s is self._inner:
                    tag = struct.pack("!HH", 0x8100, self.VID)
                    self._outer.send(data[:12] + tag + data[12:])
                elif data[12:16] == struct.pack("!HH", 0x8100, self.VID):
                    self._inner.send(data[:12] + data[16:])
                else:
                    self.untagged += 1

    def __exit__(self, *_):
        self._stop.set()
        self._thread.result(5)
        self._inner.close()
        self._outer.close()
        self.ns.forget()
        self.remove()

    def remove(self):
        lib.client.run("ip", "link", "del", "relay0", check=False)
        lib.command("ip", "netns", "del", self.NAME, check=False)


@pytest.fixture
def relay(running_demo):  # pylint: disable=unused-argument
    with Relay() as one:
        yield one
        last_frames_through()


def test_echo_behind_a_relay(relay, family):
    """A kernel client behind the tag -> messages there and back, every answer tagged."""
    before = relay.untagged
    with lib.connect(lib.ECHO, family, ns=relay.ns) as s:
        for n in (0, 10, 1400, 100000):
            sender = lib.Background(s.sendall, lib.tlv(n & 0xffff, lib.pattern.bytes(0, n)))
            assert lib.read_tlv(s)[1] == lib.pattern.bytes(0, n)
            sender.result(5)
    assert relay.untagged == before


def test_bulk_behind_a_relay(relay, family):
    """4 MiB each way behind the tag, intact; then reset both ways."""
    n = 4 * lib.MIB
    with lib.drill("E", family, ns=relay.ns, timeout=15) as s:
        sender = lib.Background(lib.send_pattern, s, n)
        lib.recv_pattern(s, n)
        sender.result(5)
        lib.reset_on_close(s)
    with lib.drill("R", family, ns=relay.ns) as s:
        lib.expect_reset(s)


def test_one_tag(family):
    """A SYN with tag 100 -> SYN-ACK with this tag; so are text, FIN and RST."""
    for end in ("C", "R"):
        with Peer(family, tags=(VID,)) as peer:
            answer = peer.open()
            assert [tci & 0xfff for tci in answer.tags] == [VID]
            peer.send(PSH | ACK, end.encode() + b"\n")
            last = peer.expect(where=lambda s: s.flags & 5)
            assert [tci & 0xfff for tci in last.tags] == [VID]


def test_two_tags(family):
    """A SYN with tags 802.1ad 200 and 802.1Q 300 -> SYN-ACK with both, in this order."""
    with Peer(family, tags=(200, 300)) as peer:
        answer = peer.open()
        assert [tci & 0xfff for tci in answer.tags] == [200, 300]
        peer.send(PSH | ACK, b"E\n")
        peer.echo(b"twice tagged")


def test_priority_tag(family):
    """A tag with VID 0 carries a priority only (802.1Q): served like an untagged frame."""
    with Peer(family, tags=(3 << 13,)) as peer:
        peer.syn()
        answer = peer.expect(SYN | ACK)
        assert [tci & 0xfff for tci in answer.tags] in ([], [0])


def test_flows_of_two_vlans_are_apart():
    """The same addresses and ports, untagged and with tags 200 and 300 -> at most one of them is a
    connection at a time, and none is taken for the other's bytes."""
    with Peer(4) as plain:
        plain.drill("E")
        plain.echo(b"plain")
        with Peer(4, tags=(200, 300)) as tagged:
            tagged.drill("E")
            tagged.echo(b"tagged")
            plain.echo(b"plain again")
