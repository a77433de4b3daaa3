# SPDX-License-Identifier: MIT
"""What the product says about itself: the lanes' own record in the BPF map mr1_lane, the verdicts
of the XDP program in mr1_verdict, and the command line tool's JSON.

The maps are read by bpftool, with no daemon in between: their fields are a contract
(include/shared/mr_lane.h, mr_verdict.h), and they stay readable while a worker is dead.
"""
import contextlib
import json
import re
import time

import lib

PINS = "/sys/fs/bpf/millrace"

# Levels that are 0 when no connection is left. TIME-WAIT may stand, and so may listeners.
LEVELS = ("connections", "half_open", "accept_queue", "message_bytes")
HELD = ("rx", "ooo", "tx", "sent")


def bpftool(*args):
    return json.loads(lib.command("bpftool", "-j", *args).stdout)


def pinned(name):
    return f"{PINS}/{name}"


def dump(name):
    """Entries of a pinned map as bpftool formats them by its BTF."""
    return [entry["formatted"] for entry in bpftool("map", "dump", "pinned", pinned(name))]


def _key(number):
    return ["key", "hex", *(f"{b:02x}" for b in number.to_bytes(4, "little"))]


def lookup(name, number):
    """One entry of a pinned map with 32-bit keys, as bpftool formats it."""
    return bpftool("map", "lookup", "pinned", pinned(name), *_key(number))["formatted"]


def slots():
    """Keys of the lanes in mr1_lane and mr1_beat, in the order of queues."""
    found = []
    for entry in dump("mr1_if"):
        base, n = entry["value"]["slot_base"], entry["value"]["n_queues"]
        found += range(base, base + n)
    return sorted(found)


def lane_records():
    """One dictionary a lane, nested as struct mr_lane_stats: drop, closed and frames are inner."""
    return [lookup("mr1_lane", slot)["value"] for slot in slots()]


def figure(name, records=None):
    """Sum over all lanes of a field, inner ones as `drop.tcp_checksum`."""
    total = 0
    for value in records or lane_records():
        for part in name.split("."):
            value = value[part]
        total += int(value)
    return total


def _verdict_numbers():
    text = (lib.ROOT / "include" / "shared" / "mr_verdict.h").read_text()
    names = re.findall(r"^\s*V\((\w+), XDP_\w+,", text, re.MULTILINE)
    return {name: number for number, name in enumerate(names)}


def verdict(name):
    """Packets that got this verdict from the XDP program, over all CPUs."""
    entry = lookup("mr1_verdict", _verdict_numbers()[name])
    return sum(int(one["value"]["packets"]) for one in entry["values"])


def read(name):
    """A figure by name: `verdict.NAME` from the XDP program, all else from the lanes."""
    if name.startswith("verdict."):
        return verdict(name.removeprefix("verdict."))
    return figure(name)


LOST = ("xsk_rx_dropped", "xsk_rx_ring_full", "xsk_fill_empty", "fill_empty")


def wait_for_room(seconds=0.3, most=10):
    """Until the lanes have lost no frame for `seconds` for want of room: what is sent next arrives.
    A RST is sent once, and one that finds no room is lost for good."""
    last, since, end = None, time.monotonic(), time.monotonic() + most
    while time.monotonic() - since < seconds and time.monotonic() < end:
        records = lane_records()
        now = [figure(name, records) for name in LOST]
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.05)


@contextlib.contextmanager
def rises(*names, by=1, seconds=5):
    """Each of these figures rises by at least `by` in the block, or soon after it."""
    before = {name: read(name) for name in names}
    yield
    for name in names:
        lib.wait_for(lambda n=name: read(n) >= before[n] + by, seconds,
                     lambda n=name: f"{n} up by {by}: was {before[n]}, is {read(n)}")


@contextlib.contextmanager
def stays(*names):
    """None of these figures moves in the block."""
    before = {name: read(name) for name in names}
    yield
    for name in names:
        assert read(name) == before[name], f"{name}: was {before[name]}, is {read(name)}"


# ----- the tool -----

def millrace(*args, check=True):
    """build/millrace with these arguments, in the server's namespace."""
    return lib.server.run(lib.BUILD / "millrace", *args, check=check)


def tool(*args):
    """What `millrace -j ...` prints, parsed."""
    return json.loads(millrace("-j", *args).stdout)


def rows(answer, noun):
    """The list in a JSON answer that is either the list or an object with one named by `noun`."""
    return answer[noun] if isinstance(answer, dict) else answer


def lanes():
    return rows(tool("lane", "list"), "lanes")


def pids():
    """Process of each worker, in the order of lanes."""
    return [lane["pid"] for lane in lanes()]


# ----- accounts: nothing may be lost -----

def frame_total(record):
    return sum(int(n) for n in record["frames"].values())


def unsettled(totals):
    """What is not as it should be when no connection is left, in words; empty: all is well."""
    wrong = []
    for number, (record, total) in enumerate(zip(lane_records(), totals)):
        if frame_total(record) != total:
            wrong.append(f"lane {number}: {frame_total(record)} frames, had {total}: "
                         f"{record['frames']}")
        wrong += [f"lane {number}: {record['frames'][state]} frames {state}"
                  for state in HELD if record["frames"][state]]
        wrong += [f"lane {number}: {level} {record[level]}"
                  for level in LEVELS if record[level]]
    return "; ".join(wrong)
