# SPDX-License-Identifier: MIT
"""Peers made by hand: frames that no kernel would send, and what comes back on the wire.

A raw peer has an address and a MAC of its own that no interface is configured with: the client's
kernel takes the answers for somebody else's and stays silent. Nobody answers ARP or NDP for it: a
lane learns the way back from the frames. A peer that waits for the server to open (port=None) gets
a static neighbour entry in the server's kernel.
"""
import ctypes
import itertools
import os
import select
import socket
import struct
import threading
import time

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.utils import wrpcap

import lib

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
M32 = 0xffffffff

SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_QDISC_BYPASS = 20
TP_STATUS_VLAN_VALID = 1 << 4
PACKET_OUTGOING = 4
ETH_P_ALL = 3
SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33

# Frames of the running test, for the pcap of a failure: (time, bytes).
trace = []
_trace_lock = threading.Lock()
_hosts = itertools.cycle(range(100, 240))
_ports = itertools.cycle(range(20000, 30000))


def note(frame):
    with _trace_lock:
        if len(trace) < 20000:
            trace.append((time.time(), frame))


def save_trace(path):
    """Write the frames of this test to a pcap; False when there were none."""
    with _trace_lock:
        frames = sorted(trace, key=lambda one: one[0])
    if not frames:
        return False
    packets = []
    for stamp, data in frames:
        packet = Ether(data)
        packet.time = stamp
        packets.append(packet)
    path.parent.mkdir(parents=True, exist_ok=True)
    wrpcap(str(path), packets)
    return True


def seq_diff(a, b):
    """a - b as sequence numbers, -2^31 to 2^31 - 1."""
    return ((a - b + (1 << 31)) & M32) - (1 << 31)


# ----- bytes to segments, written apart from the product and from scapy -----

class Segment:
    """A received TCP segment. `options` maps kinds to bodies, `tags` is the VLAN TCIs."""

    def __init__(self, data, stamp=0.0):
        self.time = stamp
        self.data = data
        self.tags = []
        kind, at = struct.unpack_from("!H", data, 12)[0], 14
        while kind in (0x8100, 0x88a8):
            tci, kind = struct.unpack_from("!HH", data, at)
            self.tags.append(tci)
            at += 4
        if kind == 0x0800:
            end = at + struct.unpack_from("!H", data, at + 2)[0]
            protocol = data[at + 9]
            self.src = socket.inet_ntop(socket.AF_INET, data[at + 12:at + 16])
            self.dst = socket.inet_ntop(socket.AF_INET, data[at + 16:at + 20])
            self.ip_len = end - at
            at += (data[at] & 15) * 4
        elif kind == 0x86dd:
            end = at + 40 + struct.unpack_from("!H", data, at + 4)[0]
            protocol = data[at + 6]
            self.src = socket.inet_ntop(socket.AF_INET6, data[at + 8:at + 24])
            self.dst = socket.inet_ntop(socket.AF_INET6, data[at + 24:at + 40])
            self.ip_len = end - at
            at += 40
        else:
            raise ValueError("not IP")
        if protocol != 6:
            raise ValueError("not TCP")
        (self.sport, self.dport, self.seq, self.ack, offset, self.flags,
         self.window) = struct.unpack_from("!HHIIBBH", data, at)
        body = at + (offset >> 4) * 4
        self.options = _options(data[at + 20:body])
        self.len = end - body
        self.payload = data[body:end]

    def has(self, flags):
        return self.flags & flags == flags

    @property
    def mss(self):
        body = self.options.get(2)
        return struct.unpack("!H", body)[0] if body else None

    @property
    def window_shift(self):
        body = self.options.get(3)
        return body[0] if body else None

    @property
    def timestamps(self):
        body = self.options.get(8)
        return struct.unpack("!II", body) if body else None

    def __repr__(self):
        names = "".join(n for bit, n in zip((1, 2, 4, 8, 16, 32), "FSRPAU") if self.flags & bit)
        return f"<{self.sport}>{self.dport} {names} seq {self.seq} ack {self.ack} " \
               f"win {self.window} len {self.len} {self.options}>"


def _options(data):
    found, at = {}, 0
    while at < len(data) and data[at] != 0:
        if data[at] == 1:
            at += 1
            continue
        found[data[at]] = bytes(data[at + 2:at + data[at + 1]])
        at += data[at + 1]
    return found


