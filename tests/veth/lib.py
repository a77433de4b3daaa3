# SPDX-License-Identifier: MIT
"""Namespaces, sockets and the applications' protocols, for the system tests.

    mr-client                                mr-server
    +-----------------------+                +--------------------------------+
    | kernel TCP, raw peers |  mrc0 == mrs0  | XDP -> two lanes; the kernel's |
    | 192.0.2.1             |                | stack for everything else      |
    | 2001:db8::1           |                | 192.0.2.2   2001:db8::2        |
    +-----------------------+                +--------------------------------+
"""
import concurrent.futures
import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
OUT = BUILD / "tests" / "veth"
STORE = BUILD / "demo" / "store"
DEMO = ROOT / "scripts" / "demo.sh"

CLIENT_NS = os.environ.get("MR_CLIENT_NS", "mr-client")
SERVER_NS = os.environ.get("MR_SERVER_NS", "mr-server")
CLIENT_IF = "mrc0"
SERVER_IF = "mrs0"

CLIENT = {4: "192.0.2.1", 6: "2001:db8::1"}
SERVER = {4: "192.0.2.2", 6: "2001:db8::2"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}

ECHO, SINK, STORE_PORT, ECHO_BYTES, DISCARD_BYTES, SOURCE_BYTES, DRILL = range(7000, 7007)
PORTS = {
    "echo": ECHO,
    "sink": SINK,
    "store": STORE_PORT,
    "echo-bytes": ECHO_BYTES,
    "discard-bytes": DISCARD_BYTES,
    "source-bytes": SOURCE_BYTES,
    "drill": DRILL,
}

# How many times slower than real this machine is: an emulated one (scripts/vm.sh) says so. What
# must happen in some time may take so much longer; what must happen is the same.
SLOW = int(os.environ.get("MR_SLOW", "1"))

MIB = 1 << 20
CLONE_NEWNET = 0x40000000
FNV_BASIS = 2166136261
TLV_MAX = MIB

_libc = ctypes.CDLL(None, use_errno=True)


def wait_for(condition, seconds, what):
    """Poll condition() until it is true; its value. AssertionError with words after `seconds`."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            words = what() if callable(what) else what
            raise AssertionError(f"after {seconds * SLOW} s still not: {words}")
        time.sleep(0.05)


@contextlib.contextmanager
def stopped(pids):
    """Processes stand still, SIGSTOP to SIGCONT."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def command(*args, check=True, timeout=20, stdin=None):
    """Run a program; its CompletedProcess with text. With `check` a failure shows both outputs."""
    done = subprocess.run([str(a) for a in args], input=stdin, capture_output=True, text=True,
                          timeout=timeout * SLOW, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, args))}: exit {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done


class Namespace:
    """A network namespace: programs run in it, sockets made in it work from any thread."""

    def __init__(self, name):
        self.name = name
        self._worker = None

    @property
    def path(self):
        return f"/run/netns/{self.name}"

    def _enter(self):
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns {self.name}")
        finally:
            os.close(fd)

    def call(self, function, *args):
        """function(*args) in a thread that lives in this namespace."""
        if self._worker is None:
            self._worker = concurrent.futures.ThreadPoolExecutor(1, initializer=self._enter)
        return self._worker.submit(function, *args).result()

    def forget(self):
        """The namespace was made anew: enter that one at the next call."""
        if self._worker:
            self._worker.shutdown()
        self._worker = None

    def socket(self, family, kind, protocol=0):
        return self.call(socket.socket, family, kind, protocol)

    def inside(self, *args):
        """The command line that runs `args` here, with the host's /sys and so its bpffs."""
        return ["nsenter", f"--net={self.path}", "--", *args]

    def run(self, *args, **options):
        return command(*self.inside(*args), **options)

    def mac(self, interface):
        return self.call(_mac_of, interface)


def _mac_of(interface):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind((interface, 0))
        return s.getsockname()[4]


client = Namespace(CLIENT_NS)
server = Namespace(SERVER_NS)


# ----- the set-up under test -----

def demo(verb):
    """scripts/demo.sh up or down: what `make demo-up` and `make demo-down` do."""
    done = command(DEMO, verb, timeout=60)
    client.forget()
    server.forget()
    return done


# ----- kernel sockets -----

def tcp_socket(family=4, ns=client, **settings):
    """A socket of the client's kernel. settings: timeout, rcvbuf, sndbuf, mss, source, linger."""
    s = ns.socket(FAMILY[family], socket.SOCK_STREAM)
    s.settimeout(settings.get("timeout", 10) * SLOW)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if "rcvbuf" in settings:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings["rcvbuf"])
    if "sndbuf" in settings:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings["sndbuf"])
    if "mss" in settings:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, settings["mss"])
    if "source" in settings:
        s.bind(settings["source"])
    return s


def connect(port, family=4, address=None, **settings):
    s = tcp_socket(family, **settings)
    try:
        s.connect((address or SERVER[family], port))
    except BaseException:
        s.close()
        raise
    return s


def drill(line, family=4, **settings):
    """A connection to drill that has sent its first line."""
    s = connect(DRILL, family, **settings)
    s.sendall(line.encode() + b"\n")
    return s


def listen(family=4, ns=client, port=0, backlog=16):
    """A listening socket on any address of the namespace; its port by getsockname()[1]."""
    s = ns.socket(FAMILY[family], socket.SOCK_STREAM)
    s.settimeout(10 * SLOW)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == 6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("::" if family == 6 else "0.0.0.0", port))
    s.listen(backlog)
    return s


def recv_exact(s, n):
    data = bytearray()
    while len(data) < n:
        part = s.recv(min(n - len(data), MIB))
        if not part:
            raise AssertionError(f"the server closed after {len(data)} of {n} bytes")
        data += part
    return bytes(data)


