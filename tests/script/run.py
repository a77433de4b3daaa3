#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Play packet scripts: all below tests/script, or those that are named. Ends with one line."""
import argparse
import concurrent.futures
import concurrent.futures.process
import glob
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import play  # noqa: E402  pylint: disable=wrong-import-position

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SO = os.path.join(ROOT, "build", "mr-packetdrill.so")


def scripts(folder=HERE):
    """Every script but those that wait for what they test."""
    found = glob.glob(os.path.join(folder, "**", "*.pkt"), recursive=True)
    return sorted(p for p in found if os.sep + "pending" + os.sep not in p)


def work(job):
    return job[0], play.play_file(os.path.relpath(job[0]), job[1], job[2])


def play_all(paths, so, mode):
    """How many failed; each is told."""
    failed = 0
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for _, problem in pool.map(work, [(p, so, mode) for p in paths], chunksize=4):
            if problem:
                failed += 1
                print(problem)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--so", default=SO, help="the shared object to drive")
    parser.add_argument("--foreign", action="store_true", help="look at no more than packetdrill does")
    parser.add_argument("--ip_version", choices=sorted(play.ADDRESSES), help="where a script says none")
    parser.add_argument("--so_flags", default="", help="before those of a script")
    parser.add_argument("-D", dest="defines", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("script", nargs="*", help="files or folders")
    arguments = parser.parse_args()
    if not os.path.exists(arguments.so):
        sys.exit("script: %s is not there: run make" % arguments.so)
    paths = []
    for name in arguments.script:
        paths += sorted(glob.glob(os.path.join(name, "**", "*.pkt"), recursive=True)) \
            if os.path.isdir(name) else [name]
    paths = paths or scripts()
    try:
        mode = play.Mode(arguments.foreign, arguments.ip_version,
                         dict(d.split("=", 1) for d in arguments.defines), arguments.so_flags)
        failed = play_all(paths, os.path.abspath(arguments.so), mode)
    except concurrent.futures.process.BrokenProcessPool:
        print("the object ended the process (its message, if any, stands above)")
        failed = len(paths)
    if failed or not paths:
        print("script: failed scripts=%d failed=%d" % (len(paths), failed))
        return 1
    print("script: ok scripts=%d" % len(paths))
    return 0


if __name__ == "__main__":
    sys.exit(main())
