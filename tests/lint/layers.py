#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks that the folders keep to their layers.

Two tables below say what may be used: LAYERS for the folders at the top and the libraries, ROOMS for
the rooms inside them. LAYERS is checked twice: in the sources (what is included) and in the build
files (what is linked). Between rooms there is one public header for each room, and arrows point
down: a room is above all those that it uses. Every breach is printed as FILE:LINE: why, and makes
the exit status 1. The arrows between rooms are printed, with the number of includes that make them.

usage: layers.py ROOT
"""

import collections
import graphlib
import pathlib
import re
import sys

# Headers of the C library and the compiler that a freestanding folder may include.
FREESTANDING = {
    "stdint.h", "stddef.h", "stdbool.h", "stdatomic.h", "stdarg.h", "stdalign.h", "limits.h",
}

# Headers that belong to a library, by pattern, and the pkg-config module that brings it.
LIBRARY_HEADERS = [
    (r"json-c/.*|json\.h", "json-c"),
    (r"liburing(/.*|\.h)", "liburing"),
    (r"systemd/.*", "libsystemd"),
    (r"zlib\.h", "zlib"),
    (r"netlink/.*", "libnl-3.0"),
    (r"nftables/.*", "libnftables"),
    (r"seccomp\.h", "libseccomp"),
    (r"expat\.h", "expat"),
    (r"gnutls/.*", "gnutls"),
]

# Everything else that may stand in <> is the C library's or the kernel's.
KERNEL_ONLY_IN = {"linux/kvm.h": "vid", "asm/kvm.h": "vid"}

LAYERS = {
    # folder: (folders, libraries, freestanding)
    "common/wire": ({"common/wire"}, set(), True),
    "common": ({"common", "common/wire"}, {"json-c", "liburing"}, False),
    "vid": ({"vid", "common", "common/wire"}, set(), False),
    "hvshim": ({"hvshim", "vid", "common", "common/wire"}, set(), False),
    "vsp": ({"vsp", "common", "common/wire"}, set(), False),
    "vmwp": ({"vmwp", "vsp", "hvshim", "vid", "common", "common/wire"},
             {"libseccomp"}, False),
    "vmms": ({"vmms", "common", "common/wire"},
             {"expat", "libsystemd", "libnl-3.0", "libnftables", "zlib", "libseccomp", "gnutls"}, False),
    "guest-vsc": ({"guest-vsc", "common/wire"}, set(), True),
    "guest-vsc/agent": ({"guest-vsc/agent", "common/wire"}, set(), False),
    "guest-vsc/uefi": ({"guest-vsc/uefi", "guest-vsc", "common/wire"}, set(), True),
}

# Folder: the rooms in it that it may use. A room may use "base" of its top folder without a word.
ROOMS = {
    "common": {"common/definition"},
    "common/base": set(),
    "common/wire": set(),
    "common/image": set(),
    "common/definition": {"common/image"},
    "common/firmware": set(),
    "common/host": set(),
    "vsp": set(),
    "vsp/vmbus": set(),
    "vsp/storage": {"vsp", "vsp/vmbus"},
    "vsp/network": {"vsp", "vsp/vmbus"},
    "vsp/hid": {"vsp/vmbus"},
    "vsp/ic": {"vsp/vmbus"},
    "vsp/memory": {"vsp/vmbus"},
    "vsp/socket": {"vsp/vmbus"},
    "vsp/video": {"vsp/vmbus"},
    "vmwp/base": set(),
    "vmwp/resource": set(),
    "vmwp/sandbox": set(),
    "vmwp/cpu": set(),
    "vmwp/boot": {"vmwp/cpu"},
    "vmwp/chipset": set(),
    "vmwp/machine": {"vmwp/boot", "vmwp/chipset", "vmwp/cpu", "vmwp/resource"},
    "vmwp/device": {"vmwp/chipset", "vmwp/machine", "vmwp/resource"},
    "vmwp/state": {"vmwp/device", "vmwp/machine"},
    "vmwp/control": {"vmwp/chipset", "vmwp/device", "vmwp/machine", "vmwp/resource",
                     "vmwp/state"},
    "vmwp": {"vmwp/control", "vmwp/sandbox"},
    "vmms/base": set(),
    "vmms/apparmor": set(),
    "vmms/host": set(),
    "vmms/units": set(),
    "vmms/carrier": {"vmms/carrier/program"},
    "vmms/carrier/program": set(),
    "vmms/cpu_group": {"vmms/host", "vmms/units"},
    "vmms/network": {"vmms/host"},
    "vmms/image": {"vmms/image/guard"},
    "vmms/image/guard": set(),
    "vmms/worker": {"vmms/image"},
    "vmms/vm": {"vmms/apparmor", "vmms/carrier", "vmms/cpu_group", "vmms/host", "vmms/image", "vmms/network", "vmms/units",
                "vmms/worker"},
    "vmms/disk": {"vmms/image/guard", "vmms/vm"},
    "vmms/metrics": {"vmms/vm"},
    "vmms/bus": {"vmms/cpu_group", "vmms/disk", "vmms/host", "vmms/image", "vmms/network", "vmms/vm"},
    "vmms": {"vmms/apparmor", "vmms/bus", "vmms/host", "vmms/metrics", "vmms/units", "vmms/vm"},
    "vmms/rfb": set(),
    "vmms/screen": {"vmms/rfb"},
    "vmms/import": set(),
    "vmms/vmctl": {"vmms/import"},
}

# Rooms of small headers, all of which are public.
SMALL_HEADERS = {"common", "common/base", "common/wire", "vmms/base", "vmwp/base"}

# The public header of a room that does not have the room's own name.
PUBLIC = {
    "vmms/bus": "dbus.h",
    "vmms/carrier/program": "carrier_protocol.h",
    "vmms/cpu_group": "cpu_groups.h",
    "vmms/disk": "disk_jobs.h",
    "vmms/image/guard": "image_guard.h",
    "vmms/metrics": "metrics_server.h",
    "vmms/vm": "manager.h",
    "vmwp/device": "devices.h",
    "vmwp/resource": "resources.h",
    "vmwp/state": "moving.h",
    "vsp": "iov.h",
    "vsp/memory": "balloon.h",
    "vsp/socket": "sockets.h",
}

# common/base/cc.h and guid.h hold nothing of the C library: they are freestanding too.
FREESTANDING_BASE = {"common/base/cc.h", "common/base/gpa.h", "common/base/guid.h"}

# A library's own objects may use what its public headers expose of the libraries below it.
LINK_NAMES = {folder for folder in LAYERS if "/" not in folder}

INCLUDE = re.compile(r'^\s*#\s*include\s+(<([^>]+)>|"([^"]+)")')


def files_of(root, pattern):
    """The files of the table's folders, sorted. Nothing else is walked: a build that goes on in the
    tree may take any other folder away meanwhile."""
    tops = sorted({row.split("/")[0] for row in LAYERS})
    return sorted(path for top in tops for path in root.glob(f"{top}/**/{pattern}"))


def folder_of(path):
    """The row of the table that a path inside the tree belongs to, or None."""
    parts = path.split("/")[:-1]
    rows = ("/".join(parts[:depth]) for depth in (2, 1))
    return next((row for row in rows if row in LAYERS), None)


def room_of(path):
    """The room that a path inside the tree is in, or None where its top folder has no rooms."""
    room = path.rpartition("/")[0]
    top = room.split("/")[0]
    return room if any(row.split("/")[0] == top for row in ROOMS) else None


def public_header(room):
    return f"{room}/{PUBLIC.get(room, room.rpartition('/')[2] + '.h')}"


def check_room(name, header, arrows):
    """What one file of a room includes of another room's."""
    room, target = room_of(name), room_of(header)
    if target is None or target == room:
        return None
    if target not in ROOMS:
        return f"{target}/ is no room of the table"
    if target not in SMALL_HEADERS and header != public_header(target):
        return f"{header} is private to {target}/: include {public_header(target)}"
    if room is None or room.split("/")[0] != target.split("/")[0]:
        return None
    if room not in ROOMS:
        return f"{room}/ is no room of the table"
    arrows[room, target] += 1
    if target not in ROOMS[room] | {room.split("/")[0] + "/base"}:
        return f"{room}/ must not use {target}/"
    return None


