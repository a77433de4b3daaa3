#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Instructions of the echo path, counted by callgrind on the in-memory wire.

    bench/instructions.py            print them beside those that are recorded
    bench/instructions.py --record   record them (make bench-record)

The count of a request is the difference of two runs of different length, divided by the requests
between them: start and end are not in it. It repeats exactly for the same binary, as long as the
C library chooses the same functions: it is told to do without the extensions that machines have or
have not. Other compilers and C libraries give other counts, so the record names both.
"""
import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(os.environ.get("MR_BUILD", ROOT / "build")) / "bench" / "mr-bench-wire"
RECORD = ROOT / "bench" / "instructions.json"
CONNECTIONS = {"wire-echo-c1000.instructions": 1000}  # scenario: 64-byte messages, one in flight
GROWTH = 1.03  # above that the record is to be changed, on purpose
DECIMALS = 1
EXTENSIONS = ["AVX512F", "AVX512VL", "AVX2", "AVX", "AVX_Fast_Unaligned_Load", "ERMS", "FSRM",
              "SSSE3", "SSE4_1", "SSE4_2"]
SECONDS = 250


class CannotCount(Exception):
    """Why there is nothing to compare here."""


def made_by():
    """What the counts depend on beside the sources."""
    if not shutil.which("valgrind"):
        raise CannotCount("valgrind is not installed (scripts/install-deps.sh does that)")
    if not PROGRAM.exists():
        raise CannotCount(f"{PROGRAM} is not built")
    section = subprocess.run(["readelf", "-p", ".comment", PROGRAM], capture_output=True,
                             text=True, check=True).stdout
    compilers = sorted(set(re.findall(r"\]\s+(\S.*\S)", section)))
    return {"machine": platform.machine(), "compiler": ", ".join(compilers),
            "libc": " ".join(platform.libc_ver())}


def count(scenario):
    tunables = "glibc.cpu.hwcaps=" + ",".join("-" + name for name in EXTENSIONS)
    done = subprocess.run([PROGRAM, "--instructions", "--connections", str(CONNECTIONS[scenario])],
                          capture_output=True, text=True, timeout=SECONDS, check=False,
                          env={**os.environ, "GLIBC_TUNABLES": tunables})
    for line in done.stdout.splitlines():
        figure = json.loads(line)
        if figure["name"] == scenario:
            return round(figure["value"], DECIMALS)
    raise RuntimeError(f"{PROGRAM.name} did not count {scenario}: {done.stderr.strip()}")


def read_record():
    return json.loads(RECORD.read_text(encoding="utf-8"))


def check_made_by(record):
    """The counts of another compiler or C library say nothing about the sources."""
    here = made_by()
    for what, recorded in record["made_by"].items():
        if here[what] != recorded:
            raise CannotCount(f"recorded with {what} {recorded}, here it is {here[what]}")


def complaint(scenario, counted, recorded):
    """None, or what is wrong and what to do."""
    if counted <= recorded * GROWTH:
        return None
    return (f"{scenario}: {counted} instructions a request, {counted / recorded - 1:.1%} above the "
            f"{recorded} in bench/instructions.json. Find out what grew; if it is worth that, "
            "record it on purpose: make bench-record, and commit bench/instructions.json with "
            "the change")


def main():
    parser = argparse.ArgumentParser(description="see the top of this file")
    parser.add_argument("--record", action="store_true", help="write bench/instructions.json")
    record = parser.parse_args().record
    try:
        made = made_by()
    except CannotCount as reason:
        print(f"instructions: {reason}", file=sys.stderr)
        return 1
    before = read_record()["requests"] if RECORD.exists() else {}
    counted = {scenario: count(scenario) for scenario in CONNECTIONS}
    for scenario, value in counted.items():
        print(f"{scenario}: {value} instructions a request, recorded "
              f"{before.get(scenario, 'nothing')}")
    if record:
        RECORD.write_text(json.dumps({"made_by": made, "requests": counted}, indent=1) + "\n",
                          encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
