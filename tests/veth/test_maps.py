# SPDX-License-Identifier: MIT
"""The maps are the statistics: every pinned one is read by bpftool, with named fields; and the
object is one that `ip link` can load."""
import json
import os
import time

import pytest

import figures
import lib

# Maps whose values are no records: sockets, and numbers of inner maps (looked into further below).
NO_RECORDS = {"xskmap", "array_of_maps"}
NAMES = {"mr1_abi", "mr1_cfg", "mr1_if", "mr1_near", "mr1_xsk", "mr1_beat", "mr1_rules",
         "mr1_field", "mr1_class", "mr1_order", "mr1_met",
         "mr1_known", "mr1_local", "mr1_kflow", "mr1_kflows", "mr1_verdict", "mr1_rstat", "mr1_lane",
         "mr1_verdict2", "mr1_block4", "mr1_block6", "mr1_guard", "mr1_gstate", "mr1_grule", "mr1_full",
         "mr1_gstat", "mr1_grstat", "mr1_secret"}
OBJECT = lib.BUILD / "millrace.bpf.o"
SCRATCH = "mr-test-xdp"


def pins():
    """The maps; programs and links are pinned beside them, without the ABI's prefix."""
    return {path.name for path in os.scandir(figures.PINS)
            if path.is_file(follow_symlinks=False) and path.name.startswith("mr1_")}


def has_named_fields(value):
    return isinstance(value, dict) and len(value) > 0


def test_every_map_of_the_contract_is_pinned():
    """The maps of include/shared/mr_maps.h, by their names."""
    assert NAMES <= pins()


def test_every_pinned_map_dumps_with_named_fields():
    """bpftool map dump pinned, as a person would run it -> each entry with the names of its
    fields."""
    for name in sorted(pins()):
        path = figures.pinned(name)
        shown = figures.bpftool("map", "show", "pinned", path)
        if shown["type"] in NO_RECORDS:
            continue
        entries = json.loads(lib.server.run("bpftool", "map", "dump", "pinned", path).stdout)
        assert shown.get("btf_id"), f"{name} has no BTF"
        for entry in entries[:64]:
            values = [one["value"] for one in entry["values"]] if "values" in entry \
                else [entry["value"]]
            assert all(has_named_fields(value) for value in values), f"{name}: {entry}"


def test_rules_are_readable_in_their_generation():
    """The inner map that is active holds a rule per port, with named fields in key and value."""
    active = figures.dump("mr1_cfg")[0]["value"]["generation"]["parity"]
    inner = figures.bpftool("map", "lookup", "pinned", figures.pinned("mr1_rules"), "key", "hex",
                            f"{active:02x}", "00", "00", "00")
    number = inner.get("inner_map_id", inner.get("value"))
    if isinstance(number, list):
        number = int.from_bytes(bytes(int(b, 16) for b in number), "little")
    rules = [one["formatted"] for one in figures.bpftool("map", "dump", "id", str(number))]
    ports = {int.from_bytes(rule["key"]["port"]["raw"].to_bytes(2, "little"), "big")
             for rule in rules}
    assert ports >= set(lib.PORTS.values())
    assert all("rule_id" in rule["value"] and "action" in rule["value"] for rule in rules)


def test_lane_figures_move_without_the_daemon():
    """mr1_lane is the lane's own memory: a message is counted there at once."""
    with figures.rises("messages_in", "messages_out", "rx_frames", "tx_frames", seconds=1):
        with lib.connect(lib.ECHO) as s:
            lib.echo_once(s, 1, b"count me")


def test_heartbeats_stand_in_their_map():
    """mr1_beat of each slot is fresh: less than a second old on this machine's clock."""
    beats = [figures.lookup("mr1_beat", slot)["value"]["beat_ns"] for slot in figures.slots()]
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert all(0 <= now - int(beat) < 1_000_000_000 for beat in beats), (now, beats)


def test_verdict_of_taken_frames_counts():
    """Frames of a steered connection are counted under TAKE, and under their rule."""
    with figures.rises("verdict.TAKE", by=5), lib.connect(lib.ECHO) as s:
        for _ in range(5):
            lib.echo_once(s, 1, b"taken")


# ----- ip link -----

@pytest.fixture
def scratch():
    """Two namespaces with a veth pair, and none of the demo's pins touched."""
    names = [f"{SCRATCH}-{end}" for end in "ab"]
    shared = _shared_pins()
    for name in names:
        lib.command("ip", "netns", "del", name, check=False)
        lib.command("ip", "netns", "add", name)
    lib.command("ip", "link", "add", "xa0", "netns", names[0], "type", "veth", "peer", "name",
                "xb0", "netns", names[1])
    ends = [lib.Namespace(name) for name in names]
    for ns, device, address in zip(ends, ("xa0", "xb0"), ("198.18.0.1", "198.18.0.2")):
        ns.run("ip", "addr", "add", f"{address}/24", "dev", device)
        ns.run("ip", "link", "set", device, "up")
    yield ends
    for ns in ends:
        ns.forget()
        lib.command("ip", "netns", "del", ns.name, check=False)
    for path in _shared_pins() - shared:
        os.unlink(path)


def _shared_pins():
    """Where iproute2 pins maps by name."""
    directory = "/sys/fs/bpf/xdp/globals"
    return {one.path for one in os.scandir(directory)} if os.path.isdir(directory) else set()


@pytest.mark.parametrize("section", ["xdp", "xdp.frags"])
def test_ip_link_loads_the_object(scratch, section):
    """`ip link set dev X xdp obj build/millrace.bpf.o sec S` -> attached; its maps are empty, so
    everything passes: TCP to a port that the demo steers elsewhere is the kernel's here."""
    ours, peer = scratch
    ours.run("ip", "link", "set", "dev", "xa0", "xdp", "obj", OBJECT, "sec", section)
    shown = json.loads(ours.run("ip", "-j", "link", "show", "dev", "xa0").stdout)[0]
    assert shown["xdp"]["prog"]["id"]
    with lib.listen(4, ours, lib.ECHO) as listener:
        with lib.connect(lib.ECHO, 4, "198.18.0.1", ns=peer, timeout=5) as s:
            end, _ = listener.accept()
            with end:
                s.sendall(b"passed")
                assert lib.recv_exact(end, 6) == b"passed"
    ours.run("ip", "link", "set", "dev", "xa0", "xdp", "off")


def test_ip_link_pins_its_maps(scratch):
    """iproute2 pins the maps by name under xdp/globals, where the daemon looks for them too."""
    ours, _ = scratch
    ours.run("ip", "link", "set", "dev", "xa0", "xdp", "obj", OBJECT, "sec", "xdp")
    names = {os.path.basename(path) for path in _shared_pins()}
    assert NAMES <= names
