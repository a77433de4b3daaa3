# SPDX-License-Identifier: MIT
"""Manual pages: there is one for everything, mandoc finds no fault, and they name what there is."""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.[1-8]"), *(ROOT / "build" / "man").glob("*.[1-8]")])
WANTED = {"millrace.1", "millraced.8", "millrace-worker.8", "millraced.yaml.5", "millrace-tlv.5",
          "millrace-maps.7"}


def shown(page):
    done = subprocess.run(["mandoc", "-T", "ascii", page], stdout=subprocess.PIPE, text=True,
                          check=True)
    return re.sub(r".\x08", "", done.stdout)


def test_everything_has_a_page():
    assert WANTED <= {page.name for page in PAGES}


@pytest.mark.skipif(not shutil.which("mandoc"), reason="there is no mandoc")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_mandoc_finds_no_fault(page):
    """But for the order of references, which is a matter of taste."""
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], stdout=subprocess.PIPE,
                          text=True, check=False)
    assert not [line for line in done.stdout.splitlines() if "unusual Xr order" not in line]


@pytest.mark.skipif(not shutil.which("mandoc"), reason="there is no mandoc")
def test_every_map_is_in_the_page_of_maps():
    text = shown(ROOT / "build" / "man" / "millrace-maps.7")
    maps = set(re.findall(r'M\(\w+, "(mr1_\w+)"\)',
                          (ROOT / "user" / "daemon" / "daemon.h").read_text()))
    assert maps and {m for m in maps if not re.search(rf"^\s+{m}$|^\s+{m}\s", text, re.M)} == set()


@pytest.mark.skipif(not shutil.which("mandoc"), reason="there is no mandoc")
def test_a_page_made_of_markdown_loses_nothing():
    """Every word of the text stands in the page, whatever became of the marks around it."""
    for name, source in (("millrace-maps.7", "maps.md"), ("millrace-tlv.5", "tlv.md")):
        page = set(re.findall(r"[\w.]+", shown(ROOT / "build" / "man" / name).lower()))
        text = re.sub(r"\]\([^)]*\)", "]", (ROOT / "docs" / source).read_text()).lower()
        lines = [line for line in text.splitlines() if not line.startswith("# ")]
        words = {w for line in lines for w in re.findall(r"[\w.]+", line)}
        heads = set(re.findall(r"[\w.]+", " ".join(
            lines[i] for i in range(len(lines) - 1) if lines[i + 1].startswith("|--"))))
        joined = "".join(page)
        missing = {w for w in words - heads if w not in page and w.strip(".") not in joined}
        assert not missing, name


def test_daemons_page_has_its_options():
    """-d is --debug, and so on, as millraced --help prints them."""
    done = subprocess.run([ROOT / "build" / "millraced", "--help"], stdout=subprocess.PIPE,
                          text=True, check=True)
    page = (ROOT / "docs" / "millraced.8").read_text()
    for short, long in re.findall(r"^ +-(\w), --(\w+)", done.stdout, re.M):
        if short != "?":
            assert re.search(rf"^\.It Fl {short}\b.*Fl -{long}\b", page, re.M), long
