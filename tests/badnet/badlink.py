# SPDX-License-Identifier: MIT
"""Three namespaces, the bad link in the middle, and what talks across it.

    mrb-client                mrb-middle                  mrb-server
    +--------------+        +-------------------+        +----------------------------+
    | kernel TCP   | mrbc0  | mrbm0       mrbm1 |  mrbs0 | XDP -> Millrace's lane;    |
    | 198.51.100.1 | =veth= |     mr-impair     | =veth= | the kernel for other ports |
    | 2001:db8:5::1|        | no stack, no IP   |        | 198.51.100.2 2001:db8:5::2 |
    +--------------+        +-------------------+        +----------------------------+

Everything has names of its own, so a demo or another test may stand beside it. A second bad network
waits for the first, or has another MR_BADNET_TAG (letters, in the names). `Network()` as a context
cleans up before it begins and when it ends.
"""
import collections
import contextlib
import fcntl
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "veth"))

import lib  # noqa: E402  pylint: disable=wrong-import-position

BUILD = Path(os.environ.get("MR_BUILD") or ROOT / "build").resolve()
TAG = os.environ.get("MR_BADNET_TAG", "")
IMPAIR = BUILD / "badnet" / "mr-impair"
OUT = BUILD / "badnet" / TAG
STORE = OUT / "store"
lib.OUT = OUT  # where its pattern.so goes

client, middle, server = (lib.Namespace(f"mrb{TAG}-{side}")
                          for side in ("client", "middle", "server"))
SPACES = (client, middle, server)
CLIENT_IF, NEAR_IF, FAR_IF, SERVER_IF = "mrbc0", "mrbm0", "mrbm1", "mrbs0"
CLIENT = {4: "198.51.100.1", 6: "2001:db8:5::1"}
SERVER = {4: "198.51.100.2", 6: "2001:db8:5::2"}

RUN = Path(f"/run/millrace-badnet{TAG}")
PINS = Path(f"/sys/fs/bpf/millrace-badnet{TAG}")
LOCK = Path(f"/run/millrace-badnet{TAG}.lock")

KERNEL_SOURCE, KERNEL_HASH = 7105, 7106
PERIOD = 1 << 21  # the pattern repeats itself
LOWAT = 131072
TCP_NOTSENT_LOWAT = 25


# ----- the network -----

class Network:
    """The namespaces, links and addresses; one daemon and one impairment at a time within."""

    def __init__(self):
        self._lock = None
        self.mtu = 1500

    def __enter__(self):
        self._lock = open(LOCK, "w", encoding="utf-8")  # pylint: disable=consider-using-with
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            remove()
            self._create()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *_):
        try:
            remove()
        finally:
            self._lock.close()

    def _create(self):
        for space in SPACES:
            space.forget()
            lib.command("ip", "netns", "add", space.name)
        for here, device, there, peer in ((client, CLIENT_IF, middle, NEAR_IF),
                                          (server, SERVER_IF, middle, FAR_IF)):
            lib.command("ip", "link", "add", device, "netns", here.name, "numtxqueues", 1,
                        "numrxqueues", 1, "type", "veth", "peer", "name", peer,
                        "netns", there.name, "numtxqueues", 1, "numrxqueues", 1)
        middle.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        for device in (NEAR_IF, FAR_IF):
            set_offloads(middle, device)
            middle.run("ip", "link", "set", device, "up", "arp", "off")
        for space, device, own in ((client, CLIENT_IF, CLIENT), (server, SERVER_IF, SERVER)):
            set_end(space, device, own)
        for space, device, other, peer, peer_device in (
                (client, CLIENT_IF, SERVER, server, SERVER_IF),
                (server, SERVER_IF, CLIENT, client, CLIENT_IF)):
            for address in other.values():
                space.run("ip", "neigh", "replace", address, "lladdr", mac(peer, peer_device),
                          "dev", device, "nud", "permanent")

    def set_mtu(self, mtu):
        """Of all four ends. With a daemon on the link: only before it starts."""
        for space, device in ((client, CLIENT_IF), (middle, NEAR_IF), (middle, FAR_IF),
                              (server, SERVER_IF)):
            space.run("ip", "link", "set", device, "mtu", mtu)
        self.mtu = mtu


