# SPDX-License-Identifier: MIT
"""Daemons of a test's own, beside the demo: other namespaces, another run and pin directory.

    mrc0 192.0.2.1, 2001:db8::1  <-- veth -->  mrs0 192.0.2.2, 2001:db8::2
    in mr-test-client                          in mr-test-server
"""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

import lib

CLIENT_NS, SERVER_NS = "mr-test-client", "mr-test-server"
INTERFACE = lib.SERVER_IF
RUN = "/run/millrace-test"
PINS = "/sys/fs/bpf/millrace-test"
DAEMON = lib.BUILD / "millraced"

RULE = """\
  - name: echo
    protocol: tcp
    port: 7000
    app: echo
"""


def config(rules=RULE, interface=INTERFACE, run=RUN, pins=PINS, more_interface="", more=""):
    """A small valid configuration; `more_interface` are lines of its entry, `more` of the file."""
    return f"""\
user: nobody
run_directory: {run}
pin_directory: {pins}
interfaces:
  - name: {interface}
    queues: 2
{more_interface}lanes:
  frames: 4096
  connections: 4096
{more}rules:
{rules}"""


class Pair:
    """The two namespaces of the picture, made by scripts/veth.sh under other names."""

    def __init__(self, queues=2):
        self.queues = queues
        self.client = lib.Namespace(CLIENT_NS)
        self.server = lib.Namespace(SERVER_NS)

    def _veth(self, *words):
        environment = ["env", f"MR_CLIENT_NS={CLIENT_NS}", f"MR_SERVER_NS={SERVER_NS}"]
        lib.command(*environment, lib.ROOT / "scripts" / "veth.sh", *words)

    def __enter__(self):
        self._veth("down")
        self._veth("up", str(self.queues))
        return self

    def __exit__(self, *_):
        self.client.forget()
        self.server.forget()
        self._veth("down")

    def program(self):
        """What is attached to the server's interface: {} or name and id."""
        shown = json.loads(self.server.run("ip", "-j", "-d", "link", "show", INTERFACE).stdout)[0]
        return shown.get("xdp", {}).get("prog", {})


def refused(pair, path, *before, timeout=10):
    """The one line with which millraced -f refuses to start; exit 1."""
    done = pair.server.run(*before, DAEMON, "-f", "-c", path, check=False, timeout=timeout)
    assert done.returncode == 1, f"exit {done.returncode}: {done.stderr}"
    lines = [line for line in done.stderr.splitlines() if line]
    errors = [line for line in lines if "error" in line.lower() or line.startswith("millraced: ")]
    assert errors, done.stderr
    return errors[-1]


class Daemon:
    """millraced -f in the pair's server namespace, from a configuration text."""

    def __init__(self, pair, directory, text, run=RUN, before=(), states=("serving",)):
        self.pair = pair
        self.states = states  # of lanes, when it has started
        self.before = before  # of the command line
        self.socket = f"{run}/control.sock"
        self.path = directory / "millraced.yaml"
        self.path.write_text(text)
        self.log = directory / "millraced.log"
        self._process = None

    def tool(self, *args):
        done = self.pair.server.run(lib.BUILD / "millrace", "-j", "-s", self.socket, *args,
                                    check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def lanes(self):
        answer = self.tool("lane", "list")
        return answer["lanes"] if answer else []

    def figure(self, *path):
        """A number of `stats show`, such as ("closes", "heartbeat_idle")."""
        value = self.tool("stats", "show")
        for key in path:
            value = value[key]
        return value

    def _serves(self):
        assert self._process.poll() is None, f"millraced ended:\n{self.log.read_text()}"
        found = self.lanes()
        return found and all(lane["state"] in self.states for lane in found)

    def __enter__(self):
        with open(self.log, "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                self.pair.server.inside(*self.before, DAEMON, "-f", "-c", str(self.path)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            lib.wait_for(self._serves, 30,
                         lambda: f"all lanes serving:\n{self.log.read_text()}")
        except BaseException:
            self.end()
            raise
        return self

    @property
    def pid(self):
        return self._process.pid

    def terminate(self, seconds=10):
        """SIGTERM; the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds * lib.SLOW)

    def kill(self):
        self._process.kill()
        self._process.wait(5)

    def end(self):
        """Whatever happened: nothing of it is left."""
        if self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.terminate()
        for pid in processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        lib.wait_for(lambda: not processes(), 3, "all processes ended")

    def __exit__(self, *_):
        self.end()


@contextlib.contextmanager
def connections(pair, n):
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(lib.connect(lib.ECHO, 4 + 2 * (i % 2), ns=pair.client))
                for i in range(n)]
        for i, s in enumerate(made):
            lib.echo_once(s, i, b"first")
        yield made


def all_echo(made, value):
    for i, s in enumerate(made):
        lib.echo_once(s, i & 0xffff, value)


class Load:
    """Messages on all connections, again and again, until stop(); each must come back intact."""

    def __init__(self, made):
        self._stop = threading.Event()
        self.rounds = 0
        self._made = made
        self._thread = lib.Background(self._run)

    def _run(self):
        while not self._stop.is_set():
            value = os.urandom(1 + self.rounds % 900)
            for i, s in enumerate(self._made):
                s.sendall(lib.tlv(i & 0xffff, value))
            for i, s in enumerate(self._made):
                assert lib.read_tlv(s) == (i & 0xffff, value)
            self.rounds += 1

    def more(self):
        before = self.rounds
        lib.wait_for(lambda: self.rounds >= before + 2, 10, "messages to come back")

    def stop(self):
        self._stop.set()
        self._thread.result(20)


@contextlib.contextmanager
def load(made):
    running = Load(made)
    try:
        yield running
    finally:
        running.stop()


def processes():
    """Processes of this build that live in the scratch server namespace."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        space = os.stat(f"/run/netns/{SERVER_NS}").st_ino
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and \
                        os.stat(f"/proc/{entry.name}/ns/net").st_ino == space and \
                        os.readlink(f"/proc/{entry.name}/exe").startswith(str(lib.BUILD)):
                    found.append(int(entry.name))
    return found


def nothing_left(pair):
    """After an orderly end."""
    assert pair.program() == {}
    assert not os.path.exists(PINS), os.listdir(PINS)
    assert not os.path.exists(RUN), os.listdir(RUN)
    assert not processes()
    with pair.server.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
        s.bind(("::", 7000))


def name_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="ascii") as f:
        return f.read().strip()
    return ""


def leave_nothing():
    """Files that a killed daemon left, after a test that meant it to."""
    lib.command("rm", "-rf", RUN, PINS)


def wait_settled(daemon, seconds=5):
    """No connection is left with this daemon's lanes."""
    lib.wait_for(lambda: daemon.figure("gauges", "connections") == 0, seconds,
                 lambda: f"{daemon.figure('gauges', 'connections')} connections gone")
