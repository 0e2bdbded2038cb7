#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs with firmware of their own: the file of what it has set.

The worker takes descriptors by their names, and writes nothing there; what a real one keeps is for the
worker's own tests, and a row of the lab.
"""

import pathlib
import sys

sys.dont_write_bytecode = True
from rig import FAILED, USAGE, ServiceTest, main  # noqa: E402


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
