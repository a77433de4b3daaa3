# SPDX-License-Identifier: MIT
"""Packetdrill's notation: from a script's text to a list of events (docs/scripts.md)."""
import re


class ScriptError(Exception):
    """What is wrong with a script, or with what it met; `line` is where."""

    def __init__(self, line, text):
        super().__init__(text)
        self.line = line
        self.text = text


class Any:
    """The notation's `...`: any value."""

    def __repr__(self):
        return "..."


ANY = Any()


class Time:
    """When an event happens: kind is absolute, relative or any; end is set for a range."""

    def __init__(self, kind, start=0.0, end=None, blocks=None):
        self.kind, self.start, self.end, self.blocks = kind, start, end, blocks


class Event:
    def __init__(self, line, time, kind, text, **fields):
        self.line, self.time, self.kind, self.text = line, time, kind, text
        self.__dict__.update(fields)


class Script:
    def __init__(self):
        self.options = {}
        self.shell = []  # commands that set a kernel up, as they stand
        self.events = []


NUMBER = r"\d*\.?\d+"
TIME = re.compile(r"(?P<plus>\+)?(?:(?P<start>%s)|(?P<any>\*))(?:\s*~\s*(?P<plus2>\+)?(?P<end>%s))?"
                  r"(?:\s*\.\.\.\s*(?P<blocks>%s))?(?=\s|<|>|%%|`)" % (NUMBER, NUMBER, NUMBER))
TCP = re.compile(r"(?P<dir>[<>])\s*(?:[\[(](?P<ip>[^\])]*)[\])]\s*)?(?P<flags>[SFRPEWUA.0-7]+|-)\s+"
                 r"(?P<seq>\d+):(?P<end>\d+)\((?P<len>\d+)\)"
                 r"(?:\s+ack\s+(?P<ack>\d+))?(?:\s+win\s+(?P<win>\d+))?(?:\s+urg\s+(?P<urg>\d+))?"
                 r"(?:\s*<(?P<options>[^>]*)>)?")
ICMP = re.compile(r"<\s*icmp\s+(?P<type>\w+)(?:\s+(?P<code>(?!mtu)\w+))?(?:\s+mtu\s+(?P<mtu>\d+))?"
                  r"(?:\s*\[(?P<seq>\d+):(?P<end>\d+)\((?P<len>\d+)\)\])?")
OPTION = re.compile(r"--(\w+)(?:=(\S+))?")
TOKEN = re.compile(r"\s*(?:(?P<number>-?0x[0-9a-fA-F]+|-?\d+)|(?P<word>[A-Za-z_]\w*)|"
                   r"(?P<string>\"(?:[^\"\\]|\\.)*\")|(?P<punct>\.\.\.|[()\[\]{},=|:]))")


def strip_comments(text):
    """Comments become spaces, so that places keep their lines."""
    def blank(match):
        if match.group(0)[0] in "\"`%":
            return match.group(0)
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r"\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|%\{.*?\}%|//[^\n]*|/\*.*?\*/|(?m:^\s*#[^\n]*)",
                  blank, text, flags=re.S)


