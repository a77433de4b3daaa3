# SPDX-License-Identifier: MIT
"""The tool under test: $MILLRACE_BIN, else build/millrace."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from fake_daemon import FakeDaemon, documented

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("MILLRACE_BIN", ROOT / "build" / "millrace"))


class Result:
    def __init__(self, done):
        self.status = done.returncode
        self.out = done.stdout.decode()
        self.err = done.stderr.decode()


def environment(**more):
    env = {k: v for k, v in os.environ.items() if k != "MILLRACE_CONTROL"}
    env.update(more)
    return env


def call(*words, before=(), binary=BINARY, stdout=subprocess.PIPE, **env):
    """Run the tool. @before: words in front, as nsenter's."""
    done = subprocess.run([*before, binary, *words], stdout=stdout, stderr=subprocess.PIPE,
                          env=environment(**env), timeout=30, check=False)
    if done.stdout is None:
        done.stdout = b""
    return Result(done)


@pytest.fixture
def directory():
    """Like tmp_path, but short enough for sockets and open to other users."""
    path = tempfile.mkdtemp(prefix="mrcli-")
    os.chmod(path, 0o755)
    yield pathlib.Path(path)
    shutil.rmtree(path)


@pytest.fixture
def daemon(directory):
    """A daemon that answers as documented."""
    fake = FakeDaemon(directory / "control.sock")
    for path in ("/v1/status", "/v1/lanes", "/v1/rules", "/v1/conns", "/v1/stats", "/v1/traces"):
        fake.answers[path] = documented(path)
    yield fake
    fake.close()


@pytest.fixture
def millrace(daemon):
    """The tool, talking to that daemon."""
    def run(*words, **more):
        return call("-s", daemon.socket, *words, **more)
    return run