def mac(space, device):
    return json.loads(space.run("ip", "-j", "link", "show", device).stdout)[0]["address"]


def set_offloads(space, device):
    """What the bridge sees is what a wire would carry: finished sums, no super-packets."""
    space.run("ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off",
              "rxvlan", "off", "txvlan", "off")


def set_end(space, device, own):
    """A kernel that forgets what it learnt of the path when a connection ends."""
    space.run("sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1", "net.ipv6.conf.all.accept_dad=0",
              "net.ipv6.conf.default.accept_dad=0", f"net.ipv6.conf.{device}.accept_dad=0",
              f"net.ipv6.conf.{device}.router_solicitations=0")
    set_offloads(space, device)
    space.run("ip", "link", "set", "lo", "up")
    space.run("ip", "link", "set", device, "up")
    space.run("ip", "addr", "add", f"{own[4]}/24", "dev", device)
    space.run("ip", "-6", "addr", "add", f"{own[6]}/64", "dev", device, "nodad")


def processes():
    """Processes that run programs of this build within our namespaces."""
    inodes = set()
    for space in SPACES:
        with contextlib.suppress(OSError):
            inodes.add(os.stat(space.path).st_ino)
    found = []
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.stat(f"/proc/{entry.name}/ns/net").st_ino in inodes \
                    and re.search(r"/(millraced|millrace-worker|mr-impair)( \(deleted\))?$",
                                  os.readlink(f"/proc/{entry.name}/exe")):
                found.append(int(entry.name))
    return found


def remove():
    """Every trace of this run or an earlier one that was killed."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 3)):
        for pid in processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(AssertionError):
            lib.wait_for(lambda: not processes(), seconds, "processes ended")
    for space, device in ((client, CLIENT_IF), (server, SERVER_IF)):
        space.forget()
        if os.path.exists(space.path):
            space.run("ip", "link", "del", device, check=False)
    middle.forget()
    for space in SPACES:
        if os.path.exists(space.path):
            lib.command("ip", "netns", "del", space.name)
    lib.command("rm", "-rf", RUN, PINS)


# ----- mr-impair -----

class Impair:
    """mr-impair in the middle, with these options, as long as the block lasts.

    `a` is the client's side and `b` the server's: --dir ab is what the client sends.
    """

    def __init__(self, *options, seed=1):
        self._options = [str(o) for o in options]
        self._seed = seed
        self._process = None
        self.statistics = None

    def __enter__(self):
        words = middle.inside(str(IMPAIR), "--seed", str(self._seed), *self._options,
                              NEAR_IF, FAR_IF)
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True)
        ready, _, _ = select.select([self._process.stderr], [], [], 10)
        line = self._process.stderr.readline() if ready else ""
        if line != "ready\n":
            self._process.kill()
            raise AssertionError(f"mr-impair: {line}{self._process.communicate()[1]}")
        return self

    def now(self):
        """Its statistics so far."""
        self._process.send_signal(signal.SIGUSR1)
        return json.loads(self._process.stdout.readline())

    def __exit__(self, *_):
        self._process.terminate()
        try:
            out, _ = self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, _ = self._process.communicate()
        lines = out.splitlines()
        self.statistics = json.loads(lines[-1]) if lines else None


# ----- Millrace -----

CONFIG = """\
user: nobody
run_directory: {run}
pin_directory: {pins}
interfaces:
  - name: {interface}
    queues: 1
