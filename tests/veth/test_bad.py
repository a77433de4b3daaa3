# SPDX-License-Identifier: MIT
"""Bad input costs its sender, and nobody else.

Each case is sent while another client talks to echo: that one loses nothing. What is bad ends in a
counter of its name or in a close reason, and the frames are all there afterwards.
"""
import random
import struct
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6
from scapy.packet import Raw, fuzz

import figures
import lib
from raw import ACK, FIN, PSH, RST, SYN, URG, Peer

M32 = 0xffffffff


@pytest.fixture(autouse=True)
def other():
    """The well-behaved client next to every bad one."""
    with lib.Wellbehaved() as client:
        yield client
        client.more()


# ----- headers that lie: dropped and counted, the connection lives -----

def damaged(frame, family, at, value):
    """The frame with one byte of its TCP header changed, checksum set right again."""
    start = 14 + {4: 20, 6: 40}[family]
    data = bytearray(frame)
    data[start + at] = value
    return with_checksum(bytes(data), family)


def with_checksum(data, family):
    """The frame with the right TCP checksum for what it now says."""
    start = 14 + {4: 20, 6: 40}[family]
    tcp = bytearray(data[start:])
    tcp[16:18] = b"\0\0"
    addresses = data[26:34] if family == 4 else data[22:54]
    pseudo = addresses + struct.pack("!II", len(tcp), 6)
    total = sum(struct.unpack(f"!{(len(pseudo) + len(tcp) + 1) // 2}H",
                              pseudo + bytes(tcp) + b"\0" * (len(tcp) & 1)))
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    tcp[16:18] = struct.pack("!H", ~total & 0xffff)
    return data[:start] + bytes(tcp)


def offset_too_small(peer):
    return damaged(peer.frame(PSH | ACK, b"xxxx"), peer.family, 12, 4 << 4)


def offset_beyond_segment(peer):
    return damaged(peer.frame(PSH | ACK, b"xxxx"), peer.family, 12, 15 << 4)


def wrong_checksum(peer):
    return peer.frame(PSH | ACK, b"xxxx", chksum=0xdead)


def option_of_length(length, kind=254):
    def build(peer):
        body = bytes((kind, length, 1, 1))
        frame = peer.frame(PSH | ACK, body + b"xxxx")
        return damaged(frame, peer.family, 12, 6 << 4)
    return build


def option_beyond_header(peer):
    return option_of_length(40)(peer)


def timestamp_of_wrong_length(peer):
    return option_of_length(4, kind=8)(peer)


def flags(bits):
    return lambda peer: peer.frame(bits, b"")


def beyond_window(peer):
    return peer.frame(PSH | ACK, b"xxxx", seq=peer.snd_nxt + (1 << 30))


def before_window(peer):
    return peer.frame(PSH | ACK, b"xxxx", seq=peer.snd_nxt - 100000)


def ack_of_the_future(peer):
    return peer.frame(PSH | ACK, b"xxxx", ack=peer.rcv_nxt + 100000)


def ack_of_the_past(peer):
    return peer.frame(PSH | ACK, b"xxxx", ack=peer.rcv_nxt - (1 << 30))


def no_ack_bit(peer):
    return peer.frame(PSH, b"xxxx")


DROPPED = {
    "offset-4": (offset_too_small, "verdict.TCP_BAD"),
    "offset-beyond-segment": (offset_beyond_segment, "verdict.TCP_BAD"),
    "wrong-checksum": (wrong_checksum, "drop.tcp_checksum"),
    "option-length-0": (option_of_length(0), "drop.tcp_options"),
    "option-length-1": (option_of_length(1), "drop.tcp_options"),
    "option-beyond-header": (option_beyond_header, "drop.tcp_options"),
    "timestamp-length-4": (timestamp_of_wrong_length, "drop.tcp_options"),
    "syn-fin": (flags(SYN | FIN | ACK), "challenge_acks"),
    "beyond-window": (beyond_window, "drop.tcp_sequence"),
    "before-window": (before_window, "drop.tcp_sequence"),
    "ack-of-the-future": (ack_of_the_future, "drop.tcp_ack"),
    "ack-of-the-past": (ack_of_the_past, "drop.tcp_ack"),
    "no-ack-bit": (no_ack_bit, "drop.tcp_no_ack"),
}


