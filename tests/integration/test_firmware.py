#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs with firmware of their own: the file of what it has set.

The worker takes descriptors by their names, and writes nothing there; what a real one keeps is for the
worker's own tests, and a row of the lab.
"""

import json
import os
import pathlib
import re
import struct
import sys

sys.dont_write_bytecode = True
from rig import FAILED, NO_SUCH_VM, OK, USAGE, WRONG_STATE, ServiceTest, main, wait_until  # noqa: E402

FLASH = 0x84000


def crc32c(data):
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82f63b78 if i & 1 else 0)
        table.append(i)
    value = 0xffffffff
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xff]
    return value ^ 0xffffffff


def copy_of(flash, sequence):
    """As the worker writes it: common/firmware/variables_file.h."""
    head = struct.pack("<8sIIQI", b"VMMSVARS", 1, FLASH, sequence, crc32c(flash))
    return (head + struct.pack("<I", crc32c(head))).ljust(4096, b"\0") + flash


class Firmware(ServiceTest):
    def files(self):
        folder = self.state / "firmware"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def start(self, name="vm"):
        self.create(name, generation=2, boot=None)
        self.ok("start", name)
        return f"{self.show(name)['definition']['uuid']}.variables"

    def test_file_comes_and_goes_with_the_vm(self):
        name = self.start()
        self.assertEqual(self.files(), [name])
        path = self.state / "firmware" / name
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(path.parent.stat().st_mode & 0o777, 0o700)
        self.ok("stop", "vm")
        path.write_bytes(b"kept")
        self.ok("start", "vm")
        self.ok("stop", "vm")
        self.ok("rename", "vm", "other")
        self.ok("start", "other")
        self.ok("stop", "other")
        self.assertEqual(path.read_bytes(), b"kept")
        self.ok("delete", "other")
        self.assertEqual(self.files(), [])

    def test_disks_that_come_while_generation_1_runs(self):
        """At the IDE channels nothing comes by itself then; while the VM is off, everything may."""
        self.create(generation=1, boot=None, disks=[self.disk("first")])
        self.ok("attach", "vm", self.disk("second")["path"])
        self.ok("start", "vm")
        self.ok("attach", "vm", self.disk("third")["path"])
        self.ok("attach", "vm", self.disk("fourth")["path"], "--controller", "1")
        self.assertEqual([(disk["controller"], disk["lun"]) for disk in self.show()["disks"]],
                         [(0, 0), (0, 1), (0, 4), (1, 0)])

    def test_firmware_that_boots_nothing(self):
        """Why is among what is shown, and in the log, until a system runs."""
        self.create(generation=2, boot=None)
        self.ok("start", "vm")
        for line, words in (("no-boot-device", "no boot device found"), ("refused-loader", "secure boot refused")):
            self.type(line)
            wait_until(lambda: words in self.ok("show", "vm"), "it to be shown")
            self.assertIn(words, self.ok("log", "vm"))
            self.assertIn(words, json.loads(self.ok("show", "vm", "--json"))["guest_problem"])
        self.type("boots")
        wait_until(lambda: "secure boot" not in self.ok("show", "vm"), "it to be over")
        self.type("no-boot-device")
        wait_until(lambda: "no boot device" in self.ok("show", "vm"), "it to be shown")
        self.ok("stop", "vm")
        self.assertEqual(self.show()["guest_problem"], "")

    def test_made_of_options(self):
        disk, dvd = self.disk("disk"), self.disk("dvd.iso")
        self.ok("create", "--name", "vm", "--generation", "2", "--disk", disk["path"], "--dvd", dvd["path"])
        self.assertNotIn("boot order", self.ok("show", "vm"))
        self.ok("set", "vm", "boot_order=dvd,disk")
        definition = self.show()["definition"]
        self.assertEqual((definition["generation"], definition["boot_order"]), (2, ["dvd", "disk"]))
        self.assertEqual([disk["type"] for disk in definition["disks"]], ["disk", "dvd"])
        self.assertRegex(self.ok("show", "vm"), r"boot order: +dvd, ?disk")
        self.ok("start", "vm")
        self.ok("set", "vm", "boot_order=disk")
        self.assertRegex(self.ok("show", "vm"), r"next start: +boot_order")
        self.refused(USAGE, "set", "vm", "boot_order=floppy", says='must be "disk" or "dvd"')

    def test_boot_order(self):
        disk, dvd = self.disk("disk"), self.disk("dvd.iso")
        self.ok("create", "--name", "vm", "--generation", "1", "--disk", disk["path"], "--dvd", dvd["path"])
        self.assertEqual(self.ok("boot-order", "vm"), "default: as the firmware has it\n")
        self.assertIn("changed: boot_order", self.ok("boot-order", "vm", "dvd"))
        self.assertEqual(self.ok("boot-order", "vm"), "dvd\n")
        self.ok("boot-order", "vm", "disk", "dvd")
        self.assertEqual(self.show()["definition"]["boot_order"], ["disk", "dvd"])
        self.assertEqual(json.loads(self.ok("boot-order", "vm", "--json")), {"boot_order": ["disk", "dvd"]})
        self.assertEqual(self.ok("boot-order", "vm"), "disk\ndvd\n")
        for words in (["floppy"], ["disk", "disk"], ["default", "disk"], ["disk", "default"]):
            self.refused(USAGE, "boot-order", "vm", *words)
        self.ok("boot-order", "vm", "default")
        self.assertEqual(json.loads(self.ok("boot-order", "vm", "--json")), {"boot_order": []})
        self.create("kernel")
        self.assertIn("a kernel is loaded", self.ok("boot-order", "kernel"))
        self.refused(USAGE, "boot-order", "kernel", "disk", says="a kernel is loaded")

    def firmware_tried(self):
        """At each start, the first of how many, as the worker is told."""
        return re.findall(r"firmware: (.*?)\r?\n", self.ok("console", "vm", "--log"))

    def test_start_in_the_menus(self):
        self.create("bios", generation=1, boot=None)
        self.refused(USAGE, "start", "bios", "--boot", "setup", says="only generation 2")
        self.create(generation=2, boot=None)
        self.ok("start", "vm", "--boot", "setup")
        self.assertEqual(self.firmware_tried(), ["setup"])
        self.ok("stop", "vm")
        self.ok("start", "vm")
        self.assertEqual(self.firmware_tried(), ["setup"])
        self.ok("save", "vm")
        self.refused(WRONG_STATE, "start", "vm", "--boot", "setup", says="is saved")

    def test_one_start_from_another_drive(self):
        disk, dvd = self.disk("disk"), self.disk("dvd.iso")
        self.ok("create", "--name", "vm", "--generation", "2", "--disk", disk["path"])
        self.ok("boot-order", "vm", "disk", "dvd")
        before = self.show()["definition"]
        self.refused(USAGE, "start", "vm", "--boot", "dvd", says="has no dvd to boot from")
        self.refused(USAGE, "start", "vm", "--boot", "floppy")
        self.refused(USAGE, "start", "vm", "--boot", "disk", "--pass", says="either")
        self.assertEqual(self.show()["state"], "off")
        self.ok("attach", "vm", dvd["path"], "--dvd")
        before["disks"] = self.show()["definition"]["disks"]
        self.assertIn("VM 'vm' started", self.ok("start", "vm", "--boot", "dvd"))
        self.assertEqual(self.firmware_tried(), ["dvd first of 1"])
        self.assertEqual(self.show()["definition"], before)
        self.assertNotIn("next start", self.ok("show", "vm"))
        self.assertIn("already", self.ok("start", "vm", "--boot", "dvd"))
        self.ok("stop", "vm")
        self.ok("start", "vm")
        self.ok("save", "vm")
        self.refused(WRONG_STATE, "start", "vm", "--boot", "dvd", says="is saved")
        self.ok("start", "vm", "--discard", "--boot", "disk")
        self.assertEqual(self.firmware_tried(), ["dvd first of 1", "disk first of 2", "disk first of 1"])
        self.create("kernel")
        self.refused(USAGE, "start", "kernel", "--boot", "disk", says="loads a kernel")

    def test_others_have_none(self):
        self.create()
        self.ok("start", "vm")
        self.assertEqual(self.files(), [])
        self.ok("stop", "vm")
        self.ok("delete", "vm")

    def test_each_its_own(self):
        names = sorted([self.start("a"), self.start("b")])
        self.assertEqual(self.files(), names)
        self.ok("stop", "a")
        self.ok("delete", "a")
        self.assertEqual(len(self.files()), 1)

    def state_of_variables(self):
        firmware = json.loads(self.ok("firmware", "show", "vm", "--json"))
        self.assertEqual((firmware["generation"], firmware["firmware"]["package"]), (2, "ovmf"))
        return firmware["variables"]

    def test_looked_at_and_exported(self):
        path = self.state / "firmware" / self.start()
        file = self.folder / "exported"
        self.assertEqual(self.state_of_variables(), {"state": "new"})
        self.assertRegex(self.ok("firmware", "show", "vm"),
                         r"\Afirmware: +/usr/share/OVMF/OVMF_CODE_4M.fd, of the package ovmf\nvariables: +none yet")
        self.refused(NO_SUCH_VM, "firmware", "export", "vm", file, says="has set nothing yet")
        self.assertFalse(file.exists())
        older, newer = bytes(FLASH), b"new".ljust(FLASH, b"\xff")
        path.write_bytes(copy_of(newer, 8) + copy_of(older, 7))
        self.assertEqual(self.state_of_variables(), {"state": "whole", "size": FLASH, "boot_entries": []})
        self.assertRegex(self.ok("firmware", "show", "vm"), "variables: +whole, 528 KiB")
        self.ok("firmware", "export", "vm", file)
        self.assertEqual(file.read_bytes(), newer)
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.refused(FAILED, "firmware", "export", "vm", file, says="File exists")
        # The copy that is being written while the VM runs.
        path.write_bytes(copy_of(newer, 8)[:-1] + b"x" + copy_of(older, 7))
        file.unlink()
        self.ok("firmware", "export", "vm", file)
        self.assertEqual(file.read_bytes(), older)

    def test_what_can_be_booted(self):
        path = self.state / "firmware" / self.start()
        flash = pathlib.Path("/usr/share/OVMF/OVMF_VARS_4M.fd").read_bytes()
        entry = struct.pack("<IH", 1, 10) + "Dis\u1234k\0".encode("utf-16-le") + bytes([1, 1, 6, 0, 0, 2, 0x7f, 0xff, 4, 0])
        variables = b""
        for name, data in (("BootOrder", b"\2\0\1\0"), ("Boot0001", entry)):
            wide = (name + "\0").encode("utf-16-le")
            variables += struct.pack("<HBBI28xII", 0x55aa, 0x3f, 0, 7, len(wide), len(data))
            variables += bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c") + wide + data
            variables += b"\xff" * (-len(variables) % 4)
        flash = flash[:0x64] + variables + flash[0x64 + len(variables):]
        path.write_bytes(bytes(FLASH + 4096) + copy_of(flash, 1))
        self.assertEqual(self.state_of_variables()["boot_entries"], [
            {"number": 1, "description": "Dis?k", "path": "Pci(0x2,0x0)", "active": True, "next": False}])
        self.assertIn("\nboots:      Boot0001: Dis?k, Pci(0x2,0x0)\n", self.ok("firmware", "show", "vm"))

    def test_damaged_ones_are_mended(self):
        path = self.state / "firmware" / self.start()
        path.write_bytes((b"damaged" * FLASH)[:2 * (FLASH + 4096)])
        self.assertEqual(self.state_of_variables(), {"state": "damaged"})
        self.assertIn("'vmctl firmware reset'", self.ok("firmware", "show", "vm"))
        self.refused(FAILED, "firmware", "export", "vm", "-", says="'vmctl firmware reset'")
        self.refused(WRONG_STATE, "firmware", "reset", "vm", says="which is running; turn it off first")
        self.assertTrue(path.exists())
        self.ok("save", "vm")
        self.refused(WRONG_STATE, "firmware", "reset", "vm", says="vmctl discard")
        self.ok("discard", "vm")
        self.assertIn("its next start", self.ok("firmware", "reset", "vm"))
        self.assertEqual(self.files(), [])
        self.assertIn("made anew at the next start", self.ok("log", "vm"))
        self.assertEqual(self.vmctl("firmware", "reset", "vm").status, OK)
        self.ok("start", "vm")
        self.assertEqual(self.state_of_variables(), {"state": "new"})

    def test_what_is_no_file_is_not_read(self):
        path = self.state / "firmware" / self.start()
        self.ok("stop", "vm")
        for make in (path.mkdir, lambda: path.symlink_to("/etc/hostname"), lambda: os.mkfifo(path)):
            path.unlink()
            make()
            self.refused(FAILED, "firmware", "show", "vm", says="cannot read")
            if path.is_dir():
                self.refused(FAILED, "firmware", "reset", "vm", says="cannot remove")
                path.rmdir()
                path.touch()
        self.ok("firmware", "reset", "vm")
        self.ok("start", "vm")

    def test_others_have_no_variables(self):
        self.create()
        self.assertEqual(json.loads(self.ok("firmware", "show", "vm", "--json")), {"generation": 0})
        self.assertIn("a kernel is loaded", self.ok("firmware", "show", "vm"))
        for words in (["reset", "vm"], ["export", "vm", "-"]):
            self.refused(FAILED, "firmware", *words, says="only one of generation 2")
        self.create("bios", generation=1, boot=None)
        firmware = json.loads(self.ok("firmware", "show", "bios", "--json"))
        self.assertEqual((firmware["firmware"]["package"], "variables" in firmware), ("seabios", False))

    def test_place_that_is_taken(self):
        (self.state / "firmware").write_text("")
        self.create(generation=2, boot=None)
        self.refused(FAILED, "start", "vm", says="which keeps what the firmware of VM 'vm' has set")
        self.assertEqual(self.show()["state"], "off")
        (self.state / "firmware").unlink()
        self.ok("start", "vm")

    def test_link_is_not_followed(self):
        target = self.folder / "target"
        name = self.start()
        self.ok("stop", "vm")
        path = pathlib.Path(self.state / "firmware" / name)
        path.unlink()
        path.symlink_to(target)
        self.refused(FAILED, "start", "vm", says="symbolic links")
        self.assertFalse(target.exists())


if __name__ == "__main__":
    main()
