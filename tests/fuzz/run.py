#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Run the fuzz targets: run.py [--seconds N] [--jobs N] [--target NAME]... BUILD/fuzz

Every target for N seconds, two at a time, from its seeds, the committed corpus and the inputs that
crashed it once; what it learns is kept in BUILD/fuzz/corpus. Stops at the first that fails with the
command that replays it, and ends with "fuzz: ok targets=N runs=N" otherwise.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import seeds  # noqa: E402

JOBS = 2
TIMEOUT_S = 25        # of one input
MOST_S = 90           # that a target may need beyond its time
MAX_LEN = {"lane": 1000, "mailbox": 1000, "stream": 5000, "config": 4096, "worker": 1000}
TARGETS = sorted(os.path.basename(p)[:-len("_fuzz.c")]
                 for p in glob.glob(os.path.join(HERE, "*_fuzz.c")))


class Failed(Exception):
    """A target found something; the text says how to see it again."""


def without_libfuzzer():
    """Why there is nothing to run, or None."""
    clang = os.environ.get("CLANG", "clang")
    if not shutil.which(clang):
        return "there is no %s" % clang
    runtime = subprocess.run([clang, "-print-runtime-dir"], stdout=subprocess.PIPE,
                             check=True).stdout.decode().strip()
    if not glob.glob(os.path.join(runtime, "libclang_rt.fuzzer-*")):
        return "clang has no libFuzzer (Debian: libclang-rt-14-dev)"
    return None


def environment():
    return dict(os.environ, ASAN_OPTIONS="quarantine_size_mb=32:detect_leaks=1",
                UBSAN_OPTIONS="print_stacktrace=1")


def committed(target):
    """Directories of inputs that stand in the tree."""
    folders = [os.path.join(HERE, kind, target) for kind in ("corpus", "crashes")]
    return [f for f in folders if os.path.isdir(f)]


def shown(path):
    """As a person at the top of the tree would type it."""
    return os.path.relpath(path, ROOT) if path.startswith(ROOT + os.sep) else path


def prepare(build, target):
    seeds.write(os.path.join(build, "seeds"))
    for kind in ("corpus", "found"):
        os.makedirs(os.path.join(build, kind, target), exist_ok=True)
    program = os.path.join(build, target)
    if not os.access(program, os.X_OK):
        raise Failed("%s is not built; make fuzz-programs" % shown(program))
    return program


def said(log):
    """The part of a target's words that says what is wrong."""
    with open(log, errors="replace") as text:
        lines = text.read().splitlines()
    for i, line in enumerate(lines):
        if re.search(r"runtime error|==ERROR|does not hold|deadly|timeout|out-of-memory", line):
            return "\n".join(lines[i:i + 25])
    return "\n".join(lines[-25:])


def replay(build, target):
    """Run the seeds and the committed inputs once; returns how many there were."""
    program = prepare(build, target)
    inputs = sorted(path for folder in [os.path.join(build, "seeds", target)] + committed(target)
                    for path in glob.glob(os.path.join(folder, "*")))
    log = os.path.join(build, target + ".replay.log")
    with open(log, "wb") as out:
        status = subprocess.run([program, "-timeout=%d" % TIMEOUT_S] + inputs, stdout=out,
                                stderr=subprocess.STDOUT, cwd=ROOT, env=environment(),
                                timeout=MOST_S + len(inputs)).returncode
    if status:
        with open(log, errors="replace") as text:
            last = re.findall(r"^Running: (.*)$", text.read(), re.M)
        raise Failed("%s fails; to see it again: %s %s\n%s" %
                     (target, shown(program), shown(last[-1]) if last else "", said(log)))
    return len(inputs)


def command(build, target, seconds):
    found = os.path.join(build, "found", target) + os.sep
    options = ["-max_total_time=%d" % seconds, "-timeout=%d" % TIMEOUT_S, "-rss_limit_mb=1500",
               "-max_len=%d" % MAX_LEN.get(target, 2048), "-len_control=0", "-print_final_stats=1",
               "-artifact_prefix=" + found]
    dictionary = os.path.join(HERE, target + ".dict")
    if os.path.exists(dictionary):
        options.append("-dict=" + dictionary)
    return [os.path.join(build, target)] + options + \
        [os.path.join(build, kind, target) for kind in ("corpus", "seeds")] + committed(target)


def fuzz(build, target, seconds, running=None):
    """Run one target; returns the number of its runs. @running: where its process is kept."""
    prepare(build, target)
    log = os.path.join(build, target + ".log")
    with open(log, "wb") as out:
        process = subprocess.Popen(command(build, target, seconds), stdout=out,
                                   stderr=subprocess.STDOUT, cwd=ROOT, env=environment())
        if running is not None:
            running[target] = process
        try:
            status = process.wait(timeout=seconds + MOST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = "none in time"
    with open(log, errors="replace") as text:
        words = text.read()
    if status != 0:
        unit = re.findall(r"Test unit written to (\S+)", words)
        raise Failed("%s fails; to see it again: %s %s\n%s" %
                     (target, shown(os.path.join(build, target)),
                      shown(unit[-1]) if unit else "(exit %s, %s)" % (status, shown(log)),
                      said(log)))
    return int(re.findall(r"stat::number_of_executed_units:\s*(\d+)", words)[-1])


def fuzz_all(build, targets, seconds, jobs):
    running = {}
    pool = ThreadPoolExecutor(max_workers=jobs)
    start = time.monotonic()

    def one(target):
        runs = fuzz(build, target, seconds, running)
        print("  %-8s %10d runs  %5.0f s" % (target, runs, time.monotonic() - start), flush=True)
        return runs

    futures = [pool.submit(one, target) for target in targets]
    done, rest = wait(futures, return_when=FIRST_EXCEPTION)
    failures = [f.exception() for f in done if f.exception()]
    for future in rest:
        future.cancel()
    if failures:
        for process in running.values():
            if process.poll() is None:
                process.terminate()
        pool.shutdown()
        raise failures[0]
    return sum(f.result() for f in futures)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--jobs", type=int, default=JOBS)
    arguments.add_argument("--target", action="append", choices=TARGETS)
    arguments.add_argument("build")
    a = arguments.parse_args()
    why = without_libfuzzer()
    if why:
        print("fuzz: %s" % why)
        return 1
    targets = a.target or TARGETS
    try:
        runs = fuzz_all(os.path.abspath(a.build), targets, a.seconds, a.jobs)
    except Failed as failure:
        print("fuzz: %s" % failure)
        return 1
    print("fuzz: ok targets=%d runs=%d" % (len(targets), runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
