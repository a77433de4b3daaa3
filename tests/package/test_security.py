# SPDX-License-Identifier: MIT
"""docs/security.md lists the system calls that the filters allow: what scripts/calls.py prints."""
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_page_has_the_rows_of_the_filters():
    """When it has not: cut the page at its first `## ` and append what scripts/calls.py prints."""
    page = (ROOT / "docs" / "security.md").read_text()
    made = subprocess.run([ROOT / "scripts" / "calls.py"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    assert page[page.index("## "):] == made
