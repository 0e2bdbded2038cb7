#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Definitions on disk: what survives, what is broken, and changes by hand."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, OK, USAGE, ServiceTest, main, wait_until)  # noqa: E402

UUID = "f8615163-df3e-46c5-913f-f2d2f965ed0e"


class Store(ServiceTest):
    def file(self, name="vm"):
        return self.state / "vms" / f"{name}.json"

    def write(self, name, text):
        self.file(name).write_text(text)

    def write_definition(self, name, **members):
        definition = {"name": name, "uuid": UUID, "boot": {"kernel": str(self.folder / "kernel")}}
        definition.update(members)
        self.write(name, json.dumps(definition))

    def broken(self):
        return {broken["name"]: broken for broken in self.list()["broken"]}

    def restart(self):
        self.stop_vmms()
        self.start_vmms()

    def test_definitions_survive_a_restart(self):
        self.create("a", notes="über\n\x1b", memory={"size": "64M"})
        self.create("b")
        before = [self.show("a"), self.show("b")]
        self.restart()
        self.assertEqual([self.show("a"), self.show("b")], before)

    def test_files_are_private(self):
        self.create()
        self.assertEqual(self.file().stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.file().parent.stat().st_mode & 0o777, 0o700)

    def test_broken_definitions_stop_nobody(self):
        self.create("good")
        self.stop_vmms()
        self.write("syntax", '{"name": "syntax",\n "boot": {"kernel": "/k"},\n}\n')
        self.write("empty", "")
        self.write("key", '{\n"name": "key",\n"boot": {"kernel": "/k"},\n"colour": "red"}')
        self.write("other-name", f'{{"name": "x",\n"uuid": "{UUID}", "boot": {{"kernel": "/k"}}}}')
        self.write("no-uuid", '{"name": "no-uuid", "boot": {"kernel": "/k"}}')
        self.write("binary", "\x00\x01")
        self.file("folder").mkdir()
        self.start_vmms()
        self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["good"])
        broken = self.broken()
        self.assertEqual(set(broken), {"syntax", "empty", "key", "other-name", "no-uuid",
                                       "binary", "folder"})
        self.assertEqual((broken["syntax"]["line"], broken["key"]["line"]), (3, 4))
        self.assertEqual(broken["key"]["key"], "colour")
        self.assertEqual(broken["other-name"]["key"], "name")
        self.assertEqual(broken["no-uuid"]["key"], "uuid")
        self.assertEqual(broken["key"]["path"], str(self.file("key")))
        table = self.ok("list")
        self.assertIn(f"{self.file('key')}:4: colour is not a known key", table)
        self.assertIn(f"{self.file('key')}:4: colour", (self.folder / "log").read_text())
        self.ok("start", "good")

    def test_a_broken_definition_is_repaired(self):
        self.write("vm", "{")
        self.ok("reload")
        self.refused(USAGE, "start", "vm", says=f"{self.file()}:1")
        self.refused(FAILED, "create", "--name", "vm", "--kernel", self.folder / "kernel",
                     says="broken")
        self.write_definition("vm")
        self.ok("reload")
        self.assertEqual(self.broken(), {})
        self.ok("start", "vm")

    def test_a_broken_definition_is_deleted(self):
        self.write("vm", "{")
        self.ok("reload")
        self.ok("delete", "vm")
        self.assertEqual(self.broken(), {})
        self.assertFalse(self.file().exists())
        self.refused(NO_SUCH_VM, "delete", "vm")

    def test_a_uuid_twice(self):
        self.write_definition("a")
        self.write_definition("b")
        self.ok("reload")
        self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["a"])
        self.assertIn("VM 'a'", self.broken()["b"]["message"])

    def test_changes_by_hand(self):
        self.write_definition("vm")
        self.ok("reload")
        self.assertEqual(self.show()["processors"], 1)
        self.write_definition("vm", processors={"count": 4})
        self.ok("reload")
        self.assertEqual(self.show()["processors"], 4)
        self.file().unlink()
        self.ok("reload")
        self.assertEqual(self.list()["vms"], [])

    def test_changes_by_hand_leave_a_running_vm_alone(self):
        self.write_definition("vm")
        self.ok("reload")
        self.ok("start", "vm")
        pid = self.show()["worker_pid"]
        for text in '{"name": "vm"', None:
            if text is None:
                self.file().unlink()
            else:
                self.write("vm", text)
            self.ok("reload")
            self.assertEqual(self.show()["worker_pid"], pid)
        self.ok("stop", "vm")
        self.ok("reload")
        self.assertEqual(self.list()["vms"], [])

    def test_a_file_is_renamed(self):
        self.write_definition("old")
        self.ok("reload")
        self.file("old").unlink()
        self.write_definition("new")
        self.ok("reload")
        self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["new"])
        self.ok("start", "new")
        self.file("new").unlink()
        self.write_definition("again")
        self.ok("reload")
        self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["new"])
        self.assertIn("VM 'new'", self.broken()["again"]["message"])
        self.ok("stop", "new")
        self.ok("reload")
        self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["again"])

    def test_a_copy_does_not_take_over(self):
        self.write_definition("vm")
        self.ok("reload")
        self.write_definition("copy")
        self.ok("reload")
        self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["vm"])
        self.assertIn("VM 'vm'", self.broken()["copy"]["message"])

    def test_another_vm_in_the_same_file(self):
        self.write_definition("vm")
        self.ok("reload")
        self.write_definition("vm", uuid=UUID.replace("f", "e"))
        self.ok("reload")
        self.assertEqual(self.show()["uuid"], UUID.replace("f", "e"))

    def test_sighup_reloads(self):
        self.write_definition("vm")
        os.kill(self.vmms.pid, 1)
        wait_until(lambda: self.list()["vms"], "the VM")

    def test_leftovers_are_removed(self):
        self.create()
        self.stop_vmms()
        (self.file().parent / ".vm.staged").write_text("half")
        (self.file().parent / "README").write_text("kept")
        self.start_vmms()
        self.assertEqual(sorted(path.name for path in self.file().parent.iterdir()),
                         ["README", "vm.json"])

    def test_strange_file_names(self):
        self.stop_vmms()
        names = ["\x1b[31m", "ü", "x" * 200, "..", "a b"]
        for name in names:
            self.file(name).write_text("{}")
        bad = bytes(self.state / "vms") + b"/\xff\xfe.json"
        pathlib.Path(os.fsdecode(bad)).write_text("{}")
        self.start_vmms()
        self.assertEqual(len(self.broken()), 5)
        self.assertNotIn("\x1b", self.ok("list"))
        self.assertNotIn("\x1b", self.ok("list", "--names"))

    def test_full_disk(self):
        size = "size=64k"
        self.stop_vmms()
        vms = self.state / "vms"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", vms],
                          capture_output=True).returncode != 0:
            self.skipTest("no tmpfs may be mounted here")
        try:
            self.start_vmms()
            self.create("a", disks=[self.disk("disk")])
            filler = vms / "filler"
            with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * 4096)
            before = self.file("a").read_text()
            kernel = self.folder / "kernel"
            self.refused(FAILED, "create", "--name", "b", "--kernel", kernel, says="No space")
            self.refused(FAILED, "attach", "a", "--dvd", says="nothing has been changed")
            self.assertEqual(self.file("a").read_text(), before)
            self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["a"])
            filler.unlink()
            self.ok("attach", "a", "--dvd")
            self.ok("create", "--name", "b", "--kernel", kernel)
            self.stop_vmms()
        finally:
            if self.vmms:
                self.vmms.kill()
                self.vmms.wait()
            subprocess.run(["umount", vms], check=True)
            self.vmms = None


if __name__ == "__main__":
    main()
