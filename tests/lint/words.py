#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names and texts use the words of docs/glossary.md, and none of those below, which stood for them; what
documents and sources call by a path is there; and each source file opens with what it is.

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
PATH = re.compile(r"`((?:common|vid|hvshim|vsp|vmwp|vmms|guest-vsc|tests|scripts|packaging|docs)/[\w./-]+)`")
FILE = re.compile(r"(?<![\w/.])((?:common|vid|hvshim|vsp|vmwp|vmms|guest-vsc)/[\w./-]+\.[ch])(?!\w)")
FOLDERS = ("common", "vid", "hvshim", "vsp", "vmwp", "vmms", "guest-vsc", "docs", "packaging", "scripts", "tests")
ENDS = {".c", ".h", ".S", ".md", ".py", ".sh", ".txt", ".in", ".1", ".5", ".7", ".8", ".service", ".socket"}
SELF = "tests/lint/words.py"


def find(text):
    """The words that have another, with the numbers of their lines."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in WORD.finditer(line):
            yield number, match.group(1)


def find_paths(root, text):
    """The paths that are neither a file nor a folder, nor the beginning of one's name."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in PATH.finditer(line):
            if not any(root.glob(match.group(1).rstrip("/") + "*")):
                yield number, match.group(1)


def check_paths(root):
    found = 0
    for path in (root / "README.md", root / "HACKING.md", *sorted((root / "docs").rglob("*.md"))):
        for number, name in find_paths(root, path.read_text()) if path.exists() else ():
            print(f"{path.relative_to(root)}:{number}: there is no {name}")
            found += 1
    return found


def find_files(root, text):
    """The sources that are named, and are not there."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in FILE.finditer(line):
            if not (root / match.group(1)).is_file():
                yield number, match.group(1)


def check_files(root):
    found = 0
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.[chS]")):
            for number, name in find_files(root, path.read_text(errors="replace")):
                print(f"{path.relative_to(root)}:{number}: there is no {name}")
                found += 1
    return found


def opens_well(text):
    """After the line of the licence, a comment."""
    lines = text.splitlines()
    return len(lines) > 1 and lines[1].startswith("/*")


def check_openings(root):
    found = 0
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.[chS]")):
            if not opens_well(path.read_text(errors="replace")):
                print(f"{path.relative_to(root)}:2: a comment is to say what this file is")
                found += 1
    return found


def check_self():
    """What is planted is found, and parts of other words are left alone."""
    planted = "int errand_new(void);\n/* A wish. */\nan operation, integration, newspaper, wished\n"
    here = pathlib.Path(__file__).parent
    assert opens_well("// licence\n/* What it is. */\n") and not opens_well("// licence\n#pragma once\n")
    assert list(find_paths(here, "`tests/nowhere` and `tests`")) == [(1, "tests/nowhere")]
    assert list(find_files(here, "See vid/nowhere.h.")) == [(1, "vid/nowhere.h")]
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
    return 1 if check_paths(root) + check_files(root) + check_openings(root) + found else 0


if __name__ == "__main__":
    sys.exit(main())
