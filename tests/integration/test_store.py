#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Definitions on disk: what survives, what is broken, and changes by hand."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, OK, TIMEOUT, USAGE, ServiceTest, main,  # noqa: E402
                 wait_until)

UUID = "f8615163-df3e-46c5-913f-f2d2f965ed0e"


class StoreTest(ServiceTest):
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


class Store(StoreTest):
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
        self.assertIn(f"{self.file('no-uuid')}: uuid is missing", table)
        self.assertIn(f"{self.file('syntax')}:3: not JSON", table)
        self.refused(USAGE, "start", "no-uuid", says="no-uuid.json: uuid is missing")
        self.assertIn(f"{self.file('key')}:4: colour", (self.folder / "log").read_text())
        self.ok("start", "good")

    def test_a_broken_definition_is_repaired(self):
        self.write("vm", "{")
        self.refused(FAILED, "reload", says="broken: ")
        self.refused(USAGE, "start", "vm", says=f"{self.file()}:1")
        self.refused(FAILED, "create", "--name", "vm", "--kernel", self.folder / "kernel",
                     says="broken")
        self.write_definition("vm")
        self.ok("reload")
        self.assertEqual(self.broken(), {})
        self.ok("start", "vm")

    def test_a_broken_definition_is_deleted(self):
        self.write("vm", "{")
        self.refused(FAILED, "reload", says="broken: ")
        self.ok("delete", "vm")
        self.assertEqual(self.broken(), {})
        self.assertFalse(self.file().exists())
        self.refused(NO_SUCH_VM, "delete", "vm")

    def test_a_uuid_twice(self):
        self.write_definition("a")
        self.write_definition("b")
        self.refused(FAILED, "reload", says="broken: ")
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
            if text is None:
                self.ok("reload")
            else:
                self.refused(FAILED, "reload", says="vm.json:1: not JSON")
            self.assertEqual(self.show()["worker_pid"], pid)
        self.ok("stop", "vm")
        self.ok("reload")
        self.assertEqual(self.list()["vms"], [])

    def test_a_file_that_has_not_been_read_is_not_replaced(self):
        self.write_definition("vm", notes="precious")
        self.refused(FAILED, "create", "--name", "vm", "--kernel", "/dev/null", says="vmctl reload")
        self.ok("reload")
        self.assertEqual(self.show()["notes"], "precious")
        # Known, and changed since.
        for begin in lambda: None, lambda: self.ok("start", "vm"):
            begin()
            self.write_definition("vm", notes="more precious")
            for words in (["set", "vm", "tags=a"], ["net", "add", "vm"], ["detach", "vm", "--lun", "0"],
                          ["attach", "vm", "--dvd"]):
                self.vmctl(*words)
                self.assertEqual(json.loads(self.file().read_text())["notes"], "more precious")
            self.refused(FAILED, "set", "vm", "tags=a", says="vmctl reload")
            self.assertEqual(self.show()["tags"], [])
            self.ok("reload")
            self.ok("set", "vm", "tags=b", "notes=mine")
            self.assertEqual(json.loads(self.file().read_text())["tags"], ["b"])
            self.ok("set", "vm", "tags=[]")
        # Broken by whoever changes it, and gone.
        self.write("vm", "{")
        self.refused(FAILED, "reload", says="broken: ")
        self.refused(FAILED, "set", "vm", "tags=a", says="vmctl reload")
        self.assertEqual(self.file().read_text(), "{")
        self.file().unlink()
        self.ok("set", "vm", "tags=a")
        self.assertEqual(json.loads(self.file().read_text())["tags"], ["a"])

    def test_what_could_not_be_taken_over_is_not_replaced(self):
        """The VM is being changed just then; the file waits."""
        self.create(append="slow-detach", disks=[{"type": "dvd", "lun": 0}])
        self.ok("start", "vm")
        detach = self.vmctl_in_background("detach", "vm", "--lun", "0")
        self.wait_said("detach")
        definition = json.loads(self.file().read_text())
        definition["notes"] = "precious"
        self.file().write_text(json.dumps(definition))
        self.ok("reload")
        self.type("settled")
        self.assertIn("vmctl reload", detach.communicate(timeout=TIMEOUT)[1])
        self.assertEqual(json.loads(self.file().read_text())["notes"], "precious")
        self.ok("reload")
        self.ok("set", "vm", "tags=a")
        self.assertEqual(self.show()["notes"], "precious")

    def test_a_file_is_renamed_while_nobody_looks(self):
        self.create("old")
        self.ok("start", "old")
        pid = self.show("old")["worker_pid"]
        self.kill_vmms()
        definition = json.loads(self.file("old").read_text())
        self.file("old").unlink()
        self.file("new").write_text(json.dumps({**definition, "name": "new"}))
        self.start_vmms()
        info = self.wait_state("running", "new")
        self.assertEqual((info["worker_pid"], info["pending"]), (pid, []))
        self.ok("set", "new", "tags=a")
        self.ok("stop", "new")
        self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["new"])
        self.assertEqual(json.loads(self.file("new").read_text())["tags"], ["a"])
        self.assertFalse(self.file("old").exists())
        self.assertNotIn("cannot be saved", (self.folder / "log").read_text())

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
        self.refused(FAILED, "reload", says="broken: ")
        self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["new"])
        self.assertIn("VM 'new'", self.broken()["again"]["message"])
        self.ok("stop", "new")
        self.ok("reload")
        self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["again"])

    def test_a_copy_does_not_take_over(self):
        self.write_definition("vm")
        self.ok("reload")
        self.write_definition("copy")
        self.refused(FAILED, "reload", says="broken: ")
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


