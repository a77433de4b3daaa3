# SPDX-License-Identifier: MIT
"""What the keeper of a daemon holds, as the next daemon would fetch it; for tests that spoil it."""
import contextlib
import os
import socket
import struct

LIST, ITEM, END = 2, 4, 5
NAME_BYTES = 32
MESSAGE = struct.Struct(f"I{NAME_BYTES}s")


@contextlib.contextmanager
def held(run):
    """A dict of names and descriptors."""
    found = {}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(5)
            s.connect(f"{run}/keeper")
            s.send(MESSAGE.pack(LIST, b""))
            while True:
                data, fds, _, _ = socket.recv_fds(s, MESSAGE.size, 1)
                op, name = MESSAGE.unpack(data)
                if op == END:
                    break
                assert op == ITEM, op
                found[name.rstrip(b"\0").decode()] = fds[0]
        yield found
    finally:
        for fd in found.values():
            os.close(fd)
