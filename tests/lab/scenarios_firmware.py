# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs that boot what is on their disks."""

import json

from harness import BIN, SCRATCH, Console, check, check_data

BOOT_SECTOR = BIN.parent / "guests" / "boot_sector"
MARK = b"\x55\x44\x33\x21"
SECTOR = 512


def boot_disk():
    path = SCRATCH / "boot.raw"
    content = bytearray(1 << 20)
    content[:SECTOR] = BOOT_SECTOR.read_bytes()
    content[31 * SECTOR:31 * SECTOR + len(MARK)] = MARK
    path.write_bytes(content)
    return path


def bios_boots_a_disk(daemon, combination):
    """SeaBIOS loads a boot sector, which reads, is saved and goes on, takes a key, and writes."""
    path = boot_disk()
    definition = {"version": 1, "name": "guest", "generation": 1, "memory": {"size": "128M"},
                  "engine": combination["engine"], "processors": {"count": combination["vps"]},
                  "disks": [{"controller": 0, "lun": 0, "path": str(path), "format": "raw"}]}
    file = daemon.directory / "guest.json"
    file.write_text(json.dumps(definition))
    daemon.vmctl("create", "--from", file)
    console = Console(daemon, "guest")
    console.attach()
    daemon.vmctl("start", "guest")
    console.expect(r"SeaBIOS \(version")
    console.expect(r"^boot-sector: begin$")
    console.expect(r"^boot-sector: press a key$")
    daemon.vmctl("save", "guest", timeout=300)
    check(daemon.show("guest")["state"] == "saved", daemon.show("guest"))
    daemon.vmctl("start", "guest", timeout=300)
    console.type("k")
    # Its last words may be lost with the machine's power.
    daemon.wait_until(lambda: daemon.show("guest")["state"] == "off", 60, "the guest's end")
    written = path.read_bytes()[40 * SECTOR:41 * SECTOR]
    check_data(written == b"k" + MARK[1:] + bytes(SECTOR - len(MARK)), written[:8])


ALL = [bios_boots_a_disk]
