#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Translations of the page in Cockpit: every text has one in each language, and none is left over.

usage: translations.py TREE

Needs nothing of npm's; scripts/cockpit check looks at more.
"""

import json
import pathlib
import re
import sys

TEXT = re.compile(r'\b_\(\s*("(?:[^"\\]|\\.)*")\s*\)')
LINE = re.compile(r'(?:(msgid|msgstr)\s+)?(".*")$')


def wanted(sources):
    texts = {json.loads((sources / "manifest.json").read_text())["menu"]["index"]["label"]}
    for source in sources.glob("*.ts*"):
        texts.update(json.loads(text) for text in TEXT.findall(source.read_text()))
    return texts


def translations(path):
    entries, field = [["", ""]], None
    for line in path.read_text().splitlines():
        found = LINE.match(line)
        if not found:
            continue
        field = found[1] or field
        if found[1] == "msgid":
            entries.append(["", ""])
        entries[-1][field == "msgstr"] += json.loads(found[2])
    return {text: translation for text, translation in entries if text}


def main():
    page = pathlib.Path(sys.argv[1]) / "packaging/cockpit"
    texts, bad = wanted(page / "src"), 0
    files = sorted((page / "po").glob("*.po"))
    for path in files:
        entries = translations(path)
        for text in sorted(texts):
            if not entries.get(text):
                print(f"{path}: no translation of {text!r}")
                bad += 1
        for text in sorted(set(entries) - texts):
            print(f"{path}: nobody says {text!r}")
            bad += 1
    print(f"translations: {len(texts)} texts in {len(files)} languages, {bad} faults")
    return int(bad > 0 or not files or len(texts) < 100)


if __name__ == "__main__":
    sys.exit(main())
