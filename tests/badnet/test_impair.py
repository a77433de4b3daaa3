# SPDX-License-Identifier: MIT
"""mr-impair itself, with numbered frames from end to end: nothing of Millrace is in the way."""
import contextlib
import json
import socket
import struct
import time

import pytest

import badlink
import lib

ETHERTYPE = 0x88b5  # IEEE 802: for local experiments
ALL_FRAMES = 3000
LOCAL = ["--match", "local"]  # the kernel's own frames (multicast listeners) are not counted


@contextlib.contextmanager
def packets(space, device):
    """A packet socket of just this ethertype."""
    with space.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        space.call(s.bind, (device, ETHERTYPE))
        s.settimeout(0.5)
        yield s


@contextlib.contextmanager
def both_ends():
    with packets(badlink.client, badlink.CLIENT_IF) as near, \
            packets(badlink.server, badlink.SERVER_IF) as far:
        yield near, far


def numbered(number, length=100):
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01" + struct.pack("!HI", ETHERTYPE, number).ljust(
        length - 12, b"\xaa")


def arrivals(s, at_least=None):
    """(number, time) of frames in their order, until none comes for half a second."""
    found = []
    with contextlib.suppress(socket.timeout):
        while at_least is None or len(found) < at_least:
            frame = s.recv(65536)
            if struct.unpack("!H", frame[12:14])[0] == ETHERTYPE and len(frame) >= 18:
                found.append((struct.unpack("!I", frame[14:18])[0], time.monotonic()))
    return found


def numbers(s):
    return [number for number, _ in arrivals(s)]


def send_numbered(s, n, first=1):
    for number in range(first, first + n):
        s.send(numbered(number))
        if number % 200 == 0:
            time.sleep(0.002)  # the receiver's queue is shorter than all of them


def run(options, n, seed=1):
    """n frames from the client: the numbers that arrive, and the bridge's figures."""
    with both_ends() as (near, far):
        with badlink.Impair(*LOCAL, *options, seed=seed) as impair:
            send_numbered(near, n)
            got = numbers(far)
    return got, impair.statistics["ab"]


def test_scripted_list_hits_just_its_frames(house):
    del house
    got, figures = run(["--dir", "ab", "--list", "d2,2x4,r6:2,d9-10"], 12)
    assert got == [1, 3, 4, 4, 5, 7, 8, 6, 11, 12]
    assert (figures["dropped"], figures["duplicated"], figures["reordered"]) == (3, 1, 1)
    assert figures["matched"] == 12


def test_held_frame_comes_late_by_its_time(house):
    del house
    with both_ends() as (near, far), badlink.Impair(*LOCAL, "--list", "h2:150"):
        start = time.monotonic()
        send_numbered(near, 3)
        found = arrivals(far, 3)
    assert [number for number, _ in found] == [1, 3, 2]
    assert 0.150 <= found[2][1] - start < 0.5


def test_same_seed_same_fates_whatever_the_time(house):
    """Two runs, sent at different speeds: the same frames are lost, doubled and overtaken."""
    del house
    options = ["--dir", "ab", "--drop", 0.05, "--burst", "0.01,0.3", "--dup", 0.03,
               "--reorder", "0.02,2", "--wait", 10000]
    first, figures = run(options, ALL_FRAMES, seed=99)
    with both_ends() as (near, far), badlink.Impair(*LOCAL, *options, seed=99) as impair:
        for part in range(0, ALL_FRAMES, 300):
            send_numbered(near, 300, part + 1)
            time.sleep(0.03)
        second = numbers(far)
    other, _ = run(options, ALL_FRAMES, seed=100)
    assert first == second
    assert first != other
    for key in ("dropped", "duplicated", "reordered"):
        assert figures[key] == impair.statistics["ab"][key] > 0
    assert figures["socket_drops"] == figures["send_errors"] == 0


def test_directions_have_fates_of_their_own(house):
    del house
    with both_ends() as (near, far), badlink.Impair(*LOCAL, "--drop", 0.2, seed=5):
        send_numbered(near, 500)
        send_numbered(far, 500)
        there, back = numbers(far), numbers(near)
    assert there != back
    assert 340 < len(there) < 460 and 340 < len(back) < 460


def test_one_direction_can_be_left_alone(house):
    del house
    with both_ends() as (near, far), badlink.Impair(*LOCAL, "--dir", "ba", "--drop", 1) as impair:
        send_numbered(near, 50)
        send_numbered(far, 50)
        assert numbers(far) == list(range(1, 51))
        assert not numbers(near)
    assert impair.statistics["ba"]["dropped"] == 50


def test_every_frame_arrives_once_on_a_clean_bridge(house):
    del house
    got, figures = run([], ALL_FRAMES)
    assert got == list(range(1, ALL_FRAMES + 1))
    assert figures["matched"] == ALL_FRAMES
    assert figures["frames"] == figures["sent"]


def test_delay_is_precise(house):
    """20 ms: never early; the median late by what a busy machine's scheduler needs, no more."""
    del house
    late = []
    with both_ends() as (near, far), badlink.Impair(*LOCAL, "--delay", 20):
        for number in range(1, 51):
            start = time.monotonic()
            near.send(numbered(number))
            late.append(arrivals(far, 1)[0][1] - start - 0.020)
    assert min(late) >= 0
    assert sorted(late)[25] < 0.005, f"median {sorted(late)[25] * 1e3:.2f} ms late"


