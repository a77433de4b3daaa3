# SPDX-License-Identifier: MIT
"""Sockets that are renewed with each worker, as Linux before 6.4 needs it: bound only when the
worker has mapped the rings, and another one for the next. What stood in the old rings is lost, and
TCP sends it again; no connection is reset."""
import contextlib
import ctypes
import mmap
import os
import signal
import socket
import struct

import pytest

import lib
import scratch
from scratch import Daemon, all_echo, config, connections, load, nothing_left

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

# What is killed is replaced at once; that it takes long on a busy machine is no matter here.
PATIENT = "heartbeat:\n  stale_ms: 2000\n  grace_ms: 20000\n"
RENEW = "  sockets: renew\n" + PATIENT
SIZES = {"XDP_UMEM_FILL_RING": 5, "XDP_UMEM_COMPLETION_RING": 6, "XDP_RX_RING": 2}


def workers(daemon):
    return [(lane["pid"], lane["epoch"]) for lane in daemon.lanes()]


def started(stack, pair, directory, text=config(more=RENEW)):
    directory.mkdir(exist_ok=True)
    return stack.enter_context(Daemon(pair, directory, text))


def replaced(daemon, before, lanes=(0, 1)):
    """These lanes have another worker, that serves."""
    def check():
        now = daemon.lanes()
        return len(now) == len(before) and all(
            lane["state"] == "serving" and (i not in lanes or lane["epoch"] > before[i][1])
            for i, lane in enumerate(now))
    lib.wait_for(check, 10, lambda: f"other workers than {before}: {daemon.lanes()}")


def kill_both(daemon):
    before = workers(daemon)
    for pid, _ in before:
        os.kill(pid, signal.SIGKILL)
    replaced(daemon, before)


def test_main_job_and_restarts(pair, tmp_path):
    """100 connections under load: `lane restart`, a worker killed, both killed, ten times one after
    the other; every message comes back intact, and nothing is left."""
    with contextlib.ExitStack() as stack:
        daemon = started(stack, pair, tmp_path)
        assert [lane["socket"] for lane in daemon.lanes()] == ["renewed"] * 2
        made = stack.enter_context(connections(pair, 100))
        with load(made) as running:
            running.more()
            before = workers(daemon)
            assert daemon.tool("lane", "restart")
            replaced(daemon, before)
            running.more()
            assert not {pid for pid, _ in workers(daemon)} & {pid for pid, _ in before}
        for i in range(10):
            before = workers(daemon)
            os.kill(before[i % 2][0], signal.SIGKILL)
            replaced(daemon, before, [i % 2])
            all_echo(made, b"after a kill")
        kill_both(daemon)
        all_echo(made, b"after two")
        assert daemon.figure("gauges", "connections") == 100
        assert daemon.figure("counters", "resets_out") == 0
        assert daemon.terminate() == 0
        nothing_left(pair)


def test_killed_under_load(pair, tmp_path):
    """A worker is killed while messages are on their way: at most the connection in hand is reset,
    all others get what is theirs, once."""
    with contextlib.ExitStack() as stack:
        daemon = started(stack, pair, tmp_path)
        made = stack.enter_context(connections(pair, 100))
        before = workers(daemon)
        for i, s in enumerate(made):
            s.sendall(b"".join(lib.tlv(i, bytes([n]) * 900) for n in range(20)))
            if i == 50:
                os.kill(before[0][0], signal.SIGKILL)
        replaced(daemon, before, [0])
        resets = 0
        for i, s in enumerate(made):
            try:
                assert [lib.read_tlv(s) for _ in range(20)] == \
                    [(i, bytes([n]) * 900) for n in range(20)]
            except ConnectionResetError:
                resets += 1
        assert resets <= 1
        assert daemon.terminate() == 0
        nothing_left(pair)


