# SPDX-License-Identifier: MIT
"""The bad network of badlink.py under every test, a daemon where one asks for it, a time limit each.

After each test with a daemon: the same worker serves, no connection is left, and every frame is
where it belongs.
"""
import os
import shutil
import signal
import sys

import pytest

sys.dont_write_bytecode = True

import badlink  # noqa: E402  pylint: disable=wrong-import-position
import figures  # noqa: E402  pylint: disable=wrong-import-position
import lib  # noqa: E402  pylint: disable=wrong-import-position

figures.PINS = str(badlink.PINS)
DEFAULT_LIMIT_S = 60

# Short: a message that a damaged length leaves incomplete shows soon.
TLV = """\
    tlv:
      max_bytes: 65536
    heartbeat:
      partial_ms: 1500
"""


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): time this test may take, 60 by default")


def missing():
    if os.geteuid():
        return "not root: needs network namespaces and XDP"
    for name in ("badnet/mr-impair", "millraced", "millrace-worker", "millrace"):
        if not (badlink.BUILD / name).exists():
            return f"build/{name} is not there"
    return None


def pytest_collection_modifyitems(items):
    reason = missing()
    for item in items:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


class House:
    """The network, and in it at most one daemon: the one that the last test asked for."""

    def __init__(self, network):
        self.network = network
        self._daemon = None
        self._mtu = self._totals = self._pids = None

    def daemon(self, mtu=1500):
        if not self._daemon or self._mtu != mtu:
            self.close()
            self.network.set_mtu(mtu)
            self._daemon = badlink.Daemon(tlv=TLV).__enter__()
            self._mtu = mtu
            self._totals = [figures.frame_total(record) for record in figures.lane_records()]
            self._pids = self._daemon.pids()
        return self._daemon

    def check(self):
        if not self._daemon:
            return
        lib.wait_for(lambda: not figures.unsettled(self._totals), 5,
                     lambda: f"settled: {figures.unsettled(self._totals)}")
        assert self._daemon.pids() == self._pids, "a worker died"

    def close(self):
        if self._daemon:
            daemon, self._daemon = self._daemon, None
            daemon.__exit__()


@pytest.fixture(scope="session")
def standing_house():
    with badlink.Network() as network, badlink.KernelServer():
        house = House(network)
        try:
            yield house
        finally:
            house.close()


@pytest.fixture(autouse=True)
def time_limit(request):
    """SIGALRM after the test's own limit: it fails where it hangs."""
    marker = request.node.get_closest_marker("limit")
    seconds = marker.args[0] if marker else DEFAULT_LIMIT_S

    def late(*_):
        raise TimeoutError(f"the test took more than {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)


@pytest.fixture
def house(standing_house, time_limit):  # pylint: disable=unused-argument
    try:
        yield standing_house
        standing_house.check()
    except BaseException:
        standing_house.close()  # the next test begins with a clean house
        raise


@pytest.fixture
def daemon(house):
    return house.daemon()


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request):
    return request.param


@pytest.fixture
def need():
    """need(program): skip where it is not installed."""
    def check(program):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    return check
