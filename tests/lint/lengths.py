#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""No function of the programs is longer than 80 lines, and no file longer than 700: about 20, and 150 to
400, are usual. Which are is printed as FILE:LINE, and makes the exit status 1.

usage: lengths.py ROOT
"""

import pathlib
import sys

FOLDERS = ("common", "vid", "hvshim", "vsp", "vmwp", "vmms", "guest-vsc")
FUNCTION_MOST = 80  # lines between its braces
FILE_MOST = 700


def functions(lines):
    """Where the body of each function begins, counted from 1, and how many lines it has: clang-format has
    both braces in the first column, and none of a function's in a line with something else."""
    begin = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            begin = number
        elif line == "}" and begin is not None:
            yield begin, number - begin - 1
            begin = None


def check(name, text):
    """What is too long in one file."""
    lines = text.splitlines()
    if len(lines) > FILE_MOST:
        yield f"{name}:1: a file of {len(lines)} lines; {FILE_MOST} at most"
    for begin, length in functions(lines):
        if length > FUNCTION_MOST:
            yield f"{name}:{begin}: a function of {length} lines; {FUNCTION_MOST} at most"


def main():
    root = pathlib.Path(sys.argv[1])
    paths = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.[ch]"))]
    found = [line for path in paths for line in check(path.relative_to(root), path.read_text())]
    for line in found:
        print(line)
    print(f"lengths: {len(paths)} files, {len(found)} too long")
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
