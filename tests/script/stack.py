# SPDX-License-Identifier: MIT
"""The shared object that packetdrill loads, as Python calls it: the same table of functions."""
import ctypes as c
import errno

VP, I, SZ, SSZ = c.c_void_p, c.c_int, c.c_size_t, c.c_ssize_t
# name, result, arguments after the object's own pointer
TABLE = [
    ("socket", I, [I, I, I]), ("bind", I, [I, VP, I]), ("listen", I, [I, I]),
    ("accept", I, [I, VP, VP]), ("connect", I, [I, VP, I]),
    ("read", SSZ, [I, VP, SZ]), ("readv", SSZ, [I, VP, I]), ("recv", SSZ, [I, VP, SZ, I]),
    ("recvfrom", SSZ, [I, VP, SZ, I, VP, VP]), ("recvmsg", SSZ, [I, VP, I]),
    ("write", SSZ, [I, VP, SZ]), ("writev", SSZ, [I, VP, I]), ("send", SSZ, [I, VP, SZ, I]),
    ("sendto", SSZ, [I, VP, SZ, I, VP, I]), ("sendmsg", SSZ, [I, VP, I]),
    ("fcntl", I, [I, I, c.c_long]), ("ioctl", I, [I, c.c_ulong, VP]), ("close", I, [I]),
    ("shutdown", I, [I, I]), ("getsockopt", I, [I, I, I, VP, VP]),
    ("setsockopt", I, [I, I, I, VP, I]), ("poll", I, [VP, c.c_ulong, I]),
    ("netdev_send", I, [VP, SZ]), ("netdev_receive", I, [VP, VP, VP]), ("usleep", I, [c.c_uint]),
    ("gettimeofday", I, [VP, VP]), ("epoll_create", I, [I]), ("epoll_ctl", I, [I, I, I, VP]),
    ("epoll_wait", I, [I, VP, I, I]), ("pipe", I, [VP]),
    ("splice", I, [I, VP, I, VP, SZ, c.c_uint]),
]
TYPES = {name: c.CFUNCTYPE(result, VP, *arguments, use_errno=True)
         for name, result, arguments in TABLE}


class Interface(c.Structure):
    _fields_ = [("userdata", VP), ("free", c.CFUNCTYPE(None, VP))] \
        + [(name, TYPES[name]) for name, _, _ in TABLE]


class Timeval(c.Structure):
    _fields_ = [("sec", c.c_long), ("usec", c.c_long)]


class Stack:
    """One stack: a lane on an in-memory wire under a virtual clock."""

    def __init__(self, path, flags):
        library = c.CDLL(path)
        self.table = Interface()
        library.packetdrill_interface_init.argtypes = [c.c_char_p, VP]
        library.packetdrill_interface_init.restype = None
        library.packetdrill_interface_init(flags.encode(), c.byref(self.table))
        self.waiting_threads = library.mr_packetdrill_waiting
        self.waiting_threads.argtypes = [VP]

    def call(self, name, *arguments):
        """Returns (result, errno's name or None)."""
        c.set_errno(0)
        result = getattr(self.table, name)(self.table.userdata, *arguments)
        return result, errno.errorcode.get(c.get_errno()) if result < 0 else None

    def now(self):
        """Microseconds."""
        tv = Timeval()
        self.table.gettimeofday(self.table.userdata, c.byref(tv), None)
        return tv.sec * 1000000 + tv.usec

    def sleep(self, us):
        while us > 0:
            self.table.usleep(self.table.userdata, min(us, 4000000000))
            us -= 4000000000

    def inject(self, packet):
        return self.table.netdev_send(self.table.userdata, packet, len(packet))

    def next_packet(self):
        """(bytes, microseconds), or None: none will come. Moves the clock until one does."""
        buffer = c.create_string_buffer(65536)
        size, when = c.c_size_t(65536), c.c_longlong()
        self.table.netdev_receive(self.table.userdata, buffer, c.byref(size), c.byref(when))
        return (buffer.raw[:size.value], when.value) if size.value else None

    def waiting(self):
        return self.waiting_threads(self.table.userdata)

    def close(self):
        self.table.free(self.table.userdata)
