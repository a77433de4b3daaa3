# SPDX-License-Identifier: MIT
"""What goes wrong before the first frame: one clear line with the cure; and leaving no trace."""
import errno
import os
import re
import socket

import pytest

import lib
import scratch
from scratch import RULE, Daemon, Pair, config, refused

pytestmark = [pytest.mark.scratch, pytest.mark.limit(40)]

TLV = "    tlv: { tag_bytes: 2 }\n"
SECOND = RULE.replace("name: echo", "name: second")

# Name: the file, and words that its one line of refusal must have.
BAD_CONFIGS = {
    "unknown-key": (config(more="colour: red\n"), ["colour", "unknown key"]),
    "misspelt-key": (config(RULE.replace("port:", "prot:")), ["prot", "did you mean"]),
    "unknown-key-in-rule": (config(RULE + "    speed: 5\n"), ["speed"]),
    "word-for-number": (config(RULE.replace("7000", "seven")), ["port", "seven", "number"]),
    "number-for-boolean": (config(RULE + "    nodelay: 7\n"), ["nodelay", "7"]),
    "list-for-number": (config(RULE.replace("7000", "[7000]")), ["port", "list"]),
    "mapping-for-list": (config().replace("  - name: mrs0\n    queues: 2", "  name: mrs0"),
                         ["interfaces", "list"]),
    "port-0": (config(RULE.replace("7000", "0")), ["port", "1", "65535"]),
    "port-65536": (config(RULE.replace("7000", "65536")), ["port", "65535"]),
    "negative-port": (config(RULE.replace("7000", "-7")), ["port", "-7"]),
    "huge-number": (config(RULE.replace("7000", "99999999999999999999999")), ["port"]),
    "same-name": (config(RULE + RULE.replace("7000", "7001")), ["echo", "same name"]),
    "clash": (config(RULE + SECOND), ["second", "echo", "7000", "clash"]),
    "unknown-app": (config(RULE.replace("app: echo", "app: ecko")), ["ecko", "echo"]),
    "no-app": (config(RULE.replace("    app: echo\n", "")), ["app", "missing"]),
    "store-without-directory": (config(RULE.replace("app: echo", "app: store")), ["directory"]),
    "tlv-for-bytes": (config(RULE.replace("app: echo", "app: drill") + TLV), ["drill", "tlv"]),
    "tlv-width-3": (config(RULE + "    tlv:\n      tag_bytes: 3\n"), ["tag_bytes", "3"]),
    "bad-address": (config(RULE + "    address: 192.0.2.256\n"), ["192.0.2.256"]),
    "multicast-address": (config(RULE + "    address: 224.0.0.1\n"), ["224.0.0.1"]),
    "bad-vlan": (config(RULE + "    vlan: 4095\n"), ["vlan", "4095"]),
    "udp": (config(RULE.replace("tcp", "udp")), ["udp"]),
    "unknown-user": (config().replace("nobody", "noman"), ["user", "noman"]),
    "root-user": (config().replace("nobody", "root"), ["user", "root"]),
    "relative-directory": (config(run="millrace"), ["run_directory"]),
    "no-frames": (config().replace("4096", "0", 1), ["frames", "0"]),
    "not-yaml": ("interfaces: [\n", []),
    "tab": ("interfaces:\n\t- name: mrs0\n", []),
    "empty": ("", ["empty"]),
    "bytes": ("\x01\x02\x03", []),
    "no-rules": (config().split("rules:")[0], ["rules"]),
    "key-twice": (config(RULE + "    port: 7001\n"), ["port", "twice"]),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_config_error(case, tmp_path):
    """millraced -n: exit 1 and one line `millraced: FILE:LINE: what; cure` that names the
    culprit."""
    text, words = BAD_CONFIGS[case]
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    done = lib.command(scratch.DAEMON, "-n", "-c", path, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    match = re.match(rf"millraced: {re.escape(str(path))}:(\d+): ", done.stderr)
    assert match, done.stderr
    assert 1 <= int(match.group(1)) <= text.count("\n") + 1
    for word in words:
        assert word.lower() in done.stderr.lower(), done.stderr


@pytest.mark.parametrize("case", ["clash", "unknown-key", "word-for-number"])
def test_config_error_names_the_line(case, tmp_path):
    """The line is the culprit's own."""
    text = BAD_CONFIGS[case][0]
    culprit = {"clash": "name: second", "unknown-key": "colour", "word-for-number": "seven"}[case]
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    done = lib.command(scratch.DAEMON, "-n", "-c", path, check=False)
    line = int(re.match(rf"millraced: {re.escape(str(path))}:(\d+): ", done.stderr).group(1))
    assert culprit in text.splitlines()[line - 1], done.stderr


def test_good_config(tmp_path):
    """millraced -n of a good file: exit 0 and says so; nothing is attached or made."""
    path = tmp_path / "good.yaml"
    path.write_text(config())
    done = lib.command(scratch.DAEMON, "-n", "-c", path)
    assert "OK" in done.stdout
    assert not os.path.exists(scratch.RUN) and not os.path.exists(scratch.PINS)


def test_config_file_missing(tmp_path):
    """A file that is not there: exit 1, one line with its name."""
    done = lib.command(scratch.DAEMON, "-n", "-c", tmp_path / "none.yaml", check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "none.yaml" in done.stderr


# ----- the interface and the machine -----

@pytest.fixture(scope="module")
def pair():
    with Pair() as made:
        yield made
    scratch.leave_nothing()


def write(tmp_path, text):
    path = tmp_path / "millraced.yaml"
    path.write_text(text)
    return path


def nothing_left(pair):
    assert pair.program() == {}, "an XDP program is still attached"
    assert not os.path.exists(scratch.PINS), os.listdir(scratch.PINS)
    assert not os.path.exists(f"{scratch.RUN}/control.sock")
    assert not scratch.processes()
    with pair.server.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
        s.bind(("::", 7000))  # no longer reserved


def test_interface_missing(pair, tmp_path):
    """An interface that is not there: one line that names it; nothing is left."""
    line = refused(pair, write(tmp_path, config(interface="mrnone")))
    assert "mrnone" in line and "no such interface" in line
    nothing_left(pair)


def test_more_queues_than_there_are(pair, tmp_path):
    """Eight lanes on two queues: one line with both numbers and the cure."""
    line = refused(pair, write(tmp_path, config().replace("queues: 2", "queues: 8")))
    assert "8" in line and "2" in line and "queues" in line
    nothing_left(pair)


def test_port_in_use(pair, tmp_path):
    """A steered port that a kernel socket holds: one line that names rule and port; nothing is
    left."""
    with lib.listen(4, pair.server, 7000):
        line = refused(pair, write(tmp_path, config()))
        assert "7000" in line and "in use" in line
    nothing_left(pair)


@pytest.mark.parametrize("capability", ["net_admin", "net_raw", "bpf", "perfmon"])
def test_capability_missing(capability, pair, tmp_path):
    """Root without a capability: one line that names it."""
    bounding = f"-{capability}" + (",-sys_admin" if capability in ("bpf", "perfmon") else "")
    line = refused(pair, write(tmp_path, config()), "setpriv", f"--bounding-set={bounding}")
    assert f"CAP_{capability.upper()}" in line
    nothing_left(pair)


def test_not_root(pair, tmp_path):
    """Any other user: one line with the cure, and no trace."""
    path = write(tmp_path, config())
    for directory in (path, *path.parents[:-2]):
        os.chmod(directory, 0o755)
    done = pair.server.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                           scratch.DAEMON, "-f", "-c", path, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "CAP_" in done.stderr or "root" in done.stderr


def test_memlock_too_small(pair, tmp_path):
    """A memlock limit of 64 KiB that may not be raised: one line that says memlock, and the
    cure."""
    line = refused(pair, write(tmp_path, config()), "prlimit", "--memlock=65536:65536", "setpriv",
                   "--bounding-set=-ipc_lock,-sys_resource")
    assert "memlock" in line.lower(), line
    nothing_left(pair)


def test_second_daemon_with_the_same_directory(pair, tmp_path):
    """A second daemon with the same run directory: one line with the first one's process, which
    goes on serving."""
    with Daemon(pair, tmp_path, config()) as first:
        line = refused(pair, first.path)
        assert str(first.pid) in line and "run" in line
        with lib.connect(lib.ECHO, ns=pair.client) as s:
            lib.echo_once(s, 1, b"still")
    nothing_left(pair)


def test_second_daemon_on_the_same_interface(pair, tmp_path):
    """A second daemon with directories of its own on the same interface: one line; the first one's
    program stays, and it serves."""
    with Daemon(pair, tmp_path, config()) as first:
        program = pair.program()
        other = tmp_path / "other.yaml"
        other.write_text(config(RULE.replace("7000", "7100"), run=f"{scratch.RUN}/other",
                                pins=f"{scratch.PINS}-other"))
        line = refused(pair, other)
        assert scratch.INTERFACE in line and "another millraced" in line
        assert pair.program() == program
        lib.wait_for(lambda: all(lane["state"] == "serving" for lane in first.lanes()), 5,
                     "all lanes serving")
        with lib.connect(lib.ECHO, ns=pair.client) as s:
            lib.echo_once(s, 1, b"still")
    nothing_left(pair)


@pytest.fixture
def foreign(pair, tmp_path):
    """A program of somebody else on the interface; it passes everything."""
    source, built = tmp_path / "foreign.c", tmp_path / "foreign.o"
    source.write_text(scratch.FOREIGN)
    lib.command("clang", "-O2", "-g", "-target", "bpf", "-c", source, "-o", built)
    pair.server.run("ip", "link", "set", "dev", scratch.INTERFACE, "xdp", "obj", built, "sec",
                    "xdp")
    yield pair.program()["id"]
    pair.server.run("ip", "link", "set", "dev", scratch.INTERFACE, "xdp", "off", check=False)


def test_foreign_program_is_left_alone(pair, tmp_path, foreign):
    """A foreign XDP program without force: one line with its id and the cure; it stays."""
    line = refused(pair, write(tmp_path, config()))
    assert str(foreign) in line and "force" in line
    assert pair.program()["id"] == foreign
    assert not os.path.exists(scratch.PINS) and not scratch.processes()


def test_foreign_program_with_force(pair, tmp_path, foreign):
    """With force: replaced while the daemon runs; afterwards the interface is as it was."""
    with Daemon(pair, tmp_path, config(more_interface="    force: true\n")) as daemon:
        assert pair.program()["id"] != foreign
        with lib.connect(lib.ECHO, ns=pair.client) as s:
            lib.echo_once(s, 1, b"forced")
        assert daemon.terminate() == 0
    assert pair.program().get("id") in (foreign, None)


# ----- the end -----

def reserved_ports(pair):
    return pair.server.run("sysctl", "-n", "net.ipv4.ip_local_reserved_ports").stdout.strip()


def test_sigterm_leaves_nothing(pair, tmp_path):
    """SIGTERM, with connections under way: exit 0; no program, pin, socket or process is left; the
    peers are told by RST or FIN, not left hanging."""
    before = reserved_ports(pair)
    with Daemon(pair, tmp_path, config()) as daemon:
        assert os.path.exists(scratch.PINS) and pair.program()
        sockets = [lib.connect(lib.ECHO, 4 + 2 * (i % 2), ns=pair.client) for i in range(20)]
        for s in sockets:
            lib.echo_once(s, 1, b"hello")
        assert daemon.terminate() == 0
        nothing_left(pair)
        assert reserved_ports(pair) == before
        for s in sockets:
            s.settimeout(3)
            try:
                s.sendall(lib.tlv(1, b"anyone"))
                assert s.recv(100) == b""
            except ConnectionResetError:
                pass
            s.close()


def test_sigterm_while_idle_is_quick(pair, tmp_path):
    """SIGTERM to an idle daemon: gone within three seconds."""
    with Daemon(pair, tmp_path, config()) as daemon:
        assert daemon.terminate(3) == 0
    nothing_left(pair)


def test_start_after_a_crash(pair, tmp_path):
    """kill -9 of the daemon and its workers, then a start with the same file: serves again."""
    with Daemon(pair, tmp_path, config()) as daemon:
        daemon.kill()
    with Daemon(pair, tmp_path, config()) as daemon:
        with lib.connect(lib.ECHO, ns=pair.client) as s:
            lib.echo_once(s, 1, b"again")
        assert daemon.terminate() == 0
    nothing_left(pair)


def test_start_beside_orphans_of_a_crash(pair, tmp_path):
    """kill -9 of the daemon alone, its children still there: a start with the same file takes
    over."""
    with Daemon(pair, tmp_path, config()) as crashed:
        crashed.kill()
        (tmp_path / "again").mkdir()
        with Daemon(pair, tmp_path / "again", config()) as daemon:
            with lib.connect(lib.ECHO, ns=pair.client) as s:
                lib.echo_once(s, 1, b"again")
            assert daemon.terminate() == 0
    nothing_left(pair)


def is_nonblocking(pid, fd):
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
        flags = re.search(r"^flags:\s*([0-7]+)$", file.read(), re.MULTILINE)
    return bool(int(flags.group(1), 8) & os.O_NONBLOCK)


def test_background(pair, tmp_path):
    """Without -f: returns 0 when it serves, runs on in the background, ends by SIGTERM. What lanes
    log goes by the control process, for which they never wait."""
    path = write(tmp_path, config())
    try:
        pair.server.run(scratch.DAEMON, "-c", path)
        with lib.connect(lib.ECHO, ns=pair.client) as s:
            lib.echo_once(s, 1, b"from behind")
        workers = [pid for pid in scratch.processes() if scratch.name_of(pid) == "millrace-worker"]
        assert len(workers) == 2 and all(is_nonblocking(pid, 2) for pid in workers)
        parent = int(lib.command("cat", f"{scratch.RUN}/millraced.pid").stdout) \
            if os.path.exists(f"{scratch.RUN}/millraced.pid") else min(scratch.processes())
        os.kill(parent, 15)
        lib.wait_for(lambda: not scratch.processes(), 10, "ended")
    finally:
        for pid in scratch.processes():
            os.kill(pid, 9)
    nothing_left(pair)


def test_reserved_port_is_free_for_nobody(pair, tmp_path):
    """While the daemon runs its port is taken, for IPv4, IPv6 and both."""
    with Daemon(pair, tmp_path, config()):
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"),
                                (socket.AF_INET, lib.SERVER[4])):
            with pair.server.socket(family, socket.SOCK_STREAM) as s:
                with pytest.raises(OSError) as error:
                    s.bind((address, 7000))
                assert error.value.errno == errno.EADDRINUSE
