# SPDX-License-Identifier: MIT
"""What no rule names stays with the kernel: ping, ARP, NDP, UDP, other ports of an address."""
import errno
import os
import socket
import struct
import time

import pytest
from scapy.utils import checksum as in4_checksum

import figures
import lib


PING = {4: (socket.IPPROTO_ICMP, 8, 0), 6: (socket.IPPROTO_ICMPV6, 128, 129)}


def ping(family, length=56, count=3):
    """ICMP echo to the server, as ping(8): every answer comes and is what was sent."""
    protocol, request, reply = PING[family]
    with lib.client.socket(lib.FAMILY[family], socket.SOCK_RAW, protocol) as s:
        for number in range(count):
            body = struct.pack("!HH", os.getpid() & 0xffff, number) + os.urandom(length)
            s.sendto(icmp(request, body, family), (lib.SERVER[family], 0))
            await_ping(s, reply, body, family)


def icmp(kind, body, family):
    """An ICMP message; the kernel itself fills in the checksum of ICMPv6."""
    message = struct.pack("!BBH", kind, 0, 0) + body
    return message[:2] + struct.pack("!H", in4_checksum(message)) + message[4:] \
        if family == 4 else message


def await_ping(s, reply, body, family):
    end = time.monotonic() + 2
    while (left := end - time.monotonic()) > 0:
        s.settimeout(left)
        data = s.recv(65536)
        if family == 4:
            data = data[(data[0] & 15) * 4:]
        if data[0] == reply and data[4:] == body:
            return
    raise AssertionError("no answer to a ping in 2 s")


def kernel_echo(listener):
    """Accept one connection in the server's kernel and echo until its end."""
    end, _ = listener.accept()
    with end:
        end.settimeout(10)
        while data := end.recv(lib.MIB):
            end.sendall(data)


def test_ping_is_answered_by_the_kernel(family):
    """ICMP echo to the steered address -> three answers, while a steered connection talks."""
    with lib.Wellbehaved(family) as other:
        ping(family)
        other.more()


def test_large_ping_in_fragments(family):
    """ICMP echo of 6,000 bytes -> fragments, put together by the kernel, answered."""
    ping(family, 6000)


def test_neighbours_are_found_anew(family):
    """The client forgets the server's MAC -> ARP and NDP find it again, and echo works."""
    lib.client.run("ip", f"-{family}", "neigh", "flush", "dev", lib.CLIENT_IF)
    ping(family)
    lib.client.run("ip", f"-{family}", "neigh", "flush", "dev", lib.CLIENT_IF)
    with lib.connect(lib.ECHO, family) as s:
        lib.echo_once(s, 1, b"found")


def test_server_finds_the_client_anew(family):
    """The server's kernel forgets the client's MAC -> an established connection goes on."""
    with lib.connect(lib.ECHO, family) as s:
        lib.echo_once(s, 1, b"before")
        lib.server.run("ip", f"-{family}", "neigh", "flush", "dev", lib.SERVER_IF)
        lib.echo_once(s, 1, b"after")


def test_kernel_socket_on_another_port(family):
    """A kernel TCP socket on another port of the same address -> 8 MiB there and back,
    untouched."""
    n = 8 * lib.MIB
    with lib.listen(family, lib.server) as listener:
        served = lib.Background(kernel_echo, listener)
        with lib.connect(listener.getsockname()[1], family, timeout=15) as s:
            sender = lib.Background(lib.send_pattern, s, n)
            lib.recv_pattern(s, n)
            sender.result(5)
        served.result(5)


def test_port_without_a_rule_is_refused(family):
    """A port that no rule names and nobody listens on -> the kernel's RST, at once."""
    with pytest.raises(ConnectionRefusedError):
        lib.connect(7999, family, timeout=2)


@pytest.mark.parametrize("port", [lib.ECHO, lib.DRILL])
def test_udp_on_a_steered_port_number(port, family):
    """UDP to the number of a steered TCP port -> the kernel's socket gets it, fragments too."""
    with lib.server.socket(lib.FAMILY[family], socket.SOCK_DGRAM) as end, \
            lib.client.socket(lib.FAMILY[family], socket.SOCK_DGRAM) as s:
        end.bind((lib.SERVER[family], port))
        end.settimeout(3)
        for n in (1, 1000, 8000):
            data = os.urandom(n)
            s.sendto(data, (lib.SERVER[family], port))
            assert end.recv(65536) == data


def test_steered_port_is_reserved(family):
    """Nobody else can bind a steered port while the daemon runs."""
    with lib.server.socket(lib.FAMILY[family], socket.SOCK_STREAM) as s:
        with pytest.raises(OSError) as error:
            s.bind((lib.SERVER[family], lib.ECHO))
        assert error.value.errno == errno.EADDRINUSE


def test_server_kernel_connects_out(family):
    """The server's kernel opens connections from the same address, with its own ports."""
    with lib.listen(family) as listener:
        served = lib.Background(kernel_echo, listener)
        with lib.connect(listener.getsockname()[1], family, lib.CLIENT[family], ns=lib.server) as s:
            s.sendall(b"from the kernel")
            assert lib.recv_exact(s, 15) == b"from the kernel"
        served.result(5)


def test_lanes_ports_are_not_the_kernels(family):
    """The lane's active open and the kernel's own to one listener -> different ports, both work."""
    with lib.listen(family) as listener:
        port = listener.getsockname()[1]
        with lib.drill(f"A {lib.CLIENT[family]} {port}", family) as control:
            lane_end, lane_address = listener.accept()
            with lane_end, lib.connect(port, family, lib.CLIENT[family], ns=lib.server):
                kernel_end, kernel_address = listener.accept()
                with kernel_end:
                    assert lib.recv_line(control) == "0"
                    assert lane_address[1] != kernel_address[1]
                    lane_end.sendall(b"lane")
                    assert lib.recv_exact(lane_end, 4) == b"lane"


def test_verdicts_name_what_the_kernel_gets():
    """Verdicts name what was left to the kernel: a ping and a refused SYN are counted there."""
    with figures.rises("verdict.NO_RULE"):
        with pytest.raises(ConnectionRefusedError):
            lib.connect(7999, timeout=2)
    with figures.rises("verdict.ICMP_OTHER"):
        ping(4)
