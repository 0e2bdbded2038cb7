#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another worker takes the place of the one that a VM has; where that fails the old one goes on.

What a real worker hands over is for test_renewed_guest.py and the rows of the lab."""

import fcntl
import os
import struct
import sys

sys.dont_write_bytecode = True
from rig import FAILED, OK, WRONG_STATE, ServiceTest, main, wait_until  # noqa: E402

F_OFD_GETLK = 36


class Renewal(ServiceTest):
    def start(self, append="", **members):
        self.create(append=append, memory={"size": "64M", "shared": True},
                    disks=[self.disk("image", lun=0)], **members)
        self.ok("start", "vm")

    def pid(self):
        return self.show()["worker_pid"]

    def is_locked(self):
        with open(self.folder / "image", "r+b") as image:
            lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, *_ = struct.unpack("hhqqi4x", fcntl.fcntl(image, F_OFD_GETLK, lock))
            return kind != fcntl.F_UNLCK

    def ended(self, pid):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    def check_runs(self, line):
        """The VM is as it should be, with its console, its disk, and nothing left over."""
        self.assertEqual(self.show()["state"], "running")
        self.type(line)
        self.assertTrue(self.is_locked())
        self.assertEqual(len(list((self.folder / "run/workers").glob("*.socket"))), 1)

    def test_renews(self):
        self.start()
        for number in range(3):
            old = self.pid()
            self.assertIn("VM 'vm' has a new worker", self.ok("renew", "vm"))
            self.assertNotEqual(self.pid(), old)
            wait_until(lambda pid=old: self.ended(pid), "the old worker to end")
            self.check_runs(f"line {number}")
        self.assertRegex(self.ok("log", "vm"), r"renewed: it is process \d+ now; the guest stood "
                                               r"still for \d+\.\d ms at most")
        self.ok("stop", "vm")
        self.assertEqual(self.show()["state"], "off")
        self.assertFalse(self.is_locked())
        self.assertEqual(list((self.folder / "run/workers").iterdir()), [])

    def test_survives_the_daemon(self):
        self.start()
        self.ok("renew", "vm")
        pid = self.pid()
        self.kill_vmms()
        self.start_vmms()
        self.assertEqual(self.pid(), pid)
        self.check_runs("adopted")
        self.ok("renew", "vm")
        self.check_runs("renewed")

    def goes_on(self, append):
        self.start(append)
        pid = self.pid()
        self.refused(FAILED, "renew", "vm", says="'vm'")
        self.assertEqual(self.pid(), pid)
        self.check_runs("goes on")
        self.assertIn("not renewed, and goes on", self.ok("log", "vm"))
        self.ok("stop", "vm")

    def test_old_one_refuses(self):
        self.goes_on("refuse-hand-over")

    def test_new_one_refuses(self):
        self.goes_on("refuse-restore")

    def test_new_one_does_not_begin(self):
        self.start()
        pid = self.pid()
        worker = self.folder / "broken"
        worker.write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n")
        worker.chmod(0o755)
        self.kill_vmms()
        self.start_vmms("--worker", worker)
        self.refused(FAILED, "renew", "vm", says="it is broken")
        self.assertEqual(self.pid(), pid)
        self.check_runs("goes on")

    def test_old_one_dies(self):
        self.start("die-in-hand-over")
        self.refused(FAILED, "renew", "vm")
        self.wait_state("crashed")
        self.assertFalse(self.is_locked())
        self.assertEqual(list((self.folder / "run/workers").iterdir()), [])
        self.assertEqual(self.vmctl("start", "vm").status, OK)

    def test_states(self):
        self.create(memory={"size": "64M", "shared": True})
        self.refused(WRONG_STATE, "renew", "vm", says="start it first")
        self.ok("start", "vm")
        self.ok("pause", "vm")
        self.refused(WRONG_STATE, "renew", "vm", says="resume it first")


if __name__ == "__main__":
    main()
