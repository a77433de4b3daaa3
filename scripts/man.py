#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Make a manual page (mdoc) of a page of docs/: man.py NAME SECTION DESCRIPTION < FILE.md

So the reference of the maps and of the message format is written once. What docs/ uses of Markdown is
known: headings, paragraphs, bullets, fenced and indented code, tables, `code`, **bold**, links.
A table becomes a list: the first cell names the item, the others follow it.
"""
import os
import re
import sys
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def escape(text):
    text = text.replace("\\", "\\e")
    return "\\&" + text if text[:1] in (".", "'") else text


def inline(text):
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text.replace("\\|", "|"))
    text = escape(text)
    text = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)
    return re.sub(r"\*\*([^*]+)\*\*", r"\\fB\1\\fR", text)


def prose(lines):
    """Lines of mdoc: each sentence begins one, none is long."""
    text = " ".join(line.strip() for line in lines)
    sentences = re.split(r"(?<=[^. ][^. ][.!?]) +(?=[A-Z`*(])", text)
    return ["\\&" + line if line[0] in ".'" else line for sentence in sentences
            for line in textwrap.wrap(inline(sentence), 78, break_long_words=False,
                                      break_on_hyphens=False)]


def date():
    with open(os.path.join(ROOT, "docs", "millraced.8"), encoding="utf-8") as page:
        return re.search(r"^\.Dd .*$", page.read(), re.M).group(0)


def cells(line):
    return [c.strip() for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


class Page:
    def __init__(self, name, section, description):
        self.out = [date(), f".Dt {name.upper()} {section}", ".Os", ".Sh NAME",
                    f".Nm {name}", f".Nd {description}"]
        self.begun = False

    def paragraph(self, lines):
        if not self.begun:
            self.out.append(".Sh DESCRIPTION")
            self.begun = True
        elif not self.out[-1].startswith((".Sh", ".Ss")):
            self.out.append(".Pp")
        self.out += prose(lines)

    def heading(self, depth, text):
        plain = re.sub(r"`", "", text)
        self.out.append(f".Sh {plain.upper()}" if depth == 2 else f".Ss {plain}")
        self.begun = True

    def code(self, lines):
        self.out += [".Bd -literal -offset indent", *(escape(line.expandtabs()) for line in lines),
                     ".Ed"]

    def bullets(self, items):
        self.out.append(".Bl -bullet")
        for item in items:
            self.out.append(".It")
            self.out += prose(item)
        self.out.append(".El")

    def table(self, lines):
        head, rows = cells(lines[0]), [cells(line) for line in lines[2:]]
        self.out.append(".Bl -tag -width Ds")
        for row in rows:
            first, rest = row[0], row[1:]
            if not first.strip("() ") and rest:
                first, rest = rest[0], rest[1:]
            self.out.append(".It " + inline(first))
            if len(row) == 2:
                self.out += prose([row[1]])
            else:
                told = [f"{h}: {c}" for h, c in zip(head[-len(rest):], rest) if c]
                self.out += prose(["; ".join(told)])
        self.out.append(".El")

    def text(self):
        return "\n".join(self.out) + "\n"


def take(lines, at, matches):
    """The lines from @at on that match; the index behind them."""
    end = at
    while end < len(lines) and matches(lines[end]):
        end += 1
    return lines[at:end], end


def read_bullets(lines, at):
    items = []
    while at < len(lines) and lines[at].startswith("* "):
        more, end = take(lines, at + 1, lambda l: l.startswith("  ") and l.strip())
        items.append([lines[at][2:], *more])
        at = end
    return items, at


def convert(page, lines):
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip() or line.startswith("# "):
            at += 1
        elif line.startswith("#"):
            page.heading(len(line) - len(line.lstrip("#")), line.lstrip("# "))
            at += 1
        elif line.startswith("```"):
            block, at = take(lines, at + 1, lambda l: not l.startswith("```"))
            page.code(block)
            at += 1
        elif line.startswith("    "):
            block, at = take(lines, at, lambda l: l.startswith("    "))
            page.code([b[4:] for b in block])
        elif line.startswith("|"):
            block, at = take(lines, at, lambda l: l.startswith("|"))
            page.table(block)
        elif line.startswith("* "):
            items, at = read_bullets(lines, at)
            page.bullets(items)
        else:
            block, at = take(lines, at, lambda l: l.strip() and
                             not l.startswith(("#", "```", "|", "* ")))
            page.paragraph(block)


def main():
    name, section, description = sys.argv[1:]
    page = Page(name, section, description)
    convert(page, sys.stdin.read().splitlines())
    page.out += [".Sh SEE ALSO", ".Xr millrace 1 ,", ".Xr millraced.yaml 5 ,", ".Xr millraced 8"]
    sys.stdout.write(page.text())


if __name__ == "__main__":
    main()
