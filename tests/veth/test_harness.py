# SPDX-License-Identifier: MIT
"""scripts/veth.sh: repeatable, after a crash too, and it undoes what it did not finish. mr-load, on
which the demo's word rests: it accepts what came back intact and nothing else.

Under names of its own, beside whatever stands in mr-client and mr-server:

    mr-hc: mrhc0 192.0.2.1, 2001:db8::1  <-- veth -->  mrhs0 192.0.2.2, 2001:db8::2 :mr-hs
"""
import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

import lib

pytestmark = pytest.mark.scratch

CLIENT, SERVER = lib.Namespace("mr-hc"), lib.Namespace("mr-hs")
LINKS = {CLIENT.name: "mrhc0", SERVER.name: "mrhs0"}
NAMES = {
    "MR_CLIENT_NS": CLIENT.name,
    "MR_SERVER_NS": SERVER.name,
    "MR_CLIENT_IF": LINKS[CLIENT.name],
    "MR_SERVER_IF": LINKS[SERVER.name],
}
HEADER = 6  # bytes of tag and length


def veth(*args, **names):
    """veth.sh with our names; its CompletedProcess."""
    return subprocess.run([lib.ROOT / "scripts" / "veth.sh", *args], text=True, timeout=20,
                          capture_output=True, check=False, env={**os.environ, **NAMES, **names})


def veth_quietly(*args):
    done = veth(*args)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def namespaces():
    return [n.name for n in (CLIENT, SERVER) if Path(n.path).exists()]


def link(namespace):
    words = namespace.run("ip", "-j", "-d", "addr", "show", LINKS[namespace.name]).stdout
    return json.loads(words)[0]


def addresses(namespace):
    return {f"{a['local']}/{a['prefixlen']}" for a in link(namespace)["addr_info"]
            if a["scope"] == "global" and not a.get("tentative")}


def assert_stands(queues):
    assert addresses(CLIENT) == {"192.0.2.1/24", "2001:db8::1/64"}
    assert addresses(SERVER) == {"192.0.2.2/24", "2001:db8::2/64"}
    for namespace in (CLIENT, SERVER):
        seen = link(namespace)
        assert seen["operstate"] == "UP"
        assert (seen["num_rx_queues"], seen["num_tx_queues"]) == (queues, queues)
        features = namespace.run("ethtool", "-k", seen["ifname"]).stdout
        for feature in ("tx-checksumming", "rx-vlan-offload", "tx-vlan-offload"):
            assert f"\n{feature}: off" in features


@pytest.fixture(autouse=True)
def nothing_left():
    veth_quietly("down")
    yield
    for namespace in (CLIENT, SERVER):
        namespace.forget()
    veth_quietly("down")
    assert not namespaces()


def test_up_has_two_queues_by_default():
    veth_quietly("up")
    assert_stands(2)


def test_up_twice_keeps_the_pair():
    veth_quietly("up", "2")
    before = [link(n)["address"] for n in (CLIENT, SERVER)]
    veth_quietly("up", "2")
    assert [link(n)["address"] for n in (CLIENT, SERVER)] == before
    assert_stands(2)


def test_up_puts_changed_settings_right():
    veth_quietly("up")
    SERVER.run("ip", "link", "set", LINKS[SERVER.name], "down")  # takes the IPv6 addresses away
    CLIENT.run("ethtool", "-K", LINKS[CLIENT.name], "tx", "on")
    veth_quietly("up")
    assert_stands(2)


def test_up_with_other_queues_replaces_the_pair():
    veth_quietly("up", "1")
    assert_stands(1)
    veth_quietly("up", "4")
    assert_stands(4)


def test_up_after_a_crash_that_left_one_namespace():
    lib.command("ip", "netns", "add", SERVER.name)
    veth_quietly("up")
    assert_stands(2)


def test_up_after_a_crash_that_left_names_without_namespaces():
    for namespace in (CLIENT, SERVER):
        Path(namespace.path).touch()
    veth_quietly("up")
    assert_stands(2)


def test_up_that_fails_undoes_its_part_and_says_why_in_one_line():
    done = veth("up", MR_SERVER_IF="longer-than-15-bytes")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("veth.sh: add veth pair") and done.stderr.count("\n") == 1
    assert not namespaces()


