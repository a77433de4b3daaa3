#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write the first inputs of every fuzz target: seeds.py DIRECTORY makes DIRECTORY/TARGET/NAME.

They are what a fuzzer would take long to guess: frames, messages, a configuration, requests, and
whole conversations in the byte-code of play.h.
"""
import os
import struct
import sys

# Ports of the lane, by their place in play.h.
ECHO, SINK, ECHO_BYTES, DISCARD, SOURCE, DRILL = range(6)
# Instructions of play.c.
(SYN, TEXT, SEGMENT, FLAGS, ICMP, TIME, BYTES, AGAIN, CONNECT, DAEMON, FLOOD, ACKS, MAIL,
 VLAN, _, SACK) = range(16)
PLAIN, FULL = 0x01, 0x0f  # options of a SYN: MSS alone, or all
ACK, FIN, RST = 0, 1, 2   # of FLAGS
MS_40, MS_1000, MS_600000 = 2, 4, 7


def tlv(tag, value):
    return struct.pack(">HI", tag, len(value)) + value


def op(code, conn, *operands):
    return bytes((code, conn)) + b"".join(o if isinstance(o, bytes) else bytes((o,))
                                          for o in operands)


def syn(conn, port, options=FULL):
    return op(SYN, conn, options, port)


def text(conn, data):
    return b"".join(op(TEXT, conn, 0x80 | len(data[i:i + 63]), data[i:i + 63])
                    for i in range(0, len(data), 63))


def lane():
    hello = tlv(7, b"hello, lane")
    ping = tlv(1, b"12345678")
    seeds = {
        "echo": syn(0, ECHO) + text(0, hello * 3) + op(ACKS, 0, 3) + op(FLAGS, 0, FIN) +
        op(ACKS, 0, 2) + op(TIME, 0, MS_1000),
        "echo-v6-vlan": syn(1, ECHO, FULL | 0x40) + text(1, hello) + op(ACKS, 1, 3) +
        op(FLAGS, 1, FIN),
        "spanning": syn(2, SINK) + op(TEXT, 2, 6, struct.pack(">HI", 1, 3000)) +
        op(TEXT, 2, 64) + op(TEXT, 2, 64) + op(TIME, 0, MS_40) + op(TEXT, 2, 64),
        "heartbeat": syn(3, ECHO) + text(3, ping) + op(ACKS, 3, 1) + op(TIME, 0, MS_1000),
        "bytes": syn(0, ECHO_BYTES) + op(TEXT, 0, 64 | 0x80) * 6 + op(ACKS, 0, 7) +
        op(FLAGS, 0, FIN) + op(ACKS, 0, 1),
        "source": syn(4, SOURCE) + op(ACKS, 4, 7) * 3 + op(FLAGS, 4, ACK | 4) +
        op(TIME, 0, MS_600000),
        "sack": syn(4, SOURCE) + op(ACKS, 4, 3) + op(SACK, 4, 0x61, 100, 155) +
        op(TIME, 0, MS_40) + op(SACK, 4, 0x12, 120, 200, 55, 140, 30) + op(ACKS, 4, 7),
        "sack-twice": syn(4, SOURCE) + op(ACKS, 4, 5) + op(SACK, 4, 0x61, 50, 205) +
        op(TIME, 0, MS_1000) + op(SACK, 4, 0x19, 255, 0, 200) + op(ACKS, 4, 7),
        "renege": syn(4, SOURCE) + op(ACKS, 4, 5) + op(SACK, 4, 0x41, 128, 127) +
        op(TIME, 0, MS_1000) + op(SACK, 4, 0x10, 200) + op(TIME, 0, MS_1000) + op(ACKS, 4, 3),
        "three-duplicates": syn(4, SOURCE, PLAIN) + op(ACKS, 4, 4) + op(SACK, 4, 0x80) +
        op(ACKS, 4, 2),
        "ecn": syn(4, SOURCE | 8) + op(SEGMENT, 4, 0x62, 0x50, 0, 0, 0, 0) + op(ACKS, 4, 3) +
        syn(0, ECHO_BYTES | 8) + op(SEGMENT, 0, 0x60, 0x98, 0, 0, 0, 3, b"abc"),
        "accurate-ecn": syn(5, SOURCE | 8) + op(SEGMENT, 5, 0xe2, 0x50, 0, 0, 0, 0) + op(ACKS, 5, 3) +
        syn(1, ECHO_BYTES | 8) + op(SEGMENT, 1, 0xe0, 0x58, 0, 0, 0, 3, b"abc") + op(ACKS, 1, 2),
        "fast-open": syn(0, ECHO_BYTES | 128) + text(0, b"data"),
        "source-loss": syn(4, SOURCE) + op(SEGMENT, 4, 2, 0x10, 0, 0, 0, 0) * 4 +
        op(TIME, 0, MS_1000) + op(ACKS, 4, 7),
        "discard-wrap": syn(5, DISCARD, FULL | 0x80) + op(TEXT, 5, 64) * 4,
        "out-of-order": syn(6, ECHO_BYTES) + op(SEGMENT, 6, 4, 0x18, 10, 0, 200, 0, 20, b"b" * 20) +
        op(SEGMENT, 6, 4, 0x18, 5, 0, 200, 0, 8, b"c" * 8) + text(6, b"a" * 10) +
        op(SEGMENT, 6, 0, 0x11, 30, 0, 0, 0),
        "covered": syn(6, ECHO_BYTES) +
        op(SEGMENT, 6, 4, 0x18, 10, 0, 200, 0, 20, b"b" * 20) +
        op(SEGMENT, 6, 4, 0x18, 31, 0, 200, 0, 9, b"b" * 9) +
        op(SEGMENT, 6, 4, 0x18, 5, 0, 200, 0, 60, b"c" * 60) + text(6, b"a" * 30),
        "half-open": syn(7, ECHO, FULL | 16) + op(TIME, 0, MS_1000) * 3 + op(FLOOD, 8, 60, 64),
        "reset": syn(8, ECHO) + op(SEGMENT, 8, 0, 4, 1, 0, 0, 0) + op(FLAGS, 8, RST),
        "syn-again": syn(9, ECHO) + op(SEGMENT, 9, 0, 2, 1, 0, 0, 0) + op(AGAIN, 0, 0),
        "icmp": syn(0, SOURCE) + op(ICMP, 0, 0, 0, 5, 0) + op(ICMP, 0, 4, 0, 5, 0) +
        syn(1, SOURCE) + op(ICMP, 1, 4, 0, 5, 0) + op(ICMP, 1, 1, 0, 0, 0),
        "connect": op(CONNECT, 2, ECHO_BYTES) + op(FLAGS, 2, ACK) + text(2, b"hi") +
        op(CONNECT, 3, SINK | 32) + op(CONNECT, 4, ECHO | 64) + op(FLAGS, 4, RST | 1) +
        op(CONNECT, 6, ECHO | 128) + op(DAEMON, 0, 0, 0),
        "connect-full": op(CONNECT, 2, DISCARD) + op(FLAGS, 2, ACK) + text(2, b"hi" * 9) +
        op(FLAGS, 2, FIN) + op(ACKS, 2, 2) + op(CONNECT, 3, SOURCE) + op(ACKS, 3, 4) +
        op(DAEMON, 1, 4 | 8, 2, 88) + op(CONNECT, 5, SOURCE) + op(ACKS, 5, 2),
        "routes": syn(0, SOURCE) + op(DAEMON, 0, 4, 2, 88) + op(DAEMON, 0, 7, 120, 3, 0) +
        op(ACKS, 0, 3) + op(DAEMON, 0, 2, 1),
        "bad-sum": syn(0, ECHO) + op(AGAIN, 1, 1, 0, 50, 255) + op(AGAIN, 1, 7, 0, 47, 4, 0, 60),
        "vlan": op(VLAN, 3, 0x81, 5, 2) + op(BYTES, 1, 20, b"\0" * 12 + b"\x08\x00\x45\0\0\0\0\0"),
        "mail": syn(0, ECHO) + op(MAIL, 0, 1) + op(MAIL, 1, 2) + text(0, hello) + op(MAIL, 2, 1) +
        op(MAIL, 0, 32 | 1, 255, 255) + op(MAIL, 0, 32 | 1, 8, 0),
        "closed-port": syn(0, 6) + op(FLAGS, 0, ACK),
    }
    for i, line in enumerate((b"E\nabc", b"S\n", b"G 5000\n", b"F 3000\n", b"H\nabc", b"N 100\nx",
                              b"C\n", b"R\n", b"U 50\n", b"W 20\n", b"D 5\n", b"P\n", b"Q\nxyz",
                              b"A 192.0.2.1 61002\n", b"A 2001:db8::1 61003\n", b"B 7100\n",
                              b"K 1\n", b"bad\n")):
        seeds["drill-%02d" % i] = syn(0, DRILL) + text(0, line) + op(DAEMON, 0, 1) + \
            op(ACKS, 0, 5) + op(FLAGS, 0, FIN) + op(TIME, 0, MS_1000) + op(ACKS, 0, 1)
    return {name: bytes((0x0c if i % 2 else 0,)) + program
            for i, (name, program) in enumerate(seeds.items())}


def stream():
    def cut(start, how):
        return struct.pack(">HB", start, how)

    def seed(how, shape, slow, cuts, data):
        return bytes((how, shape, slow, len(cuts))) + b"".join(cuts) + data

    plain = bytes(range(256)) * 8
    messages = b"".join(tlv(i, b"v" * (i * 40)) for i in range(12))
    default = 2 << 2 | 1  # tag 2, length 4
    return {
        "in-order": seed(0, 0, 0, [], plain),
        "backwards": seed(0, 0, 0, [cut(s, 64 | 16) for s in (1536, 1024, 512, 0)], plain),
        "overlaps": seed(2, 0, 0, [cut(100, 30), cut(50, 40), cut(700, 20), cut(0, 12),
                                   cut(300, 128 | 25), cut(100, 30)], plain),
        "fin-first": seed(4, 0, 1, [cut(2000, 20), cut(1000, 64 | 20)], plain),
        "messages": seed(1, default, 0, [cut(3, 2), cut(0, 64 | 2), cut(900, 10)], messages),
        "slow-messages": seed(9, default, 1, [cut(700, 20), cut(0, 63)], messages),
        "too-long": seed(1, default | 64, 0, [cut(20, 9)], messages),
        "bad-length": seed(3, default | 32, 0, [cut(4, 2)], messages),
        "small-window": seed(8, 0, 3, [cut(1000, 30), cut(0, 31)], plain),
    }


def frame(ipv6, options=b"", data=b"", flags=0x18, vlan=b"", protocol=6):
    tcp = struct.pack(">HHIIBBHHH", 61000, 7000, 1, 2, (20 + len(options)) // 4 << 4, flags, 500,
                      0, 0) + options + data
    if ipv6:
        ip = struct.pack(">IHBB", 6 << 28, len(tcp), protocol, 64) + \
            bytes.fromhex("20010db8" + "00" * 11 + "01" + "20010db8" + "00" * 11 + "02")
    else:
        ip = struct.pack(">BBHIBBH4B4B", 0x45, 0, 20 + len(tcp), 0x4000, 64, protocol, 0,
                         192, 0, 2, 1, 192, 0, 2, 2)
    kind = b"\x86\xdd" if ipv6 else b"\x08\x00"
    return b"\2\0\0\0\0\2\2\0\0\0\0\1" + vlan + kind + ip + tcp


def wire():
    stamps = b"\1\1\x08\x0a" + struct.pack(">II", 5, 6)
    syn_options = b"\2\4\5\xb4\4\2\x08\x0a\0\0\0\1\0\0\0\0\1\3\3\7"
    sack = b"\1\1\5\x12" + struct.pack(">IIII", 1, 2, 3, 4)
    quoted = frame(False)[14:]
    icmp = struct.pack(">BBHI", 3, 4, 0, 1400) + quoted
    seeds = {}
    for ipv6 in (False, True):
        for name, options in (("plain", b""), ("stamps", stamps), ("syn", syn_options),
                              ("sack", sack), ("unknown", b"\xfe\4ab")):
            seeds["%s-%d" % (name, ipv6)] = b"\1" + frame(ipv6, options, b"text")
    seeds["vlan"] = b"\1" + frame(False, stamps, b"x", vlan=b"\x81\0\0\5")
    seeds["qinq"] = b"\1" + frame(True, stamps, b"x", vlan=b"\x88\xa8\0\5\x81\0\0\6")
    seeds["icmp"] = b"\1" + frame(False, protocol=1)[:34] + icmp
    seeds["raw"] = b"\0" + frame(False, stamps)
    seeds["options"] = b"\2" + syn_options
    for shape in range(16):
        seeds["good-%02d" % shape] = bytes((4, shape | 0x50)) + bytes(range(20)) + b"\3text"
    seeds["push"] = b"\3\1" + bytes(20) + b"\x4f\5\xb4\7" + bytes(40) + b"text"
    return seeds


def tlv_seeds():
    default = 2 << 2 | 1
    body = tlv(1, b"") + tlv(2, b"abc") + tlv(3, b"x" * 300)
    return {
        "default": bytes((default, 255, 0)) + body,
        "cut": bytes((default, 255, 5, 0, 3, 6, 100, 1)) + body,
        "has-header": bytes((default | 32, 255, 2, 1, 2)) + struct.pack(">HIB", 1, 7, 9) * 3,
        "bytes": bytes((0, 255, 1, 0)) + b"\1\2ab\2\0",
        "wide": bytes((15 | 16, 255, 1, 9)) + struct.pack("<QQ", 1, 3) + b"abc",
        "large-limit": bytes((default | 64, 0x3f, 255, 255, 255, 1, 9)) +
        struct.pack(">HI", 1, 1 << 29) + b"x" * 50,
    }


CONFIG = """user: nobody
run_directory: /run/millrace
pin_directory: /sys/fs/bpf/millrace
interfaces:
  - name: eth0
    queues: all
    mode: auto
    bind: auto
    force: false
