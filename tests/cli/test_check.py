# SPDX-License-Identifier: MIT
"""millrace check, on a veth pair of its own:

    mrcli-a                            mrcli-b
    mrcli0 (2 queues)   <-- veth -->   mrcli1 (2 queues)
"""
import json
import os
import shutil
import subprocess

import pytest

from conftest import BINARY, call

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")

NEAR, FAR = "mrcli-a", "mrcli-b"
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]


def sh(*words, inside=None):
    before = ["nsenter", f"--net=/run/netns/{inside}"] if inside else []
    return subprocess.run([*before, *words], check=True, capture_output=True, text=True).stdout


def remove():
    for name in (NEAR, FAR):
        subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)


@pytest.fixture(scope="module")
def pair():
    remove()
    sh("ip", "netns", "add", NEAR)
    sh("ip", "netns", "add", FAR)
    sh("ip", "link", "add", "mrcli0", "netns", NEAR, "numrxqueues", "2", "numtxqueues", "2",
       "type", "veth", "peer", "name", "mrcli1", "netns", FAR, "numrxqueues", "2",
       "numtxqueues", "2")
    yield
    remove()


@pytest.fixture
def veth(pair):
    """Everything as it should be; each test spoils what it is about."""
    sh("ethtool", "-K", "mrcli1", "tx", "off", "txvlan", "off", inside=FAR)
    sh("ip", "link", "set", "mrcli1", "up", inside=FAR)
    sh("ip", "link", "set", "mrcli0", "mtu", "1500", "up", inside=NEAR)
    sh("ip", "link", "set", "mrcli0", "xdp", "off", inside=NEAR)


def check(*words, name="mrcli0", before=(), socket="/nowhere/control.sock", **more):
    """Facts as {fact: [(level, value, cure)]}, and the exit status."""
    enter = ["nsenter", f"--net=/run/netns/{NEAR}", *before]
    result = call("-j", "-s", socket, "check", name, *words, before=enter, **more)
    answer = json.loads(result.out)
    assert answer["v"] == 1 and answer["interface"] == name
    assert answer["ok"] == (result.status == 0)
    assert result.err == ""
    facts = {}
    for f in answer["facts"]:
        facts.setdefault(f["fact"], []).append((f["level"], f["value"], f["cure"]))
    failed = any(level == "fail" for of in facts.values() for level, _, _ in of)
    assert result.status == (1 if failed else 0)
    return facts


def levels(facts):
    return {fact: of[0][0] for fact, of in facts.items()}


def test_no_such_interface_fails_with_the_cure(veth):
    facts = check(name="mrcli9")
    assert facts["interface"][0][:2] == ("fail", "mrcli9: does not exist here")
    assert "ip link" in facts["interface"][0][2]
    too_long = check(name="x" * 300)
    assert too_long["interface"][0][0] == "fail"


def test_good_veth_has_no_failure(veth):
    facts = check()
    assert levels(facts)["interface"] == "ok"
    assert facts["link"] == [("ok", "up", None)]
    assert facts["mtu"] == [("ok", "1500, fits a frame of 2048 bytes", None)]
    assert facts["driver"] == [("ok", "veth", None)]
    assert facts["queues"][0][1].startswith("2 ")
    assert facts["native XDP"][0][:1] == ("ok",)
    assert facts["native XDP"][0][1].startswith("yes")
    assert facts["zero-copy"][0][1].startswith("no")
    assert facts["XDP program"] == [("ok", "none attached", None)]
    assert facts["veth peer"] == [
        ("ok", f"mrcli1 in /run/netns/{FAR}, checksum offload off", None)]
    for fact in ("kernel", "AF_XDP", "BTF", "bpffs", "capabilities"):
        assert levels(facts)[fact] == "ok"