def check_table():
    """No room is above itself."""
    try:
        graphlib.TopologicalSorter(ROOMS).prepare()
    except graphlib.CycleError as error:
        yield f"tests/lint/layers.py: rooms in a circle: {' -> '.join(error.args[1])}"


def library_of(header):
    for pattern, library in LIBRARY_HEADERS:
        if re.fullmatch(pattern, header):
            return library
    return None


def check_system_include(folder, header):
    owner = KERNEL_ONLY_IN.get(header)
    if owner and owner != folder:
        return f"<{header}> belongs to {owner}/ alone"
    folders, libraries, freestanding = LAYERS[folder]
    library = library_of(header)
    if library and library not in libraries:
        return f"{folder}/ must not use {library} (<{header}>)"
    if freestanding and header not in FREESTANDING:
        return f"{folder}/ is freestanding: <{header}> is not"
    return None


def check_own_include(folder, root, header):
    folders = LAYERS[folder][0]
    if not (root / header).exists():
        return f'"{header}" is not a path from the root of the tree'
    if header in FREESTANDING_BASE:
        return None
    target = folder_of(header)
    if target not in folders:
        return f"{folder}/ must not include {target or header}"
    return None


def check_sources(root, arrows):
    for path in files_of(root, "*.[chS]"):
        name = path.relative_to(root).as_posix()
        folder = folder_of(name)
        if folder is None:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            if match.group(2):
                why = check_system_include(folder, match.group(2))
            else:
                why = (check_own_include(folder, root, match.group(3)) or
                       check_room(name, match.group(3), arrows))
            if why:
                yield f"{name}:{number}: {why}"


