# SPDX-License-Identifier: MIT
"""The Wireshark dissector of TLV messages, read by tshark, on streams that are made here: the
messages of docs/tlv.md and others, cut into segments at every kind of place."""
import pathlib
import re
import shutil
import struct
import subprocess

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import PcapWriter

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "share" / "wireshark" / "millrace_tlv.lua"
PORT = 7000
FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82f63b78 * (crc & 1)
    return crc ^ 0xffffffff


class Layout:
    def __init__(self, tag=2, length=4, little=False, header=False, check=False):
        self.tag, self.length, self.little, self.header = tag, length, little, header
        self.check = check

    def number(self, value, width):
        return struct.pack(("<" if self.little else ">") + FORMATS[width], value)

    def message(self, tag, value):
        claimed = len(value) + (self.tag + self.length if self.header else 0)
        whole = self.number(tag, self.tag) + self.number(claimed, self.length) + value
        return whole + (self.number(crc32c(whole), 4) if self.check else b"")

    def preferences(self):
        return {"tag_bytes": self.tag, "length_bytes": self.length,
                "little_endian": str(self.little).upper(),
                "length_has_header": str(self.header).upper(), "crc32c": str(self.check).upper()}


def write(path, *connections, port=PORT):
    """Connections without a handshake, each a list of the segments that it carries, in order."""
    with PcapWriter(str(path), linktype=1) as out:
        for number, segments in enumerate(connections):
            at = 1000
            for text in segments:
                out.write(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
                          / IP(src="192.0.2.1", dst="192.0.2.2")
                          / TCP(sport=40000 + number, dport=port, seq=at, ack=1, flags="PA") / text)
                at += len(text)


def tshark(path, preferences, *fields):
    words = ["tshark", "-n", "-r", str(path), "-X", f"lua_script:{SCRIPT}", "-T", "fields",
             "-E", "occurrence=a"]
    for name, value in preferences.items():
        words += ["-o", f"millrace_tlv.{name}:{value}"]
    for field in fields:
        words += ["-e", field]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert "Lua" not in done.stderr, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def column(rows, i):
    """All values of a field, over all frames."""
    return [v for row in rows for v in row[i].split(",") if v]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "stream.pcap"


LAYOUTS = [Layout(), Layout(1, 1), Layout(1, 1, header=True), Layout(2, 2, little=True),
           Layout(4, 2, little=True, header=True), Layout(8, 8),
           Layout(8, 8, little=True, header=True), Layout(check=True),
           Layout(2, 2, little=True, check=True)]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda k: str(k.preferences()).translate(
    {ord(c): None for c in "{}' "}))
def test_every_layout_is_read_whatever_the_segments(path, layout):
    """Messages in one segment, and the same bytes cut one by one and in threes."""
    messages = [(18, b"vvvvv"), (1, b""), (200, bytes(range(60))), (7, b"hello")]
    stream = b"".join(layout.message(tag, value) for tag, value in messages)
    sizes = (len(stream), 1, 3, 50)
    write(path, *([stream[i:i + size] for i in range(0, len(stream), size)] for size in sizes))
    rows = tshark(path, layout.preferences(), "millrace_tlv.tag", "millrace_tlv.value_bytes",
                  "millrace_tlv.value", "millrace_tlv.check_ok", "_ws.expert.message", "tcp.stream")
    for number in range(len(sizes)):
        mine = [row for row in rows if row[5] == str(number)]
        assert column(mine, 0) == [str(tag) for tag, _ in messages]
        assert column(mine, 1) == [str(len(value)) for _, value in messages]
        assert column(mine, 2) == [value.hex() for _, value in messages if value]
        assert column(mine, 3) == (["1"] * 4 if layout.check else [])


def test_bytes_of_the_manual_page(path):
    """The layouts' table in docs/tlv.md: tag 0x12 with five bytes v, as it stands there."""
    table = (ROOT / "docs" / "tlv.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d), (\d), (big|little), (value|header too) \| `(.*?)` \|$", table, re.M)
    assert len(lines) == 6
    for tag, length, order, counts, text in lines:
        layout = Layout(int(tag), int(length), order == "little", counts == "header too")
        stream = bytes.fromhex(text.replace("v", "76"))
        write(path, [stream])
        rows = tshark(path, layout.preferences(), "millrace_tlv.tag", "millrace_tlv.value")
        assert rows == [["18", "76" * 5]]


def test_pings_and_pongs_are_named(path):
    layout = Layout()
    write(path, [layout.message(1, b"\xde\xad") + layout.message(2, b"\xde\xad")
                 + layout.message(3, b"")])
    rows = tshark(path, {"ping_tag": 1, "pong_tag": "0x2"}, "millrace_tlv.kind")
    assert column(rows, 0) == ["ping", "pong", "message"]


def test_tag_of_64_bits(path):
    layout = Layout(8, 1)
    write(path, [layout.message(0xfedcba9876543210, b"x")])
    assert tshark(path, layout.preferences(), "millrace_tlv.tag") == [[str(0xfedcba9876543210)]]


def test_length_that_cannot_be_is_an_expert_note(path):
    layout = Layout()
    write(path, [layout.message(1, b"a") + layout.number(2, 2) + layout.number(2**31, 4) + b"rest"])
    rows = tshark(path, {}, "millrace_tlv.tag", "_ws.expert.message")
    assert column(rows, 0) == ["1"] and "Length cannot be" in rows[0][1]
    header = Layout(1, 1, header=True)
    write(path, [b"\x01\x01xxxx"])  # less than the header itself
    assert "Length cannot be" in tshark(path, header.preferences(), "_ws.expert.message")[0][0]
    write(path, [layout.message(1, bytes(11))])
    assert "Length cannot be" in tshark(path, {"max_bytes": 10}, "_ws.expert.message")[0][0]


def test_wrong_check_is_an_expert_note(path):
    layout = Layout(check=True)
    wrong = bytearray(layout.message(7, b"hello"))
    wrong[8] ^= 1
    write(path, [bytes(wrong)])
    rows = tshark(path, layout.preferences(), "millrace_tlv.check_ok", "_ws.expert.message")
    assert rows[0][0] == "0" and "Check is wrong" in rows[0][1]


def test_messages_inside_a_value(path):
    """docs/tlv.md: 01 07 [02 02 61 62] [03 01 63]; and one that is cut short."""
    layout = Layout(1, 1)
    write(path, [bytes.fromhex("0107020261620301630105020961")])
    preferences = {**layout.preferences(), "nested": "1"}
    rows = tshark(path, preferences, "millrace_tlv.tag", "_ws.expert.message")
    assert column(rows, 0) == ["1", "2", "3"] and rows[0][1] == ""
    write(path, [bytes.fromhex("0104020961620a0163")])
    rows = tshark(path, preferences, "millrace_tlv.tag", "_ws.expert.message")
    assert column(rows, 0) == ["1", "10"] and "do not fill" in rows[0][1]


def test_ports_and_widths_are_preferences(path):
    write(path, [Layout().message(1, b"a")], port=9999)
    assert column(tshark(path, {}, "millrace_tlv.tag"), 0) == []
    assert column(tshark(path, {"ports": "9000-9999"}, "millrace_tlv.tag"), 0) == ["1"]
    rows = tshark(path, {"ports": "9999", "tag_bytes": 3}, "millrace_tlv.tag", "_ws.expert.message")
    assert "widths" in rows[0][1]
