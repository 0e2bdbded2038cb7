# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs that boot what is on their disks."""

import json
import pathlib
import re
import shutil
import subprocess

import lab_kvm
from harness import BIN, IMAGES, LUN, SCRATCH, Console, Guest, check, check_data
from scenarios_debian import Debian, data_disk, shuts_down, works
from scenarios_screen import INSERT, PICTURES, read_png

BOOT_SECTOR = BIN.parent / "guests" / "boot_sector"
OVMF = pathlib.Path("/usr/share/OVMF")
MARK = b"\x55\x44\x33\x21"
SECTOR = 512
READY = r"^vmms-test: ready"
LOADER = pathlib.Path("/vmms-in/grub")  # by tests/lab/grub_disk.py


def boot_disk():
    path = SCRATCH / "boot.raw"
    content = bytearray(1 << 20)
    content[:SECTOR] = BOOT_SECTOR.read_bytes()
    content[31 * SECTOR:31 * SECTOR + len(MARK)] = MARK
    path.write_bytes(content)
    return path


def create(daemon, combination, path, memory, generation=1, drives=(), **members):
    definition = {"version": 1, "name": "guest", "generation": generation, "memory": {"size": memory},
                  "engine": combination["engine"], "processors": {"count": combination["vps"]},
                  "disks": [{"controller": 0, "lun": 0, "path": str(path), "format": "raw"}, *drives], **members}
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


def grub_disk(root=IMAGES / "root.raw"):
    """A whole disk: a loader at its head, and a root file system as a partition."""
    path = SCRATCH / "grub.raw"
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


def shows_the_menu(daemon):
    path = PICTURES / "menu.png"
    daemon.vmctl("screenshot", "guest", "--image", path)
    width, height, rows = read_png(path)
    lines = sum(1 for row in rows if any(row))
    check((width, height) == (800, 600) and lines > 100, f"{width} x {height}, {lines} lines with something in it")
    path.unlink()


def boots_linux(daemon, console, firmware, in_menu=lambda daemon: None):
    """It is saved in GRUB's menu, goes on, reboots, and is shut down."""
    daemon.vmctl("start", "guest")
    console.expect(firmware, 180)
    console.expect(r"GNU GRUB")
    daemon.vmctl("save", "guest", timeout=300)
    daemon.vmctl("start", "guest", timeout=300)
    in_menu(daemon)
    console.expect(READY)
    console.run("readlink -f /sys/block/sda | grep VMBUS")
    console.send("reboot -f")
    console.expect(firmware, 180)
    console.expect(r"GNU GRUB")
    console.expect(READY)
    daemon.vmctl("shutdown", "guest")
    daemon.wait_until(lambda: daemon.show("guest")["state"] == "off", 120, "the guest's end")


def bios_boots_linux(daemon, combination):
    """SeaBIOS, GRUB, which is saved in its menu, Linux, all by itself; a reboot, a shutdown."""
    boots_linux(daemon, create(daemon, combination, grub_disk(), "512M"), r"SeaBIOS \(version")


def bios_boots_a_dvd(daemon, combination):
    """From a disk without a loader SeaBIOS goes on to the DVD, whose GRUB loads Linux; without it, it says so."""
    dvd = pathlib.Path("/vmms-in/dvd.iso")
    drive = {"controller": 0, "lun": 1, "type": "dvd", "path": str(dvd)}
    guest = Guest(daemon, disks=[drive], generation=1, boot=None, memory="512M", **combination).start()
    guest.expect(r"GNU GRUB")
    guest.ready()
    # With the driver of the channels there is the drive once, and the disk as VMBus has it.
    guest.run(INSERT + "cat /sys/bus/pci/drivers/ata_piix/*/device")
    guest.run("for i in $(seq 50); do [ -b /dev/sr0 ] && break; sleep 0.1; done\n"
              "dd if=/dev/sr0 bs=2048 skip=16 count=1 2>/dev/null | head -c 6 | grep -a CD001")
    devices = guest.run("for device in /sys/block/s[dr]*; do readlink -f $device; done")
    check(re.fullmatch(r"/sys/\S*VMBUS\S*-8899-\S*/sda\n/sys/devices/pci\S*/ata\S*/sr0\n", devices), devices)
    guest.send("poweroff -f")
    guest.wait_state("off")
    daemon.vmctl("eject", "guest", "--lun", "1")
    guest.start()
    guest.expect(r"No bootable device")
    daemon.wait_until(lambda: "no boot device found" in daemon.vmctl("show", "guest").stdout, 30, "that to be shown")
    daemon.vmctl("insert", "guest", dvd, "--lun", "1")
    daemon.vmctl("reset", "guest")
    guest.expect(r"GNU GRUB")
    check("no boot device found" not in daemon.vmctl("show", "guest").stdout, daemon.vmctl("show", "guest").stdout)


