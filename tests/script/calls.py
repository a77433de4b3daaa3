# SPDX-License-Identifier: MIT
"""Socket calls of a script: their arguments made, the call done, what came back checked."""
import ctypes as c
import errno
import fcntl
import ipaddress
import select
import socket
import struct

from notation import ANY, ScriptError
from packets import pattern

BIND_PORT = 8080
NAMES = {
    "SOL_TCP": 6, "SOL_IP": 0, "SOL_IPV6": 41, "TCP_CORK": 3, "TCP_SYNCNT": 7, "TCP_LINGER2": 8,
    "TCP_DEFER_ACCEPT": 9, "TCP_WINDOW_CLAMP": 10, "TCP_INFO": 11, "TCP_QUICKACK": 12,
    "TCP_CONGESTION": 13, "TCP_USER_TIMEOUT": 18, "TCP_FASTOPEN": 23, "TCP_NOTSENT_LOWAT": 25,
    "TCP_FASTOPEN_CONNECT": 30, "TCP_INQ": 36, "TCP_CM_INQ": 36, "TCP_FASTOPEN_NO_COOKIE": 34,
    "SIOCINQ": 0x541b, "FIONREAD": 0x541b, "SIOCOUTQ": 0x5411, "SIOCOUTQNSD": 0x894b,
    "FIONBIO": 0x5421, "MSG_FASTOPEN": 0x20000000, "MSG_MORE": 0x8000, "MSG_WAITALL": 0x100,
    "MSG_PEEK": 2, "MSG_DONTWAIT": 0x40, "MSG_TRUNC": 0x20, "MSG_NOSIGNAL": 0x4000,
    "SO_SNDBUFFORCE": 32, "SO_RCVBUFFORCE": 33, "SO_MARK": 36, "O_RDWR": 2, "O_NONBLOCK": 0o4000,
    "EPOLL_CTL_ADD": 1, "EPOLL_CTL_DEL": 2, "EPOLL_CTL_MOD": 3, "EPOLLONESHOT": 1 << 30,
    "EPOLLET": 1 << 31, "MSG_ZEROCOPY": 0x4000000, "MSG_ERRQUEUE": 0x2000, "SO_ZEROCOPY": 60,
    "CMSG_LEVEL_IP": 0, "CMSG_TYPE_RECVERR": 11, "NULL": 0, "IP_MTU_DISCOVER": 10,
    "IP_PMTUDISC_DONT": 0, "IP_PMTUDISC_DO": 2, "IPV6_MTU_DISCOVER": 23, "IP_FREEBIND": 15,
    "IPV6_FREEBIND": 78, "MSG_EOR": 0x80, "SO_MAX_PACING_RATE": 47, "SO_PRIORITY": 12,
    "SO_TIMESTAMPING": 37, "SOF_TIMESTAMPING_TX_SCHED": 256, "SOF_TIMESTAMPING_TX_SOFTWARE": 2,
    "SOF_TIMESTAMPING_TX_ACK": 512, "SOF_TIMESTAMPING_SOFTWARE": 16, "SOF_TIMESTAMPING_OPT_ID": 128,
    "SCM_TIMESTAMPING": 37, "SO_EE_ORIGIN_TIMESTAMPING": 4, "SCM_TSTAMP_SND": 0,
    "SCM_TSTAMP_SCHED": 1, "SCM_TSTAMP_ACK": 2, "AF_UNSPEC": 0, "SPLICE_F_NONBLOCK": 2,
    "TCP_FASTOPEN_KEY": 33, "TCP_TX_DELAY": 37, "IP_TOS": 1, "TCP_ULP": 31, "TCP_SAVE_SYN": 27, "SO_EE_ORIGIN_ZEROCOPY": 5,
    "SO_EE_CODE_ZEROCOPY_COPIED": 1, "EPOLLRDHUP": 0x2000, "POLLRDHUP": 0x2000, "IPV6_TCLASS": 67,
}
IPV6_NAMES = {"CMSG_LEVEL_IP": 41, "CMSG_TYPE_RECVERR": 25}  # as packetdrill is told with -D
INFO_FIELDS = """B:state B:ca_state B:retransmits B:probes B:backoff B:options B:wscales B:app_limited
I:rto I:ato I:snd_mss I:rcv_mss I:unacked I:sacked I:lost I:retrans I:fackets I:last_data_sent
I:last_ack_sent I:last_data_recv I:last_ack_recv I:pmtu I:rcv_ssthresh I:rtt I:rttvar I:snd_ssthresh
I:snd_cwnd I:advmss I:reordering I:rcv_rtt I:rcv_space I:total_retrans Q:pacing_rate
Q:max_pacing_rate Q:bytes_acked Q:bytes_received I:segs_out I:segs_in I:notsent_bytes I:min_rtt
I:data_segs_in I:data_segs_out Q:delivery_rate Q:busy_time Q:rwnd_limited Q:sndbuf_limited I:delivered
I:delivered_ce Q:bytes_sent Q:bytes_retrans I:dsack_dups I:reord_seen I:rcv_ooopack I:snd_wnd
I:rcv_wnd I:rehash H:total_rto H:total_rto_recoveries I:total_rto_time I:received_ce
I:delivered_e1_bytes I:delivered_e0_bytes I:delivered_ce_bytes I:received_e1_bytes I:received_e0_bytes
I:received_ce_bytes""".split()
INFO_FORMAT = "=" + "".join(f[0] for f in INFO_FIELDS)
INFO_NAMES = {"TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3,
              "TCP_CA_Loss": 4, "TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3,
              "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5, "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7,
              "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11,
              "TCP_INFINITE_SSTHRESH": 0x7fffffff, "TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2,
              "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8, "TCPI_OPT_SYN_DATA": 32}


class Iovec(c.Structure):
    _fields_ = [("base", c.c_void_p), ("len", c.c_size_t)]


class Msghdr(c.Structure):
    _fields_ = [("name", c.c_void_p), ("namelen", c.c_uint), ("iov", c.c_void_p),
                ("iovlen", c.c_size_t), ("control", c.c_void_p), ("controllen", c.c_size_t),
                ("flags", c.c_int)]


def constant(name, line):
    for place in (NAMES, vars(socket), vars(select), vars(fcntl), vars(errno)):
        if name in place:
            return int(place[name])
    raise ScriptError(line, "unknown name: %s" % name)


def evaluate(value, line, names=None):
    """@names: those that are others here than elsewhere."""
    if value is ANY or isinstance(value, (int, bytes)):
        return value
    if isinstance(value, list):
        return [evaluate(v, line, names) for v in value]
    if isinstance(value, dict):
        return {k: evaluate(v, line, names) for k, v in value.items()}
    if value[0] == "name":
        return names[value[1]] if names and value[1] in names else constant(value[1], line)
    if value[0] == "or":
        total = 0
        for part in value[1]:
            total |= evaluate(part, line, names)
        return total
    if value[0] == "string":
        return value[1].encode()
    return evaluate(value[2][0], line, names)  # htons(x) and the like: as it is written


class Calls:
    """The descriptors of one script, and the calls on them."""

    def __init__(self, stack, addresses, mapped=False):
        self.stack = stack
        self.local, self.remote = addresses
        self.mapped = mapped  # IPv4 through sockets of IPv6
        self.fds = {}
        self.written = {}  # bytes of each descriptor's streams so far
        self.read = {}
        self.last = None   # the descriptor that TCP_INFO is asked of
        self.listening = False
        self.connected = False  # connect() was called: the next SYN that leaves is ours

    # ----- helpers -----

    def live(self, fd):
        return self.fds.get(fd, fd)

    def address(self, ip, port):
        if self.mapped:
            ip = ipaddress.ip_address("::ffff:%s" % ip)
        if ip.version == 4:
            return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + ip.packed + bytes(8)
        return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0) + ip.packed + bytes(4)

    def remember(self, script_fd, live_fd):
        if isinstance(script_fd, int) and script_fd >= 0 and live_fd >= 0:
            self.fds[script_fd] = live_fd
            self.written[script_fd] = self.read[script_fd] = 0

    def check(self, event, result, error):
        wanted = event.result if event.result is ANY else evaluate(event.result, event.line)
        got = "%d%s" % (result, " " + error if error else "")
        is_fd = event.name in ("socket", "accept", "epoll_create")
        if wanted is ANY or (is_fd and wanted >= 0 and result >= 0):
            return
        if result != wanted or (error or None) != event.error:
            raise ScriptError(event.line, "%s\n  expected: %d%s\n  got:      %s" % (
                event.text, wanted, " " + event.error if event.error else "", got))

    def fail(self, event, wanted, got):
        raise ScriptError(event.line, "%s\n  expected: %s\n  got:      %s" % (event.text, wanted, got))

    # ----- calls -----

    def run(self, event):
        """Do the call and check what it gave. Blocks when the call does."""
        method = getattr(self, "call_" + event.name, None)
        if not method:
            raise ScriptError(event.line, "no such call: %s" % event.name)
        names = IPV6_NAMES if self.mapped or self.local.version == 6 else {}
        arguments = [evaluate(a, event.line, names) for a in event.arguments]
        return method(event, *arguments)

    def plain(self, event, name, *arguments):
        result, error = self.stack.call(name, *arguments)
        return lambda: self.check(event, result, error)

    def call_socket(self, event, domain, kind, protocol):
        if domain is ANY:
            domain = socket.AF_INET6 if self.mapped or self.local.version == 6 else socket.AF_INET
        result, error = self.stack.call("socket", domain, kind, protocol)
        self.remember(event.result, result)
        self.last = event.result
        self.listening = self.connected = False
        return lambda: self.check(event, result, error)

    def call_bind(self, event, fd, _address, _length):
        address = self.address(self.local, BIND_PORT)
        return self.plain(event, "bind", self.live(fd), address, len(address))

    def call_listen(self, event, fd, backlog):
        self.listening = True
        return self.plain(event, "listen", self.live(fd), backlog)

    def call_accept(self, event, fd, _address, _length):
        result, error = self.stack.call("accept", self.live(fd), None, None)
        if result >= 0:
            self.remember(event.result, result)
            self.last = event.result
        return lambda: self.check(event, result, error)

    def call_connect(self, event, fd, family, _length):
        if family is not ANY:  # AF_UNSPEC: the socket may be used again
            address = struct.pack("=H", family) + bytes(126)
            return self.plain(event, "connect", self.live(fd), address, len(address))
        address = self.address(self.remote, BIND_PORT)
        self.connected, self.last = True, fd
        return self.plain(event, "connect", self.live(fd), address, len(address))

    def call_close(self, event, fd):
        live = self.fds.pop(fd, fd)
        return self.plain(event, "close", live)

    def call_shutdown(self, event, fd, how):
        return self.plain(event, "shutdown", self.live(fd), how)

    # ----- bytes -----

    def got(self, event, fd, result, error, data, peek=False):
        """What was read is the peer's stream from where the last read ended."""
        def verify():
            self.check(event, result, error)
            if result <= 0:
                return
            at = self.read.get(fd, 0)
            if data[:result] != pattern(at, result):
                self.fail(event, "bytes %d to %d of the peer's stream" % (at, at + result),
                          "other bytes: %s..." % data[:result][:16].hex())
            if not peek:
                self.read[fd] = at + result
        return verify

    def call_read(self, event, fd, buffer, size):
        return self.call_recv(event, fd, buffer, size, None)

    def call_recv(self, event, fd, where, size, flags):
        if where == 0:  # NULL
            arguments = [self.live(fd), None, size] + ([] if flags is None else [flags])
            return self.plain(event, "read" if flags is None else "recv", *arguments)
        buffer = c.create_string_buffer(size + 1)
        if flags is None:
            result, error = self.stack.call("read", self.live(fd), buffer, size)
        else:
            result, error = self.stack.call("recv", self.live(fd), buffer, size, flags)
        return self.got(event, fd, result, error, buffer.raw, bool(flags and flags & 2))

    def call_recvfrom(self, event, fd, where, size, flags, *_):
        if where == 0:
            return self.plain(event, "recvfrom", self.live(fd), None, size, flags, None, None)
        buffer = c.create_string_buffer(size + 1)
        result, error = self.stack.call("recvfrom", self.live(fd), buffer, size, flags, None, None)
        return self.got(event, fd, result, error, buffer.raw, bool(flags & 2))

    def vectors(self, pieces, data=None):
        buffers, array = [], (Iovec * len(pieces))()
        at = 0
        for i, piece in enumerate(pieces):
            size = piece[1]
            buffer = c.create_string_buffer(data[at:at + size] if data else b"", size + 1)
            array[i] = Iovec(c.cast(buffer, c.c_void_p), size)
            buffers.append(buffer)
            at += size
        return array, buffers, at

    def call_readv(self, event, fd, pieces, count):
        array, buffers, _ = self.vectors(pieces)
        result, error = self.stack.call("readv", self.live(fd), array, count)
        data = b"".join(b.raw[:p[1]] for b, p in zip(buffers, pieces))
        return self.got(event, fd, result, error, data)

    def call_recvmsg(self, event, fd, message, flags):
        pieces = next((v for k, v in message.items() if k.startswith("msg_iov") and
                       isinstance(v, list)), [])
        array, buffers, _ = self.vectors(pieces)
        control = c.create_string_buffer(64)
        head = Msghdr(None, 0, c.cast(array, c.c_void_p), len(pieces),
                      c.cast(control, c.c_void_p), 64, 0)
        result, error = self.stack.call("recvmsg", self.live(fd), c.byref(head), flags)
        data = b"".join(b.raw[:p[1]] for b, p in zip(buffers, pieces))
        verify = self.got(event, fd, result, error, data, bool(flags & 2))
        wanted = message.get("msg_control")

        def verify_all():
            verify()
            if wanted and result >= 0:
                _, level, kind = struct.unpack("=QII", control.raw[:16])
                expect = wanted[0]
                if isinstance(expect["cmsg_data"], dict):  # struct sock_extended_err
                    names = ("ee_errno", "ee_origin", "ee_type", "ee_code", "ee_info", "ee_data")
                    fields = struct.unpack("=IBBBxII", control.raw[16:32])
                    value = dict(zip(names, fields))
                else:
                    value, = struct.unpack("=I", control.raw[16:20])
                got = (level, kind, value) if head.controllen else None
                if got != (expect["cmsg_level"], expect["cmsg_type"], expect["cmsg_data"]):
                    self.fail(event, expect, got)
        return verify_all

    def wrote(self, event, fd, result, error):
        if result > 0:
            self.written[fd] = self.written.get(fd, 0) + result
        return lambda: self.check(event, result, error)

    def text(self, fd, size, where=ANY):
        return None if where == 0 else pattern(self.written.get(fd, 0), size)

    def call_write(self, event, fd, where, size):
        result, error = self.stack.call("write", self.live(fd), self.text(fd, size, where), size)
        return self.wrote(event, fd, result, error)

    def call_send(self, event, fd, where, size, flags):
        result, error = self.stack.call("send", self.live(fd), self.text(fd, size, where), size,
                                        flags)
        return self.wrote(event, fd, result, error)

    def call_sendto(self, event, fd, where, size, flags, *_):
        address = self.address(self.remote, BIND_PORT)
        if flags & NAMES["MSG_FASTOPEN"]:
            self.connected, self.last = True, fd
        result, error = self.stack.call("sendto", self.live(fd), self.text(fd, size, where), size,
                                        flags, address, len(address))
        return self.wrote(event, fd, result, error)

    def call_writev(self, event, fd, pieces, count):
        total = sum(p[1] for p in pieces)
        array, _buffers, _ = self.vectors(pieces, self.text(fd, total))
        result, error = self.stack.call("writev", self.live(fd), array, count)
        return self.wrote(event, fd, result, error)

    def call_sendmsg(self, event, fd, message, flags):
        pieces = next(v for k, v in message.items() if k.startswith("msg_iov") and
                      isinstance(v, list))
        array, _buffers, _ = self.vectors(pieces, self.text(fd, sum(p[1] for p in pieces)))
        head = Msghdr(None, 0, c.cast(array, c.c_void_p), len(pieces), None, 0, 0)
        result, error = self.stack.call("sendmsg", self.live(fd), c.byref(head), flags)
        return self.wrote(event, fd, result, error)

    def call_pipe(self, event, ends):
        live = (c.c_int * 2)()
        result, error = self.stack.call("pipe", live)
        for script_fd, fd in zip(ends, live):
            self.remember(script_fd, fd)
        return lambda: self.check(event, result, error)

    def call_splice(self, event, source, _off, to, _off_to, size, flags):
        """As packetdrill: the address of a zero where a script says NULL."""
        zeros = [c.byref(c.c_longlong(0)), c.byref(c.c_longlong(0))]
        return self.plain(event, "splice", self.live(source), zeros[0], self.live(to), zeros[1],
                          size, flags)

    # ----- options and events -----

    def call_fcntl(self, event, fd, command, argument=0):
        return self.plain(event, "fcntl", self.live(fd), command, argument)

    def call_ioctl(self, event, fd, request, values):
        value = c.c_int(values[0] if request == NAMES["FIONBIO"] else -1)
        result, error = self.stack.call("ioctl", self.live(fd), request, c.byref(value))

        def verify():
            self.check(event, result, error)
            if request != NAMES["FIONBIO"] and values[0] is not ANY and value.value != values[0] \
                    and result == 0:
                self.fail(event, values[0], value.value)
        return verify

    def call_setsockopt(self, event, fd, level, name, value, size):
        if isinstance(value, bytes):
            data = value
        elif isinstance(value, dict):
            data = struct.pack("=ii", value.get("l_onoff", value.get("onoff")),
                               value.get("l_linger", value.get("linger")))
        else:
            data = struct.pack("=I", value[0] & 0xffffffff)
        size = size if size is not ANY else len(data)
        return self.plain(event, "setsockopt", self.live(fd), level, name, data, size)

    def call_getsockopt(self, event, fd, level, name, value, size):
        buffer = c.create_string_buffer(256)
        length = c.c_uint(size[0] if size is not ANY and size[0] is not ANY else 4)
        result, error = self.stack.call("getsockopt", self.live(fd), level, name, buffer,
                                        c.byref(length))

        def verify():
            self.check(event, result, error)
            if result < 0 or value is ANY:
                return
            if size is not ANY and size[0] is not ANY and size[0] != length.value:
                self.fail(event, "%d bytes" % size[0], "%d" % length.value)
            if isinstance(value, bytes):
                got, wanted = buffer.raw[:length.value].rstrip(b"\0"), value
            elif isinstance(value, dict):
                got, wanted = struct.unpack("=ii", buffer.raw[:8]), tuple(value.values())
            else:
                got, wanted = struct.unpack("=i", buffer.raw[:4])[0], value[0]
                if wanted is not ANY and wanted > 0x7fffffff:
                    got &= 0xffffffff
            if wanted is not ANY and got != wanted:
                self.fail(event, wanted, got)
        return verify

    def call_poll(self, event, entries, count, timeout):
        data = bytearray()
        for e in entries:
            data += struct.pack("=iHH", self.live(e["fd"]), e["events"] & 0xffff, 0)
        buffer = c.create_string_buffer(bytes(data), len(data))
        result, error = self.stack.call("poll", buffer, count, timeout)

        def verify():
            self.check(event, result, error)
            for i, e in enumerate(entries):
                got, = struct.unpack("=H", buffer.raw[i * 8 + 6:i * 8 + 8])
                if "revents" in e and got != e["revents"]:
                    self.fail(event, "revents %#x" % e["revents"], "%#x" % got)
        return verify

    def call_epoll_create(self, event, size):
        result, error = self.stack.call("epoll_create", size)
        self.remember(event.result, result)
        return lambda: self.check(event, result, error)

    def call_epoll_ctl(self, event, epfd, operation, fd, what):
        data = struct.pack("=Iq", what["events"], self.live(fd))
        return self.plain(event, "epoll_ctl", self.live(epfd), operation, self.live(fd), data)

    def call_epoll_wait(self, event, epfd, what, most, timeout):
        buffer = c.create_string_buffer(12 * max(most, 1))
        result, error = self.stack.call("epoll_wait", self.live(epfd), buffer, most, timeout)

        def verify():
            self.check(event, result, error)
            if result <= 0:
                return
            got, fd = struct.unpack("=Iq", buffer.raw[:12])
            if got != what["events"]:
                self.fail(event, "events %#x" % what["events"], "%#x" % got)
            if "fd" in what and fd != self.live(what["fd"]):
                self.fail(event, "fd %d" % what["fd"], "another descriptor")
        return verify

    def info(self, line):
        """TCP_INFO of the last connection, as names for an assertion."""
        buffer, length = c.create_string_buffer(512), c.c_uint(512)
        result, error = self.stack.call("getsockopt", self.live(self.last), 6, NAMES["TCP_INFO"],
                                        buffer, c.byref(length))
        if result < 0:
            raise ScriptError(line, "TCP_INFO: %s" % error)
        values = struct.unpack(INFO_FORMAT, buffer.raw[:struct.calcsize(INFO_FORMAT)])
        named = {"tcpi_" + f[2:]: v for f, v in zip(INFO_FIELDS, values)}
        named["tcpi_snd_wscale"] = named["tcpi_wscales"] & 15
        named["tcpi_rcv_wscale"] = named["tcpi_wscales"] >> 4
        return dict(named, **INFO_NAMES)


