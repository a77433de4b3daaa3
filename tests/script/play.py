# SPDX-License-Identifier: MIT
"""Play a script against the stack: one connection under test, as packetdrill has it."""
import ipaddress
import math
import re
import textwrap
import threading
import time

import notation
import packets
from calls import BIND_PORT, Calls
from notation import ANY, ScriptError
from stack import Stack

ADDRESSES = {"ipv4": ("192.168.0.2", "192.0.2.1"),
             "ipv4-mapped-ipv6": ("192.168.0.2", "192.0.2.1"),
             "ipv6": ("fd3d:fa7b:d17d::2", "2001:db8::1")}
REMOTE_PORT = 43210
TOLERANCE_US = 4000
GUARD_S = 10  # real time for a thread to block or return


class Mode:
    """How scripts are played that are not ours: as packetdrill itself would."""

    def __init__(self, foreign=False, ip_version=None, defines=None, so_flags=""):
        self.foreign = foreign  # TS ecr and what is sent after the last line are not looked at
        self.ip_version = ip_version
        self.defines = defines or {}
        self.so_flags = so_flags


class Blocking(threading.Thread):
    """A call that may block, on a thread of its own."""

    def __init__(self, player, event, base):
        super().__init__(daemon=True)
        self.player, self.event = player, event
        blocks = event.time.blocks
        self.end = (base if event.time.kind == "relative" else 0) + round(blocks * 1e6)
        self.ended_at = self.verify = self.problem = None

    def run(self):
        try:
            self.verify = self.player.calls.run(self.event)
        except ScriptError as error:
            self.problem = error
        self.ended_at = self.player.stack.now() - self.player.start


