#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The check of guest memory finds what it is there to find: each breach, planted in a small tree."""

import pathlib
import sys
import tempfile

import guest_memory

MAPS = "void *page = vid_memory_map(memory, gpa, 1);\n"
CLEAN = {
    "hvshim/overlay.c": MAPS + "vid_memory_mark_written(memory, gpa, 1);\n",
    "vsp/vmbus/packet.c": "ring_mask(&ring); host->ops->mark_written(host, gpa, 1);\n",
    "vsp/vmbus/bus.c": "/* ring_mask() and vid_memory_map() are for\nothers, host->ops->map() too */\n",
    **{name: MAPS for name in guest_memory.NO_MARKS},
}
BREACHES = [
    ("hvshim/overlay.c", MAPS, "hvshim/overlay.c:1: maps guest memory"),
    ("vsp/storage/disk.c", "\n\nhost->ops->map(host, gpa, 1);\n", "vsp/storage/disk.c:3: maps guest memory"),
    ("vsp/storage/disk.c", "vmbus_packet_map(channel, packet);\n", "vsp/storage/disk.c:1: maps guest memory"),
    ("vsp/vmbus/moderation.c", "\nring_unmask(&ring);\n", "vsp/vmbus/moderation.c:2: ring_unmask() belongs into"),
    ("vsp/memory/balloon.c", "int nothing;\n", "vsp/memory/balloon.c:1: listed as one that maps"),
    ("vsp/memory/balloon.c", None, "vsp/memory/balloon.c:1: listed, and not there"),
]


def check(changes):
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        for name, text in {**CLEAN, **changes}.items():
            if text is None:
                continue
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return [*guest_memory.check(root)]


def main():
    failures = [f"a clean tree: {breach}" for breach in check({})]
    for name, text, expected in BREACHES:
        found = check({name: text})
        if len(found) != 1 or not found[0].startswith(expected):
            failures.append(f"{expected}: {found}")
    print(*failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
