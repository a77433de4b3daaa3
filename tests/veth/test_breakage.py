# SPDX-License-Identifier: MIT
"""What goes wrong all the same: garbage in memory, full disks, processes that are killed in any
order. Afterwards the lanes serve, and an orderly end leaves nothing."""
import contextlib
import ctypes
import mmap
import os
import random
import select
import signal
import socket
import struct

import pytest

import estate
import lib
import scratch
from scratch import DAEMON, Daemon, config, connections

pytestmark = [pytest.mark.scratch, pytest.mark.limit(120)]

WORKER_MAGIC = 0x4d52574b  # include/shared/mr_worker.h
PIDFD_GETFD = 438  # the system call

DRILL = """\
  - name: drill
    protocol: tcp
    port: 7006
    app: drill
"""


def serves_with_another(daemon, lane, old):
    now = daemon.lanes()[lane]
    return now["pid"] not in (old, None) and now["state"] == "serving"


@pytest.mark.parametrize("what", ["header", "pages"])
def test_arena_full_of_garbage(pair, tmp_path, what):
    """A worker that was taken over writes what it likes into its arena, and dies: another one
    serves the lane, by the third start at the latest, and the other lane never notices."""
    rng = random.Random(1)
    with Daemon(pair, tmp_path, config()) as daemon, connections(pair, 20):
        lanes = daemon.lanes()
        with estate.held(scratch.RUN) as held, mmap.mmap(held["lane0.arena"], 0) as arena:
            os.kill(lanes[0]["pid"], signal.SIGSTOP)
            size = 4096 if what == "header" else len(arena)
            for at in range(0 if what == "header" else 4096, size, 4096):
                if what == "header" or rng.randrange(8) == 0:
                    arena[at:at + 4096] = rng.randbytes(4096)
            os.kill(lanes[0]["pid"], signal.SIGKILL)
        lib.wait_for(lambda: serves_with_another(daemon, 0, lanes[0]["pid"]), 10,
                     lambda: f"another worker:\n{daemon.log.read_text()}")
        assert daemon.tool("conn", "list") is not None
        assert daemon.lanes()[1]["pid"] == lanes[1]["pid"]
        with contextlib.ExitStack() as stack:
            for i in range(20):
                s = stack.enter_context(lib.connect(lib.ECHO, ns=pair.client))
                lib.echo_once(s, i, b"anew")
        assert daemon.terminate() == 0
        scratch.nothing_left(pair)


# ----- files and ports -----

@contextlib.contextmanager
def small_disk(bytes_free):
    """The run directory on a file system that has just so much room."""
    os.makedirs(scratch.RUN)
    lib.command("mount", "-t", "tmpfs", "-o", f"size={bytes_free},mode=755", "tmpfs", scratch.RUN)
    try:
        yield
    finally:
        lib.command("umount", scratch.RUN)


def reserved(pair):
    return pair.server.run("cat", "/proc/sys/net/ipv4/ip_local_reserved_ports").stdout.strip()


def test_disk_full(pair, tmp_path):
    """No room for more than the lock: the daemon serves, says what it could not write, and whatever
    becomes of it, the host's reserved ports are those of before at the end."""
    pair.server.run("sh", "-c", "echo 30000 >/proc/sys/net/ipv4/ip_local_reserved_ports")
    with small_disk("4k"):
        with Daemon(pair, tmp_path, config()) as daemon, connections(pair, 4):
            assert "reserved_ports: cannot be written: No space left" in daemon.log.read_text()
            assert not os.path.exists(f"{scratch.RUN}/reserved_ports")
            assert reserved(pair) != "30000"
            assert daemon.terminate() == 0
        assert reserved(pair) == "30000"
        assert not os.listdir(scratch.RUN)


def test_umask_of_the_caller(pair, tmp_path):
    """It does not keep the group from the control socket; and only root may take the lock."""
    before = os.umask(0o77)
    try:
        with Daemon(pair, tmp_path, config()) as daemon:
            assert os.stat(scratch.RUN).st_mode & 0o777 == 0o755
            assert os.stat(f"{scratch.RUN}/control.sock").st_mode & 0o777 == 0o660
            assert os.stat(f"{scratch.RUN}/lock").st_mode & 0o077 == 0
            assert daemon.terminate() == 0
    finally:
        os.umask(before)
    scratch.nothing_left(pair)


def test_run_directory_of_others(pair, tmp_path):
    """Where others may write, nothing is believed: the start is refused, with the cure."""
    path = tmp_path / "millraced.yaml"
    path.write_text(config())
    os.makedirs(scratch.RUN)
    os.chmod(scratch.RUN, 0o777)
    assert "chmod go-w" in scratch.refused(pair, path)
    os.rmdir(scratch.RUN)
    os.makedirs(tmp_path / "theirs")
    os.symlink(tmp_path / "theirs", scratch.RUN)
    try:
        assert "chmod go-w" in scratch.refused(pair, path)
    finally:
        os.unlink(scratch.RUN)
    assert pair.program() == {}


