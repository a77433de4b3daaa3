#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Do the checklists tell the truth? Every place and every test that they name must exist.

Reads docs/rfc9293.md and docs/rfcs.md. In their tables the third column names places as
`file:function` and the fourth names tests in backquotes: a test function of cmocka or pytest, or a
packet script below tests/script. All of RFC 9293's ids must stand in docs/rfc9293.md, once each; a
MUST without a test needs a place that begins with "not done:" and says why.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = ["docs/rfc9293.md", "docs/rfcs.md"]
IDS = {f"MUST-{i}" for i in range(1, 70)} | {f"SHLD-{i}" for i in range(1, 32)} | \
      {f"MAY-{i}" for i in range(1, 19)} | {"REC-1"}


def all_tests():
    """Names of every test: what cmocka registers, what pytest collects, the packet scripts."""
    names = set()
    for path in (ROOT / "tests").rglob("*_test.c"):
        text = path.read_text(encoding="utf-8")
        names |= set(re.findall(r"^static void (\w+)\(void \*\*", text, re.M))
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        names |= set(re.findall(r"^\s*def (test_\w+)\(", text, re.M))
    for path in (ROOT / "tests" / "script").rglob("*.pkt"):
        names.add(str(path.relative_to(ROOT / "tests" / "script").with_suffix("")))
    return names


def is_place(place):
    """Is `file:function` there? A word behind the colon that stands in the file is enough."""
    name, _, word = place.partition(":")
    path = ROOT / name
    if not path.is_file():
        return False
    return not word or re.search(rf"\b{re.escape(word)}\b", path.read_text(encoding="utf-8"))


def rows(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        cells = [c.strip() for c in line.split("|")[1:-1]]
        if len(cells) >= 4 and not set(cells[0]) <= set("-: ") and cells[2] != "where":
            yield number, cells


def check(name, tests):
    errors, seen = [], {}
    for number, cells in rows(ROOT / name):
        at = f"{name}:{number}: "
        for place in re.findall(r"`([^`]+)`", cells[2]):
            if "/" in place and not is_place(place):
                errors.append(at + f"there is no {place}")
        named = re.findall(r"`([^`]+)`", cells[3])
        errors += [at + f"there is no test {t}" for t in named if t not in tests]
        if cells[0] in seen:
            errors.append(at + f"{cells[0]} stands in line {seen[cells[0]]} already")
        seen[cells[0]] = number
        if cells[0].startswith("MUST") and not named and not cells[2].startswith("not done:"):
            errors.append(at + f"{cells[0]} has no test")
    return errors, set(seen)


def main():
    tests, errors = all_tests(), []
    for name in LISTS:
        if not (ROOT / name).exists():
            errors.append(f"{name} is missing")
            continue
        found, ids = check(name, tests)
        errors += found
        if name.endswith("rfc9293.md"):
            errors += [f"{name}: {i} is missing" for i in sorted(IDS - ids)]
            errors += [f"{name}: RFC 9293 has no {i}" for i in sorted(ids - IDS)]
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
