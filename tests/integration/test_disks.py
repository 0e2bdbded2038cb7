#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that the host cannot carry out requests of: what is told of them, and what comes of it."""

import json
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, TIMEOUT, USAGE, WRONG_STATE, ServiceTest, main,  # noqa: E402
                 wait_until)


class Disks(ServiceTest):
    def start(self, **options):
        self.create(disks=[self.disk("a")], **options)
        self.ok("start", "vm")

    def shown(self):
        return self.show()["disks"][0]

    def property(self, name):
        path = "/org/vmms1/vm/" + self.show()["uuid"].replace("-", "_")
        text = subprocess.run(["busctl", "--address", self.address, "--json=short", "get-property",
                               "org.vmms1", path, "org.vmms1.VM", name],
                              capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
        return json.loads(text)["data"]

    def messages(self, kind):
        return [event["message"] for event in
                json.loads(self.ok("log", "vm", "--json"))["events"] if event["event"] == kind]

    def test_of_a_vm_that_is_off(self):
        self.create(disks=[self.disk("a")])
        disk = self.shown()
        self.assertEqual(disk["format"], "raw")
        self.assertEqual(disk["on_error"], "automatic")
        self.assertNotIn("health", disk)
        self.assertIn("a", self.ok("show", "vm"))

    def test_well(self):
        self.start()
        disk = self.shown()
        self.assertEqual((disk["health"], disk["size"], disk["held"], disk["errors"]),
                         ("ok", 4096, 3, 2))
        self.assertRegex(self.ok("show", "vm"), r"HEALTH +PATH\n0 +0 .* raw .* 512 .* ok +/")

    def test_full_and_on_again(self):
        self.start()
        self.type("disk-full")
        self.wait_state("paused")
        self.assertIn("the disk is full", self.show()["reason"])
        self.assertEqual(self.shown()["health"], "full")
        text = self.ok("show", "vm")
        self.assertRegex(text, "disk 0:0: the host's file system is full.*No space")
        self.assertNotIn("\x1b", text)
        self.type("disk-ok")
        self.wait_state("running")
        self.assertEqual(self.shown()["health"], "ok")
        told = self.messages("disk")
        self.assertEqual(len(told), 2)
        self.assertIn("full", told[0])
        self.assertIn(self.disk("a")["path"], told[0])
        self.assertIn("again", told[1])
        self.assertEqual(self.property("DiskProblems"), [])

    def test_errors(self):
        self.start()
        self.type("disk-errors")
        wait_until(lambda: self.shown()["health"] == "errors", "the error to be told")
        self.assertIn("a write at byte 512 failed", self.shown()["problem"])
        self.assertEqual(len(self.property("DiskProblems")), 1)
        self.ok("detach", "vm", "--lun", "0")
        self.assertEqual(self.property("DiskProblems"), [])

    def test_next_run_begins_well(self):
        self.start()
        self.type("disk-errors")
        wait_until(lambda: self.shown()["health"] == "errors", "the error to be told")
        self.ok("stop", "vm")
        self.assertEqual(self.property("DiskProblems"), [])
        self.ok("start", "vm")
        self.assertEqual(self.shown()["health"], "ok")

    def test_stopped_for_a_disk(self):
        self.start()
        self.type("disk-stop")
        self.wait_state("off")
        self.assertIn("a disk failed", self.show()["reason"])

    def test_hostile_worker(self):
        self.start(append="hostile-disks")
        self.type("disk-hostile")
        wait_until(lambda: len(self.messages("fault")) == 2, "both to be dropped")
        self.assertEqual(self.shown()["health"], "ok")
        self.assertNotIn("size", self.shown())
        self.assertNotIn("\x1b", json.dumps(self.show()))

    def test_worker_that_does_not_answer(self):
        self.start(append="mute-disks")
        self.assertEqual(self.shown()["health"], "ok")
        self.assertNotIn("size", self.shown())

    def test_policy(self):
        self.create(disks=[self.disk("a")])
        self.ok("attach", "vm", self.disk("b")["path"], "--on-error", "stop")
        self.assertEqual([disk["on_error"] for disk in self.show()["disks"]],
                         ["automatic", "stop"])

    def test_limits(self):
        self.create(disks=[self.disk("a")])
        self.ok("attach", "vm", self.disk("b")["path"], "--iops", "70000", "--bandwidth", "50M")
        self.ok("set", "vm", "disks[0].iops=500")
        self.assertEqual([(disk.get("iops"), disk.get("bandwidth")) for disk in self.show()["disks"]],
                         [(500, None), (70000, "50M")])
        text = self.ok("show", "vm")
        self.assertIn("\ndisk 0:0: limited to 500 requests a second\n", text)
        self.assertIn("\ndisk 0:1: limited to 70000 requests and 50MB a second\n", text)
        for words, part in ((["--iops", "9"], "10"), (["--bandwidth", "1K"], "64K"),
                            (["--bandwidth", "fast"], "bandwidth"), (["--dvd", "--iops", "50"], "DVD")):
            refused = self.vmctl("attach", "vm", self.disk("c")["path"], *words)
            self.assertNotEqual(refused.status, 0)
            self.assertIn(part, refused.err)

    def test_what_a_running_guest_has(self):
        """A changed setting is shown apart from what is."""
        self.start()
        self.ok("set", "vm", "memory.size=640M", "disks[0].serial=other")
        info = self.show()
        self.assertNotEqual(info["definition"]["memory"]["size"], "640M")
        self.assertNotIn("serial", info["disks"][0])
        self.assertEqual(info["next_definition"]["memory"]["size"], "640M")
        text = self.ok("show", "vm")
        self.assertRegex(text, r"WAITS FOR THE NEXT START +NOW +THEN")
        self.assertRegex(text, r"\nmemory.size +[0-9GM]+ +640M\n")
        self.ok("stop", "vm")
        info = self.show()
        self.assertEqual(info["definition"]["memory"]["size"], "640M")
        self.assertEqual(info["disks"][0]["serial"], "other")
        self.assertNotIn("next_definition", info)

    def slow_detach(self):
        self.start(append="slow-detach")
        detach = self.vmctl_in_background("detach", "vm", "--lun", "0")
        self.wait_said("guest: detach")
        self.refused(WRONG_STATE, "pause", "vm", says="--cancel")
        return detach

    def gave_up(self, detach):
        self.assertIn("in use until", detach.communicate(timeout=TIMEOUT)[1])
        self.assertEqual(detach.returncode, FAILED)
        self.assertEqual(self.show()["disks"], [])
        self.assertEqual(json.loads((self.state / "vms/vm.json").read_text())["disks"], [])

    def test_a_detach_is_cancelled(self):
        detach = self.slow_detach()
        self.ok("detach", "vm", "--cancel")
        self.gave_up(detach)
        self.refused(WRONG_STATE, "detach", "vm", "--cancel", says="no disk or medium")
        self.ok("pause", "vm")

    def test_a_reset_does_not_wait_for_a_detach(self):
        detach = self.slow_detach()
        self.ok("reset", "vm")
        self.gave_up(detach)
        self.assertEqual(self.show()["state"], "running")

    def test_the_root_disk(self):
        disks = [self.disk(name, lun=lun) for lun, name in enumerate("ab")]
        for root, lun in (("/dev/sda1", 0), ("/dev/sdb", 1), ("UUID=7", 0), ("/dev/disk/by-x", 0)):
            self.create(append=f"quiet root={root} ro", disks=disks)
            self.ok("start", "vm")
            self.refused(FAILED, "detach", "vm", "--lun", str(lun), says="--force")
            self.ok("detach", "vm", "--lun", str(1 - lun))
            self.ok("detach", "vm", "--lun", str(lun), "--force")
            self.ok("stop", "vm")
            self.ok("delete", "vm")
        # At rest nobody loses anything.
        self.create(append="root=/dev/sda", disks=disks)
        self.ok("detach", "vm", "--lun", "0")

    def test_a_changed_path_is_looked_at(self):
        self.create(disks=[self.disk("a")])
        image = self.folder / "b.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        self.ok("set", "vm", f"disks[0].path={image}")
        self.assertEqual(self.shown()["format"], "qcow2")
        self.ok("set", "vm", f"disks[0].path={image}", "disks[0].format=raw")
        self.assertEqual(self.shown()["format"], "raw")
        self.ok("set", "vm", f"disks[0].path={image}")
        self.ok("set", "vm", f"disks[0].path={self.disk('c')['path']}")
        self.assertEqual(self.shown()["format"], "raw")
        for setting in ("disks[0].path=/nowhere/x", "boot.kernel=/nowhere/x"):
            self.refused(FAILED, "set", "vm", setting, says="there is no file '/nowhere/x'")
        self.refused(FAILED, "attach", "vm", "/nowhere/x", says="there is no file '/nowhere/x'")

    def test_nothing_of_the_kernel(self):
        self.create()
        for path in ("/sys/kernel/notes", "/proc/version"):
            self.refused(USAGE, "attach", "vm", path, says="not in /proc or /sys")
        self.ok("attach", "vm", "/sys/../sys/kernel/notes".replace("/sys/..", "/usr/.."))
        self.refused(FAILED, "start", "vm", says="Permission denied")


if __name__ == "__main__":
    main()