@unittest.skipUnless(os.geteuid() == 0, "needs root, to mount")
class Trouble(StoreTest):
    """File systems that cannot be written, for a service that is there already or begins there."""

    def mount(self, folder, *words):
        subprocess.run(["mount", *words, folder], check=True, capture_output=True)
        self.mounted.append(folder)

    def setUp(self):
        self.mounted = []
        super().setUp()
        # Before the folder is removed, and after its users are gone.
        self.addCleanup(self.unmount)
        self.addCleanup(self.end_vmms)

    def end_vmms(self):
        self.kill_workers()
        if self.vmms:
            self.kill_vmms()

    def unmount(self):
        for folder in reversed(self.mounted):
            subprocess.run(["umount", "--lazy", folder], check=True)

    def remount(self, folder, how):
        subprocess.run(["mount", "-o", f"remount,bind,{how}", folder], check=True)

    def protect(self, folder):
        """Nobody may have a file open there to write: the service comes back to it."""
        self.kill_vmms()
        self.remount(folder, "ro")
        self.start_vmms()

    def files(self):
        return {path.name: path.read_text() for path in self.file().parent.iterdir()}

    def fill(self, folder):
        with open(folder / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def assert_nothing_changes(self, says):
        before, listed = self.files(), self.list()
        for words in (["create", "--name", "new", "--kernel", "/dev/null"], ["set", "off", "notes=x"],
                      ["attach", "off", "--dvd"], ["detach", "off", "--lun", "0"],
                      ["net", "add", "off", "--switch", "none"], ["set", "on", "notes=x"],
                      ["attach", "on", "--dvd"], ["detach", "on", "--lun", "0"],
                      ["net", "add", "on", "--switch", "none"]):
            self.refused(FAILED, *words, says=says)
        self.assertEqual(self.files(), before)
        self.assertEqual(self.list(), listed)

    def make_two(self):
        for name in "on", "off":
            self.create(name, disks=[{"type": "dvd"}])
        self.ok("start", "on")

    def test_a_read_only_state_folder(self):
        self.stop_vmms()
        self.mount(self.state, "--bind", self.state)
        self.start_vmms()
        self.make_two()
        before = self.show("on")
        self.protect(self.state)
        wait_until(lambda: self.show("on")["heartbeat"] == before["heartbeat"], "the VM")
        self.assertEqual(self.show("on")["worker_pid"], before["worker_pid"])
        self.assert_nothing_changes("Read-only file system")
        self.refused(FAILED, "delete", "off", says="Read-only file system")
        self.assertIn("off", self.files().get("off.json", ""))
        # VMs can be used as before.
        self.type("hello", name="on")
        self.ok("stop", "on")
        self.ok("start", "on", "off")
        self.ok("stop", "off")
        self.ok("reload")
        doctor = json.loads(self.vmctl("doctor", "--json").out)
        check = next(one for one in doctor["checks"] if one["name"] == "state-space")
        self.assertEqual((check["verdict"], "read-only" in check["found"]), ("fault", True))
        self.remount(self.state, "rw")
        self.ok("set", "off", "notes=x")
        self.ok("attach", "on", "--dvd")
        self.ok("delete", "off")
        self.assertEqual(list(self.files()), ["on.json"])

    def test_a_guest_that_ejects_on_a_read_only_folder(self):
        self.stop_vmms()
        self.mount(self.state, "--bind", self.state)
        self.start_vmms()
        self.create(disks=[self.disk("medium.raw", type="dvd")])
        self.ok("start", "vm")
        self.protect(self.state)
        self.type("eject")
        wait_until(lambda: "path" not in self.show()["definition"]["disks"][0], "the drive")
        wait_until(lambda: "cannot be saved" in (self.folder / "log").read_text(), "the log")
        self.assertIn("medium.raw", self.file().read_text())
        self.remount(self.state, "rw")
        self.ok("set", "vm", "notes=x")
        self.assertNotIn("medium.raw", self.file().read_text())

    def test_a_state_folder_that_was_never_made(self):
        self.stop_vmms()
        place = self.folder / "place"
        place.mkdir()
        self.mount(place, "-t", "tmpfs", "-o", "ro", "tmpfs")
        self.state = place / "state"
        self.start_vmms(wait=False)
        self.assertEqual(self.vmms.wait(TIMEOUT), 1)
        self.vmms = None
        self.assertIn(f"cannot use {place}/state: Read-only file system",
                      (self.folder / "log").read_text())

    def test_a_full_state_folder(self):
        self.stop_vmms()
        self.mount(self.state, "-t", "tmpfs", "-o", "size=256k", "tmpfs")
        self.start_vmms()
        self.make_two()
        self.fill(self.state)
        self.assert_nothing_changes("No space left")
        self.ok("stop", "on")
        self.ok("start", "on", "off")
        before = self.show("on")["worker_pid"]
        self.kill_vmms()
        self.start_vmms()
        self.assertEqual(self.show("on")["worker_pid"], before)
        self.assert_nothing_changes("No space left")
        self.ok("stop", "off")
        self.ok("delete", "off")
        (self.state / "filler").unlink()
        self.ok("set", "on", "notes=x")

    def test_a_full_runtime_folder(self):
        self.stop_vmms()
        run = self.folder / "run"
        self.mount(run, "-t", "tmpfs", "-o", "size=64k", "tmpfs")
        self.start_vmms()
        self.make_two()
        pid = self.show("on")["worker_pid"]
        self.fill(run)
        result = self.vmctl("start", "off")
        self.assertIn(self.show("off")["state"], ("running", "off"))
        self.assertEqual(result.status == OK, self.show("off")["state"] == "running", result.err)
        self.ok("attach", "on", "--dvd")
        self.type("hello", name="on")
        self.kill_vmms()
        self.start_vmms()
        self.assertEqual(self.show("on")["worker_pid"], pid)
        self.ok("stop", "on")
        (run / "filler").unlink()
        self.ok("start", "on")

    def test_definitions_that_are_spoilt_while_vms_run(self):
        """Whatever stands in the file, the VM is what it was, and its next change is refused or
        mends it."""
        self.make_two()
        pid = self.show("on")["worker_pid"]
        good = self.file("on").read_text()
        for spoilt in b"", b"\0" * 4096, good[:-20].encode(), b"{}", b"[" * 100000, \
                b"\xff" + good.encode():
            for name in "on", "off":
                self.file(name).write_bytes(spoilt)
            self.refused(FAILED, "reload", says="broken: ")
            self.assertEqual(self.worker_pids(), [pid])
            self.assertTrue(self.broken())
            self.kill_vmms()
            self.start_vmms()
            self.assertEqual(set(self.broken()), {"on", "off"})
            os.kill(pid, 0)
            self.file("on").write_text(good)
            self.file("off").write_text(good.replace('"on"', '"off"'))
            # Two files have its uuid: it goes by the name of one of them.
            self.refused(FAILED, "reload", says="uuid is that of VM")

    def worker_pids(self):
        return [self.show(vm["name"])["worker_pid"] for vm in self.list()["vms"]]


if __name__ == "__main__":
    main()
