# SPDX-License-Identifier: MIT
"""examples/: every model of a server echoes, and serves 10,000 connections that are open at once.

Each runs in a network and a process namespace of its own, against a client of kernel sockets.
"""
import os
import pathlib
import resource
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = sorted(p.stem for p in (ROOT / "examples").glob("*.c"))
# Those that share an echo; the others have tests of their own (tests/library).
MODELS = [name for name in EXAMPLES if name != "common" and
          '#include "common.h"' in (ROOT / "examples" / f"{name}.c").read_text()]
# They serve a client to its end before they look at the next one: all others wait in a queue.
IN_TURN = {"blocking_pair", "thread_pool"}
CONNECTIONS = 10000

STAGE = """
ip link set lo up
echo 16384 >/proc/sys/net/core/somaxconn
build/examples/{model} 127.0.0.1:7000 {backend} &
build/examples-client 127.0.0.1 7000 1 1
build/examples-client 127.0.0.1 7000 {connections} {rounds} || exit 1
for i in $(seq 200); do
	left=$(pgrep -c -x {name} || true)
	[ "$left" = {processes} ] && break
	sleep 0.05
done
echo "processes: $left"
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root: needs namespaces")


def test_there_is_an_example_of_each_model():
    assert set(MODELS) >= {"blocking_pair", "process_per_client", "thread_per_client", "thread_pool",
                           "reactor", "reactor_workers", "sub_reactors", "process_per_lane",
                           "proactor"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_short(name):
    assert len((ROOT / "examples" / f"{name}.c").read_text().splitlines()) <= 150


@needs_root
@pytest.mark.parametrize("model", MODELS)
def test_c10k(model):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= hard < CONNECTIONS + 100:
        pytest.skip(f"{hard} open files are all that this machine allows")
    processes = 3 if model == "process_per_lane" else 1
    script = STAGE.format(model=model, name=model[:15], backend="kernel", connections=CONNECTIONS,
                          rounds=0 if model in IN_TURN else 1, processes=processes)
    done = subprocess.run(["unshare", "--net", "--pid", "--mount", "--fork", "--mount-proc",
                           "--kill-child", "bash", "-c", script], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout
    assert f"client: ok connections={CONNECTIONS}\n" in done.stdout
    assert f"processes: {processes}\n" in done.stdout, "children are reaped, and nobody died"


@pytest.mark.parametrize("model", MODELS)
def test_words_where_it_cannot(model):
    """Bad arguments, backends and addresses end an example with words, and none with a signal."""
    program = ROOT / "build" / "examples" / model
    for words, said in (([], "usage: "), (["127.0.0.1:1", "nothing"], "there is none of this name"),
                        (["nowhere"], "nowhere: Invalid argument"),
                        (["192.0.2.200:7000", "kernel"], "bind: Cannot assign")):
        done = subprocess.run([program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=20, check=False)
        assert done.returncode in (1, 2) and said in done.stdout, done.stdout
