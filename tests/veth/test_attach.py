# SPDX-License-Identifier: MIT
"""How the program is held: attach netlink, link, adopt, libxdp; and what becomes of it at an end."""
import json
import os

import pytest

import lib
import scratch
from scratch import Daemon, Pair, config, refused

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

OBJECT = lib.BUILD / "millrace.bpf.o"
GLOBALS = "/sys/fs/bpf/xdp/globals"


@pytest.fixture(scope="module")
def pair():
    with Pair() as made:
        yield made
    scratch.leave_nothing()


@pytest.fixture
def by_hand(pair):
    """The operator's `ip link set dev mrs0 xdp obj millrace.bpf.o sec xdp`; its program's id."""
    pair.server.run("ip", "link", "set", "dev", scratch.INTERFACE, "xdp", "obj", OBJECT, "sec",
                    "xdp")
    yield pair.program()["id"]
    pair.server.run("ip", "link", "set", "dev", scratch.INTERFACE, "xdp", "off", check=False)
    lib.command("sh", "-c", f"rm -f {GLOBALS}/mr1_*")


def attach(how):
    return config(more_interface=f"    attach: {how}\n")


def echo(pair, words=b"hello"):
    with lib.connect(lib.ECHO, ns=pair.client) as s:
        lib.echo_once(s, 1, words)


def interface(daemon):
    status = lib.command("curl", "-s", "--unix-socket", daemon.socket, "http://m/v1/status")
    return json.loads(status.stdout)["interfaces"][0]


def xdp(pair, *words):
    """`ip link set dev mrs0 xdp ...`, which may be refused."""
    return pair.server.run("ip", "link", "set", "dev", scratch.INTERFACE, "xdp", *words,
                           check=False)


def taken(daemon):
    """Frames that the program took, as the maps count them."""
    verdicts = daemon.tool("stats", "show")["verdicts"]
    return next(v["packets"] for v in verdicts if v["name"] == "take")


def test_netlink_leaves_the_slot_to_ip_link(pair, tmp_path):
    """attach: netlink, the default: ip link shows the program and may take it off; the daemon ends
    in good order all the same."""
    with Daemon(pair, tmp_path, config()) as daemon:
        assert interface(daemon)["attach_by"] == "netlink"
        assert pair.program()["id"] == interface(daemon)["program_id"]
        assert xdp(pair, "off").returncode == 0
        assert pair.program() == {}
        assert daemon.terminate() == 0
    assert not os.path.exists(scratch.PINS)


def test_link_is_not_knocked_off(pair, tmp_path):
    """attach: link: ip link can neither take the program off nor replace it; it serves; after
    SIGTERM neither program nor pin is left."""
    with Daemon(pair, tmp_path, attach("link")) as daemon:
        assert interface(daemon)["attach_by"] == "link"
        program = pair.program()["id"]
        assert xdp(pair, "off").returncode != 0
        assert xdp(pair, "obj", OBJECT, "sec", "xdp").returncode != 0
        lib.command("sh", "-c", f"rm -f {GLOBALS}/mr1_*")
        assert pair.program()["id"] == program
        echo(pair)
        assert daemon.terminate() == 0
    assert pair.program() == {} and not os.path.exists(scratch.PINS)


def test_link_outlives_a_killed_daemon(pair, tmp_path):
    """kill -9 of a daemon with attach: link: the program stays; the next daemon takes the link from
    its pin, and exchanges the program in it."""
    with Daemon(pair, tmp_path, attach("link")) as daemon:
        daemon.kill()
        assert pair.program() != {}
    assert os.path.exists(f"{scratch.PINS}/link_{scratch.INTERFACE}")
    with Daemon(pair, tmp_path, attach("link")) as daemon:
        assert "took over from XDP program" in daemon.log.read_text()
        echo(pair)
        assert xdp(pair, "off").returncode != 0
        assert daemon.terminate() == 0
    assert pair.program() == {} and not os.path.exists(scratch.PINS)


@pytest.mark.parametrize("first,then", [("link", "netlink"), ("netlink", "link"),
                                        ("netlink", "netlink")])
