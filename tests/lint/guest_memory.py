#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks that whoever can write to guest memory also marks what it has written.

Dirty tracking does not see what the host writes, so a file that maps guest memory must mark it
(vid_memory_mark_written(), the member mark_written of struct vsp_host_ops, vmbus_buffer_mark()), or
be listed below with its reason. The rings of channels are written in few files, which mark them. Every breach is
printed as FILE:LINE: why, and makes the exit status 1.

usage: guest_memory.py ROOT
"""

import pathlib
import re
import sys

FOLDERS = ["vsp", "hvshim", "vmwp"]
MAPS = re.compile(r"\b(vid_memory_map|ops->map|vmbus_packet_map|vmbus_buffer_iov)\(")
MARKS = re.compile(r"\b(mark_written|vid_memory_mark_written|vmbus_buffer_mark)\b")

# Files that map guest memory and do not mark it.
NO_MARKS = {
    "hvshim/crash.c": "it only reads",
    "vmwp/control/memory_dump.c": "it only reads",
    "vmwp/base/timings.c": "it looks at where memory lies",
    "vmwp/state/move_sender.c": "it only reads",
    "vsp/network/netvsp_send.c": "it only reads what is to be sent",
    "vsp/storage/storage_state.c": "what is read there is marked in storvsp_request.c",
    "vsp/memory/balloon.c": "it looks whether there is memory",
}

# Functions that write to a ring, and the files of vsp/ that call them.
RINGS = re.compile(r"\b(ring_(init_writer|init_reader|write|read|publish_written|publish_read|"
                   r"await_space|forget_space|mask|unmask))\(")
RING_FILES = {"vsp/vmbus/packet.c", "vsp/vmbus/channel.c"}


def find(text, pattern):
    """Yields (line, match), comments left out."""
    text = re.sub(r"/\*.*?\*/", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)
    for number, line in enumerate(text.splitlines(), 1):
        for match in pattern.finditer(line):
            yield number, match


def check_maps(name, text):
    maps = [*find(text, MAPS)]
    marks = any(find(text, MARKS))
    if name in NO_MARKS:
        if not maps or marks:
            yield f"{name}:1: listed as one that maps guest memory and does not mark it"
    elif maps and not marks:
        yield f"{name}:{maps[0][0]}: maps guest memory, and marks nothing as written"


def check_rings(name, text):
    if name.startswith("vsp/") and name not in RING_FILES:
        for number, match in find(text, RINGS):
            yield f"{name}:{number}: {match[1]}() belongs into {', '.join(sorted(RING_FILES))}"


def check(root):
    for folder in FOLDERS:
        for path in sorted(root.glob(f"{folder}/**/*.c")):
            name, text = path.relative_to(root).as_posix(), path.read_text()
            yield from check_maps(name, text)
            yield from check_rings(name, text)
    for name in sorted(NO_MARKS):
        if not (root / name).exists():
            yield f"{name}:1: listed, and not there"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    breaches = [*check(pathlib.Path(sys.argv[1]))]
    for breach in breaches:
        print(breach)
    print(f"guest memory: {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
