# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs that boot what is on their disks."""

import json
import pathlib
import shutil
import subprocess

import lab_kvm
from harness import BIN, IMAGES, SCRATCH, Console, check, check_data

BOOT_SECTOR = BIN.parent / "guests" / "boot_sector"
MARK = b"\x55\x44\x33\x21"
SECTOR = 512
READY = r"^vmms-test: ready"
LOADER = pathlib.Path("/vmms-in/grub")  # by tests/lab/grub_disk.py
FIRMWARE = pathlib.Path("/usr/share/OVMF/OVMF_CODE_4M.fd")


def boot_disk():
    path = SCRATCH / "boot.raw"
    content = bytearray(1 << 20)
    content[:SECTOR] = BOOT_SECTOR.read_bytes()
    content[31 * SECTOR:31 * SECTOR + len(MARK)] = MARK
    path.write_bytes(content)
    return path


def create(daemon, combination, path, memory, generation=1):
    definition = {"version": 1, "name": "guest", "generation": generation, "memory": {"size": memory},
                  "engine": combination["engine"], "processors": {"count": combination["vps"]},
                  "disks": [{"controller": 0, "lun": 0, "path": str(path), "format": "raw"}]}
    file = daemon.directory / "guest.json"
    file.write_text(json.dumps(definition))
    daemon.vmctl("create", "--from", file)
    console = Console(daemon, "guest")
    console.attach()
    return console


def bios_boots_a_disk(daemon, combination):
    """SeaBIOS loads a boot sector, which reads, is saved and goes on, takes a key, and writes."""
    path = boot_disk()
    console = create(daemon, combination, path, "128M")
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


def grub_disk():
    """A whole disk: a loader at its head, and the lab's root file system as a partition."""
    path, root = SCRATCH / "grub.raw", IMAGES / "root.raw"
    head, tail = ((LOADER / name).read_bytes() for name in ("head.raw", "tail.raw"))
    size = root.stat().st_size
    with path.open("wb") as disk:
        disk.write(head)
        disk.truncate(len(head) + size)
        disk.seek(len(head) + size)
        disk.write(tail)
    subprocess.run(["xfs_io", "-c", f"reflink {root} 0 {len(head)} {size}", path], check=True,
                   stdout=subprocess.DEVNULL)
    return path


def bios_boots_linux(daemon, combination):
    """SeaBIOS, GRUB, which is saved in its menu, Linux, all by itself; a reboot, a shutdown."""
    console = create(daemon, combination, grub_disk(), "512M")
    daemon.vmctl("start", "guest")
    console.expect(r"SeaBIOS \(version")
    console.expect(r"GNU GRUB")
    daemon.vmctl("save", "guest", timeout=300)
    daemon.vmctl("start", "guest", timeout=300)
    console.expect(READY)
    console.run("readlink -f /sys/block/sda | grep VMBUS")
    console.send("reboot -f")
    console.expect(r"SeaBIOS \(version")
    console.expect(r"GNU GRUB")
    console.expect(READY)
    daemon.vmctl("shutdown", "guest")
    daemon.wait_until(lambda: daemon.show("guest")["state"] == "off", 120, "the guest's end")


def install_ovmf():
    """As the package would, which is not among the lab host's."""
    FIRMWARE.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(LOADER / FIRMWARE.name, FIRMWARE)


def uefi_starts(daemon, combination):
    """OVMF comes up as far as its console."""
    lab_kvm.have_kvm_intercept_cr8()
    install_ovmf()
    console = create(daemon, combination, boot_disk(), "128M", generation=2)
    daemon.vmctl("start", "guest")
    console.expect(r"\x1b\[2J\x1b\[01;01H", 180)
    check(daemon.show("guest")["state"] == "running", daemon.show("guest"))
    daemon.vmctl("stop", "guest")


ALL = [bios_boots_a_disk, bios_boots_linux]

# Real mode, and the BIOS's own devices.
OF_THE_ENGINE = [bios_boots_a_disk]

# It shows a beginning.
AT_LENGTH = [uefi_starts]
