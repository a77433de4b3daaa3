#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Run all tests and end with one line: N passed, N failed, N skipped.

Programs under build/tests print cmocka's output; tests/veth and tests/cli are pytest suites.
Names of programs or suites as arguments run only those whose path contains one of them.
A program that crashes counts as one failed test beside those that it reported.
"""
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")
PROGRAM_SECONDS = 300
SUITE_SECONDS = 1500
SUITES = sorted({os.path.relpath(folder, ROOT) for folder, _, files in
                 os.walk(os.path.join(ROOT, "tests")) if any(re.match(r"test_.*\.py$", name)
                                                             for name in files)})


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.skips = []

    def fail(self, name):
        self.failed += 1
        self.failures.append(name)

    def skip(self, name, reason):
        self.skipped += 1
        self.skips.append("%s: %s" % (name, reason))


def programs(words):
    found = []
    for folder, _, files in os.walk(os.path.join(BUILD, "tests")):
        for name in files:
            path = os.path.join(folder, name)
            source = os.path.join(ROOT, os.path.relpath(path, BUILD) + ".c")
            if name.endswith("_test") and os.path.exists(source):
                found.append(path)
    return sorted(p for p in found if not words or any(w in p for w in words))


def read_cmocka(output, name, totals):
    """Count the tests of one program's output; returns how many it reported."""
    reported = 0
    reason = None
    for line in output.splitlines():
        said = re.match(r"skip: (.*)", line)
        reason = said.group(1) if said else reason
        test = re.match(r"\[  (     OK|SKIPPED) \] (\S+)", line)
        if not test or "test(s)" in line:
            continue
        reported += 1
        if test.group(1).strip() == "OK":
            totals.passed += 1
        else:
            totals.skip("%s %s" % (name, test.group(2)), reason or "no reason given")
        reason = None
    failed = set(re.findall(r"\[  FAILED  \] ([A-Za-z_]\w*)\s*$", output, re.M))
    for test in sorted(failed):
        totals.fail("%s %s" % (name, test))
    return reported + len(failed)


def run_program(path, totals):
    name = os.path.relpath(path, os.path.join(BUILD, "tests"))
    start = time.monotonic()
    before = totals.failed
    try:
        done = subprocess.run([path], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PROGRAM_SECONDS)
        output, status = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace")
        status = "no end after %d s" % PROGRAM_SECONDS
    n = read_cmocka(output, name, totals)
    if status != 0 and totals.failed == before or n == 0:
        totals.fail("%s (exit %s)" % (name, status))
    if totals.failed != before:
        sys.stdout.write(output[-20000:])
    print("%-44s %4d tests  %6.1f s%s" % (name, n, time.monotonic() - start,
                                          "  FAILED" if totals.failed != before else ""), flush=True)


def run_suite(folder, totals):
    report = os.path.join(BUILD, "tests", folder.replace("/", "-") + ".xml")
    start = time.monotonic()
    os.makedirs(os.path.dirname(report), exist_ok=True)
    if os.path.exists(report):
        os.remove(report)
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", report, folder]
    try:
        status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=SUITE_SECONDS).returncode
    except subprocess.TimeoutExpired:
        status = "no end after %d s" % SUITE_SECONDS
    before = totals.failed
    n = 0
    if os.path.exists(report):
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            n += 1
            name = "%s::%s" % (case.get("classname"), case.get("name"))
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                totals.fail(name)
            elif skip is not None:
                totals.skip(name, skip.get("message") or "no reason given")
            else:
                totals.passed += 1
    if (status != 0 and totals.failed == before) or n == 0:
        totals.fail("%s (exit %s)" % (folder, status))
    print("%-44s %4d tests  %6.1f s%s" % (folder, n, time.monotonic() - start,
                                          "  FAILED" if totals.failed != before else ""), flush=True)


def main():
    words = sys.argv[1:]
    totals = Totals()
    for path in programs(words):
        run_program(path, totals)
    for folder in SUITES:
        if not words or any(w in folder for w in words):
            run_suite(folder, totals)
    for line in totals.skips:
        print("skipped: %s" % line)
    for line in totals.failures:
        print("failed: %s" % line)
    print("%d passed, %d failed, %d skipped" % (totals.passed, totals.failed, totals.skipped))
    sys.exit(1 if totals.failed or not totals.passed else 0)


if __name__ == "__main__":
    main()
