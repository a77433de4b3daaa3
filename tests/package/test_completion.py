# SPDX-License-Identifier: MIT
"""What bash offers behind the words of a command line: share/completions, driven as readline would."""
import os
import pathlib
import re
import shlex
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = "/usr/share/bash-completion/bash_completion"
pytestmark = pytest.mark.skipif(not os.path.exists(LIBRARY), reason="there is no bash-completion")


def offers(*words):
    """The candidates for the last of the words; the first is the program's name."""
    program = words[0]
    line = " ".join([str(ROOT / "build" / program), *words[1:]])
    script = f"""
        . {LIBRARY}
        . {ROOT}/share/completions/{program}
        COMP_LINE={shlex.quote(line)}
        COMP_POINT=${{#COMP_LINE}}
        COMP_WORDS=({shlex.join(line.split(" "))})
        COMP_CWORD={len(words) - 1}
        COMP_TYPE=9 COMP_KEY=9
        _{program} {program} {shlex.quote(words[-1])} {shlex.quote(words[-2])}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert not done.stderr, done.stderr
    return set(done.stdout.split())


def grammar():
    done = subprocess.run([ROOT / "build" / "millrace", "help"], stdout=subprocess.PIPE, text=True,
                          check=True)
    return [line.split() for line in re.findall(r"^  millrace (.*)$", done.stdout, re.M)]


def literals(line):
    return [w for w in line if w[0].islower()][:2]


def test_every_command_is_offered_word_by_word():
    lines = grammar()
    assert offers("millrace", "") == {line[0] for line in lines}
    for line in lines:
        words = literals(line)
        for i, word in enumerate(words):
            if line[:i + 1] == words[:i + 1]:
                assert word in offers("millrace", *words[:i], word[:1]), line


def test_every_option_is_offered():
    for line in grammar():
        words = [w for w in line if w[0].islower()]
        if line[:len(words)] != words:
            continue
        for option in re.findall(r"\[(-[a-z0-9-]+)", " ".join(line)):
            assert option in offers("millrace", *words, "-"), line


def test_beginnings_are_kept():
    assert offers("millrace", "la") == {"lane"}
    assert offers("millrace", "nothing", "") == set()
    assert offers("millrace", "lane", "li") == {"list"}


def test_values_of_placeholders():
    assert "lo" in offers("millrace", "check", "")
    assert "lo" in offers("millrace", "-j", "check", "l")
    assert offers("millrace", "conn", "list", "--state", "close") == {"close-wait"}
    assert "share" in offers("millrace", "config", "check", "sh")


def test_global_options_do_not_count():
    assert offers("millrace", "-j", "-s", "/run/x", "stats", "s") == {"show"}
    assert offers("millrace", "-") >= {"-j", "-s", "-h"}


def test_daemons_options_and_files():
    assert {"-c", "-f", "-n", "--config", "--check", "--foreground"} <= offers("millraced", "-")
    assert offers("millraced", "-c", "share/examples/") == {"share/examples/millraced.yaml"}