@pytest.mark.parametrize("case", DROPPED)
def test_bad_segment_on_an_open_connection(case, family):
    """One bad segment on an open connection -> dropped, counted by name; the bytes that follow are
    echoed as if it had never come."""
    build, counter = DROPPED[case]
    with Peer(family) as peer:
        peer.drill("E")
        peer.echo(b"before")
        with figures.rises(counter):
            peer.put(build(peer))
        peer.silence(0.1, lambda s: s.has(RST) or s.len)
        peer.echo(b"after")


@pytest.mark.parametrize("cut", range(0, 20, 3))
def test_truncated_tcp_header(cut, family):
    """A frame that ends within the TCP header -> never a connection, and no harm."""
    with Peer(family) as peer:
        peer.drill("E")
        frame = peer.frame(SYN, options=[])
        start = 14 + {4: 20, 6: 40}[family]
        length = {"proto": 6} if family == 4 else {"nh": 6}
        data = bytes(peer.layers(**length) / Raw(frame[start:start + cut]))
        with figures.rises("verdict.TCP_SHORT"):
            peer.put(data)
        peer.echo(b"alive")


def test_ip_length_beyond_the_frame(family):
    """An IP header that promises more bytes than the frame has -> left to the kernel, counted."""
    with Peer(family) as peer:
        peer.drill("E")
        lie = {"len": 1400} if family == 4 else {"plen": 1400}
        name = {4: "verdict.IPV4_BAD", 6: "verdict.IPV6_BAD"}[family]
        with figures.rises(name):
            peer.put(peer.frame(PSH | ACK, b"xxxx", ip=lie))
        peer.echo(b"alive")


def test_ipv4_header_lengths():
    """IHL 2, and IHL 15 with nothing behind it -> left to the kernel, counted; wrong header
    checksum -> dropped, counted."""
    with Peer(4) as peer:
        peer.drill("E")
        for ihl in (2, 15):
            with figures.rises("verdict.IPV4_BAD"):
                peer.put(peer.frame(ACK, ip={"ihl": ihl}))
        with figures.rises("drop.ip_checksum"):
            peer.put(peer.frame(PSH | ACK, b"xxxx", ip={"chksum": 0xbad}))
        peer.echo(b"alive")


def test_sources_that_nobody_may_have():
    """Loopback, broadcast (the network's too), multicast and the server's own address as source of
    a SYN -> no SYN-ACK, counted."""
    for source in ("127.0.0.1", "255.255.255.255", "192.0.2.255", "224.0.0.5", "0.0.0.0",
                   "192.0.2.2"):
        with Peer(4) as peer, figures.rises("drop.ip_source"):
            peer.address = source
            peer.put(peer.frame(SYN))
            peer.silence(0.05)
    for source in ("::1", "ff02::1", "::", "2001:db8::2"):
        with Peer(6) as peer, figures.rises("drop.ip_source"):
            peer.address = source
            peer.put(peer.frame(SYN))
            peer.silence(0.05)


def test_reset_with_syn_at_the_exact_number(family):
    """SYN|RST at exactly the next number of an open connection -> an RST like any other: closed
    with its reason; a new connection works."""
    with Peer(family) as peer:
        peer.drill("E")
        peer.echo(b"before")
        with figures.rises("closed.reset_by_peer"):
            peer.put(peer.frame(SYN | RST | ACK))


def test_bad_syns(family):
    """SYN with FIN, with RST, with options of length 0 -> no SYN-ACK, nothing half open."""
    with Peer(family) as peer:
        for bits in (SYN | FIN, SYN | RST, SYN | FIN | PSH | URG):
            peer.put(peer.frame(bits))
        body = bytes((2, 0, 5, 0xb4))
        peer.put(damaged(peer.frame(SYN, body), family, 12, 6 << 4))
        peer.silence(0.3, lambda s: s.has(SYN))
        assert figures.figure("half_open") == 0


def test_old_timestamps(family):
    """Timestamps agreed, then one from the past -> dropped and counted (PAWS), an ACK in answer;
    the connection lives."""
    with Peer(family) as peer:
        peer.open([("MSS", 1400), ("Timestamp", (5000000, 0))])
        peer.tsval = 5000001
        peer.send(PSH | ACK, b"E\n")
        peer.echo(b"before")
        old = [("NOP", None), ("NOP", None), ("Timestamp", (4000000, peer.ts_recent))]
        with figures.rises("drop.tcp_paws"):
            peer.put(peer.frame(PSH | ACK, b"xxxx", options=old))
            peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt and not s.len)
        peer.echo(b"after")


