#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs are saved, go on from there, and lose nothing where that fails.

The worker writes a file with a line of text, and takes no other; what a real one saves is for the
rows of the lab."""

import json
import os
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, OK, WRONG_STATE, ServiceTest, main, wait_until)  # noqa: E402

STATE = b"a fake saved VM\n"


class Saved(ServiceTest):
    def saved_files(self):
        return sorted(path.name for path in (self.state / "saved").iterdir())

    def uuid(self, name="vm"):
        return self.show(name)["definition"]["uuid"]

    def start_and_save(self, *more, **members):
        self.create(*more, **members)
        self.ok("start", "vm")
        self.ok("save", "vm")

    # ---- Save and start ----

    def test_saves_and_goes_on(self):
        self.create(disks=[self.disk("a", lun=0)])
        self.ok("start", "vm")
        self.wait_said("guest: begin")
        self.assertIn("VM 'vm' saved", self.ok("save", "vm"))
        info = self.show()
        self.assertEqual((info["state"], info["worker_pid"]), ("saved", 0))
        uuid = self.uuid()
        self.assertEqual(self.saved_files(), [f"{uuid}.json", f"{uuid}.state"])
        state = self.state / "saved" / f"{uuid}.state"
        self.assertEqual((state.read_bytes(), state.stat().st_mode & 0o777), (STATE, 0o600))
        self.assertIn("saved", self.ok("list"))
        self.assertIn("VM 'vm' started", self.ok("start", "vm"))
        self.assertEqual(self.show()["state"], "running")
        self.wait_said("guest: restored")
        self.wait_said("guest: resumed")
        wait_until(lambda: self.saved_files() == [], "the file to be removed")
        log = self.ok("log", "vm")
        self.assertIn("saved", log)

    def test_what_is_there_already(self):
        self.start_and_save()
        self.assertIn("saved already", self.ok("save", "vm"))
        self.assertIn("saved already", self.ok("stop", "vm"))
        self.ok("discard", "vm")
        self.assertIn("off already", self.ok("discard", "vm"))
        self.refused(WRONG_STATE, "save", "vm", says="start it first")

    def test_paused_vm(self):
        self.create()
        self.ok("start", "vm")
        self.ok("pause", "vm")
        self.ok("save", "vm")
        self.ok("start", "vm")
        self.assertEqual(self.show()["state"], "running")

    def test_several_at_once(self):
        for name in "vm", "b", "c":
            self.create(name)
        self.ok("start", "vm", "b", "c")
        self.ok("save", "vm", "b", "c")
        self.assertEqual({vm["state"] for vm in self.list()["vms"]}, {"saved"})
        self.ok("start", "vm", "b", "c")

    def test_job(self):
        self.create(append="slow-save")
        self.ok("start", "vm")
        job = self.ok("save", "vm", "--no-wait").strip()
        self.wait_state("saving")
        wait_until(lambda: self.saved_files(), "the file")
        self.refused(WRONG_STATE, "pause", "vm", says="wait until it is saved")
        self.disk("x")
        self.refused(WRONG_STATE, "attach", "vm", self.folder / "x", says="saving")
        wait_until(lambda: self.vmctl("job", "cancel", job).status == OK, "the job to be cancelled")
        self.wait_state("running")
        wait_until(lambda: self.saved_files() == [], "the file to be removed")

    def test_elsewhere(self):
        self.stop_vmms()
        place = self.folder / "place"
        self.start_vmms("--saved-dir", place)
        self.create()
        self.ok("start", "vm")
        self.refused(FAILED, "save", "vm", says=str(place))
        self.assertEqual(self.show()["state"], "running")
        place.mkdir()
        self.ok("save", "vm")
        self.assertEqual([path.name for path in place.iterdir()], [f"{self.uuid()}.state"])
        self.ok("start", "vm")
        wait_until(lambda: not list(place.iterdir()), "the file to be removed")

    # ---- What can be done with a VM that is saved ----

    def test_discard(self):
        self.start_and_save()
        self.ok("discard", "vm")
        self.assertEqual(self.show()["state"], "off")
        wait_until(lambda: self.saved_files() == [], "the file to be removed")
        self.ok("start", "vm")
        self.wait_said("guest: begin")
        self.assertNotIn("guest: restored", self.console_log())

    def test_start_discards(self):
        self.start_and_save()
        self.ok("start", "vm", "--discard")
        self.assertNotIn("guest: restored", self.console_log())
        self.ok("stop", "vm")
        self.ok("start", "vm", "--discard")  # also one that is off

    def test_is_not_changed(self):
        self.start_and_save(disks=[self.disk("a", lun=0)])
        self.disk("b")
        for words in (["set", "vm", "memory.size=1G"], ["attach", "vm", self.folder / "b"],
                      ["detach", "vm", "--lun", "0"], ["net", "add", "vm"], ["delete", "vm"]):
            self.refused(WRONG_STATE, *words, says="which is saved; start it, or discard")
        self.ok("start", "vm")
        self.wait_said("guest: restored")

    def test_is_renamed(self):
        self.start_and_save()
        self.ok("rename", "vm", "other")
        self.kill_vmms()
        self.start_vmms()
        self.assertEqual(self.show("other")["state"], "saved")
        self.ok("start", "other")
        self.wait_said("guest: restored", "other")

    def test_pending_change_waits_on(self):
        self.create()
        self.ok("start", "vm")
        self.ok("set", "vm", "memory.size=1G")
        self.ok("save", "vm")
        for _ in range(2):
            self.assertEqual(self.show()["pending"], ["memory.size"])
            self.kill_vmms()
            self.start_vmms()
        self.ok("start", "vm")
        self.wait_said("guest: restored")
        self.assertEqual(self.show()["pending"], ["memory.size"])
        self.ok("save", "vm")
        self.ok("discard", "vm")
        info = self.show()
        self.assertEqual((info["pending"], info["memory"]), ([], 1 << 30))

    def test_file_changes_meanwhile(self):
        self.start_and_save()
        path = self.state / "vms" / "vm.json"
        definition = json.loads(path.read_text())
        definition["memory"]["size"] = "1G"
        path.write_text(json.dumps(definition))
        self.ok("reload")
        self.assertEqual(self.show()["state"], "saved")
        self.ok("start", "vm")
        self.wait_said("guest: restored")

    def test_disk_that_was_changed(self):
        disk = self.disk("a", lun=3)
        self.start_and_save(disks=[disk])
        with open(disk["path"], "r+b") as image:
            image.write(b"x")
        text = self.refused(FAILED, "start", "vm", says="disk 0:3 has been changed since")
        self.assertIn("vmctl start --discard", text)
        self.assertEqual(self.show()["state"], "saved")
        self.ok("start", "vm", "--discard")

    def test_disk_is_gone(self):
        disk = self.disk("a", lun=0)
        self.start_and_save(disks=[disk])
        os.rename(disk["path"], disk["path"] + ".away")
        self.refused(FAILED, "start", "vm", says=disk["path"])
        os.rename(disk["path"] + ".away", disk["path"])
        self.ok("start", "vm")
        self.wait_said("guest: restored")

    # ---- What fails ----

    def test_worker_refuses(self):
        self.create(append="refuse-save")
        self.ok("start", "vm")
        self.refused(FAILED, "save", "vm", says="refuses save")
        self.assertEqual(self.show()["state"], "running")
        wait_until(lambda: self.saved_files() == [], "the file to be removed")
        self.ok("stop", "vm")

    def test_state_cannot_be_restored(self):
        self.start_and_save(append="refuse-restore")
        self.refused(FAILED, "start", "vm", says="refuses restore")
        self.wait_state("saved")
        self.refused(FAILED, "start", "vm", says="refuses restore")
        self.ok("start", "vm", "--discard")

    def test_state_is_gone(self):
        self.start_and_save()
        (self.state / "saved" / f"{self.uuid()}.state").unlink()
        self.refused(FAILED, "start", "vm", says="No such file")
        self.assertEqual(self.show()["state"], "saved")
        self.ok("discard", "vm")

    def test_record_is_broken(self):
        self.start_and_save()
        self.kill_vmms()
        (self.state / "saved" / f"{self.uuid_of_file()}.json").write_text("{]")
        self.start_vmms()
        self.assertEqual(self.show()["state"], "off")
        self.assertIn("cannot be read", self.ok("log", "vm"))

    def uuid_of_file(self):
        return json.loads((self.state / "vms" / "vm.json").read_text())["uuid"]

    def test_worker_dies_meanwhile(self):
        self.create(append="slow-save")
        self.ok("start", "vm")
        save = self.vmctl_in_background("save", "vm")
        self.wait_state("saving")
        wait_until(lambda: self.saved_files(), "the file")
        os.kill(self.show()["worker_pid"], 9)
        out, err = save.communicate(timeout=60)
        self.assertNotEqual(save.returncode, OK)
        self.wait_state("crashed")
        wait_until(lambda: self.saved_files() == [], "the file to be removed")

    def test_turned_off_meanwhile(self):
        self.create(append="slow-save")
        self.ok("start", "vm")
        save = self.vmctl_in_background("save", "vm")
        self.wait_state("saving")
        self.ok("stop", "vm")
        save.communicate(timeout=60)
        self.assertNotEqual(save.returncode, OK)
        self.assertEqual(self.show()["state"], "off")
        wait_until(lambda: self.saved_files() == [], "the file to be removed")

    def test_dump_meanwhile(self):
        self.create(append="slow-dump")
        self.ok("start", "vm")
        dump = self.vmctl_in_background("dump", "vm", str(self.folder / "core"))
        wait_until(lambda: (self.folder / "core").exists(), "the dump")
        wait_until(lambda: self.vmctl("save", "vm").status != OK, "the save to be refused")
        dump.kill()
        dump.communicate()

    # ---- The daemon ends ----

    def test_is_saved_when_the_daemon_ends(self):
        self.create(automatic_stop=None)
        self.create("paused", automatic_stop=None)
        self.create("refuses", append="refuse-save", automatic_stop=None)
        self.create("off", automatic_stop=None)
        self.ok("start", "vm", "paused", "refuses")
        self.ok("pause", "paused")
        self.stop_vmms()
        self.start_vmms()
        self.assertEqual({vm["name"]: vm["state"] for vm in self.list()["vms"]},
                         {"vm": "saved", "paused": "saved", "refuses": "off", "off": "off"})
        self.ok("start", "vm")
        self.wait_said("guest: restored")

    def test_daemon_ends(self):
        self.start_and_save()
        self.stop_vmms()
        self.start_vmms()
        self.assertEqual(self.show()["state"], "saved")
        self.ok("start", "vm")
        self.wait_said("guest: restored")

    def test_daemon_is_killed_while_it_saves(self):
        self.create(append="slow-save")
        self.ok("start", "vm")
        save = self.vmctl_in_background("save", "vm")
        self.wait_state("saving")
        self.kill_vmms()
        save.communicate(timeout=60)
        self.start_vmms()
        self.wait_state("running")


if __name__ == "__main__":
    main()
