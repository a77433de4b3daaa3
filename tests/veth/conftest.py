# SPDX-License-Identifier: MIT
"""The set-up of scripts/demo.sh under every test, a time limit each, and the accounts after each.

After each test, within five seconds: the same worker processes serve (unless the test is marked
`kills_workers`), no connection is left, and every frame is where it belongs: the sum over all
states is what it was at the start, and none is held by a connection that is gone.
"""
import os
import signal
import sys

import pytest

sys.dont_write_bytecode = True

import figures  # noqa: E402  pylint: disable=wrong-import-position
import lib  # noqa: E402  pylint: disable=wrong-import-position
import raw  # noqa: E402  pylint: disable=wrong-import-position
import scratch  # noqa: E402  pylint: disable=wrong-import-position

DEFAULT_LIMIT_S = 20


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): time this test may take, 20 by default")
    config.addinivalue_line("markers", "kills_workers: worker processes change in this test")
    config.addinivalue_line("markers", "scratch: brings its own set-up, the demo is not needed")


def pytest_collection_modifyitems(items):
    if os.geteuid() == 0:
        return
    for item in items:
        item.add_marker(pytest.mark.skip(reason="not root: needs network namespaces and XDP"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if call.when == "call" and report.failed:
        path = lib.OUT / f"{item.name.replace('/', '_')}.pcap"
        if raw.save_trace(path):
            report.sections.append(("frames of this test", str(path)))


class Demo:
    """The running set-up: how many frames each lane has, and its workers."""

    def __init__(self):
        self.start()

    def start(self):
        lib.demo("down")
        lib.demo("up")
        self.totals = [figures.frame_total(record) for record in figures.lane_records()]
        self.pids = figures.pids()

    def check(self, workers_may_change, seconds=5):
        lib.wait_for(lambda: not figures.unsettled(self.totals), seconds,
                     lambda: f"settled: {figures.unsettled(self.totals)}")
        pids = figures.pids()
        assert pids == self.pids or workers_may_change, f"workers were {self.pids}, are {pids}"
        self.pids = pids


@pytest.fixture(scope="session")
def running_demo():
    try:
        yield Demo()
    finally:
        lib.demo("down")


@pytest.fixture(autouse=True)
def time_limit(request):
    """SIGALRM after the test's own limit: it fails where it hangs."""
    marker = request.node.get_closest_marker("limit")
    seconds = (marker.args[0] if marker else DEFAULT_LIMIT_S) * lib.SLOW

    def late(*_):
        raise TimeoutError(f"the test took more than {seconds} s")

    signal.signal(signal.SIGALRM, late)
    yield lambda: signal.alarm(seconds)
    signal.alarm(0)


@pytest.fixture(autouse=True)
def accounts(request, time_limit):
    """The checks after each test; see the top of this file."""
    raw.trace.clear()
    if request.node.get_closest_marker("scratch"):
        time_limit()
        yield None
        return
    demo = request.getfixturevalue("running_demo")
    time_limit()
    yield demo
    signal.alarm(0)
    try:
        demo.check(request.node.get_closest_marker("kills_workers"))
    except BaseException:
        demo.start()  # the next test begins with a clean house
        raise


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def family(request):
    return request.param


@pytest.fixture
def pair():
    """Namespaces for daemons of the test's own, before which and after which nothing is there."""
    scratch.leave_nothing()
    with scratch.Pair() as made:
        yield made
    scratch.leave_nothing()
