# SPDX-License-Identifier: MIT
"""IP packets with TCP segments or ICMP errors: made from what a script says, and read back."""
import ipaddress
import re
import struct

FLAGS = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, ".": 0x10, "U": 0x20, "E": 0x40, "W": 0x80,
         "A": 0x100}
ACE = {1: "E", 2: "W", 4: "A"}  # RFC 9768: the three as one number
ECN = {"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}
KINDS = {"eol": 0, "nop": 1, "mss": 2, "wscale": 3, "sackOK": 4, "sack": 5, "TS": 8, "FO": 34}
TCP, ICMP, ICMPV6 = 6, 1, 58
FOEXP_MAGIC = 0xf989


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def pattern(offset, length):
    """Byte n of a stream is n + n / 251, so that a shifted or repeated piece shows."""
    return bytes((n + n // 251) & 0xff for n in range(offset, offset + length))


def flag_bits(text):
    if text == "-":
        return 0
    for digit in re.findall("[0-7]", text):
        text = text.replace(digit, "".join(ACE[b] for b in ACE if int(digit) & b))
    return sum(FLAGS[c] for c in text)


def flag_text(bits):
    return "".join(c for c in "SFRPEWUA." if bits & FLAGS[c]) or "-"


def options_bytes(options):
    """The options as they lie in a header, padded; a SACK edge or TS is already a live number."""
    out = b""
    for option in options:
        kind = option[0]
        if kind in ("nop", "eol"):
            out += bytes([KINDS[kind]])
        elif kind == "mss":
            out += struct.pack("!BBH", 2, 4, option[1])
        elif kind == "wscale":
            out += struct.pack("!BBB", 3, 3, option[1])
        elif kind == "sackOK":
            out += b"\x04\x02"
        elif kind == "sack":
            out += struct.pack("!BB", 5, 2 + 8 * len(option[1]))
            for left, right in option[1]:
                out += struct.pack("!II", left & 0xffffffff, right & 0xffffffff)
        elif kind == "TS":
            out += struct.pack("!BBII", 8, 10, option[1] & 0xffffffff, option[2] & 0xffffffff)
        elif kind == "FO":
            out += struct.pack("!BB", 34, 2 + len(option[1])) + option[1]
        elif kind == "FOEXP":
            out += struct.pack("!BBH", 254, 4 + len(option[1]), FOEXP_MAGIC) + option[1]
        elif kind == "raw":
            out += option[1]
    return out + b"\0" * (-len(out) % 4)


def read_options(data):
    found = []
    at = 0
    while at < len(data):
        kind = data[at]
        if kind == 0:
            found.append(("eol",))
            at += 1
            continue
        if kind == 1:
            found.append(("nop",))
            at += 1
            continue
        size = data[at + 1] if at + 1 < len(data) else 0
        body = data[at + 2:at + size]
        if size < 2 or at + size > len(data):
            found.append(("raw", data[at:]))
            break
        at += size
        if kind == 2 and size == 4:
            found.append(("mss", struct.unpack("!H", body)[0]))
        elif kind == 3 and size == 3:
            found.append(("wscale", body[0]))
        elif kind == 4 and size == 2:
            found.append(("sackOK",))
        elif kind == 5 and size % 8 == 2:
            edges = struct.unpack("!%dI" % (len(body) // 4), body)
            found.append(("sack", list(zip(edges[::2], edges[1::2]))))
        elif kind == 8 and size == 10:
            found.append(("TS",) + struct.unpack("!II", body))
        elif kind == 34:
            found.append(("FO", body))
        elif kind == 254 and body[:2] == struct.pack("!H", FOEXP_MAGIC):
            found.append(("FOEXP", body[2:]))
        else:
            found.append(("raw", bytes([kind, size]) + body))
    return found


def options_text(options):
    words = []
    for option in options:
        if option[0] == "sack":
            words.append("sack " + " ".join("%d:%d" % edge for edge in option[1]))
        elif option[0] == "TS":
            words.append("TS val %d ecr %d" % option[1:])
        elif option[0] in ("FO", "FOEXP", "raw"):
            words.append("%s %s" % (option[0], option[1].hex()))
        else:
            words.append(" ".join(str(part) for part in option))
    return "<%s>" % ",".join(words) if words else ""


def pseudo(source, to, protocol, length):
    if source.version == 4:
        return source.packed + to.packed + struct.pack("!BBH", 0, protocol, length)
    return source.packed + to.packed + struct.pack("!II", length, protocol)


def ip_header(source, to, protocol, length, tos=0):
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28 | tos << 20, length, protocol, 255) \
            + source.packed + to.packed
    head = struct.pack("!BBHHHBBH", 0x45, tos, 20 + length, 0, 0, 255, protocol, 0) \
        + source.packed + to.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:]


def tcp_packet(source, to, ports, seq, ack, bits, window, urgent, options, payload, ecn=0):
    head = struct.pack("!HHIIHHHH", ports[0], ports[1], seq & 0xffffffff, ack & 0xffffffff,
                       (20 + len(options)) // 4 << 12 | bits, window, 0, urgent) + options
    segment = head + payload
    total = checksum(pseudo(source, to, TCP, len(segment)) + segment)
    segment = segment[:16] + struct.pack("!H", total) + segment[18:]
    return ip_header(source, to, TCP, len(segment), ecn) + segment


ICMP_UNREACHABLE = {None: 0, "net_unreachable": 0, "host_unreachable": 1, "protocol_unreachable": 2,
                    "port_unreachable": 3, "frag_needed": 4, "source_route_failed": 5,
                    "net_prohibited": 9, "host_prohibited": 10, "admin_prohibited": 13}
ICMP6_UNREACHABLE = {None: 0, "no_route": 0, "net_unreachable": 0, "admin_prohibited": 1, "addr_unreachable": 3,
                     "host_unreachable": 3, "port_unreachable": 4}


def icmp_packet(source, to, kind, code, mtu, ports, seq, length):
    """An ICMP error about a segment that `to` sent: `ports` are its source and destination."""
    quoted = ip_header(to, source, TCP, 20 + length) \
        + struct.pack("!HHIIBBHHH", ports[0], ports[1], seq & 0xffffffff, 0, 0x50, 0x10, 0, 0, 0)
    if source.version == 6:
        if kind == "packet_too_big" or code == "frag_needed":
            head = struct.pack("!BBHI", 2, 0, 0, mtu or 0)
        else:
            head = struct.pack("!BBHI", 1, ICMP6_UNREACHABLE[code], 0, 0)
        body = head + quoted
        body = body[:2] + struct.pack("!H", checksum(pseudo(source, to, ICMPV6, len(body)) + body)) \
            + body[4:]
        return ip_header(source, to, ICMPV6, len(body)) + body
    if kind == "source_quench":
        head = struct.pack("!BBHI", 4, 0, 0, 0)
    elif kind == "time_exceeded":
        head = struct.pack("!BBHI", 11, 0, 0, 0)
    elif kind == "parameter_problem":
        head = struct.pack("!BBHI", 12, 0, 0, 0)
    else:
        head = struct.pack("!BBHHH", 3, ICMP_UNREACHABLE[code], 0, 0, mtu or 0)
    body = head + quoted
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ip_header(source, to, ICMP, len(body)) + body


class Segment:
    """A TCP segment that the stack sent, every checksum verified."""

    def __init__(self, packet, sent):
        self.sent = sent
        self.problem = None
        version = packet[0] >> 4
        if version == 4:
            head = (packet[0] & 15) * 4
            total, = struct.unpack("!H", packet[2:4])
            self.tos, self.ttl, protocol = packet[1], packet[8], packet[9]
            self.source = ipaddress.ip_address(packet[12:16])
            self.to = ipaddress.ip_address(packet[16:20])
            if checksum(packet[:head]):
                self.problem = "IPv4 header checksum is wrong"
        else:
            head = 40
            total = 40 + struct.unpack("!H", packet[4:6])[0]
            self.tos, self.ttl, protocol = (packet[0] << 4 | packet[1] >> 4) & 255, packet[7], packet[6]
            self.source = ipaddress.ip_address(packet[8:24])
            self.to = ipaddress.ip_address(packet[24:40])
        self.ecn = self.tos & 3
        if protocol != TCP or total != len(packet):
            self.problem = "not a TCP packet of the length that it says"
            return
        tcp = packet[head:]
        if checksum(pseudo(self.source, self.to, TCP, len(tcp)) + tcp):
            self.problem = "TCP checksum is wrong"
        (sport, dport, self.seq, self.ack, word, self.window, _,
         self.urgent) = struct.unpack("!HHIIHHHH", tcp[:20])
        offset, self.flags = word >> 8, word & 0x1ff
        self.ports = (sport, dport)
        self.options = read_options(tcp[20:(offset >> 4) * 4])
        self.payload = tcp[(offset >> 4) * 4:]
