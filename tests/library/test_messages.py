# SPDX-License-Identifier: MIT
"""The message layer as programs: examples/message_server and message_client."""
import pathlib
import re
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "build" / "examples"


def serve(port=0):
    """A server and the port that it says."""
    process = subprocess.Popen([EXAMPLES / "message_server", str(port)], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    return process, int(re.match(rb"port (\d+)", process.stdout.readline()).group(1))


def ended(process):
    process.kill()
    process.communicate()


def client(port, n):
    return subprocess.Popen([EXAMPLES / "message_client", "127.0.0.1", str(port), str(n)],
                            stdout=subprocess.PIPE)


def test_requests_and_replies():
    server, port = serve()
    try:
        out, _ = client(port, 5000).communicate(timeout=60)
        assert b"replies=5000 wrong=0 repeated=0 " in out
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
    finally:
        ended(server)


def test_client_outlives_its_server():
    """Killed under load and started again: each request is answered, some are asked twice."""
    server, port = serve()
    try:
        asking = client(port, 30000)
        for _ in range(3):
            try:
                asking.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
            ended(server)
            server, _ = serve(port)
        out, _ = asking.communicate(timeout=60)
        assert re.search(rb"replies=30000 wrong=0 repeated=[0-3] ", out), out
        assert asking.returncode == 0
    finally:
        ended(server)