def test_christmas_tree_and_null(family):
    """No flag at all, and all flags, on an open connection and on none -> no harm."""
    with Peer(family) as peer:
        peer.put(peer.frame(0))
        peer.put(peer.frame(0x3f))
        peer.silence(0.1, lambda s: s.has(SYN))
        peer.drill("E")
        peer.put(peer.frame(0, b"xxxx"))
        peer.echo(b"alive")


def test_urgent_data_is_read_in_line(family):
    """URG with a pointer anywhere -> the bytes are read like others (RFC 6093)."""
    with Peer(family) as peer:
        peer.drill("E")
        for pointer in (0, 1, 5, 65535):
            peer.echo_urgent(b"urgent", pointer)


# ----- overlaps -----

@pytest.mark.parametrize("seed", range(3))
def test_overlapping_segments(seed, family):
    """6,000 bytes in segments that overlap, repeat and arrive in any order -> echoed once,
    intact."""
    dice = random.Random(seed * 10 + family)
    data = lib.pattern.bytes(seed, 6000)
    pieces = [(at, min(6000, at + dice.randrange(1, 1400))) for at in range(0, 6000, 97)]
    pieces += [(at, min(6000, at + dice.randrange(1, 1400)))
               for at in (dice.randrange(6000) for _ in range(60))]
    pieces += [(5900, 6000)]
    dice.shuffle(pieces)
    with Peer(family) as peer:
        peer.drill("E")
        start = peer.snd_nxt
        for begin, end in pieces:
            peer.put(peer.frame(PSH | ACK, data[begin:end], seq=start + begin))
        for begin in range(0, 6000, 1000):  # what the out-of-order limit dropped
            peer.put(peer.frame(PSH | ACK, data[begin:begin + 1000], seq=start + begin))
        peer.snd_nxt = (start + 6000) & M32
        assert peer.read(6000) == data


def test_overlap_with_other_bytes(family):
    """The same range twice with different bytes -> one of them, of the right length, in order;
    never a mixture beyond the range."""
    with Peer(family) as peer:
        peer.drill("E")
        start = peer.snd_nxt
        peer.put(peer.frame(PSH | ACK, b"B" * 100, seq=start + 50))
        peer.put(peer.frame(PSH | ACK, b"C" * 100, seq=start + 100))
        peer.put(peer.frame(PSH | ACK, b"A" * 120, seq=start))
        peer.snd_nxt = (start + 200) & M32
        answer = peer.read(200)
        assert answer[:50] == b"A" * 50 and answer[150:] == b"C" * 50
        assert set(answer) <= set(b"ABC")
        peer.echo(b"alive")


def test_thousands_of_tiny_out_of_order_segments(family):
    """3,000 one-byte segments with gaps -> a bounded number of frames, the rest counted; in the end
    every byte arrives."""
    data = lib.pattern.bytes(0, 6000)
    with Peer(family) as peer:
        peer.drill("H")
        start = peer.snd_nxt
        with figures.rises("out_of_order", by=100):
            for at in range(1, 6000, 2):
                peer.put(peer.frame(PSH | ACK, data[at:at + 1], seq=start + at))
        held = figures.figure("frames.ooo")
        total = sum(figures.frame_total(record) for record in figures.lane_records())
        assert held < total // 4, f"{held} of {total} frames out of order for one connection"
        for at in range(0, 6000, 1000):
            peer.put(peer.frame(PSH | ACK, data[at:at + 1000], seq=start + at))
        peer.snd_nxt = (start + 6000) & M32
        peer.send(FIN | ACK)
        line = lib.hash_answer(6000, lib.pattern.fnv1a(data)) + "\n"
        assert peer.read(len(line)).decode() == line


# ----- TLV -----

def _header(tag, length):
    return struct.pack("!HI", tag, length)


def ends(s):
    """The bytes up to FIN or RST: either is an end."""
    try:
        return lib.recv_all(s)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("port", [lib.ECHO, lib.SINK, lib.STORE_PORT])
