# SPDX-License-Identifier: MIT
"""Exchanging the XDP program under load: prog upgrade, prog rollback, and what they refuse."""
import contextlib
import http.client
import json
import os
import shutil
import socket
import threading

import pytest

import lib
import scratch
from scratch import Daemon, Pair, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(120)]

OBJECT = lib.BUILD / "millrace.bpf.o"
SWAPS = {"netlink": 2000, "link": 100}  # some 15 ms each, which the kernel takes
CLIENTS = 4


@pytest.fixture(scope="module")
def pair():
    with Pair() as made:
        yield made
    scratch.leave_nothing()


class Api(http.client.HTTPConnection):
    """The control API, one connection kept."""

    def __init__(self, path):
        super().__init__("millrace", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(self.path)

    def ask(self, method, page):
        self.request(method, page)
        answer = self.getresponse()
        return answer.status, json.loads(answer.read())


def verdicts(api):
    return {v["name"]: v["packets"] for v in api.ask("GET", "/v1/stats")[1]["verdicts"]}


def sent(pair):
    """Frames that the client's interface has handed to the server's."""
    shown = pair.client.run("ip", "-j", "-s", "link", "show", "dev", lib.CLIENT_IF)
    return json.loads(shown.stdout)[0]["stats64"]["tx"]["packets"]


class Load:
    """Clients on kernel sockets that echo messages, each compared, until told to stop."""

    def __init__(self, pair):
        self._stop = threading.Event()
        self._sockets = [lib.connect(lib.ECHO, 4 + i % 2 * 2, ns=pair.client, timeout=20)
                         for i in range(CLIENTS)]
        self._threads = [lib.Background(self._talk, s) for s in self._sockets]

    def _talk(self, s):
        done = 0
        while not self._stop.is_set():
            lib.echo_once(s, done & 0xffff, os.urandom(1 + done % 900))
            done += 1
        s.close()
        return done

    def end(self):
        self._stop.set()
        return [t.result(20) for t in self._threads]


def programs(api):
    return {p["role"]: p for p in api.ask("GET", "/v1/programs")[1]["programs"]
            if p["section"] == "xdp"}


def exchange(api, what):
    status, answer = api.ask("POST", f"/v1/programs/{what}")
    assert status == 200, answer


def swap(api, times):
    """Exchange that often; counters are looked at in between, and never go back."""
    last = verdicts(api)
    for i in range(times):
        exchange(api, "upgrade" if i == 0 else "rollback")
        if i % 50 == 0:
            now = verdicts(api)
            assert all(now[name] >= last[name] for name in last), (last, now)
            last = now


@pytest.mark.parametrize("how", ["netlink", "link"])
def test_swaps_under_load_lose_nothing(how, pair, tmp_path):
    """Exchanges while four clients talk: every message comes back intact, none is reset, each
    frame that the client sent has one verdict, and no counter goes back."""
    more = f"    attach: {how}\n"
    with Daemon(pair, tmp_path, config(more_interface=more)) as daemon:
        with contextlib.closing(Api(daemon.socket)) as api:
            before, counted = sent(pair), sum(verdicts(api).values())
            before_closes = daemon.figure("closes")
            load = Load(pair)
            swap(api, SWAPS[how])
            messages = load.end()
            scratch.wait_settled(daemon)
            assert all(n > 0 for n in messages), messages
            lib.wait_for(lambda: sum(verdicts(api).values()) - counted == sent(pair) - before, 3,
                         lambda: f"{sent(pair) - before} frames sent, "
                                 f"{sum(verdicts(api).values()) - counted} with a verdict")
            closes = daemon.figure("closes")
            assert closes == {**before_closes, "done": closes["done"]}, closes
            assert api.ask("GET", "/v1/programs")[1]["exchanges"] == SWAPS[how]
        assert daemon.terminate() == 0
    assert pair.program() == {} and not os.path.exists(scratch.PINS)


def test_upgrade_and_rollback(pair, tmp_path):
    """prog upgrade of a file: another program stands there, the one before is kept, pinned; prog
    rollback brings it back; connections and counters go on."""
    other = tmp_path / "other.bpf.o"
    shutil.copy(OBJECT, other)
    with Daemon(pair, tmp_path, config()) as daemon, lib.connect(lib.ECHO, ns=pair.client) as s, \
            contextlib.closing(Api(daemon.socket)) as api:
        lib.echo_once(s, 1, b"first")
        first, before = programs(api), verdicts(api)["take"]
        assert list(first) == ["current"] and before > 0
        shown = daemon.tool("prog", "upgrade", "--object", other)["programs"]
        now = programs(api)
        assert now["previous"]["id"] == first["current"]["id"]
        assert now["current"]["id"] == pair.program()["id"] != first["current"]["id"]
        assert now["current"]["object"] == str(other) and now["current"]["interfaces"] == ["mrs0"]
        assert {p["id"] for p in shown} >= {now["current"]["id"], now["previous"]["id"]}
        assert os.path.exists(f"{scratch.PINS}/previous_xdp")
        lib.echo_once(s, 2, b"second")
        assert verdicts(api)["take"] > before
        assert daemon.tool("prog", "rollback")
        assert pair.program()["id"] == first["current"]["id"]
        lib.echo_once(s, 3, b"third")


def test_upgrade_of_an_adopted_program(pair, tmp_path):
    """prog upgrade over the operator's program: exchanged, over the maps that were adopted."""
    pair.server.run("ip", "link", "set", "dev", scratch.INTERFACE, "xdp", "obj", OBJECT, "sec",
                    "xdp")
    try:
        with Daemon(pair, tmp_path, config(more_interface="    attach: adopt\n")) as daemon, \
                lib.connect(lib.ECHO, ns=pair.client) as s, \
                contextlib.closing(Api(daemon.socket)) as api:
            lib.echo_once(s, 1, b"adopted")
            before = verdicts(api)["take"]
            assert programs(api)["adopted"]["id"] == pair.program()["id"]
            assert daemon.tool("prog", "upgrade")
            assert programs(api)["current"]["id"] == pair.program()["id"]
            lib.echo_once(s, 2, b"upgraded")
            assert verdicts(api)["take"] > before
    finally:
        pair.server.run("ip", "link", "set", "dev", scratch.INTERFACE, "xdp", "off", check=False)
        lib.command("sh", "-c", "rm -f /sys/fs/bpf/xdp/globals/mr1_*")


OLD = """\
struct abi { unsigned magic; unsigned short major, minor; unsigned n_verdicts, pad; };
const struct abi record __attribute__((section("mr_abi"), used)) = { 0x4d524142, 9, 0, 1, 0 };
struct xdp_md;
__attribute__((section("xdp"), used)) int mr_xdp(struct xdp_md *ctx) { return 2; }
char terms[] __attribute__((section("license"), used)) = "GPL";
"""


def built(tmp_path, text):
    source, path = tmp_path / "other.c", tmp_path / "other.o"
    source.write_text(text)
    lib.command("clang", "-O2", "-g", "-target", "bpf", "-c", source, "-o", path)
    return path


def test_what_an_upgrade_refuses(pair, tmp_path):
    """Another ABI, no ABI record, no object, a file that others may write, one that is not there,
    a rollback without an upgrade: one line each; the program stays and serves."""
    other = built(tmp_path, OLD)
    foreign = tmp_path / "foreign.o"
    shutil.copy(built(tmp_path, OLD.replace('section("mr_abi")', 'section("what")')), foreign)
    other = built(tmp_path, OLD)
    noise, writable = tmp_path / "noise.o", tmp_path / "writable.o"
    noise.write_bytes(os.urandom(5000))
    shutil.copy(OBJECT, writable)
    writable.chmod(0o666)
    cases = ((["upgrade", "--object", other], "ABI 9"),
             (["upgrade", "--object", foreign], "has no ABI record"),
             (["upgrade", "--object", noise], "no BPF object"),
             (["upgrade", "--object", writable], "chmod go-w"),
             (["upgrade", "--object", tmp_path / "none.o"], "No such file"),
             (["rollback"], "never upgraded"))
    with Daemon(pair, tmp_path, config()) as daemon:
        program = pair.program()
        for words, expected in cases:
            done = pair.server.run(lib.BUILD / "millrace", "-s", daemon.socket, "prog", *words,
                                   check=False)
            assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
            assert expected in done.stderr, (words, done.stderr)
        done = pair.server.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                               "curl", "-s", "-X", "POST", "--unix-socket", daemon.socket,
                               "http://m/v1/programs/rollback", check=False)
        assert "only root" in done.stdout or done.returncode != 0, done.stdout
        assert pair.program() == program
        with lib.connect(lib.ECHO, ns=pair.client) as s:
            lib.echo_once(s, 1, b"still")