def test_text_has_a_line_a_fact(veth):
    enter = ["nsenter", f"--net=/run/netns/{NEAR}"]
    result = call("check", "mrcli0", before=enter)
    assert result.status == 0
    lines = result.out.splitlines()
    assert len(lines) == sum(len(of) for of in check().values())
    assert "ok    mtu: 1500, fits a frame of 2048 bytes" in lines
    assert {line.split()[0] for line in lines} <= {"ok", "warn", "fail"}


def test_checksum_offload_of_the_peer_fails_with_a_cure_that_works(veth):
    sh("ethtool", "-K", "mrcli1", "tx", "on", inside=FAR)
    level, value, cure = check()["veth peer"][0]
    assert level == "fail"
    assert "checksum offload on" in value
    assert cure == f"nsenter --net=/run/netns/{FAR} ethtool -K mrcli1 tx off"
    sh(*cure.split())
    assert levels(check())["veth peer"] == "ok"


def test_vlan_offload_of_the_peer_is_warned_of(veth):
    sh("ethtool", "-K", "mrcli1", "txvlan", "on", inside=FAR)
    peer = check()["veth peer"]
    assert [level for level, _, _ in peer] == ["ok", "warn"]
    assert "VLAN offload on" in peer[1][1]


def test_peer_in_the_same_namespace_is_found(veth):
    sh("ip", "link", "add", "mrcli2", "type", "veth", "peer", "name", "mrcli3", inside=NEAR)
    try:
        level, value, cure = check(name="mrcli2")["veth peer"][0]
        assert level == "fail" and value.startswith("mrcli3, checksum offload on")
        assert cure == "ethtool -K mrcli3 tx off"
    finally:
        sh("ip", "link", "del", "mrcli2", inside=NEAR)


def test_link_down_and_peer_down_are_warned_of(veth):
    sh("ip", "link", "set", "mrcli1", "down", inside=FAR)
    assert check()["link"] == [("warn", "up, no carrier", "is its peer up?")]
    sh("ip", "link", "set", "mrcli0", "down", inside=NEAR)
    assert check()["link"] == [("warn", "down", "ip link set mrcli0 up")]


@pytest.mark.parametrize("mtu, level, value", [
    (1770, "ok", "1770, fits a frame of 2048 bytes"),
    (1771, "ok", "1771, fits a frame of 4096 bytes"),
    (3818, "ok", "3818, fits a frame of 4096 bytes"),
    (3819, "warn", "3819, more than a frame holds: lanes use 3818"),
    (500, "warn", "500, small for TCP"),
])
def test_mtu_is_compared_with_the_frames(veth, mtu, level, value):
    sh("ip", "link", "set", "mrcli0", "mtu", str(mtu), inside=NEAR)
    assert check()["mtu"][0][:2] == (level, value)


def test_veth_with_too_few_queues_has_no_native_mode(veth):
    sh("ip", "link", "add", "mrcli2", "numrxqueues", "1", "numtxqueues", "1", "type", "veth",
       "peer", "name", "mrcli3", "numrxqueues", "4", "numtxqueues", "4", inside=NEAR)
    try:
        facts = check(name="mrcli2")
        assert facts["queues"][0][1].startswith("1 ")
        level, value, cure = facts["native XDP"][0]
        if "going by" in value:
            pytest.skip("this kernel cannot be asked for XDP features")
        assert level == "warn" and value.startswith("no: generic mode only")
        assert "queues" in cure
    finally:
        sh("ip", "link", "del", "mrcli2", inside=NEAR)


def test_loopback_is_generic_only(veth):
    facts = check(name="lo")
    assert facts["driver"][0][1] == "none: loopback"
    assert levels(facts)["native XDP"] == "warn"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """An XDP program that is not ours, and one that has our name."""
    directory = tmp_path_factory.mktemp("xdp")
    source = directory / "pass.c"
    source.write_text('__attribute__((section("xdp"), used)) int NAME(void *c) { return 2; }\n'
                      'char l[] __attribute__((section("license"), used)) = "GPL";\n')
    for name in ("stranger", "mr_xdp"):
        subprocess.run(["clang", "-O2", "-g", "-target", "bpf", f"-DNAME={name}", "-c", source,
                        "-o", directory / f"{name}.o"], check=True)
    return directory


