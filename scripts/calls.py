#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Print the tables of docs/security.md from the rows that the system call filters are made of."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLES = [("The child's calls", "user/daemon/seccomp.c", ["calls"]),
          ("A worker's calls", "user/worker/confine.c", ["calls"]),
          ("A worker's calls without a rule that has a `directory`", "user/worker/confine.c",
           ["calls_without_directory"]),
          ("A worker's calls with one", "user/worker/confine.c", ["calls_with_directory"])]
WORDS = {"MR_CALL": "any", "MR_CALL_IS": "argument {0}: {1}",
         "MR_CALL_IF": "argument {0}: no {1}",
         "MR_CALL_OR_FAILS": "argument {0}: {1}; else {2}", "MR_CALL_FAILS": "fails, {0}"}


def rows(path, table):
    """(call, arguments, why) of each row of a table in a C file."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = re.sub(r"\s+", " ", file.read())
    body = re.search(r"struct mr_call " + table + r"\[\] = \{ (.*?) \};", text).group(1)
    found = re.findall(r'(MR_CALL\w*)\((\w+), (?:([^"]*), )?"([^"]*)"\)', body)
    assert len(found) == body.count("MR_CALL"), "a row that is not understood"
    for macro, call, arguments, why in found:
        values = re.split(r", ", arguments) if arguments else []
        if macro == "MR_CALL_IF":
            assert values[2] == "0"
        yield call, WORDS[macro].format(*values), why


def tables():
    lines = []
    for title, path, names in TABLES:
        lines += ["## " + title, "", "| call | arguments | for |", "|---|---|---|"]
        lines += ["| `%s` | %s | %s |" % (call, arguments.replace("|", "\\|"), why)
                  for name in names for call, arguments, why in rows(path, name)]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(tables(), end="")