# Generation 1's disks on channel 0 are targets of VMBus' IDE.
IDE = 'lun() { echo /dev/"$(ls -d /sys/bus/scsi/devices/*:0:"$1":0/block/sd*)" | sed "s,/.*/,/dev/,"; }\n'


class DebianOnDisk(Debian):
    """An installed system with nothing from outside: the kernel and the initramfs of its own disk."""

    def __init__(self, daemon, name, disks, generation=1, **members):
        self.functions = IDE if generation == 1 else LUN
        root = grub_disk(IMAGES / name / "root.raw")
        Guest.__init__(self, daemon, root=root, memory="512M", disks=disks, generation=generation, boot=None,
                       network_adapters=[{"host_loopback": True}], **members)


def bios_boots_debian(daemon, combination):
    """SeaBIOS, GRUB, Debian's own kernel, init and daemons, to the login prompt; its disks and its network."""
    data, content = data_disk()
    guest = DebianOnDisk(daemon, "debian-13", [data], **combination).start()
    guest.expect(r"GNU GRUB")
    guest.log_in()
    works(daemon, guest, combination["vps"], data, content, r"6\.12\.\S+ x86_64\namd64", "5.3")
    # The driver of the IDE channels is there, and leaves disks to VMBus.
    disks = guest.told("ls /sys/bus/pci/drivers/ata_piix | grep -c 0000:00:07.1\n"
                       "for disk in /sys/block/sd*; do readlink -f $disk/device/../../..; done\n"
                       "lsblk -no PKNAME $(findmnt -no SOURCE /)").split()
    check(len(disks) == 4 and disks[0] == "1" and disks[3] in ("sda", "sdb") and
          all("-8899-" in path and "/VMBUS" in path for path in disks[1:3]), disks)
    shuts_down(daemon, guest)


def bios_resets_for_ever(daemon, combination):
    """A boot sector that resets the machine at once: the VM is turned off, and says why."""
    path = SCRATCH / "reset.raw"
    # mov $0xcf9, %dx; mov $6, %al; out %al, (%dx); hlt
    sector = bytes.fromhex("baf90cb006eef4").ljust(SECTOR - 2, b"\0") + b"\x55\xaa"
    path.write_bytes(sector + bytes((1 << 20) - SECTOR))
    console = create(daemon, combination, path, "128M")
    daemon.vmctl("start", "guest")
    daemon.wait_until(lambda: daemon.show("guest")["state"] == "off", 120, "the end of the resets")
    check("reset itself ten times" in daemon.vmctl("show", "guest").stdout, daemon.vmctl("show", "guest").stdout)
    check(console.text.count("SeaBIOS (version") == 10, console.last_lines())


def have_uefi():
    """OVMF, which is not among the lab host's packages."""
    lab_kvm.have_kvm_intercept_cr8()
    shutil.copytree("/vmms-in/ovmf", OVMF, dirs_exist_ok=True)


# It tells of what it starts; by its own driver it has the disk.
STARTED = r"BdsDxe: starting Boot\w+ .* from PciRoot\(0x0\)/Pci\(0x2,0x0\)/Scsi\(0x0,0x0\)"


def uefi_boots_linux(daemon, combination):
    """OVMF with the driver for synthetic disks and the screen, GRUB, which is saved in its menu, Linux; a reboot, a shutdown."""
    have_uefi()
    console = create(daemon, combination, grub_disk(), "512M", generation=2, video={"width": 800, "height": 600})
    boots_linux(daemon, console, STARTED, shows_the_menu)