@pytest.mark.parametrize("mode, words", [("xdpgeneric", "generic"), ("xdpdrv", "native")])
def test_foreign_program_fails_with_name_and_cure(veth, foreign, mode, words):
    sh("ip", "link", "set", "mrcli0", mode, "obj", str(foreign / "stranger.o"), "sec", "xdp",
       inside=NEAR)
    try:
        level, value, cure = check()["XDP program"][0]
        assert level == "fail"
        assert f"name stranger, {words}" in value
        assert "force" in cure
        assert check("--probe")["probe"][0][1] == "not done: a program is attached"
    finally:
        sh("ip", "link", "set", "mrcli0", mode, "off", inside=NEAR)


def test_program_of_ours_is_known_by_its_name(veth, foreign):
    sh("ip", "link", "set", "mrcli0", "xdp", "obj", str(foreign / "mr_xdp.o"), "sec", "xdp",
       inside=NEAR)
    level, value, _ = check()["XDP program"][0]
    assert level == "ok" and value.startswith("Millrace's, id ") and value.endswith(", native")


def test_probe_attaches_and_leaves_nothing(veth):
    facts = check("--probe")
    assert facts["probe of native XDP"] == [("ok", "attached", None)]
    assert facts["probe of zero-copy"][0][1] == "queue 0 not bound: Operation not supported"
    assert "xdp" not in sh("ip", "link", "show", "mrcli0", inside=NEAR)
    assert check()["XDP program"][0][1] == "none attached"


def test_probe_with_a_large_mtu_finds_the_program_that_fits(veth):
    sh("ip", "link", "set", "mrcli1", "mtu", "9000", inside=FAR)
    try:
        facts = check("--probe")
        assert facts["probe of native XDP"][0][1] == \
            "attached, as a program for several buffers only"
    finally:
        sh("ip", "link", "set", "mrcli1", "mtu", "1500", inside=FAR)


def test_without_privilege_it_says_what_it_cannot_see(veth, directory):
    shutil.copy(BINARY, directory / "millrace")
    facts = check("--probe", before=AS_NOBODY, binary=directory / "millrace")
    assert levels(facts)["interface"] == "ok"
    assert facts["native XDP"][0][1].startswith(("yes", "no"))
    level, value, cure = facts["veth peer"][0]
    assert level == "warn" and "cannot be read" in value and "ethtool -K PEER tx off" in cure
    assert levels(facts)["capabilities"] == "warn"
    assert "cap_net_admin" in facts["capabilities"][0][1]
    assert facts["probe of native XDP"][0] == ("warn", "not attached: Operation not permitted",
                                               "run as root")


def test_root_without_what_is_optional_is_warned(veth):
    facts = check(before=["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-all"])
    assert facts["capabilities"][0][0] == "warn"
    assert "cap_net_bind_service (for ports below 1024)" in facts["capabilities"][0][1]


def test_root_without_capabilities_fails(veth):
    facts = check(before=["setpriv", "--bounding-set=-net_raw", "--inh-caps=-all"])
    assert facts["capabilities"][0][:2] == ("fail", "who runs this lacks cap_net_raw")


# ----- with a daemon -----

def test_no_daemon_is_no_fault_unless_its_socket_was_named(veth):
    assert levels(check())["millraced"] == "warn"
    enter = ["nsenter", f"--net=/run/netns/{NEAR}"]
    if not os.path.exists("/run/millrace/control.sock"):
        result = call("check", "mrcli0", before=enter)
        assert "ok    millraced: not running\n" in result.out