@pytest.mark.parametrize("args", [["up", "0"], ["up", "65"], ["up", "two"], ["up", "1", "2"],
                                  ["sideways"], []])
def test_wrong_arguments_change_nothing(args):
    done = veth(*args)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1
    assert not namespaces()


def load(*args):
    """mr-load over IPv4 and IPv6 for half a second; its CompletedProcess."""
    return CLIENT.run(lib.BUILD / "bench" / "mr-load", "--connect", "192.0.2.2:7000",
                      "--connect", "[2001:db8::2]:7000", "--connections", "4", "--seconds", "0.5",
                      *args, check=False)


@pytest.mark.parametrize("size", [0, 64, 100_000])
def test_load_accepts_what_comes_back_intact(size):
    veth_quietly("up")
    with subprocess.Popen(SERVER.inside(lib.BUILD / "bench" / "epoll-echo"),
                          stdout=subprocess.PIPE, text=True) as server:
        try:
            assert "ready on port 7000" in server.stdout.readline()
            done = load("--json", "--depth", "3", "--size", str(size))
        finally:
            server.terminate()
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["errors"] == 0
    assert report["messages"] >= report["measured"] > 0


def serve(listener, spoil):
    """Echo each connection's bytes through `spoil`, which is told where they stand."""
    def connection(sock):
        at = 0
        with sock:
            while data := sock.recv(65536):
                reply = spoil(at, data)
                if reply is None:
                    return
                sock.sendall(reply)
                at += len(data)

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=connection, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def change_byte(where):
    def spoil(at, data):
        if not at <= where < at + len(data):
            return data
        i = where - at
        return data[:i] + bytes([data[i] ^ 1]) + data[i + 1:]
    return spoil


SPOILERS = {
    "a changed value": (change_byte(HEADER + 63), "differs at byte 69"),
    "a changed tag": (change_byte(1), "differs at byte 1"),
    "a later message": (change_byte(5 * (HEADER + 64) + HEADER), "reply 5 differs at byte 6"),
    "a repeated message": (lambda at, data: data + data, "more bytes came back than were sent"),
    "a closed connection": (lambda at, data: None, "closed by the server"),
}


@pytest.mark.parametrize("case", SPOILERS)
def test_load_refuses(case):
    veth_quietly("up")
    spoil, words = SPOILERS[case]
    listener = SERVER.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with listener:
        listener.bind(("::", 7000))
        listener.listen()
        serve(listener, spoil)
        done = load("--demo")
        listener.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 1
    assert done.stdout.startswith("demo: failed ") and "errors=4" in done.stdout
    assert words in done.stderr


# ----- scripts/demo.sh: whose daemon is in the way -----

# All of the script but its last part, which does what it was asked for.
WHO = r"""
source <(sed '/^\[ \$# -eq 1 \]/,$d' "$0")
run_dir=$1 pins=$1/none
foreign_daemons
"""


def foreign_daemons(directory):
    done = lib.command("bash", "-c", WHO, lib.DEMO, directory)
    return [int(pid) for pid in done.stdout.split()]


def pretend(tmp_path, directory, *before):
    """A program of the daemon's name, with a file of `directory` open as it is seen by it."""
    program = tmp_path / "millraced"
    if not program.exists():
        shutil.copy("/bin/sleep", program)
    words = f"mkdir -p {directory}; exec 5>{directory}/lock; exec {program} 60"
    daemon = subprocess.Popen(  # pylint: disable=consider-using-with
        [*before, "bash", "-c", words])
    lib.wait_for(lambda: os.readlink(f"/proc/{daemon.pid}/exe") == str(program), 5, "it to run")
    return daemon


def test_a_containers_daemon_is_not_in_the_demos_way(tmp_path):
    """Its directory has the same name and is another one. One of our own is in the way."""
    directory = tmp_path / "run"
    directory.mkdir()
    contained = pretend(tmp_path, directory, "unshare", "--mount", "bash", "-c",
                        'mount -t tmpfs tmpfs "$0" && exec "$@"', directory)
    other = pretend(tmp_path, directory)
    try:
        assert foreign_daemons(directory) == [other.pid]
    finally:
        for daemon in (contained, other):
            daemon.kill()
            daemon.wait()
