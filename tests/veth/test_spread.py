# SPDX-License-Identifier: MIT
"""Frames of one connection on both queues: a lane that does not know a flow asks the other before
anybody answers RST.

veth hands transmit queue n of the sender to receive queue n of its peer. A raw peer chooses the
queue frame by frame (raw.Peer.put); a kernel client's is moved by its CPU, through the transmit
queues' CPU maps.
"""
import contextlib
import os
import random

import pytest

import figures
import lib
from raw import ACK, FIN, PSH, RST, SYN, Peer

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2,
                                reason="one CPU: the queue cannot be chosen by CPU")


@pytest.mark.parametrize("syn_queue", [0, 1])
def test_every_frame_after_the_syn_on_the_other_queue(syn_queue, family):
    """SYN on queue q, all else on the other -> handed over, no RST, echoed intact."""
    other = 1 - syn_queue
    with figures.rises("mail_out", "mail_in", by=5), Peer(family) as peer:
        peer.syn(queue=syn_queue)
        answer = peer.expect(SYN | ACK)
        peer.rcv_nxt = (answer.seq + 1) & 0xffffffff
        peer.send(ACK, queue=other)
        peer.send(PSH | ACK, b"E\n", queue=other)
        for i in range(20):
            data = lib.pattern.bytes(i * 1000, 1000)
            peer.send(PSH | ACK, data, queue=other)
            assert peer.read(1000) == data


def test_frames_in_turn_on_both_queues(family):
    """Segments in turn on queue 0 and 1, sixteen under way at a time -> in order, intact."""
    with figures.rises("mail_in", by=50), Peer(family) as peer:
        peer.drill("E")
        for block in range(20):
            data = lib.pattern.bytes(block * 16000, 16000)
            for i in range(16):
                peer.send(PSH | ACK, data[i * 1000:i * 1000 + 1000], queue=i % 2)
            assert peer.read(16000) == data


def test_handshake_split_over_queues(family):
    """Twenty handshakes, SYN and final ACK on different queues -> twenty connections, no RST."""
    with figures.rises("passive_opens", by=20):
        for i in range(20):
            with Peer(family) as peer:
                peer.syn(queue=i % 2)
                answer = peer.expect(SYN | ACK)
                peer.rcv_nxt = (answer.seq + 1) & 0xffffffff
                peer.send(PSH | ACK, b"F 3\n", queue=1 - i % 2)
                assert peer.read(3) == lib.pattern.bytes(0, 3)


def test_end_on_the_other_queue(family):
    """FIN on the queue that does not know the flow -> an orderly end; RST there -> an end too."""
    with figures.rises("closed.done"), Peer(family) as peer:
        peer.syn(queue=0)
        peer.rcv_nxt = (peer.expect(SYN | ACK).seq + 1) & 0xffffffff
        peer.send(PSH | ACK, b"E\n", queue=0)
        peer.send(FIN | ACK, queue=1)
        fin = peer.expect(FIN)
        peer.take(fin)
        peer.send(ACK, queue=1)
    with figures.rises("closed.reset_by_peer"), Peer(family) as peer:
        peer.syn(queue=0)
        peer.rcv_nxt = (peer.expect(SYN | ACK).seq + 1) & 0xffffffff
        peer.send(PSH | ACK, b"E\n", queue=0)
        peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt)
        peer.send(RST, queue=1)


@pytest.mark.parametrize("queue", [0, 1])
def test_unknown_to_all_is_reset_once(queue, family):
    """ACK for nobody, on either queue -> both lanes are asked, then exactly one RST."""
    with Peer(family) as peer:
        peer.send(ACK, ack=4711, queue=queue)
        assert peer.expect(RST).seq == 4711
        peer.silence(0.3)


def test_time_wait_is_found_from_the_other_queue(family):
    """A repeated FIN on the other queue -> the ACK of TIME-WAIT, not RST."""
    with Peer(family) as peer:
        peer.syn(queue=0)
        peer.rcv_nxt = (peer.expect(SYN | ACK).seq + 1) & 0xffffffff
        peer.send(PSH | ACK, b"C\n", queue=0)
        peer.take(peer.expect(FIN))
        peer.send(FIN | ACK, queue=0)
        peer.expect(ACK, where=lambda s: s.ack == peer.snd_nxt)
        peer.send(FIN | ACK, seq=peer.snd_nxt - 1, queue=1)
        answer = peer.expect(ACK)
        assert not answer.has(RST) and answer.ack == peer.snd_nxt


def _cpu_maps(masks):
    """Write the transmit queues' CPU maps; sysfs shows a namespace's links only when mounted
    there."""
    words = [f"echo {mask} > /sys/class/net/{lib.CLIENT_IF}/queues/tx-{queue}/xps_cpus"
             for queue, mask in enumerate(masks)]
    done = lib.client.run("unshare", "--mount", "sh", "-ec",
                          "mount -t sysfs none /sys; " + "; ".join(words), check=False)
    return done.returncode == 0


@contextlib.contextmanager
def queue_by_cpu():
    """The client's kernel takes the transmit queue from the CPU that sends."""
    if not _cpu_maps((1, 2)):
        pytest.skip("this kernel has no CPU maps of transmit queues (CONFIG_XPS)")
    allowed = os.sched_getaffinity(0)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        _cpu_maps((0, 0))


@pytest.mark.limit(40)
def test_kernel_client_that_wanders(family):
    """A kernel client whose CPU, and so its queue, changes between messages -> not one RST, every
    answer intact."""
    dice = random.Random(family)
    with queue_by_cpu(), figures.rises("mail_in", by=20), figures.stays("resets_out"):
        with lib.connect(lib.ECHO, family) as s:
            for i in range(400):
                os.sched_setaffinity(0, {i % 2})
                lib.echo_once(s, i, dice.randbytes(dice.choice((10, 700, 1400))))


@pytest.mark.limit(40)
def test_bulk_after_the_flow_moved(family):
    """The flow moves to the other queue once and stays there: 8 MiB each way, intact, no RST."""
    n = 8 * lib.MIB
    with queue_by_cpu(), figures.stays("resets_out"):
        os.sched_setaffinity(0, {0})
        with lib.drill("E", family, timeout=20) as s:
            s.sendall(lib.pattern.bytes(0, 1000))
            lib.recv_pattern(s, 1000)
            os.sched_setaffinity(0, {1})
            sender = lib.Background(lib.send_pattern, s, n)
            lib.recv_pattern(s, n)
            sender.result(10)