heartbeat:
  stale_ms: 50
  grace_ms: 3000
lanes:
  frames: 4096
  frame_bytes: 2048
  huge_pages: auto
  connections: 65536
  half_open: 1024
  time_wait: 4096
  message_bytes: 16777216
  receive_buffer: 262144
  send_buffer: 262144
  busy_poll_us: 0
  cpus: [0, 1]
  capture_directory: /tmp
  ports: 40000-49999
tcp:
  nagle: true
  user_timeout_ms: 0
  time_wait_ms: 60000
  fin_wait_ms: 60000
  delayed_ack_ms: 40
  keepalive:
    enabled: false
    idle_s: 7200
    interval_s: 75
    count: 9
rules:
  - name: echo
    protocol: tcp
    address: any
    port: 7000
    vlan: any
    app: echo
    fallback: kernel
    backlog: 1024
    nodelay: true
    tlv:
      tag_bytes: 2
      length_bytes: 4
      order: big
      length_has_header: false
      max_bytes: 1048576
    heartbeat:
      ping_tag: 1
      pong_tag: 2
      idle_ms: 60000
      partial_ms: 1000
      ping_ms: 5000
      pong_ms: 1000
      handler_ms: 1000
      send_ms: 1000
  - name: store
    address: 192.0.2.2
    port: 7002
    app: store
    directory: /var/lib/millrace
  - {name: drill, address: "2001:db8::2", port: 7006, vlan: 5, app: drill}
