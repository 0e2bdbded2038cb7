#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Workers as vmms starts them, each with a guest of our own: that they are confined, and work.

What each wall of the sandbox stops is tested where it is built: tests/unit/vmwp/test_sandbox.c.
"""

import os
import pathlib
import re
import sys

sys.dont_write_bytecode = True
from rig import ServiceTest, arguments, main, wait_until  # noqa: E402

SKIPPED = 77
GUEST = (arguments.build / "guests/guest_bench.elf").resolve()


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


class Confinement(ServiceTest):
    vmms_arguments = ("--worker", arguments.build / "bin/vmwp", "--hypervisor", "/dev/kvm")

    def start(self, name="vm"):
        """A VM whose guest is busy with its disk for as long as we look at it."""
        self.create(name, boot={
            "kernel": str(GUEST), "command_line": "requests=20000"},
            disks=[self.disk(f"{name}.raw", 64 << 20)], memory={"size": "64M"})
        self.ok("start", name)
        return self.show(name)["worker_pid"]

    def test_what_a_worker_is(self):
        pid = self.start()
        found = status(pid)
        for kind in "CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb":
            self.assertEqual(int(found[kind], 16), 0, kind)
        self.assertEqual(found["NoNewPrivs"], "1")
        self.assertEqual(found["Seccomp"], "2")
        for kind in "mnt", "net", "ipc", "user":
            self.assertNotEqual(namespace(pid, kind), namespace("self", kind), kind)
        if os.geteuid() == 0:
            self.assertEqual(os.listdir(f"/proc/{pid}/root"), [])
            self.assertEqual(os.listdir(f"/proc/{pid}/cwd"), [])

    def test_what_it_has_open(self):
        """Devices and files by name; the rest has none."""
        pid = self.start()
        paths = {os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
        self.assertEqual({path for path in paths if path.startswith("/")},
                         {"/dev/null", "/dev/kvm", str(GUEST), str(self.folder / "vm.raw")})

    def test_what_it_still_does(self):
        pid = self.start()
        self.wait_said("BENCH")
        self.ok("pause", "vm")
        self.ok("resume", "vm")
        self.ok("attach", "vm", self.disk("more.raw")["path"], "--lun", "5")
        self.assertIn(str(self.folder / "more.raw"),
                      {os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()})
        self.ok("reset", "vm")
        wait_until(lambda: self.show()["resets"] == 1, "the reset to be counted")
        wait_until(lambda: len(re.findall("BENCH randread-4k-qd1 ", self.console_log())) == 2, "its second start")
        self.ok("detach", "vm", "--lun", "5")
        self.assertEqual(self.show()["worker_pid"], pid)
        self.ok("stop", "vm")
        self.assertEqual(self.show()["reason"], "turned off")


if __name__ == "__main__":
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: /dev/kvm is not there, or not for us to use")
        sys.exit(SKIPPED)
    main()