def test_daemon_killed(pair, tmp_path):
    """SIGKILL to the daemon: the workers keep what they have mapped and the next daemon takes them
    up; what it replaces gets new sockets. Both killed together: the next one starts new workers."""
    with contextlib.ExitStack() as stack:
        daemon = started(stack, pair, tmp_path)
        made = stack.enter_context(connections(pair, 20))
        before = workers(daemon)
        daemon.kill()
        all_echo(made, b"nobody there")
        daemon = started(stack, pair, tmp_path / "second")
        assert workers(daemon) == before
        kill_both(daemon)
        all_echo(made, b"adopted, and replaced")
        before = workers(daemon)
        daemon.kill()
        for pid, _ in before:
            os.kill(pid, signal.SIGKILL)
        daemon = started(stack, pair, tmp_path / "third")
        all_echo(made, b"all killed")
        assert daemon.figure("gauges", "connections") == 20
        assert daemon.terminate() == 0
        nothing_left(pair)


def test_child_killed_and_drained(pair, tmp_path):
    """Another control process, then a restart; a drained lane is resumed with a new socket."""
    with contextlib.ExitStack() as stack:
        daemon = started(stack, pair, tmp_path)
        with connections(pair, 10) as made:
            before = workers(daemon)
            child = [p for p in scratch.processes() if scratch.name_of(p) == "millraced-child"]
            os.kill(child[0], signal.SIGKILL)
            lib.wait_for(lambda: workers(daemon) == before, 5, "another control process")
            kill_both(daemon)
            all_echo(made, b"after both")
        assert daemon.tool("lane", "drain", "all")
        lib.wait_for(lambda: {lane["state"] for lane in daemon.lanes()} == {"drained"}, 10,
                     "drained")
        assert daemon.tool("lane", "resume", "all")
        lib.wait_for(lambda: {lane["state"] for lane in daemon.lanes()} == {"serving"}, 10,
                     "serving")
        with connections(pair, 10) as made:
            all_echo(made, b"resumed")
        assert daemon.terminate() == 0
        nothing_left(pair)


def test_changed_way(pair, tmp_path):
    """From kept sockets to renewed ones and back, by a restart with another configuration."""
    with contextlib.ExitStack() as stack:
        daemon = started(stack, pair, tmp_path, config(more=PATIENT))
        made = stack.enter_context(connections(pair, 10))
        for i, (more, word) in enumerate(((RENEW, "renewed"), (PATIENT, "kept"))):
            daemon.kill()
            daemon = started(stack, pair, tmp_path / str(i), config(more=more))
            assert [lane["socket"] for lane in daemon.lanes()] == [word] * 2
            kill_both(daemon)
            all_echo(made, word.encode())
        assert daemon.terminate() == 0
        nothing_left(pair)


def foreign_socket(pair):
    """An AF_XDP socket of another program on queue 1."""
    libc = lib._libc  # pylint: disable=protected-access
    sock = pair.server.socket(44, socket.SOCK_RAW)
    memory = mmap.mmap(-1, 64 * 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    region = struct.pack("QQIIIi", address, 64 * 4096, 4096, 0, 0, 0)
    assert libc.setsockopt(sock.fileno(), 283, 4, region, len(region)) == 0
    for option in SIZES.values():
        sock.setsockopt(283, option, 64)
    index = pair.server.call(socket.if_nametoindex, scratch.INTERFACE)
    name = struct.pack("=HHIII", 44, 2, index, 1, 0)
    assert libc.bind(sock.fileno(), name, len(name)) == 0, ctypes.get_errno()
    return sock, memory


def test_queue_of_another_program(pair, tmp_path):
    """Another program has a queue: the start is refused in the same words, at once."""
    sock, _ = foreign_socket(pair)
    with sock:
        for name, more in (("kept", PATIENT), ("renewed", RENEW)):
            path = tmp_path / f"{name}.yaml"
            path.write_text(config(more=more))
            line = scratch.refused(pair, path, timeout=20)
            assert "another AF_XDP socket has it" in line and "queue 1" in line, line
    with contextlib.ExitStack() as stack:
        assert started(stack, pair, tmp_path / "free").terminate() == 0
