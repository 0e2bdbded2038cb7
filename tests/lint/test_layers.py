#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The layer check finds what it is there to find: each breach, planted in a small tree."""

import os
import pathlib
import subprocess
import sys
import tempfile

import layers

LAYERS = pathlib.Path(__file__).with_name("layers.py")

CLEAN = {
    "common/base/cc.h": "#include <stdint.h>\n",
    "common/wire/ring.h": '#include "common/base/cc.h"\n#include <stdint.h>\n',
    "vid/vid.h": '#include "common/base/cc.h"\n',
    "vid/vp.c": "#include <linux/kvm.h>\n",
    "vsp/vmbus/vmbus.h": '#include "common/wire/ring.h"\n',
    "vsp/vmbus/gpadl.h": "",
    "vsp/storage/storage.h": '#include "vsp/vmbus/vmbus.h"\n',
    "vsp/CMakeLists.txt": "vmms_library(vsp SOURCES a.c DEPENDS common)\n",
}

BREACHES = [
    ("vsp/vmbus/bus.c", '#include "vid/vid.h"\n', "must not include vid"),
    ("vsp/vmbus/bus.c", "#include <linux/kvm.h>\n", "belongs to vid/"),
    ("vsp/vmbus/bus.c", "#include <liburing.h>\n", "must not use liburing"),
    ("vmwp/main.c", "#include <systemd/sd-bus.h>\n", "must not use libsystemd"),
    ("vmms/main.c", "#include <json-c/json.h>\n", "must not use json-c"),
    ("common/wire/ring.c", "#include <stdio.h>\n", "freestanding"),
    ("common/base/a.c", '#include "vsp/vmbus/vmbus.h"\n', "must not include vsp"),
    ("common/base/a.c", '#include "nowhere.h"\n', "not a path from the root"),
    ("guest-vsc/a.c", '#include "vsp/vmbus/vmbus.h"\n', "must not include vsp"),
    ("vsp/vmbus/bus.c", '#include "vsp/storage/storage.h"\n', "must not use vsp/storage/"),
    ("vsp/storage/a.c", '#include "vsp/vmbus/gpadl.h"\n', "is private to vsp/vmbus/"),
    ("vmwp/main.c", '#include "vsp/vmbus/gpadl.h"\n', "is private to vsp/vmbus/"),
    ("vsp/cellar/a.c", '#include "vsp/vmbus/vmbus.h"\n', "is no room of the table"),
    ("vid/CMakeLists.txt", "vmms_library(vid SOURCES a.c DEPENDS common vsp)\n", "must not link vsp"),
    ("hvshim/CMakeLists.txt", "vmms_library(hvshim SOURCES a.c LIBRARIES libnl-3.0)\n",
     "must not link libnl-3.0"),
    ("vsp/CMakeLists.txt", "target_link_libraries(vsp PRIVATE hvshim)\n", "must not link hvshim"),
]


def write(root, files):
    for name, text in files.items():
        path = pathlib.Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def check(files):
    with tempfile.TemporaryDirectory() as root:
        write(root, files)
        return subprocess.run([sys.executable, LAYERS, root], capture_output=True, text=True)


def check_what_is_walked():
    """Folders of the table alone: what is built beside the check comes and goes under a walk."""
    walked = set()
    sys.addaudithook(lambda event, arguments: walked.add(str(arguments[0]))
                     if event in ("os.scandir", "os.listdir") else None)
    with tempfile.TemporaryDirectory() as root:
        write(root, {**CLEAN, "build/debug/vsp/a.c": ""})
        for path in (*layers.files_of(pathlib.Path(root), "*.[chS]"),
                     *layers.files_of(pathlib.Path(root), "CMakeLists.txt")):
            assert "build" not in path.parts, path
        inside = {os.path.relpath(path, root).split("/")[0] for path in walked
                  if path.startswith(root + "/")}
    assert {"common", "vid", "vsp"} <= inside, inside
    assert "build" not in inside, inside


def main():
    result = check(CLEAN)
    assert result.returncode == 0, result.stdout
    for name, text, why in BREACHES:
        result = check({**CLEAN, name: text})
        assert result.returncode == 1, f"{name}: {text!r} was let through"
        assert why in result.stdout, f"{name}: {result.stdout}"
    check_what_is_walked()
    print(f"{len(BREACHES)} breaches found, the clean tree left alone")


if __name__ == "__main__":
    main()