@pytest.mark.parametrize("length", [lib.TLV_MAX + 1, 1 << 31, M32])
def test_tlv_length_over_the_limit(length, port, family):
    """A length of 1 MiB + 1, 2^31 or 2^32 - 1 -> closed at once with its reason, before a byte of
    the value is stored."""
    with figures.rises("closed.tlv_too_long"), lib.connect(port, family) as s:
        s.sendall(_header(1, length) + b"x" * 100)
        assert ends(s) == b""


def test_tlv_after_good_ones(family):
    """Two good messages, then one over the limit -> both reach the application, then the end."""
    with figures.rises("closed.tlv_too_long"), figures.rises("messages_in", by=2), \
            lib.connect(lib.ECHO, family) as s:
        s.sendall(lib.tlv(1, b"one") + lib.tlv(2, b"two") + _header(3, M32))
        ends(s)


@pytest.mark.parametrize("n", [1, 3, 5, 6, 50, 5000])
def test_tlv_cut_by_the_end(n, family):
    """FIN within header or value -> closed with the reason that names it."""
    with figures.rises("closed.tlv_cut"), lib.connect(lib.ECHO, family) as s:
        s.sendall(lib.tlv(1, bytes(10000))[:n])
        s.shutdown(1)
        assert ends(s) == b""


def test_slow_client_holds_up_nobody(family, other):
    """A message at one byte each 50 ms -> comes back whole at its end; meanwhile others are served
    at full speed."""
    message = lib.tlv(5, b"a slow one, but an honest one")
    with lib.connect(lib.ECHO, family) as s:
        before = other.answers
        for byte in message:
            s.sendall(bytes([byte]))
            time.sleep(0.05)
        assert lib.read_tlv(s) == (5, b"a slow one, but an honest one")
        assert other.answers > before + 30


def test_many_half_sent_messages(family):
    """A hundred clients that each send half of a message of 1 MiB -> bounded memory: some may be
    closed with their reason, others served; all is freed when they go."""
    with figures.stays("verdict.GONE"):
        clients = [lib.connect(lib.ECHO, family) for _ in range(100)]
        try:
            for s in clients:
                s.settimeout(0.2)
                try:
                    s.sendall(_header(1, lib.TLV_MAX) + bytes(60000))
                except OSError:
                    pass  # closed, or its window is
            figures.wait_for_room()
        finally:
            for s in clients:
                lib.abort(s)


# ----- ICMP -----

def quoted(peer, seq):
    """What a router would quote of a segment that the server sent."""
    ip = IP if peer.family == 4 else IPv6
    return bytes(ip(src=peer.server, dst=peer.address) / TCP(
        sport=peer.port, dport=peer.sport, seq=seq, flags=ACK) / Raw(b"quoted"))


def unreachable(peer, seq):
    """Port unreachable about the server's segment with this number; IPv4 quotes eight bytes of
    TCP."""
    if peer.family == 4:
        return bytes(peer.layers() / ICMP(type=3, code=3) / quoted(peer, seq)[:28])
    return bytes(peer.layers() / ICMPv6DestUnreach(code=4) / quoted(peer, seq))


def too_big(peer, seq, mtu):
    """A router's word that the server's segment was larger than the next link's MTU."""
    if peer.family == 4:
        return bytes(peer.layers() / ICMP(type=3, code=4, nexthopmtu=mtu) / quoted(peer, seq)[:28])
    return bytes(peer.layers() / ICMPv6PacketTooBig(mtu=mtu) / quoted(peer, seq))


def unacknowledged(peer, n):
    """Have the server send n bytes and keep them in flight; the first segment."""
    peer.send(PSH | ACK, lib.pattern.bytes(0, n))
    return peer.expect(ACK, where=lambda s: s.len)


def test_icmp_error_does_not_end_a_connection(family):
    """Port unreachable about a segment in flight -> counted, a soft error: it lives (RFC 5927
    5)."""
    with Peer(family) as peer:
        peer.drill("E")
        segment = unacknowledged(peer, 100)
        with figures.rises("icmp_errors"):
            peer.put(unreachable(peer, segment.seq))
        peer.take(segment)
        peer.acknowledge()
        assert bytes(peer.data) == lib.pattern.bytes(0, 100)
        peer.data.clear()
        peer.echo(b"after")