# ----- packet sockets -----

def _filter_by_destination(mac):
    """Classic BPF: frames to this MAC, no others."""
    high, low = struct.unpack("!IH", mac)
    code = [(0x20, 0, 0, 0), (0x15, 0, 3, high), (0x28, 0, 0, 4), (0x15, 0, 1, low),
            (0x06, 0, 0, 0x40000), (0x06, 0, 0, 0)]
    return b"".join(struct.pack("HBBI", *one) for one in code)


def _attach(s, code):
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    s.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def packet_socket(interface, mac=None, ns=lib.client):
    """All frames of an interface, or those to one MAC."""
    s = ns.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 * lib.MIB)
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    if mac:
        _attach(s, _filter_by_destination(mac))
    s.bind((interface, ETH_P_ALL))
    return s


def receive_frame(s, most=65536):
    """One frame, its VLAN tag put back in place, and whether this machine sent it."""
    data, notes, _, address = s.recvmsg(most, 64)
    for level, kind, body in notes:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, protocol = struct.unpack("IIIHHHH", body[:20])
            if status & TP_STATUS_VLAN_VALID:
                data = data[:12] + struct.pack("!HH", protocol or 0x8100, tci) + data[12:]
    return data, address[2] == PACKET_OUTGOING


class Capture:
    """What passes the client's interface while the block runs, as segments of one port.

    sent: from the client; received: from the server. Headers only, up to `snap` bytes a frame.
    """

    def __init__(self, port, interface=lib.CLIENT_IF, snap=128):
        self.port = port
        self._snap = snap
        self._interface = interface
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._sent = []
        self._received = []

    def __enter__(self):
        self._socket = packet_socket(self._interface)
        self._thread = lib.Background(self._read)
        return self

    def __exit__(self, *_):
        time.sleep(0.05)
        self._stop.set()
        self._thread.result(5)
        self._socket.close()

    def _read(self):
        while not self._stop.is_set():
            if select.select([self._socket], [], [], 0.05)[0]:
                self._take()

    def _take(self):
        data, outgoing = receive_frame(self._socket, self._snap)
        try:
            segment = Segment(data, time.monotonic())
        except (ValueError, struct.error, IndexError):
            return
        if self.port not in (segment.sport, segment.dport):
            return
        note(data)
        with self._lock:
            (self._sent if outgoing else self._received).append(segment)

    @property
    def sent(self):
        with self._lock:
            return list(self._sent)

    @property
    def received(self):
        with self._lock:
            return list(self._received)


# ----- a TCP peer by hand -----

DEFAULT_OPTIONS = [("MSS", 1460)]