def test_other_way_after_a_kill(first, then, pair, tmp_path):
    """kill -9, then a configuration that holds the program in another way, or in the same: serves,
    held so, and nothing of the first one is left."""
    with Daemon(pair, tmp_path, attach(first)) as daemon:
        daemon.kill()
    with Daemon(pair, tmp_path, attach(then)) as daemon:
        assert interface(daemon)["attach_by"] == then
        assert os.path.exists(f"{scratch.PINS}/link_{scratch.INTERFACE}") == (then == "link")
        assert pair.program()["id"] == interface(daemon)["program_id"]
        echo(pair)
        assert daemon.terminate() == 0
    assert pair.program() == {} and not os.path.exists(scratch.PINS)


def test_adopt_takes_the_operators_program(pair, tmp_path, by_hand):
    """attach: adopt: the program that ip link attached stays, serves with its own maps, and stays
    when the daemon ends; the next daemon goes on with what they have counted."""
    with Daemon(pair, tmp_path, attach("adopt")) as daemon:
        assert interface(daemon)["program_id"] == by_hand
        echo(pair)
        before = taken(daemon)
        assert before > 0
        assert daemon.terminate() == 0
    assert pair.program()["id"] == by_hand and not os.path.exists(scratch.PINS)
    with pytest.raises(ConnectionRefusedError):
        lib.connect(lib.ECHO, ns=pair.client)  # the program passes; the kernel answers
    with Daemon(pair, tmp_path, attach("adopt")) as daemon:
        assert pair.program()["id"] == by_hand
        assert taken(daemon) >= before
        echo(pair)
        assert taken(daemon) > before


def test_adopt_after_a_kill(pair, tmp_path, by_hand):
    """kill -9 of a daemon that adopted: the next one adopts the program again, counters kept."""
    with Daemon(pair, tmp_path, attach("adopt")) as daemon:
        echo(pair)
        before = taken(daemon)
        daemon.kill()
    with Daemon(pair, tmp_path, attach("adopt")) as daemon:
        assert pair.program()["id"] == by_hand and taken(daemon) >= before
        echo(pair)
        assert daemon.terminate() == 0
    assert pair.program()["id"] == by_hand


def test_adopt_without_a_program(pair, tmp_path):
    """attach: adopt and nothing attached: one line with the command that attaches it."""
    path = tmp_path / "millraced.yaml"
    path.write_text(attach("adopt"))
    line = refused(pair, path)
    assert "adopt" in line and f"ip link set dev {scratch.INTERFACE} xdp obj" in line
    assert not os.path.exists(scratch.PINS)


def test_netlink_beside_a_program_by_hand(pair, tmp_path, by_hand):
    """attach: netlink where the operator attached our object, unused: replaced, and put back."""
    with Daemon(pair, tmp_path, attach("netlink")) as daemon:
        assert pair.program()["id"] != by_hand
        echo(pair)
        assert daemon.terminate() == 0
    assert pair.program()["id"] == by_hand


def test_libxdp_says_when_the_kernel_refuses(pair, tmp_path):
    """attach: libxdp: the dispatcher serves, or one line says that the kernel refuses freplace and
    what to do; never a program that stands there alone."""
    path = tmp_path / "millraced.yaml"
    path.write_text(attach("libxdp"))
    done = pair.server.run("timeout", "--preserve-status", "20", scratch.DAEMON, "-f", "-c", path,
                           check=False)
    if done.returncode == 1:
        line = done.stderr.splitlines()[-1]
        assert "freplace" in line and "attach: netlink or link" in line, done.stderr
    else:
        assert done.returncode == 0 and "attached by libxdp" in done.stderr, done.stderr
    assert pair.program() == {} and not os.path.exists(scratch.PINS)


def test_attach_is_checked(tmp_path):
    """A way that is none: one line with those that are."""
    path = tmp_path / "millraced.yaml"
    path.write_text(attach("glue"))
    done = lib.command(scratch.DAEMON, "-n", "-c", path, check=False)
    assert done.returncode == 1
    assert "netlink, link, libxdp, adopt" in done.stderr