def served(daemon, **more):
    link = json.loads(sh("ip", "-j", "link", "show", "mrcli0", inside=NEAR))[0]
    interface = daemon.answers["/v1/status"]["interfaces"][0]
    interface.update({"name": "mrcli0", "ifindex": link["ifindex"], "mac": link["address"], **more})
    lane = daemon.answers["/v1/lanes"]["lanes"][0]
    lane["interface"] = "mrcli0"
    other = {**lane, "interface": "other0", "why": "not to be seen"}
    daemon.answers["/v1/lanes"]["lanes"] = [lane, {**lane, "queue": 1}, other]
    return interface, daemon.answers["/v1/lanes"]["lanes"]


def test_daemon_tells_the_mode_it_obtained(veth, daemon):
    interface, lanes = served(daemon)
    daemon.answers["/v1/status"]["problems"] = ["mrcli0 queue 1: lane restarts", "mrcli01: other"]
    facts = check(socket=daemon.socket)
    assert facts["millraced"] == [("ok", "serving, version 0.1.0, pid 812", None)]
    assert facts["attached"] == [("ok", "native, section xdp, by netlink", None)]
    assert facts["lane 0"] == [("ok", "serving, native, copy", lanes[0]["why"])]
    assert "lane 1" in facts
    assert facts["problem"] == [("warn", "mrcli0 queue 1: lane restarts", None)]
    assert "not to be seen" not in json.dumps(facts)
    interface.update(attach="generic", attach_why="native: the driver refused")
    lanes[1]["state"] = "dead"
    facts = check(socket=daemon.socket)
    assert facts["attached"] == [("warn", "generic, section xdp, by netlink",
                                  "native: the driver refused")]
    assert facts["lane 1"][0][0] == "fail"


def test_program_of_the_daemon_is_known_by_its_id(veth, daemon, foreign):
    sh("ip", "link", "set", "mrcli0", "xdp", "obj", str(foreign / "stranger.o"), "sec", "xdp",
       inside=NEAR)
    link = json.loads(sh("ip", "-j", "link", "show", "mrcli0", inside=NEAR))[0]
    served(daemon, program_id=link["xdp"]["prog"]["id"])
    assert levels(check(socket=daemon.socket))["XDP program"] == "ok"
    served(daemon, program_id=link["xdp"]["prog"]["id"] + 1)
    assert levels(check(socket=daemon.socket))["XDP program"] == "fail"


@pytest.mark.parametrize("more", [{"name": "mrcli1"}, {"ifindex": 9999},
                                  {"mac": "02:00:00:00:00:02"}])
def test_daemon_of_another_interface_adds_one_line(veth, daemon, more):
    served(daemon, **more)
    facts = check(socket=daemon.socket)
    assert facts["millraced"][0][1].endswith("does not serve this interface")
    assert "attached" not in facts and "lane 0" not in facts


@pytest.mark.parametrize("answer", [
    {}, {"interfaces": None}, {"interfaces": [None, 5, {}]}, {"interfaces": {}, "problems": 5},
    {"problems": [None, 5]}, (500, b""), b"{", {"v": 9}])
def test_broken_daemon_does_not_hide_the_facts(veth, daemon, answer):
    daemon.answers["/v1/status"] = answer
    facts = check(socket=daemon.socket)
    assert levels(facts)["veth peer"] == "ok"
    assert "millraced" in facts


def test_served_interface_without_its_keys_does_no_harm(veth, daemon):
    interface, lanes = served(daemon)
    for key in list(interface):
        if key not in ("name", "ifindex"):
            del interface[key]
    daemon.answers["/v1/lanes"]["lanes"] = [{"interface": "mrcli0"}]
    facts = check(socket=daemon.socket)
    assert facts["attached"] == [("warn", "-, section -, by -", None)]
    assert facts["lane -"] == [("fail", "-, -, -", None)]
    daemon.answers["/v1/lanes"] = (503, {"error": "try again"})
    assert check(socket=daemon.socket)["lanes"] == [("warn", "try again", None)]