def statements(text):
    """The (command, words, line) of a CMake file, comments left out."""
    text = re.sub(r"#[^\n]*", "", text)
    for match in re.finditer(r"(\w+)\s*\(([^()]*)\)", text):
        yield match.group(1), match.group(2).split(), text.count("\n", 0, match.start()) + 1


def keyword(words, name):
    """The words after a keyword, up to the next keyword (all capitals)."""
    taken, inside = [], False
    for word in words:
        if re.fullmatch(r"[A-Z]+", word):
            inside = word == name
        elif inside:
            taken.append(word)
    return taken


def check_link(folder, words):
    folders, libraries, _ = LAYERS[folder]
    for word in words:
        word = re.sub(r"^PkgConfig::", "", word)
        if word in LINK_NAMES and word not in folders:
            yield f"{folder}/ must not link {word}"
    for library in keyword(words, "LIBRARIES"):
        if library not in libraries:
            yield f"{folder}/ must not link {library}"


def check_build_files(root):
    for path in files_of(root, "CMakeLists.txt"):
        name = path.relative_to(root).as_posix()
        folder = folder_of(name)
        if folder is None:
            continue
        for command, words, line in statements(path.read_text()):
            if command not in ("vmms_library", "target_link_libraries", "pkg_check_modules"):
                continue
            if command == "pkg_check_modules":
                words = ["LIBRARIES"] + [w for w in words[1:] if w not in
                                         ("REQUIRED", "IMPORTED_TARGET", "GLOBAL", "QUIET")]
            for why in check_link(folder, words[1:] if command != "pkg_check_modules" else words):
                yield f"{name}:{line}: {why}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1])
    arrows = collections.Counter()
    breaches = [*check_table(), *check_sources(root, arrows), *check_build_files(root)]
    for (room, target), count in sorted(arrows.items()):
        print(f"{room} -> {target}: {count}")
    for breach in breaches:
        print(breach)
    print(f"layers: {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