class Player:
    def __init__(self, text, so, mode=Mode()):
        self.script = notation.parse(text, mode.defines)
        self.foreign = mode.foreign
        options = self.script.options
        version = options.get("ip_version", mode.ip_version or "ipv4")
        self.addresses = tuple(ipaddress.ip_address(a) for a in ADDRESSES[version])
        self.tolerance = int(options.get("tolerance_usecs", TOLERANCE_US))
        self.strict = "strict_segments" in options
        self.remote_base = int(options.get("remote_isn", "0"), 0)
        self.stack = Stack(so, ",".join(["sysctl=0", mode.so_flags, kernel_settings(self.script.shell),
                                         options.get("so_flags", "")]))
        self.calls = Calls(self.stack, self.addresses, version == "ipv4-mapped-ipv6")
        self.start = self.stack.now()
        self.previous = 0       # when the last event happened, script time in us
        self.blocking = None
        self.ports = None       # (ours, the stack's): of the connection under test
        self.remote_port = REMOTE_PORT
        self.local_offset = None
        self.new_numbers = False
        self.remote_isn = 0     # as the script numbers it, of the first SYN
        self.text_isn = 0       # of the last one
        self.local_isn = 0
        self.passive = True
        self.ts_map = {}
        self.cookie = b""      # Fast Open's, as the stack gave it last
        self.held = []          # packets that came and are not asked for yet
        self.names = {}         # what assertions left

    def now(self):
        return self.stack.now() - self.start

    def fail(self, event, text):
        raise ScriptError(event.line, "%s\n  %s" % (event.text, text))

    # ----- time -----

    def window(self, event):
        """(earliest, latest) in script time, or None for any time."""
        t = event.time
        if t.kind == "any":
            return None
        base = self.previous if t.kind == "relative" else 0
        start = base + round(t.start * 1e6)
        return start, base + round(t.end * 1e6) if t.end is not None else start

    def go_to(self, when):
        now = self.now()
        if when > now:
            self.stack.sleep(when - now)

    def check_time(self, event, window, when):
        if window and not window[0] - self.tolerance <= when <= window[1] + self.tolerance:
            self.fail(event, "expected at %s s, happened at %.6f s" % (
                "%.6f" % (window[0] / 1e6) if window[0] == window[1] else
                "%.6f to %.6f" % (window[0] / 1e6, window[1] / 1e6), when / 1e6))

    def happened(self, event, window, when):
        exact = window and window[0] == window[1]
        self.previous = window[0] if exact else when

    # ----- packets in -----

    def inbound_options(self, options):
        mapped = []
        for option in options:
            if option[0] == "sack":
                base = self.local_isn + (self.local_offset or 0)
                mapped.append(("sack", [(a + base, b + base) for a, b in option[1]]))
            elif option[0] == "TS":
                mapped.append(("TS", option[1], self.ts_map.get(option[2], option[2])))
            elif option[0] in ("FO", "FOEXP") and option[1] == "cookie":
                mapped.append((option[0], self.cookie))
            else:
                mapped.append(option)
        return packets.options_bytes(mapped)

    def begin(self, event):
        """An inbound SYN, where no connection is under test, is a passive open: true."""
        if self.ports is not None:
            return False
        self.ports = (self.remote_port, BIND_PORT)
        self.remote_port += 1  # of the next one
        self.passive = True
        return True

    def inject(self, event):
        local, remote = self.addresses
        bits = packets.flag_bits(event.flags)
        seq, ack = int(event.seq), int(event.ack or 0)
        is_first = self.begin(event)
        if bits & packets.FLAGS["S"]:
            self.text_isn = seq
            if is_first or (bits & packets.FLAGS["."] and not self.passive):
                self.remote_isn = seq
            if not bits & packets.FLAGS["."] and self.passive:
                self.new_numbers = True  # the answer to a new SYN may have its own numbers
        length = int(event.len)
        payload = packets.pattern(0 if bits & packets.FLAGS["S"] else
                                  max(seq + self.remote_isn - self.text_isn - 1, 0), length)
        if not bits & packets.FLAGS["S"]:  # but for SYNs, a script's numbers begin behind the ISN
            seq, ack = seq + self.remote_isn, ack + self.local_isn
        packet = packets.tcp_packet(
            remote, local, self.ports, seq + self.remote_base,
            ack + (self.local_offset or 0) if event.ack else 0, bits, int(event.win or 0),
            int(event.urg or 0), self.inbound_options(event.parsed), payload,
            event.tos if event.tos is not None else packets.ECN.get(event.ecn, 0))
        if self.stack.inject(packet) < 0:
            self.fail(event, "the stack's device refused the packet")

    def inject_icmp(self, event):
        local, remote = self.addresses
        try:
            packet = packets.icmp_packet(
                remote, local, event.type, event.code, int(event.mtu or 0),
                (self.ports[1], self.ports[0]), int(event.seq or 0) + self.local_isn + (self.local_offset or 0),
                int(event.len or 0))
        except KeyError:
            raise ScriptError(event.line, "unknown ICMP error: %s" % event.text) from None
        self.stack.inject(packet)

    # ----- packets out -----

    def is_ours(self, segment):
        if segment.problem:
            return True
        if self.ports is None and self.calls.connected and segment.ports[1] == BIND_PORT \
                and segment.flags & packets.FLAGS["S"]:
            self.ports = (segment.ports[1], segment.ports[0])
            self.passive = False
        return segment.source == self.addresses[0] and self.ports is not None and \
            segment.ports == (self.ports[1], self.ports[0])

    def next_segment(self):
        while not self.held:
            found = self.stack.next_packet()
            if not found:
                return None
            segment = packets.Segment(found[0], found[1] - self.start)
            if self.is_ours(segment):
                return segment
        return self.held.pop(0)

    def relative(self, segment):
        """A live segment in the script's numbers, as text."""
        parts = [packets.flag_text(segment.flags),
                 "%d:%d(%d)" % (self.script_seq(segment),
                                self.script_seq(segment) + len(segment.payload),
                                len(segment.payload))]
        if segment.flags & packets.FLAGS["."]:
            parts.append("ack %d" % self.script_ack(segment))
        parts.append("win %d" % segment.window)
        if segment.options:
            parts.append(packets.options_text(self.outbound_options(segment)))
        return "> " + ("[%s] " % {v: k for k, v in packets.ECN.items()}[segment.ecn]
                       if segment.ecn else "") + " ".join(parts)

    def script_seq(self, segment):
        value = segment.seq - (self.local_offset or 0)
        if not segment.flags & packets.FLAGS["S"]:
            value -= self.local_isn
        value &= 0xffffffff
        return value - (1 << 32) if value > 0xfff00000 else value

    def script_ack(self, segment):
        begin = 0 if segment.flags & packets.FLAGS["S"] else self.remote_isn
        return (segment.ack - self.remote_base - begin) & 0xffffffff

    def outbound_options(self, segment):
        mapped = []
        for option in segment.options:
            if option[0] == "sack":
                base = self.remote_base + self.remote_isn
                mapped.append(("sack", [((a - base) & 0xffffffff, (b - base) & 0xffffffff)
                                        for a, b in option[1]]))
            else:
                mapped.append(option)
        return mapped

    def learn_numbers(self, event, segment):
        if segment.flags & packets.FLAGS["S"] and (self.local_offset is None or self.new_numbers):
            self.new_numbers = False
            self.local_offset = (segment.seq - int(event.seq)) & 0xffffffff
            self.local_isn = int(event.seq)

    def check_options(self, event, segment, complain):
        if event.parsed is ANY:
            for option in segment.options:  # the first timestamp anchors the script's
                if option[0] == "TS":
                    self.ts_map.setdefault(100, option[1])
            return
        live = self.outbound_options(segment)
        if len(live) != len(event.parsed):
            complain("list of options")
        for want, got in zip(event.parsed, live):
            if want[0] == "TS" and got[0] == "TS":
                self.ts_map[want[1]] = got[1]
                if want[2] != got[2] and not self.foreign:
                    complain("timestamp echo")
            elif want[0] in ("FO", "FOEXP") and got[0] == want[0] and want[1] == "cookie":
                self.cookie = got[1]
            elif want != got:
                complain("list of options")

    def check_head(self, event, segment, ignore):
        def complain(what):
            self.fail(event, "%s differs\n  expected: %s\n  got:      %s" % (
                what, event.text, self.relative(segment)))

        if segment.problem:
            self.fail(event, segment.problem)
        bits = packets.flag_bits(event.flags)
        if (segment.flags ^ bits) & ~ignore:
            complain("set of flags")
        self.learn_numbers(event, segment)
        if self.script_seq(segment) != int(event.seq):
            complain("sequence number")
        if event.ack and self.script_ack(segment) != int(event.ack):
            complain("acknowledgment")
        if event.win and segment.window != int(event.win):
            complain("window")
        if event.urg and segment.urgent != int(event.urg):
            complain("urgent pointer")
        if event.ecn == "ect01" and segment.ecn not in (1, 2):
            complain("ECN field")
        if event.ecn and event.ecn != "ect01" and segment.ecn != packets.ECN[event.ecn]:
            complain("ECN field")
        if event.tos is not None and segment.tos != event.tos:
            complain("TOS byte %#x" % segment.tos)
        if event.ttl is not None and segment.ttl != event.ttl:
            complain("TTL %d" % segment.ttl)
        self.check_options(event, segment, complain)
        wanted = int(event.len)
        if len(segment.payload) > wanted or (len(segment.payload) < wanted and not segment.payload):
            complain("length")
        start = self.script_seq(segment) - 1
        if segment.payload and segment.payload != packets.pattern(max(start, 0), len(segment.payload)) \
                and not segment.flags & packets.FLAGS["S"]:
            complain("text (other bytes than were written)")

    def expect(self, event, window):
        """The next segment, or the next few that together are what the script writes as one."""
        wanted = int(event.len)
        total = 0
        first = None
        while True:
            segment = self.next_segment()
            if not segment:
                self.fail(event, "expected a packet, none came")
            part = event
            if first:
                part = notation.Event(event.line, event.time, event.kind, event.text,
                                      **{k: v for k, v in event.__dict__.items()
                                         if k not in ("line", "time", "kind", "text")})
                part.seq, part.len = int(event.seq) + total, wanted - total
            more = not self.strict and total + len(segment.payload) < wanted and segment.payload
            # several segments written as one: the last one's flags count
            self.check_head(part, segment, packets.FLAGS["P"] if more else 0)
            first = first or segment
            total += len(segment.payload)
            self.check_time(event, window, segment.sent)
            if not more:
                break
        if total != wanted:
            self.fail(event, "length differs\n  expected: %s\n  got:      %s" % (
                event.text, self.relative(segment)))
        return first.sent

    # ----- calls -----

    def call(self, event, window):
        if event.name in ("socket",):
            self.ports = self.local_offset = None
            self.ts_map = {}
        if event.time.blocks is None:
            self.calls.run(event)()
            return
        self.reap(wait=True)
        self.blocking = Blocking(self, event, self.previous)
        self.blocking.start()
        until = time.monotonic() + GUARD_S
        while self.blocking.is_alive() and not self.stack.waiting():
            if time.monotonic() > until:
                self.fail(event, "neither blocked nor returned")
            time.sleep(0.0005)

    def let_return(self, blocking):
        """A thread that no longer waits is on its way out."""
        until = time.monotonic() + GUARD_S
        while blocking.is_alive() and not self.stack.waiting() and time.monotonic() < until:
            time.sleep(0.0005)

    def reap(self, wait=False):
        """A blocking call that has returned, or should have."""
        b = self.blocking
        if not b:
            return
        if wait and b.is_alive():
            self.go_to(b.end)
            self.let_return(b)
            if b.is_alive():
                self.go_to(b.end + self.tolerance)
                self.let_return(b)
        self.let_return(b)
        if b.is_alive():
            if wait or self.now() > b.end + self.tolerance:
                self.fail(b.event, "still blocked at %.6f s" % (self.now() / 1e6))
            return
        self.blocking = None
        if b.problem:
            raise b.problem
        b.verify()
        self.check_time(b.event, (b.end, b.end), b.ended_at)

    # ----- assertions -----

    def assertion(self, event):
        self.names.update(self.calls.info(event.line))
        try:
            exec(compile(dedent(event.code), event.text, "exec"), self.names)  # pylint: disable=exec-used
        except AssertionError as error:
            self.fail(event, "assertion failed%s" % (": got %s" % error if str(error) else ""))
        except (NameError, SyntaxError, TypeError) as error:
            self.fail(event, "cannot be evaluated: %s" % error)

    # ----- the whole -----

    def step(self, event):
        window = self.window(event)
        if event.kind == "out":
            when = self.expect(event, window)
        else:
            if window:
                self.go_to(window[0])
            self.reap()
            when = self.now()
            if event.kind == "in":
                self.inject(event)
            elif event.kind == "icmp":
                self.inject_icmp(event)
            elif event.kind == "code":
                self.assertion(event)
            elif event.kind == "call":
                self.call(event, window)
        self.happened(event, window, when)
        self.reap()

    def nothing_left(self, end):
        """Whatever the stack sent during the script, the script named."""
        segment = self.next_segment()
        if segment and segment.sent <= end:
            last = self.script.events[-1]
            raise ScriptError(last.line, "after the last event:\n  unexpected: %s, at %.6f s" % (
                self.relative(segment), segment.sent / 1e6))

    def play(self):
        for event in self.script.events:
            self.step(event)
        self.reap(wait=True)
        if not self.foreign:
            self.nothing_left(self.now())

    def close(self):
        self.stack.close()


