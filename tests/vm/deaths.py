# SPDX-License-Identifier: MIT
"""Deaths that connections have to survive."""
import contextlib
import os
import signal

import lib


def kill_worker(daemon, made):
    """SIGKILL to the first lane's worker; how many of the connections `made` echo afterwards."""
    before, alive = daemon.lanes(), 0
    os.kill(before[0]["pid"], signal.SIGKILL)

    def is_replaced():
        now = daemon.lanes()
        return len(now) == len(before) and now[0]["pid"] != before[0]["pid"] and \
            all(lane["state"] == "serving" for lane in now)

    lib.wait_for(is_replaced, 10, "another worker")
    for s in made:
        with contextlib.suppress(ConnectionResetError):
            lib.echo_once(s, 3, b"after the kill")
            alive += 1
    return alive
