# SPDX-License-Identifier: MIT
"""millrace capture: frames with what became of them, read back by tshark and by scapy."""
import contextlib
import os
import re
import signal
import socket
import subprocess

import pytest
from scapy.utils import PcapNgReader

import figures
import lib

TOOL = lib.BUILD / "millrace"


class Capture:
    """A running `millrace capture`; its frames once it ended."""

    def __init__(self, path, *words):
        self.path = path
        self.process = subprocess.Popen([TOOL, "capture", *words, "-w", path], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said = self.process.stderr.readline()  # that it is switched on, or why not

    def end(self, how=signal.SIGINT):
        self.process.send_signal(how)
        return self.wait()

    def wait(self):
        self.said += self.process.communicate(timeout=15)[1]
        return self.process.returncode

    def fields(self, *names, only=""):
        """A list a frame of the fields' texts, by tshark."""
        words = ["tshark", "-n", "-r", self.path, "-Y", only or "frame", "-T", "fields"]
        for name in names:
            words += ["-e", name]
        return [line.split("\t") for line in lib.command(*words).stdout.splitlines()]


@contextlib.contextmanager
def capturing(path, *words):
    capture = Capture(path, *words)
    try:
        yield capture
    finally:
        if capture.process.poll() is None:
            capture.end()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "frames.pcapng"


def echo_from(port=lib.ECHO, payload=b"x" * 100):
    with lib.connect(port) as s:
        lib.echo_once(s, 1, payload)
        return s.getsockname()[1]


def test_frames_come_with_verdict_rule_and_lane(path):
    """What a lane took and what the kernel got, each with its comment, XDP's verdict, queue."""
    with capturing(path) as capture:
        ours = echo_from()
        with contextlib.suppress(ConnectionRefusedError):
            lib.connect(9).close()
        assert capture.end() == 0
    assert " 0 lost" in capture.said
    taken = capture.fields("frame.comment", "frame.verdict.ebpf_xdp", "frame.interface_name",
                           "frame.interface_queue", only=f"tcp.srcport == {ours}")
    assert len(taken) >= 4
    for comment, action, interface, queue in taken:
        assert comment == f"verdict=TAKE rule=echo lane=mrs0:{queue}"
        assert (int(action, 0), interface) == (4, "mrs0")  # XDP_REDIRECT
    passed = capture.fields("frame.comment", "frame.verdict.ebpf_xdp", only="tcp.dstport == 9")
    assert passed and all(one == ["verdict=NO_RULE", passed[0][1]] for one in passed)
    assert int(passed[0][1], 0) == 2  # XDP_PASS


def test_filter_is_that_of_libpcap(path):
    """Only what the filter names, and its words stand in the file; -c ends the capture."""
    with capturing(path, "--direction", "in", "-c", "2", "tcp", "port", str(lib.SINK), "and", "len", ">", "60") as capture:
        echo_from()
        with lib.connect(lib.SINK) as s:
            s.sendall(lib.tlv(1, b"y" * 50))
            assert capture.wait() == 0
    assert capture.fields("tcp.dstport") == [[str(lib.SINK)]] * 2
    with PcapNgReader(str(path)) as frames:
        assert [len(frame) > 60 for frame in frames] == [True, True]


def test_snaplen_cuts_and_keeps_the_length(path):
    with capturing(path, "--snaplen", "60", "tcp") as capture:
        ours = echo_from(payload=b"z" * 1000)
        assert capture.end() == 0
    lengths = capture.fields("frame.len", "frame.cap_len", only=f"tcp.srcport == {ours}")
    assert all(int(cap) <= 60 for _, cap in lengths)
    assert any(int(length) > 1000 for length, _ in lengths)


def test_one_capture_at_a_time_and_a_killed_one_ends(path, tmp_path):
    """The second is told so; after SIGKILL the program switches copying off by itself."""
    with capturing(path) as first:
        second = Capture(tmp_path / "other.pcapng")
        assert second.wait() == 1 and "another capture is running" in second.said
        assert not second.path.exists()
        first.end(signal.SIGKILL)

    def is_over():
        echo_from()
        return figures.dump("mr1_tap")[0]["value"]["until_ns"] == 0

    lib.wait_for(is_over, 8, "copying is off")
    with capturing(path) as third:
        assert "frames go to" in third.said
        ours = echo_from()
        assert third.end() == 0
    assert third.fields("frame.number", only=f"tcp.srcport == {ours}")


def followed(path, stream=0):
    """Both directions of a TCP stream as tshark puts them together: client's bytes, server's bytes."""
    text = lib.command("tshark", "-n", "-r", path, "-q", "-z", f"follow,tcp,raw,{stream}").stdout
    lines = re.findall(r"^(\t?)([0-9a-f]+)$", text, re.M)
    return tuple(bytes.fromhex("".join(data for tab, data in lines if bool(tab) == server))
                 for server in (False, True))


def test_whole_connection_both_ways(path, family):
    """From SYN to FIN: tshark misses nothing, both streams are the bytes that were sent, in the order of time."""
    with capturing(path, "tcp", "port", str(lib.ECHO)) as capture:
        with lib.connect(lib.ECHO, family) as s:
            ours = s.getsockname()[1]
            messages = [lib.tlv(i, os.urandom(10 + 97 * i)) for i in range(60)]
            for message in messages:
                s.sendall(message)
                assert lib.recv_exact(s, len(message)) == message
            s.shutdown(socket.SHUT_WR)
            assert s.recv(1) == b""
        assert capture.end() == 0
    assert " 0 lost" in capture.said
    assert followed(path) == (b"".join(messages),) * 2
    assert capture.fields("frame.number", only="tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment") == []
    frames = capture.fields("frame.time_epoch", "frame.packet_flags_direction", "tcp.srcport", "frame.comment",
                            "frame.interface_name", "frame.verdict.ebpf_xdp", "tcp.flags")
    times = [float(frame[0]) for frame in frames]
    assert times == sorted(times)
    sent = [frame for frame in frames if frame[2] == str(lib.ECHO)]
    assert len(sent) >= len(messages) and len(frames) > len(sent)
    for _, direction, port, comment, interface, action, _ in frames:
        assert int(direction, 0) == (2 if port == str(lib.ECHO) else 1) and interface == "mrs0"
        assert bool(action) == (port != str(lib.ECHO))
    comments = {comment for _, _, _, comment, _, _, flags in sent if int(flags, 0) == 0x18}
    assert len(comments) == 1
    assert re.fullmatch(r"sent rule=echo lane=mrs0:[01] conn=\d+\.\d+", comments.pop())
    assert int(sent[0][6], 0) == 0x12 and "rule=echo" in sent[0][3]  # SYN-ACK, of a half-open connection
    assert {frame[2] for frame in frames} == {str(ours), str(lib.ECHO)}


def test_only_what_is_sent(path):
    with capturing(path, "--direction", "out", "--snaplen", "60", "tcp") as capture:
        echo_from(payload=b"z" * 1000)
        assert capture.end() == 0
    assert {row[0] for row in capture.fields("frame.packet_flags_direction")} == {"0x00000002"}
    lengths = [(int(a), int(b)) for a, b in capture.fields("frame.len", "frame.cap_len")]
    assert max(lengths)[0] > 1000 and all(cap <= 60 for _, cap in lengths)


def test_capture_that_stands_still_holds_nothing_up(path):
    """The tool is stopped under a bulk transfer: that goes on, what is missing is counted, and it catches up."""
    with capturing(path, "--direction", "out", "--snaplen", "200", "tcp") as capture, \
            lib.connect(lib.SOURCE_BYTES) as s:
        lib.recv_exact(s, 1 << 16)
        capture.process.send_signal(signal.SIGSTOP)
        lib.recv_exact(s, 96 << 20)  # at 1,448 a frame and 240 of the ring: 16 MB of copies
        capture.process.send_signal(signal.SIGCONT)
        lib.recv_exact(s, 1 << 20)
        assert capture.end() == 0
    said = re.search(r"(\d+) frames written, (\d+) seen, (\d+) lost", capture.said)
    assert said and int(said.group(3)) > 1000, capture.said
    assert len(capture.fields("frame.number")) == int(said.group(1)) > 0


def test_frames_sent_are_for_root_alone():
    """The daemon's group may change rules, but not see what passes."""
    group = os.stat("/run/millrace/control.sock").st_gid
    asked = lib.server.run("setpriv", "--reuid=65534", f"--regid={group}", "--clear-groups", "curl", "-sS", "-X", "POST",
                           "-w", "%{http_code}", "--unix-socket", "/run/millrace/control.sock",
                           "http://millrace/v1/lanes/sent?lane=mrs0:0")
    assert "only root may see frames" in asked.stdout and asked.stdout.endswith("403")


def test_interface_that_is_not_there_is_an_error(path):
    capture = Capture(path, "-i", "nosuch0")
    assert capture.wait() == 1 and "no such interface" in capture.said
    assert not path.exists()


def test_full_disk_is_an_error_that_switches_off():
    capture = Capture("/dev/full")
    assert capture.wait() == 1 and "No space left" in capture.said
    assert figures.dump("mr1_tap")[0]["value"]["until_ns"] == 0


def test_stdout_feeds_another_program():
    """-w - into tshark, which takes two frames and closes its end."""
    pipe = f"{TOOL} capture -w - tcp | tshark -n -l -c 2 -r - -T fields -e frame.comment"
    with subprocess.Popen(["sh", "-c", pipe], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, start_new_session=True) as shell:
        try:
            lib.wait_for(lambda: figures.dump("mr1_tap")[0]["value"]["until_ns"], 5, "switched on")
            echo_from()
            assert shell.stdout.readline().startswith("verdict=TAKE")
            # who writes learns that the pipe is closed from the next frame
            lib.wait_for(lambda: echo_from() and shell.poll() == 0, 10, "both ended")
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
    lib.wait_for(lambda: not figures.dump("mr1_tap")[0]["value"]["until_ns"], 8, "switched off")