"""


def config():
    least = "user: nobody\ninterfaces:\n  - name: eth0\nrules: []\n"
    seeds = {"all": CONFIG, "least": least, "anchor": "a: &x [1]\nb: *x\n", "none": "{}\n",
             "tab": "user:\n\t- x\n", "twice": least + "user: root\n"}
    for i, part in enumerate(CONFIG.split("\n")):
        if part.startswith("    ") and i % 3 == 0:
            seeds["without-%02d" % i] = CONFIG.replace(part + "\n", "")
    return {name: text.encode() for name, text in seeds.items()}


def api():
    seeds = {}
    for i, page in enumerate(("status", "lanes", "rules", "stats", "config", "conns")):
        seeds[page] = bytes((0x31, 200, 6)) + page.encode()
        seeds["raw-" + page] = bytes((0x30, 9)) + b"GET /v1/%s HTTP/1.1\r\nHost: x\r\n" \
            b"Connection: close\r\n\r\n" % page.encode()
    for i, value in enumerate((b"limit=2", b"fuzz0:1", b"3", b"0.2.1", b"ESTABLISHED", b"7000")):
        seeds["query-%d" % i] = bytes((1, 3, i)) + value
    seeds["metrics"] = bytes((0x21, 200, 7)) + b"metrics"
    seeds["post"] = b"\0\x20POST /v1/status HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    seeds["chunked"] = b"\0\x20PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    seeds["head"] = b"\0\xffHEAD /v1/status HTTP/1.0\r\n\r\n"
    return seeds


def arena():
    conn = bytes(44) + bytes((4, 7, 7, 0)) + bytes(144) + \
        bytes.fromhex("00" * 10 + "ffffc0000202" + "00" * 10 + "ffffc0000201" + "1b58ee48") + \
        bytes(28)
    words = [(i, v) for i in (0, 2, 4, 6, 8, 10) for v in (0, 4096, 0xffffffff)]
    seeds = {"header-%d-%x" % w: b"\0\1" + struct.pack(">BI", w[0], w[1]) for w in words}
    seeds["conns"] = b"\1\2" + b"\0" + struct.pack(">H", 4 * len(conn)) + conn * 4
    # a connection with a borrowed record and an archived trace, of one lane
    event = struct.pack("<IBBHII", 7, 1, 4, 2, 204, 9)
    trace = struct.pack("<IIIHBB", 1, 3, 1, 1, 2, 0) + bytes(36) + struct.pack("<III", 2, 2, 0) + event * 2
    seeds["traces"] = b"\1\2" + b"\0" + struct.pack(">H", len(conn)) + conn + b"\0\0\0" * 4 + \
        b"\1" + struct.pack(">H", len(trace)) + trace + b"\5\0\0"
    return seeds


def worker():
    head = b"\x02"  # messages, then play_open()'s byte
    v4 = bytes.fromhex("00" * 10 + "ffffc0000201")
    return {
        "hello": b"\1\2\0",
        "hello-cut": b"\1\2\1\x20",
        "hello-lanes": b"\1\0\2\x10\1\x0c\xff",
        "path": head + b"\0" + b"\0\4\1" + bytes(16) + struct.pack("<i", 0) + bytes(4),
        "path-v4": head + b"\0" + b"\0\4\0" + v4 + struct.pack("<i", 0) + bytes(4),
        "path-error": head + b"\0" + b"\0\4\1" + bytes(16) + struct.pack("<i", -113) + bytes(4),
        "listen": head + b"\0" + b"\0\6\1" + bytes(8) + struct.pack("<i", 0) + bytes(4),
        "listen-error": head + b"\0" + b"\0\6\1" + bytes(8) + struct.pack("<i", -98) + bytes(4),
        "listener": head + b"\0" + (b"\0\x08\0" + v4 + struct.pack("<HH", 7100, 0) + bytes(4)) * 2 +
        b"\0\x09\0" + v4 + struct.pack("<HH", 7100, 0) + bytes(4),
        "stop": head + b"\0" + b"\0\x0a\0",
    }


def daemon():
    ours = b"\1" + bytes(15)
    ask = b"\0\5\0" + bytes(8) + ours + struct.pack("<H", 7100) + bytes(6)
    unlisten = b"\0\7\0" + ours + struct.pack("<HH", 7100, 0) + bytes(4)
    seeds = {"listen": b"\1" + b"\0\2\0" + ask + ask + unlisten + b"\1\2\0" + ask[:0] + unlisten,
             "many": b"\1" + (b"\x80" + ask[1:]) * 40,
             "path": b"\1\0\3\0" + ours,
             "stopped": b"\1\0\x0b\0" + b"\0\2\0"}
    for kind in range(10):
        seeds["request-%d" % kind] = b"\0\0" + bytes((kind, 0)) + struct.pack(">H", 7100) + ours + \
            b"\0" + bytes((kind, 128)) + struct.pack(">H", 80) + ours
    return seeds


def drill():
    lines = [b"E\nabc", b"S\n", b"G 5000\n", b"F 3000\n", b"H\nabc", b"N 100\nx", b"C\n", b"R\n",
             b"U 50\n", b"W 20\n", b"D 5\n", b"P\n", b"Q\nxyz", b"A 192.0.2.1 61002\n",
             b"A 2001:db8::1 61003\n", b"B 7100\n", b"K 1\n", b"A 1.2.3 4\n", b"x" * 140 + b"\n"]
    return {"line-%02d" % i: b"\x0f\0" + bytes((len(line),)) + line + b"\3\x20\0" + b"\4\0\2" +
            b"\x15\7\2\3\x10\0" for i, line in enumerate(lines)}


SEEDS = {"lane": lane, "mailbox": lane, "stream": stream, "wire": wire, "tlv": tlv_seeds,
         "config": config, "api": api, "arena": arena, "worker": worker, "daemon": daemon,
         "drill": drill}


def write(directory):
    for target, make in SEEDS.items():
        folder = os.path.join(directory, target)
        os.makedirs(folder, exist_ok=True)
        for name, data in make().items():
            with open(os.path.join(folder, name), "wb") as out:
                out.write(data)


if __name__ == "__main__":
    write(sys.argv[1])