def test_icmp_about_old_numbers_is_ignored(family):
    """Packet too big about a number that is not in flight -> not believed (RFC 5927 4.1): segments
    stay as large as they were."""
    with Peer(family) as peer, figures.stays("icmp_errors"):
        peer.drill("E", options=[("MSS", 1400)])
        peer.echo(b"before")
        peer.put(too_big(peer, peer.rcv_nxt - 100000, 1280))
        assert unacknowledged(peer, 1300).len == 1300


def test_packet_too_big_makes_segments_smaller(family):
    """Packet too big with MTU 1,280 about a segment in flight -> sent again in smaller segments,
    none beyond 1,280 bytes; no byte is lost (RFC 1191, RFC 8201)."""
    with Peer(family) as peer:
        peer.drill("E", options=[("MSS", 1400)])
        segment = unacknowledged(peer, 1400)
        assert segment.len == 1400
        with figures.rises("icmp_errors"):
            peer.put(too_big(peer, segment.seq, 1280))
            while len(peer.data) < 1400:
                segment = peer.expect(ACK, 4, lambda s: s.len)
                assert segment.ip_len <= 1280
                peer.take(segment)
                peer.acknowledge()
        assert bytes(peer.data) == lib.pattern.bytes(0, 1400)


def test_icmp_about_nobody(family):
    """Port unreachable about a connection that is not there -> counted, nothing else."""
    with Peer(family) as peer, figures.rises("drop.icmp_unknown"):
        peer.put(unreachable(peer, 12345))
        peer.silence(0.1)


# ----- garbage -----

@pytest.mark.limit(240)
def test_fuzzed_frames(family, other):
    """5,000 TCP frames with random fields from a fixed seed, and their answers reset as a kernel
    would -> no worker dies, the other client goes on, nothing stays half open."""
    random.seed(7000 + family)
    with Peer(family) as peer:
        for i in range(2500):
            fields = fuzz(TCP(dport=lib.DRILL, sport=20000 + i % 1000))
            if i % 2:
                fields.chksum = None
            peer.put(bytes(peer.layers() / fields / Raw(random.randbytes(random.randrange(60)))))
            if i % 100 == 99:
                reset_all(peer)
        for _ in range(2500):
            frame = bytearray(peer.frame(random.randrange(64), random.randbytes(40)))
            for _ in range(random.randrange(1, 4)):
                frame[random.randrange(12, len(frame))] = random.randrange(256)
            peer.put(bytes(frame))
        reset_all(peer)
        other.more()
    with lib.drill("E", family) as s:
        s.sendall(b"alive")
        assert lib.recv_exact(s, 5) == b"alive"


def reset_all(peer):
    """Answer each SYN-ACK with RST, whatever its ports."""
    for segment in peer.receive_any():
        if segment.has(SYN | ACK):
            peer.put(peer.frame(RST, seq=segment.ack, sport=segment.dport, dport=segment.sport,
                                options=[]))


@pytest.mark.limit(30)
def test_random_bytes_on_open_connections(family):
    """100,000 random bytes as TLV and as drill lines, ten times each -> closed or answered;
    never more."""
    dice = random.Random(family)
    for port in (lib.ECHO, lib.SINK, lib.DRILL):
        for _ in range(10):
            with lib.connect(port, family, timeout=3) as s:
                try:
                    s.sendall(dice.randbytes(100000))
                except OSError:
                    pass
                lib.reset_on_close(s)


def test_flood_of_syns(family, other):
    """3,000 SYNs from as many ports, never finished -> the other client goes on, new clients open;
    RSTs then free what was half open."""
    with Peer(family) as peer:
        template = peer.frame(SYN, options=[("MSS", 1460)])
        start = 14 + {4: 20, 6: 40}[family]
        frames = []
        for port in range(30000, 33000):
            data = template[:start] + struct.pack("!H", port) + template[start + 2:]
            frames.append(with_checksum(data, family))
        for at in range(0, len(frames), 100):
            for frame in frames[at:at + 100]:
                peer.put(frame)
            reset_all(peer)
        with lib.connect(lib.ECHO, family) as s:
            lib.echo_once(s, 1, b"new")
        other.more()
        end = time.monotonic() + 5
        while time.monotonic() < end and figures.figure("half_open"):
            reset_all(peer)