lanes:
  frames: 16384
  connections: 4096
  receive_buffer: 4194304
  send_buffer: 4194304
{lanes}rules:
{rules}"""


class Daemon:
    """millraced -f in the server's namespace with all applications on their usual ports."""

    def __init__(self, lanes="", tlv=""):
        """lanes: more lines under `lanes`; tlv: more lines of the rules that take messages."""
        self.socket = RUN / "control.sock"
        self.log = OUT / "millraced.log"
        self._process = None
        self._lanes = lanes
        self._tlv = tlv

    def _write_config(self):
        lib.command("rm", "-rf", STORE)
        STORE.mkdir(parents=True)
        lib.command("chown", "nobody", STORE)
        rules = ""
        for app, port in lib.PORTS.items():
            rules += f"  - name: {app}\n    protocol: tcp\n    port: {port}\n    app: {app}\n" \
                     "    backlog: 1024\n"
            if app == "store":
                rules += f"    directory: {STORE}\n"
            if app in ("echo", "sink", "store"):
                rules += self._tlv
        path = OUT / "millraced.yaml"
        path.write_text(CONFIG.format(run=RUN, pins=PINS, interface=SERVER_IF, lanes=self._lanes,
                                      rules=rules), encoding="utf-8")
        return path

    def __enter__(self):
        OUT.mkdir(parents=True, exist_ok=True)
        path = self._write_config()
        with open(self.log, "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                server.inside(str(BUILD / "millraced"), "-f", "-c", str(path)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            lib.wait_for(self._serves, 15, lambda: f"serving:\n{self.log.read_text()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _serves(self):
        assert self._process.poll() is None, f"millraced ended:\n{self.log.read_text()}"
        answer = self.tool("lane", "list")
        return answer and all(lane["state"] == "serving" for lane in answer["lanes"])

    def tool(self, *args):
        done = server.run(BUILD / "millrace", "-j", "-s", self.socket, *args, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def figures(self):
        """`stats show`."""
        return self.tool("stats", "show")

    def counters(self):
        """One dictionary of the counters of `stats show`."""
        figures = self.figures()
        return figures.get("counters", figures)

    def pids(self):
        return [lane["pid"] for lane in self.tool("lane", "list")["lanes"]]

    def wait_idle(self, seconds=10):
        """No connection is left."""
        lib.wait_for(lambda: self.figures()["gauges"]["connections"] == 0, seconds,
                     lambda: f"{self.figures()['gauges']['connections']} connections ended")

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


# ----- the pattern, one period at a time -----

class Pattern:
    """Two periods of the pattern of docs/apps.md: any stretch up to one period is a slice."""

    def __init__(self):
        self._bytes = None

    def view(self, at, n):
        if self._bytes is None:
            self._bytes = memoryview(lib.pattern.bytes(0, 2 * PERIOD))
            assert self._bytes[:4096] == lib.pattern.bytes(PERIOD, 4096)
        at %= PERIOD
        return self._bytes[at:at + min(n, PERIOD)]


pattern = Pattern()


def pattern_hash(n):
    """FNV-1a of the first n pattern bytes."""
    hashed = lib.FNV_BASIS
    for at in range(0, n, PERIOD):
        hashed = lib.pattern.fnv1a(pattern.view(at, min(PERIOD, n - at)), hashed)
    return hashed


# ----- connections -----

Transfer = collections.namedtuple("Transfer", "bytes seconds mbits hash expected")


def transfer(n, seconds, hashed, expected):
    return Transfer(n, seconds, n * 8e-6 / seconds, f"{hashed:08x}", f"{expected:08x}")


def connect(port, family=4, timeout=30, mss=None):
    """From the client's kernel; a SYN that is lost comes again after a second."""
    s = client.socket(lib.FAMILY[family], socket.SOCK_STREAM)
    try:
        s.settimeout(timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        use_cubic(s)
        if mss:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
        s.connect((SERVER[family], port))
    except BaseException:
        s.close()
        raise
    return s


def use_cubic(s):
    """By socket: a namespace may not choose it when the host's default is another one."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")


def receive_for(s, seconds):
    """Pattern bytes for so long: each is compared, all are hashed."""
    room = bytearray(1 << 18)
    view = memoryview(room)
    start = time.monotonic()
    n, hashed = 0, lib.FNV_BASIS
    while time.monotonic() - start < seconds:
        got = s.recv_into(room)
        if not got:
            raise AssertionError(f"the server closed after {n} bytes")
        if view[:got] != pattern.view(n, got):
            lib.pattern.check(view[:got], n)
        hashed = lib.pattern.fnv1a(view[:got], hashed)
        n += got
    return transfer(n, time.monotonic() - start, hashed, pattern_hash(n))


def receive_all(s, n):
    """Exactly n pattern bytes and FIN."""
    data = lib.recv_all(s)
    assert len(data) == n, f"{len(data)} bytes and FIN, expected {n}"
    lib.pattern.check(data, 0)


def download(seconds, port=lib.SOURCE_BYTES, family=4, mss=None):
    """What a sender makes of the link from the end of the handshake on, slow start included."""
    with connect(port, family, mss=mss) as s:
        return receive_for(s, seconds)


def upload(seconds, port=lib.DRILL, family=4, line=b"H\n"):
    """Pattern bytes for so long, FIN, then the count and the hash that the receiver saw."""
    with connect(port, family, timeout=90) as s:
        start = time.monotonic()
        s.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, LOWAT)
        s.sendall(line)
        n = 0
        while time.monotonic() - start < seconds:
            n += s.send(pattern.view(n, 1 << 16))
        s.shutdown(socket.SHUT_WR)
        count, hashed = lib.recv_all(s).decode().split()
        seconds = time.monotonic() - start
    assert int(count) == n, f"{count} bytes arrived of {n}"
    return transfer(n, seconds, int(hashed, 16), pattern_hash(n))


def finish(n, family=4):
    """F n: all of a stream that ends, and its end."""
    with connect(lib.DRILL, family, timeout=60) as s:
        s.sendall(f"F {n}\n".encode())
        receive_all(s, n)


def active_open(n, family=4):
    """A: the lane opens a connection to the client's kernel; n bytes come back over it, then FIN."""
    with lib.listen(family, ns=client) as listener:
        listener.settimeout(30)
        port = listener.getsockname()[1]
        with connect(lib.DRILL, family, timeout=60) as asking:
            asking.sendall(f"A {CLIENT[family]} {port}\n".encode())
            s, _ = listener.accept()
            with s:
                s.settimeout(60)
                answer = lib.recv_line(asking)
                assert answer == "0", f"the lane's connect() says {answer}"
                sender = lib.Background(send_and_end, s, n)
                receive_all(s, n)
                sender.result(60)


def send_and_end(s, n):
    for at in range(0, n, PERIOD):
        s.sendall(pattern.view(at, min(PERIOD, n - at)))
    s.shutdown(socket.SHUT_WR)


# ----- the kernel as the peer to compare with -----

class KernelServer:
    """On the server's kernel: pattern bytes at KERNEL_SOURCE, count and hash at KERNEL_HASH."""

    def __init__(self):
        self._listeners = []

    def __enter__(self):
        for port, serve in ((KERNEL_SOURCE, self._send), (KERNEL_HASH, self._hash)):
            for family in (4, 6):
                listener = lib.listen(family, ns=server, port=port, backlog=64)
                listener.settimeout(None)
                use_cubic(listener)
                self._listeners.append(listener)
                threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()
        return self

    def __exit__(self, *_):
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    @staticmethod
    def _accept(listener, serve):
        with contextlib.suppress(OSError):
            while True:
                s, _ = listener.accept()
                threading.Thread(target=serve, args=(s,), daemon=True).start()

    @staticmethod
    def _send(s):
        with s, contextlib.suppress(OSError):
            algorithm = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            assert algorithm.rstrip(b"\0") == b"cubic"
            s.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, LOWAT)
            n = 0
            while True:
                n += s.send(pattern.view(n, 1 << 16))

    @staticmethod
    def _hash(s):
        with s, contextlib.suppress(OSError):
            n, hashed = 0, lib.FNV_BASIS
            while data := s.recv(1 << 18):
                n += len(data)
                hashed = lib.pattern.fnv1a(data, hashed)
            s.sendall(f"{n} {hashed:08x}\n".encode())