def recv_all(s):
    """Everything up to the peer's FIN."""
    parts = []
    while part := s.recv(MIB):
        parts.append(part)
    return b"".join(parts)


def recv_line(s):
    line = bytearray()
    while not line.endswith(b"\n"):
        line += recv_exact(s, 1)
    return line[:-1].decode()


def reset_on_close(s):
    """close() sends RST from now on."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def abort(s):
    reset_on_close(s)
    s.close()


def expect_reset(s, seconds=5):
    """The connection is reset by the server: reading ends in ECONNRESET, not in data or FIN."""
    s.settimeout(seconds)
    try:
        data = s.recv(MIB)
    except ConnectionResetError:
        return
    raise AssertionError(f"no RST but {'FIN' if not data else f'{len(data)} bytes'}")


def expect_reset_on_use(s, seconds=5):
    """A connection whose reading already ended: RST shows when we write."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            s.send(b"x")
        except (ConnectionResetError, BrokenPipeError):
            return
        time.sleep(0.02)
    raise AssertionError(f"no RST in {seconds} s")


def expect_open(s, seconds=0.3):
    """Neither data, FIN nor RST for a while."""
    s.settimeout(seconds)
    try:
        data = s.recv(MIB)
    except socket.timeout:
        s.settimeout(10)
        return
    raise AssertionError(f"{'FIN' if not data else f'{len(data)} bytes'}, expected silence")


# ----- TLV: tag 2 bytes, length 4 bytes, big endian -----

def tlv(tag, value):
    return struct.pack("!HI", tag, len(value)) + value


def read_tlv(s):
    tag, length = struct.unpack("!HI", recv_exact(s, 6))
    if length > TLV_MAX:
        raise AssertionError(f"a TLV of {length} bytes came back")
    return tag, recv_exact(s, length)


def echo_once(s, tag, value):
    """One message there and back."""
    s.sendall(tlv(tag, value))
    answer = read_tlv(s)
    assert answer == (tag, value), f"sent tag {tag}, {len(value)} bytes; got tag {answer[0]}, " \
                                   f"{len(answer[1])} bytes"


# ----- the pattern and the hash, in C for their speed -----

class Pattern:
    """tests/veth/pattern.c by ctypes, built on first use."""

    def __init__(self):
        self._lib = None

    def _load(self):
        if self._lib is None:
            OUT.mkdir(parents=True, exist_ok=True)
            path = OUT / "pattern.so"
            source = Path(__file__).with_name("pattern.c")
            command("gcc", "-O3", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", path,
                    source)
            lib = ctypes.CDLL(str(path))
            lib.pattern_fill.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t]
            lib.pattern_fill.restype = None
            lib.pattern_check.argtypes = [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_size_t]
            lib.pattern_check.restype = ctypes.c_int64
            lib.fnv1a.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
            lib.fnv1a.restype = ctypes.c_uint32
            self._lib = lib
        return self._lib

    def bytes(self, start, n):
        out = ctypes.create_string_buffer(n)
        self._load().pattern_fill(out, start, n)
        return out.raw

    def check(self, data, start):
        """AssertionError naming the first byte of `data` that is not the pattern's."""
        at = self._load().pattern_check(bytes(data), start, len(data))
        assert at < 0, f"byte {start + at} is {data[at]}, the pattern has " \
                       f"{self.bytes(start + at, 1)[0]}"

    def fnv1a(self, data, start=FNV_BASIS):
        return self._load().fnv1a(start, bytes(data), len(data))


pattern = Pattern()


def send_pattern(s, n, start=0, block=MIB):
    """Send n pattern bytes; the hash that `H` must answer."""
    hashed = FNV_BASIS
    for at in range(start, start + n, block):
        data = pattern.bytes(at, min(block, start + n - at))
        hashed = pattern.fnv1a(data, hashed)
        s.sendall(data)
    return hashed


def recv_pattern(s, n, start=0):
    """Receive n bytes and compare each with the pattern."""
    at = start
    while at < start + n:
        data = s.recv(min(start + n - at, MIB))
        if not data:
            raise AssertionError(f"the server closed after {at - start} of {n} bytes")
        pattern.check(data, at)
        at += len(data)


def hash_answer(n, hashed):
    return f"{n} {hashed:08x}"


class Background:
    """A function in a thread; result() re-raises what went wrong in it."""

    def __init__(self, function, *args):
        self._value = None
        self._error = None
        self._thread = threading.Thread(target=self._run, args=(function, args), daemon=True)
        self._thread.start()

    def _run(self, function, args):
        try:
            self._value = function(*args)
        except BaseException as error:  # pylint: disable=broad-except
            self._error = error

    def result(self, seconds):
        self._thread.join(seconds * SLOW)
        assert not self._thread.is_alive(), f"not done after {seconds * SLOW} s"
        if self._error:
            raise self._error
        return self._value


class Wellbehaved:
    """A connection to echo that sends a message again and again, and counts the answers.

    What another client does may cost it nothing: on leaving, every message was answered, intact
    and within `patience` seconds.
    """

    def __init__(self, family=4, patience=3.0):
        self._socket = connect(ECHO, family, timeout=patience)
        self._stop = threading.Event()
        self.answers = 0
        self._thread = Background(self._talk)

    def _talk(self):
        while not self._stop.wait(0.005):
            value = os.urandom(1 + self.answers % 600)
            echo_once(self._socket, self.answers & 0xffff, value)
            self.answers += 1

    def more(self, seconds=3):
        """Wait until it has been answered anew: alive now, not only at the start."""
        before = self.answers
        wait_for(lambda: self.answers >= before + 3, seconds, "answers to the other connection")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        try:
            self._thread.result(5)
        finally:
            self._socket.close()
        if kind is None:
            assert self.answers > 0
