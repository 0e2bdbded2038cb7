#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the manual page org.vmms1(5) of the pages in docs/dbus.

usage: dbus_manual.py FOLDER >org.vmms1.5

What it knows of Markdown is what those pages use: headings, paragraphs, lists, tables, and `code`.
Anything else that begins a line as Markdown does is refused, so that the page is never wrong in silence.
"""

import pathlib
import re
import sys

PAGES = ("org.vmms1.Manager", "org.vmms1.VM", "org.vmms1.Files", "org.vmms1.Switch",
         "org.vmms1.Job", "authorisation", "errors")

HEAD = r""".\" SPDX-License-Identifier: LGPL-2.1-or-later
.\" Made of docs/dbus by packaging/man/dbus_manual.py.
.TH ORG.VMMS1 5 2026-11-21 vmms "File Formats Manual"
.SH NAME
org.vmms1 \- D\-Bus interfaces of the virtual machine management service
.SH DESCRIPTION
.BR vmms (8)
serves these interfaces;
.BR vmctl (1)
uses nothing else.
"""

TAIL = r""".SH SEE ALSO
.BR busctl (1),
.BR vmctl (1),
.BR vmms\-vm.json (5),
.BR vmms (8)
"""


def escape(text):
    return text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("→", r"\(->")


def inline(text):
    """A line's text, `code` in bold."""
    parts = escape(text.replace("**", "")).split("`")
    return "".join(rf"\fB{part}\fP" if index % 2 else part for index, part in enumerate(parts))


def line_of(text):
    """As a line of its own, not taken for a request."""
    text = inline(text)
    return (r"\&" + text if text.startswith((".", "'")) else text) + "\n"


def heading(line):
    level, text = re.fullmatch(r"(#+) (.*)", line).groups()
    macro = {1: "SH", 2: "SS"}.get(len(level))
    if macro:
        return f".{macro} {escape(text)}\n"
    # Methods: several on one line are one a line.
    return "".join(f".PP\n.B \"{escape(part)}\"\n" for part in re.split(r", (?=\w+\()", text))


def table(rows):
    """A definition list: what stands first, and the rest."""
    titles, rows = rows[0], rows[2:]
    output = ""
    for row in rows:
        output += ".TP\n" + line_of(row[0])
        for title, cell in list(zip(titles, row))[1:]:
            if cell:
                shown = cell if title == "is" or title == "means" else f"{title}: {cell}."
                output += line_of(shown)
    return output


def blocks(text):
    """Paragraphs, headings, lists and tables, each with its lines."""
    return [block.split("\n") for block in re.split(r"\n\s*\n", text.strip())]


def items(lines):
    """List items, with the lines that they go on with."""
    joined = re.sub(r"\n  +", " ", "\n".join(lines))
    return [line[2:] for line in joined.split("\n")]


def render(lines):
    if lines[0].startswith("#"):
        return heading(lines[0]) + (render(lines[1:]) if lines[1:] else "")
    if lines[0].startswith("|"):
        return table([[cell.strip() for cell in line.strip("|").split("|")] for line in lines])
    if lines[0].startswith("- "):
        return "".join(".IP \\(bu 2\n" + line_of(item) for item in items(lines))
    if re.match(r"[>*+]|\d+\.|```|    ", lines[0]):
        sys.exit(f"dbus_manual.py: what is this? {lines[0]}")
    return ".PP\n" + "".join(line_of(line) for line in lines)


def tidy(text):
    """No paragraph begins where a heading just has."""
    return re.sub(r"(\n\.S[HS] [^\n]*\n)\.PP\n", r"\1", text)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    known = {path.stem for path in folder.glob("*.md")}
    if known != set(PAGES):
        sys.exit(f"dbus_manual.py: the pages are {known}; put them into PAGES")
    body = "".join(render(block) for page in PAGES
                   for block in blocks((folder / f"{page}.md").read_text()))
    sys.stdout.write(tidy(HEAD + body + TAIL))


if __name__ == "__main__":
    main()