SYSCTL = re.compile(r"(?:net\.ipv4\.|/proc/sys/net/ipv4/)(\w+)=(\"[^\"]*\"|\S+)")
PRODUCT = re.compile(r"\$\(\(([\d\s]+(?:\*[\d\s]+)*)\)\)")


def kernel_settings(shell):
    """What commands set a kernel up with, as so_flags: the object knows what it means for a lane."""
    flags = []
    for name, value in (m.groups() for text in shell for m in SYSCTL.finditer(text)):
        value = PRODUCT.sub(lambda m: str(math.prod(map(int, m.group(1).split("*")))), value.strip("\"`"))
        if "," not in value:  # it would end the flag; what a lane has is no list
            flags.append("net.ipv4.%s=%s" % (name, value))
    return ",".join(flags)


def dedent(code):
    """A block of code, whose first line stands behind the bracket."""
    first, _, rest = code.strip("\n").partition("\n")
    return first.strip() + "\n" + textwrap.dedent(rest) + "\n\n"


def play_file(path, so, mode=Mode()):
    """None when the script passes, else what is wrong: file:line and what was met."""
    player = None
    try:
        with open(path, encoding="utf-8") as file:
            player = Player(file.read(), so, mode)
        player.play()
    except ScriptError as error:
        return "%s:%d: %s" % (path, error.line, error.text)
    finally:
        if player:
            player.close()
    return None
