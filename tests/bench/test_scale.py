# SPDX-License-Identifier: MIT
"""The run of ten million connections, at a hundredth of its size, and what costs are made of."""
import json
import re
import subprocess

import instructions

PROGRAM = instructions.PROGRAM.with_name("mr-bench-scale")


def run(*words):
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=250,
                          check=False)


def figures(output):
    return {f["name"]: f for f in map(json.loads, re.findall(r"^\{.*\}$", output, re.M))}


def test_every_connection_has_a_heartbeat():
    done = run("--connections", 100000)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    ok = re.fullmatch(r"10m: ok connections=100000 bytes_per_connection=(\d+) heartbeats=100000 "
                      r"errors=0", last)
    assert ok, last
    assert 256 <= int(ok.group(1)) <= 300
    assert figures(done.stdout)["scale-10m.time"]["value"] > 0


def test_cost_is_compared_with_a_thousand_connections():
    done = run("--cost", "--connections", 20000, "--pairs", 1, "--requests", 20000)
    assert done.returncode == 0, done.stderr
    cost = figures(done.stdout)["scale-1m.cost"]
    assert cost["value"] > 0 and cost["peer_value"] > 0 and cost["peer"] == "1,000 connections"
    assert abs(cost["ratio"] * cost["value"] / cost["peer_value"] - 1) < 0.01


def test_number_out_of_range_is_refused():
    for words in (["--connections", 0], ["--connections", 30000000], ["--cost", "--pairs", 0],
                  ["--cost", "--connections", 10]):
        done = run(*words)
        assert done.returncode == 2 and "usage" in done.stderr