class Reader:
    def __init__(self, text):
        self.text = strip_comments(text)
        self.at = 0

    def line(self):
        return self.text.count("\n", 0, self.at) + 1

    def fail(self, text):
        raise ScriptError(self.line(), text)

    def space(self):
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def match(self, pattern):
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def until(self, end):
        place = self.text.find(end, self.at)
        if place < 0:
            self.fail("no %s" % end)
        inside, self.at = self.text[self.at:place], place + len(end)
        return inside

    # ----- system calls -----

    def token(self):
        found = self.match(TOKEN)
        if not found:
            self.fail("cannot read: %s" % self.text[self.at:self.at + 40].split("\n")[0])
        return found

    def peek(self, punct):
        found = TOKEN.match(self.text, self.at)
        return bool(found) and found.group("punct") == punct

    def expect(self, punct):
        if self.token().group("punct") != punct:
            self.fail("expected %s" % punct)

    def value(self):
        """A number, string, name, a | b, [list], {record}, name(...), or `...`."""
        parts = [self.one_value()]
        while self.peek("|"):
            self.token()
            parts.append(self.one_value())
        return parts[0] if len(parts) == 1 else ("or", parts)

    def one_value(self):
        token = self.token()
        if token.group("number"):
            return int(token.group("number"), 0)
        if token.group("string"):
            return ("string", token.group("string")[1:-1])
        if token.group("word"):
            if self.peek("("):
                return ("call", token.group("word"), self.values("(", ")"))
            return ("name", token.group("word"))
        self.at = token.start()
        if self.peek("..."):
            self.token()
            return ANY
        if self.peek("["):
            return self.values("[", "]")
        if self.peek("{"):
            return self.record()
        return self.fail("expected a value")

    def values(self, left, right):
        self.expect(left)
        found = []
        while not self.peek(right):
            found.append(self.value())
            if not self.peek(right):
                self.expect(",")
        self.expect(right)
        return found

    def record(self):
        """{a=1, b=2}, or {..., 100} for an iovec."""
        self.expect("{")
        named, plain = {}, []
        while not self.peek("}"):
            value = self.value()
            if self.peek("="):
                self.token()
                named[value[1]] = self.value()
            elif self.peek("("):  # msg_name(...)=..., as packetdrill writes it
                self.values("(", ")")
                self.expect("=")
                named[value[1]] = self.value()
            else:
                plain.append(value)
            if not self.peek("}"):
                self.expect(",")
        self.expect("}")
        return plain if plain else named

    def call(self, line, time):
        start = self.at
        name = self.token().group("word")
        if not name:
            self.fail("expected a packet, a call or %{")
        arguments = self.values("(", ")")
        self.expect("=")
        result = self.value()
        error = None
        found = self.match(re.compile(r"[ \t]+(E[A-Z0-9]+)\b"))
        if found:
            error = found.group(1)
        self.match(re.compile(r"[ \t]*\([^)\n]*\)"))
        text = " ".join(self.text[start:self.at].split())
        return Event(line, time, "call", text, name=name, arguments=arguments, result=result,
                     error=error)

    # ----- events -----

    def ip_info(self, text):
        """What stands in brackets before the flags: an ECN field, the whole TOS byte, a TTL."""
        found = {"ecn": None, "tos": None, "ttl": None}
        for piece in (p.split() for p in text.split(",") if p.strip()):
            if len(piece) == 1:
                found["ecn"] = piece[0].lower()
            elif piece[0].lower() in ("tos", "ttl"):
                found[piece[0].lower()] = int(piece[1], 0)
            elif piece[0] != "flowlabel":
                self.fail("unknown field of the IP header: %s" % piece[0])
        return found

    def packet(self, line, time):
        start = self.at
        found = self.match(ICMP)
        if found:
            text = " ".join(self.text[start:self.at].split())
            return Event(line, time, "icmp", text, **found.groupdict())
        found = self.match(TCP)
        if not found:
            self.fail("cannot read this packet")
        text = " ".join(self.text[start:self.at].split())
        options = found.group("options")
        if options is None:
            parsed = []
        else:
            parsed = ANY if options.strip() == "..." else parse_options(options, line)
        fields = found.groupdict()
        if int(fields["end"]) != int(fields["seq"]) + int(fields["len"]):
            raise ScriptError(line, "length of the packet is not the distance of its numbers")
        fields["parsed"] = parsed
        fields.update(self.ip_info(found.group("ip") or ""))
        return Event(line, time, "in" if fields["dir"] == "<" else "out", text, **fields)

    def time(self):
        found = self.match(TIME)
        if not found:
            self.fail("expected a time, not: %s" % self.text[self.at:self.at + 40].split("\n")[0])
        if found.group("any"):
            return Time("any")
        end = float(found.group("end")) if found.group("end") else None
        blocks = float(found.group("blocks")) if found.group("blocks") else None
        return Time("relative" if found.group("plus") else "absolute",
                    float(found.group("start")), end, blocks)

    def event(self):
        time = self.time()
        self.space()
        line = self.line()
        rest = self.text[self.at:self.at + 2]
        if rest[:1] in "<>":
            return self.packet(line, time)
        if rest == "%{":
            self.at += 2
            code = self.until("}%")
            return Event(line, time, "code", "%%{ %s }%%" % code.strip(), code=code)
        if rest[:1] == "`":
            self.at += 1
            return Event(line, time, "shell", "`%s`" % self.until("`"))
        return self.call(line, time)


def number(text, line):
    try:
        return int(text, 0)
    except ValueError:
        raise ScriptError(line, "expected a number, not %s" % text) from None


def blob(words, line):
    try:
        return bytes.fromhex("".join(words))
    except ValueError:
        raise ScriptError(line, "expected bytes, not %s" % " ".join(words)) from None


def accurate_ecn(words, line):
    """RFC 9768 3.2.3: three counters, whose order is the option's kind."""
    names, values = words[::2], [number(w, line) for w in words[1::2]]
    kind = 172 if names[:1] == ["e0b"] else 174
    return bytes([kind, 2 + 3 * len(values)]) + b"".join(v.to_bytes(3, "big") for v in values)


def parse_options(text, line):
    """TCP options as a list of tuples: ("mss", 1460), ("TS", val, ecr), ("raw", bytes) ..."""
    found = []
    for piece in (p.strip() for p in text.split(",")):
        words = piece.replace(":", " ").split()
        kind, rest = (words[0], words[1:]) if words else ("", [])
        if kind in ("nop", "eol", "sackOK"):
            found.append((kind,))
        elif kind in ("mss", "wscale"):
            found.append((kind, number(rest[0], line)))
        elif kind == "sack":
            edges = [number(w, line) for w in rest]
            found.append(("sack", list(zip(edges[::2], edges[1::2]))))
        elif kind == "TS":
            found.append(("TS", number(rest[1], line), number(rest[3], line)))
        elif kind in ("FO", "FOEXP"):
            # "cookie" stands for the one that the stack gave last
            known = rest[:1] == ["cookie"]
            found.append((kind, "cookie" if known else blob(rest, line)))
        elif kind == "raw":
            found.append(("raw", blob(rest, line)))
        elif kind == "md5":
            found.append(("raw", b"\x13\x12" + blob(rest, line)))
        elif kind == "ECN":
            found.append(("raw", accurate_ecn(rest, line)))
        else:
            raise ScriptError(line, "unknown TCP option: %s" % piece)
    return found


def parse(text, defines=None):
    """@defines: names of symbols, as packetdrill takes them with -D."""
    for name, value in (defines or {}).items():
        text = re.sub(r"\b%s\b" % re.escape(name), value, text)
    reader = Reader(text)
    script = Script()
    while True:
        reader.space()
        if reader.at >= len(reader.text):
            return script
        option = reader.match(OPTION)
        if option:
            script.options[option.group(1)] = option.group(2) or ""
        elif reader.text[reader.at] == "`":
            reader.at += 1
            script.shell.append(reader.until("`"))  # the player looks for what a lane has, too
        else:
            script.events.append(reader.event())