class Peer:
    """One connection end without a stack behind it: it sends what the test says and nothing else.

    It keeps the numbers a test needs: `snd_nxt` (next byte to send), `rcv_nxt` (next byte expected,
    moved by take() over in-order data and FIN, which sets `ended`), `seen_ack` (highest ACK of the
    server, the exact number for a RST). On leaving the block it resets what it may have left open.

    `ns` has the namespaces as attributes client and server.
    """

    def __init__(self, family=4, port=lib.DRILL, tags=(), interface=lib.CLIENT_IF,
                 addresses=None, server_if=lib.SERVER_IF, ns=lib):
        host = next(_hosts)
        self.family = family
        self.port = port
        self.needs_neighbour = port is None
        self.sport = next(_ports)
        self.tags = tags
        self.interface = interface
        self.server_if = server_if
        self.ns = ns
        self.mac = bytes((2, 0x6d, 0x72, 0, 0, host))
        own, self.server = addresses or (None, lib.SERVER[family])
        self.address = own or {4: f"192.0.2.{host}", 6: f"2001:db8::{host:x}"}[family]
        self.snd_nxt = int.from_bytes(os.urandom(4), "big")
        self.rcv_nxt = 0
        self.seen_ack = None
        self.window = 65535
        self.data = bytearray()
        self.ended = False
        self.tsval = None
        self.ts_recent = 0
        self._socket = None
        self._bypass = {}

    def __enter__(self):
        self.server_mac = self.ns.server.mac(lib.SERVER_IF)
        self._socket = packet_socket(self.interface, self.mac, self.ns.client)
        if self.needs_neighbour:
            self._neighbour("replace", "lladdr", self.mac_text, "nud", "permanent")
        return self

    def __exit__(self, *_):
        try:
            self.reset()
        finally:
            self._socket.close()
            for s in self._bypass.values():
                s.close()
            if self.needs_neighbour:
                self._neighbour("del", check=False)

    @property
    def mac_text(self):
        return self.mac.hex(":")

    def _neighbour(self, verb, *words, check=True):
        self.ns.server.run("ip", "neigh", verb, self.address, *words, "dev", self.server_if,
                           check=check)

    # ----- sending -----

    def layers(self, **ip):
        """Ethernet, tags and IP of this peer's frames, as scapy layers; `ip` overrides fields."""
        packet = Ether(src=self.mac_text, dst=self.server_mac.hex(":"))
        for i, tci in enumerate(self.tags):
            tag = Dot1AD if len(self.tags) == 2 and i == 0 else Dot1Q
            packet /= tag(vlan=tci & 0xfff, prio=tci >> 13)
        if self.family == 4:
            return packet / IP(**{"src": self.address, "dst": self.server, **ip})
        return packet / IPv6(**{"src": self.address, "dst": self.server, **ip})

    def _options(self, options):
        if options is not None:
            return options
        if self.tsval is None:
            return []
        return [("NOP", None), ("NOP", None), ("Timestamp", (self.tsval, self.ts_recent))]

    def tcp(self, flags, seq=None, ack=None, options=None, window=None, **fields):
        return TCP(**{"sport": self.sport, "dport": self.port, "flags": flags,
                      "seq": (self.snd_nxt if seq is None else seq) & M32,
                      "ack": (self.rcv_nxt if ack is None else ack) & M32 if flags & ACK else 0,
                      "window": self.window if window is None else window,
                      "options": self._options(options), **fields})

    def frame(self, flags, payload=b"", ip=None, **fields):
        return bytes(self.layers(**(ip or {})) / self.tcp(flags, **fields) / payload)

    def put(self, frame, queue=None):
        """Send raw bytes; `queue` chooses the server's receive queue."""
        note(frame)
        if queue is None:
            self._socket.send(frame)
        else:
            self._put_on(queue, frame)

    def _put_on(self, queue, frame):
        # Without a queueing discipline the kernel takes the transmit queue from the CPU, and veth
        # delivers transmit queue n to the peer's receive queue n.
        if queue not in self._bypass:
            s = self.ns.client.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            s.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
            s.bind((self.interface, 0))
            self._bypass[queue] = s
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {queue})
        try:
            self._bypass[queue].send(frame)
        finally:
            os.sched_setaffinity(0, allowed)

    def send(self, flags, payload=b"", queue=None, **fields):
        """A segment at snd_nxt, which then moves over it; or at `seq`, and snd_nxt stays."""
        self.put(self.frame(flags, payload, **fields), queue)
        if "seq" not in fields:
            length = len(payload) + bool(flags & SYN) + bool(flags & FIN)
            self.snd_nxt = (self.snd_nxt + length) & M32

    def acknowledge(self, **fields):
        self.send(ACK, **fields)

    # ----- receiving -----

    def receive(self, seconds=1.0):
        """The next TCP segment of this connection, or None."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                return None
            data, outgoing = receive_frame(self._socket)
            if outgoing:
                continue
            note(data)
            try:
                segment = Segment(data, time.monotonic())
            except (ValueError, struct.error, IndexError):
                continue
            if self.port is None and segment.has(SYN) and segment.dport == self.sport:
                self.port = segment.sport
            if (segment.sport, segment.dport) == (self.port, self.sport):
                self._learn(segment)
                return segment
        return None

    def _learn(self, segment):
        if segment.has(ACK) and not segment.has(RST) and \
                (self.seen_ack is None or seq_diff(segment.ack, self.seen_ack) > 0):
            self.seen_ack = segment.ack
        if self.tsval is not None and segment.timestamps:
            self.ts_recent = segment.timestamps[0]

    def expect(self, flags=0, seconds=3.0, where=lambda segment: True, what=""):
        """The next segment with all of these flags that `where` likes; others are passed over."""
        passed = []
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            segment = self.receive(left)
            if segment is None:
                break
            if segment.has(flags) and where(segment):
                return segment
            passed.append(segment)
        raise AssertionError(f"no segment with flags {flags:#x} {what} in {seconds} s; "
                             f"got {passed}")

    def silence(self, seconds=0.3, where=lambda segment: True):
        """No segment (that `where` likes) comes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            segment = self.receive(left)
            assert segment is None or not where(segment), f"expected silence, got {segment}"

    def take(self, segment):
        """Move rcv_nxt over in-order data and FIN of a segment; its new bytes go to `data`."""
        fresh = seq_diff(self.rcv_nxt, segment.seq)
        if fresh < 0:
            return
        self.data += segment.payload[fresh:]
        end = segment.len + segment.has(FIN)
        if end > fresh:
            self.rcv_nxt = (segment.seq + end) & M32
            self.ended = segment.has(FIN)

    def read(self, n, seconds=5.0):
        """Receive until n bytes stand in `data`, acknowledging each segment; take them out."""
        end = time.monotonic() + seconds
        while len(self.data) < n:
            segment = self.receive(max(end - time.monotonic(), 0))
            assert segment is not None, f"{len(self.data)} of {n} bytes in {seconds} s"
            assert not segment.has(RST), f"RST after {len(self.data)} of {n} bytes"
            if segment.len or segment.has(FIN):
                self.take(segment)
                self.acknowledge()
        data, self.data = bytes(self.data[:n]), self.data[n:]
        return data

    def new_data(self, seconds):
        """Segments with new bytes that come within some time; none is acknowledged."""
        segments, seen = [], set()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            segment = self.receive(left)
            if segment and segment.len and segment.seq not in seen:
                seen.add(segment.seq)
                segments.append(segment)
        return segments

    def read_end(self, seconds=3.0):
        """The server's FIN, acknowledged; it may have come with the last bytes already."""
        while not self.ended:
            segment = self.expect(seconds=seconds, where=lambda s: s.has(FIN) or s.len,
                                  what="(the server's FIN)")
            self.take(segment)
            self.acknowledge()

    # ----- the usual exchanges -----

    def syn(self, options=None, **fields):
        self.send(SYN, options=DEFAULT_OPTIONS if options is None else options, **fields)

    def open(self, options=None, **fields):
        """Handshake; the SYN-ACK."""
        self.syn(options, **fields)
        answer = self.expect(SYN | ACK, what="(SYN-ACK)")
        self.rcv_nxt = (answer.seq + 1) & M32
        for name, value in options or ():
            if name == "Timestamp" and answer.timestamps:
                self.tsval = value[0] + 1
                self.ts_recent = answer.timestamps[0]
        self.acknowledge()
        return answer

    def drill(self, line, options=None):
        """Open a connection to drill and say its first line."""
        answer = self.open(options)
        self.send(PSH | ACK, line.encode() + b"\n")
        return answer

    def echo(self, payload, **fields):
        """Bytes there and back: this connection is alive and its numbers are right."""
        self.send(PSH | ACK, payload, **fields)
        assert self.read(len(payload)) == payload

    def accept_syn(self, seconds=5.0):
        """A peer made with port=None: the SYN of the server that opens to `sport`."""
        syn = self.expect(SYN, seconds, lambda segment: not segment.has(ACK), "(SYN of the server)")
        self.rcv_nxt = (syn.seq + 1) & M32
        return syn

    def echo_urgent(self, payload, pointer):
        self.send(PSH | ACK | URG, payload, urgptr=pointer)
        assert self.read(len(payload)) == payload

    def receive_any(self, seconds=0.02):
        """TCP segments to this peer's address, whatever the ports, until none comes for a while."""
        while select.select([self._socket], [], [], seconds)[0]:
            data, outgoing = receive_frame(self._socket)
            if outgoing:
                continue
            note(data)
            try:
                yield Segment(data, time.monotonic())
            except (ValueError, struct.error, IndexError):
                continue

    def reset(self):
        """RST at exactly the number the server expects: gone on both sides.

        What that number is only the server knows (it may owe an ACK), so a guess in its window
        brings a challenge ACK that tells it (RFC 5961 3.2).
        """
        while last := self.receive(0.001):
            if last.has(RST):
                return
        if self.seen_ack is None:
            return
        for guess in {self.seen_ack, self.snd_nxt}:
            self.put(self.frame(RST, seq=guess, options=[]))
        answer = self.receive(0.05)
        if answer and answer.has(ACK) and not answer.has(RST):
            self.put(self.frame(RST, seq=answer.ack, options=[]))