def test_bottleneck_has_its_rate_and_its_queue(house):
    """8 Mbit/s and 50 kB: of 100 frames of 1000 bytes at once about 50 pass, one a millisecond."""
    del house
    with both_ends() as (near, far), \
            badlink.Impair(*LOCAL, "--dir", "ab", "--rate", 8, "--queue", 50000) as impair:
        for number in range(100):
            near.send(numbered(number, 1000))
        found = arrivals(far)
    span = found[-1][1] - found[0][1]
    figures = impair.statistics["ab"]
    assert 0 <= len(found) + figures["queue_drops"] - 100 <= 2  # a frame of the kernel's, perhaps
    assert 49 <= len(found) <= 90  # the longer the sender took, the more found room
    assert 0.9e-3 * (len(found) - 1) <= span < 3e-3 * len(found)
    assert figures["backlog_max"] <= 51000


def test_damage_and_cuts_are_counted(house):
    del house
    with both_ends() as (near, far), badlink.Impair(*LOCAL, "--list", "c2,t4") as impair:
        for number in range(1, 6):
            near.send(numbered(number))
        frames = []
        with contextlib.suppress(socket.timeout):
            while True:
                frames.append(far.recv(65536))
    figures = impair.statistics["ab"]
    assert (figures["corrupted"], figures["truncated"]) == (1, 1)
    assert frames[0] == numbered(1) and frames[2] == numbered(3)
    assert sum((a ^ b).bit_count() for a, b in zip(frames[1], numbered(2))) == 1
    assert len(frames[3]) < 100 and numbered(4).startswith(frames[3])


def test_filter_counts_what_it_names(house):
    """match arp: other frames are neither hit nor counted."""
    del house
    got, figures = run(["--match", "arp", "--drop", 1], 20)
    assert got == list(range(1, 21))
    assert (figures["matched"], figures["dropped"]) == (0, 0)
    assert figures["frames"] >= 20


def test_statistics_while_it_runs(house):
    del house
    with both_ends() as (near, far), badlink.Impair(*LOCAL, "--drop", 0, seed=7) as impair:
        send_numbered(near, 10)
        assert len(numbers(far)) == 10
        figures = impair.now()
        assert (figures["seed"], figures["ab"]["matched"], figures["ba"]["matched"]) == (7, 10, 0)


@pytest.mark.parametrize("words", [
    ["--drop", "1.5"], ["--drop", "x"], ["--list", "d0"], ["--match", "udp"], ["--dir", "up"],
    ["--nothing"], ["--burst", "0.1"], ["--where", "tail"], ["--reorder", "0.1,0"], ["--seed", "-1"],
])
def test_wrong_options_are_refused(words, house):
    del house
    done = badlink.middle.run(badlink.IMPAIR, *words, badlink.NEAR_IF, badlink.FAR_IF,
                              check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_missing_interface_is_said(house):
    del house
    done = badlink.middle.run(badlink.IMPAIR, "nosuch0", badlink.FAR_IF, check=False)
    assert done.returncode == 1
    assert "nosuch0" in done.stderr


def test_kernel_rejects_what_the_bridge_damages(house):
    """Damage with no repair between two kernels: their checksums see all of it."""
    del house

    def bad_checksums():
        table = badlink.client.run("cat", "/proc/net/snmp").stdout.splitlines()
        names, values = [line.split() for line in table if line.startswith("Tcp:")]
        return int(values[names.index("InCsumErrors")])

    before = bad_checksums()
    with badlink.Impair("--match", "tcp", "--dir", "ba", "--corrupt", 0.02, "--where",
                        "l4") as impair:
        moved = badlink.download(1, badlink.KERNEL_SOURCE)
        assert moved.hash == moved.expected and moved.bytes > 0
    corrupted = impair.statistics["ba"]["corrupted"]
    assert corrupted > 0
    # A frame that arrives after its socket is gone, or with a broken header length, counts elsewhere.
    assert 0.5 * corrupted <= bad_checksums() - before <= corrupted


def test_offloads_are_off_on_all_ends(house):
    """What the bridge carries is of a wire's size."""
    del house
    for space, device in ((badlink.client, badlink.CLIENT_IF), (badlink.server, badlink.SERVER_IF),
                          (badlink.middle, badlink.NEAR_IF), (badlink.middle, badlink.FAR_IF)):
        shown = json.loads(space.run("ethtool", "--json", "-k", device).stdout)[0]
        for feature in ("tx-checksumming", "tcp-segmentation-offload",
                        "generic-segmentation-offload", "generic-receive-offload"):
            assert not shown[feature]["active"], f"{device} {feature}"
    with badlink.Impair(*LOCAL, "--rate", 200) as impair:
        badlink.download(0.5, badlink.KERNEL_SOURCE)
        badlink.upload(0.5, badlink.KERNEL_HASH, line=b"")
    for side in ("ab", "ba"):
        assert impair.statistics[side]["largest"] == house_mtu() + 14
        assert impair.statistics[side]["too_long"] == 0


def house_mtu():
    shown = badlink.client.run("ip", "-j", "link", "show", badlink.CLIENT_IF).stdout
    return json.loads(shown)[0]["mtu"]


def test_bytes_cross_the_bridge_as_they_are(house):
    del house
    with badlink.Impair():
        moved = badlink.upload(0.5, badlink.KERNEL_HASH, line=b"", family=6)
    assert moved.hash == moved.expected and moved.bytes > lib.MIB