def test_port_after_a_kernel_server(pair, tmp_path):
    """A kernel server had the rule's port, and what is left of it waits for its time to be over
    (TIME-WAIT): that keeps no daemon from starting, and nobody can listen there beside it."""
    with lib.listen(4, pair.server, 7000) as listener:
        with lib.connect(7000, ns=pair.client) as client:
            server, _ = listener.accept()
            server.close()
            assert client.recv(1) == b""
    lib.wait_for(lambda: "TIME-WAIT" in pair.server.run("ss", "-tan").stdout, 5, "TIME-WAIT")
    with Daemon(pair, tmp_path, config()) as daemon, connections(pair, 4):
        with pair.server.socket(socket.AF_INET, socket.SOCK_STREAM) as s, pytest.raises(OSError):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("", 7000))
            s.listen()
        assert daemon.terminate() == 0
    assert pair.program() == {} and not scratch.processes()


# ----- limits -----

def limited(pair, path, *limits):
    """A start that fails, whatever the hard limits keep it from."""
    done = pair.server.run("prlimit", *limits, DAEMON, "-f", "-c", path, check=False, timeout=60)
    assert done.returncode == 1, f"exit {done.returncode}: {done.stderr}"
    return done.stderr


def test_limits(pair, tmp_path):
    """Too few descriptors at several places of the start, and files that may not grow: one line
    that says so, and nothing is left, the XDP program neither."""
    path = tmp_path / "millraced.yaml"
    path.write_text(config())
    for files in (4, 20, 75):
        assert "Too many open files" in limited(pair, path, f"--nofile={files}:{files}")
        scratch.nothing_left(pair)
    assert "File too large" in limited(pair, path, "--fsize=4096:4096")
    scratch.nothing_left(pair)


# ----- ends in the middle -----

def test_killed_as_it_started(pair, tmp_path):
    """SIGKILL behind the attachment, before the maps say what the lanes are: the next daemon knows
    the program as one of a daemon that died, not as one that an operator parked there."""
    with Daemon(pair, tmp_path, config()):
        for pid in scratch.processes():
            os.kill(pid, signal.SIGKILL)
        lib.wait_for(lambda: not scratch.processes(), 5, "all ended")
        interface = pair.server.call(socket.if_nametoindex, scratch.INTERFACE)
        lib.command("bpftool", "map", "delete", "pinned", f"{scratch.PINS}/mr1_if",
                    "key", *map(str, interface.to_bytes(4, "little")))
    assert pair.program()
    with Daemon(pair, tmp_path, config()) as daemon:
        assert "took over" in daemon.log.read_text()
        assert daemon.terminate() == 0
    scratch.nothing_left(pair)



def restart_asked(daemon):
    """A client that has asked for `lane restart`."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(daemon.socket)
    s.sendall(b"POST /v1/lanes/restart HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\n\r\n")
    return s


def test_end_while_a_client_waits(pair, tmp_path):
    """SIGTERM while `lane restart` waits for a worker that was stopped: the client is told, and the
    control process ends in order. Of two that ask one waits, when the other one is refused."""
    with Daemon(pair, tmp_path, config()) as daemon:
        os.kill(daemon.lanes()[0]["pid"], signal.SIGSTOP)
        with restart_asked(daemon) as one, restart_asked(daemon) as two:
            refused = select.select([one, two], [], [], 30)[0][0]
            assert b"restarted already" in refused.recv(4096)
            assert daemon.terminate(30) == 0
            said = (two if refused is one else one).recv(4096)
            assert b"control process ends" in said or b"after 5 s" in said  # a very busy machine
        assert "Fatal" not in daemon.log.read_text()
        scratch.nothing_left(pair)


# ----- a worker that was taken over -----

def theirs(pid, fd):
    """A copy of another process's descriptor, as a socket."""
    pidfd = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, fd, 0)
    finally:
        os.close(pidfd)
    assert copy >= 0, os.strerror(ctypes.get_errno())
    return socket.socket(fileno=copy)


def say_anything(s, rng):
    """Records of every length and kind, some with descriptors; what finds no room is left out."""
    with open("/dev/null", "rb") as null:
        for i in range(3000):
            kind = rng.randrange(16) if i % 2 else rng.randrange(65536)
            body = rng.randbytes(rng.choice((1, 7, 16, 24, 32, 40, 400)))
            head = struct.pack("<IHH", WORKER_MAGIC, kind, 8 + len(body))
            with contextlib.suppress(BlockingIOError):
                socket.send_fds(s, [head + body if i % 3 else body], [null.fileno()] * (i % 4 == 0),
                                socket.MSG_DONTWAIT)


def test_worker_says_anything(pair, tmp_path):
    """The daemon believes nothing of it and goes on answering; an empty record looks like the end
    of the socket, and a worker that cannot be heard any more is replaced."""
    with Daemon(pair, tmp_path, config(scratch.RULE + DRILL)) as daemon:
        before = daemon.lanes()
        with theirs(before[0]["pid"], 3) as s:
            say_anything(s, random.Random(2))
            assert len(daemon.lanes()) == 2
            s.send(b"")
        lib.wait_for(lambda: serves_with_another(daemon, 0, before[0]["pid"]), 10,
                     lambda: f"another worker:\n{daemon.log.read_text()}")
        assert daemon.lanes()[1]["pid"] == before[1]["pid"]
        assert "control process ended" not in daemon.log.read_text()
        assert daemon.terminate() == 0
        scratch.nothing_left(pair)
