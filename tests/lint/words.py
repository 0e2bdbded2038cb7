#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names and texts use the words of docs/glossary.md, and none of those below, which stood for them.

usage: words.py ROOT
"""

import pathlib
import re
import sys

INSTEAD = {
    "errand": "helper process",
    "errands": "helper processes",
    "opener": "file-open helper",
    "incarnation": "power cycle",
    "patience": "time-out or back-off",
    "ration": "rate limit",
    "rations": "rate limits",
    "wish": "request",
    "wishes": "request",
    "deed": "action",
    "untold": "pending",
    "quietly": "without interrupt",
}
WORD = re.compile(r"(?<![a-z])(" + "|".join(INSTEAD) + r")(?![a-z])", re.IGNORECASE)
FOLDERS = ("common", "vid", "hvshim", "vsp", "vmwp", "vmms", "guest-vsc", "docs", "packaging", "scripts", "tests")
ENDS = {".c", ".h", ".S", ".md", ".py", ".sh", ".txt", ".in", ".1", ".5", ".7", ".8", ".service", ".socket"}
SELF = "tests/lint/words.py"


def find(text):
    """The words that have another, with the numbers of their lines."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in WORD.finditer(line):
            yield number, match.group(1)


def check_self():
    """What is planted is found, and parts of other words are left alone."""
    planted = "int errand_new(void);\n/* A wish. */\nan operation, integration, newspaper, wished\n"
    assert list(find(planted)) == [(1, "errand"), (2, "wish")], list(find(planted))


def main():
    check_self()
    root = pathlib.Path(sys.argv[1])
    found = 0
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix not in ENDS or not path.is_file() or name.startswith("tests/fuzz/corpus") or name == SELF:
                continue
            for number, word in find(path.read_text(errors="replace")):
                print(f"{name}:{number}: '{word}': {INSTEAD[word.lower()]}, see docs/glossary.md")
                found += 1
    print(f"words: {found} others")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