def uefi_boots_a_dvd(daemon, combination):
    """The DVD comes first if the start says so, and else the disk, by the VM's order; and the firmware's menus."""
    have_uefi()
    drive = {"controller": 0, "lun": 1, "type": "dvd", "path": "/vmms-in/dvd.iso"}
    console = create(daemon, combination, grub_disk(), "512M", generation=2, drives=[drive], boot_order=["disk"])
    daemon.vmctl("start", "guest", "--boot", "dvd")
    console.expect(r"BdsDxe: starting Boot\w+ .*Scsi\(0x0,0x1\)", 180)
    console.expect(r"GNU GRUB")
    console.expect(READY)
    console.run("dd if=/dev/sr0 bs=2048 skip=16 count=1 2>/dev/null | head -c 6 | grep -a CD001")
    daemon.vmctl("shutdown", "guest")
    daemon.wait_until(lambda: daemon.show("guest")["state"] == "off", 120, "the guest's end")
    daemon.vmctl("start", "guest")
    console.expect(STARTED, 180)
    console.expect(READY)
    shown = daemon.vmctl("firmware", "show", "guest").stdout
    check(re.search(r"boots: +Boot\w+: .*, PciRoot\(0x0\)/Pci\(0x2,0x0\)/Scsi\(0x0,0x0\)", shown), shown)
    daemon.vmctl("stop", "guest")
    daemon.vmctl("start", "guest", "--boot", "setup")
    console.expect(r"Boot Maintenance Manager", 180)
    daemon.vmctl("stop", "guest")


VARIABLE = "/sys/firmware/efi/efivars/VmmsTest-12345678-1234-1234-1234-123456789abc"
VARIABLES = "mount -t efivarfs efivarfs /sys/firmware/efi/efivars\n"


def uefi_keeps_variables(daemon, combination):
    """A variable that Linux sets is there after a reset, after the VM was off, and after it was saved in between."""
    have_uefi()
    console = create(daemon, combination, grub_disk(), "512M", generation=2)
    file = daemon.directory / "state" / "firmware"
    daemon.vmctl("start", "guest")
    console.expect(READY, 180)
    console.run(VARIABLES + f"printf '\\007\\000\\000\\000kept' > {VARIABLE}")
    daemon.vmctl("save", "guest", timeout=300)
    daemon.vmctl("start", "guest", timeout=300)
    console.run(f"grep -q kept {VARIABLE}")
    daemon.vmctl("reset", "guest")
    console.expect(READY, 180)
    console.run(VARIABLES + f"grep -q kept {VARIABLE}")
    daemon.vmctl("shutdown", "guest")
    daemon.wait_until(lambda: daemon.show("guest")["state"] == "off", 120, "the guest's end")
    daemon.vmctl("start", "guest")
    console.expect(READY, 180)
    console.run(VARIABLES + f"grep -q kept {VARIABLE}")
    daemon.vmctl("stop", "guest")
    check(len(list(file.iterdir())) == 1, list(file.iterdir()))
    daemon.vmctl("delete", "guest")
    check(not list(file.iterdir()), list(file.iterdir()))


def uefi_boots_debian(daemon, combination):
    """OVMF, GRUB, Debian's own kernel, init and daemons, to the login prompt; its disks and its network."""
    have_uefi()
    data, content = data_disk()
    guest = DebianOnDisk(daemon, "debian-13", [data], generation=2, **combination).start()
    guest.expect(STARTED, 180)
    guest.expect(r"GNU GRUB")
    guest.log_in()
    works(daemon, guest, combination["vps"], data, content, r"6\.12\.\S+ x86_64\namd64", "5.3")
    shuts_down(daemon, guest)


ALL = [bios_boots_a_disk, bios_resets_for_ever, bios_boots_linux, bios_boots_a_dvd, bios_boots_debian,
       uefi_boots_linux, uefi_boots_debian]

# Real mode, and the BIOS's own devices; the firmware's own use of VMBus.
OF_THE_ENGINE = [bios_boots_a_disk, uefi_boots_linux]

AT_LENGTH = [uefi_boots_a_dvd, uefi_keeps_variables, uefi_boots_debian]
