#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Workers as vmms starts them, each with a guest of our own: that they are confined, and work.

What each layer of the sandbox stops is tested where it is built: tests/unit/vmwp/sandbox/test_sandbox.c.
"""

import os
import pathlib
import re
import sys
import unittest

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
        """A VM whose guest is busy with its disk for as long as we look at it.

        It speaks for the first time after the first of six rounds of so many requests.
        """
        self.create(name, boot={
            "kernel": str(GUEST), "command_line": "requests=2000"},
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

    @unittest.skipUnless(os.geteuid() == 0, "takes root")
    def test_each_has_a_user_of_its_own(self):
        users = {name: status(self.start(name))["Uid"].split() for name in ("a", "b")}
        groups = {name: status(self.show(name)["worker_pid"])["Gid"].split() for name in users}
        self.assertEqual(users, groups)
        self.assertEqual([len(set(ids)) for ids in users.values()], [1, 1])
        self.assertNotEqual(users["a"], users["b"])
        for ids in users.values():
            self.assertIn(int(ids[0]), range(0x7ffd0000, 0x7ffe0000))
        self.assertEqual(status(self.show("a")["worker_pid"])["Groups"].split(), [])

    def test_what_it_has_open(self):
        """Devices and files by name; the rest has none."""
        pid = self.start()
        paths = {os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
        end = next((self.folder / "run/workers").glob("*.end")).read_text()
        self.assertEqual({path for path in paths if path.startswith("/")},
                         {"/dev/null", "/dev/kvm", str(GUEST), str(self.folder / "vm.raw"), end})

    def file_limit(self, pid):
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        return re.search(r"Max file size\s+(\d+)", limits)[1]

    def test_its_files_do_not_grow(self):
        self.stop_vmms()
        self.start_vmms("--worker-users", "none")  # whose limits can be raised without a privilege
        pid = self.start()
        size = (self.folder / "vm.raw").stat().st_size
        self.assertEqual(self.file_limit(pid), str(size))
        self.ok("pause", "vm")
        self.ok("dump", "vm", self.folder / "core")
        self.assertGreater((self.folder / "core").stat().st_size, size)
        self.assertEqual(self.file_limit(pid), str(size))
        self.ok("resume", "vm")
        more = self.disk("more.raw")["path"]
        os.truncate(more, 2 * size)
        self.ok("attach", "vm", more, "--lun", "5")
        self.assertEqual(self.file_limit(pid), str(2 * size))
        self.kill_vmms()
        self.start_vmms("--worker-users", "none")
        self.assertEqual(self.show()["worker_pid"], pid)
        os.truncate(self.disk("most.raw")["path"], 3 * size)
        self.ok("attach", "vm", self.folder / "most.raw", "--lun", "6")
        self.assertEqual(self.file_limit(pid), str(3 * size))

    def test_what_it_still_does(self):
        pid = self.start()
        self.ok("pause", "vm")
        self.ok("resume", "vm")
        self.ok("attach", "vm", self.disk("more.raw")["path"], "--lun", "5")
        self.assertIn(str(self.folder / "more.raw"),
                      {os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()})
        self.ok("reset", "vm")
        wait_until(lambda: self.show()["resets"] == 1, "the reset to be counted")
        self.ok("detach", "vm", "--lun", "5")
        self.wait_said("BENCH")
        self.assertEqual(self.show()["worker_pid"], pid)
        self.ok("stop", "vm")
        self.assertEqual(self.show()["reason"], "turned off")

    def test_it_is_taken_over(self):
        """By another daemon, which it talks to from inside the sandbox."""
        pid = self.start()
        self.wait_said("BENCH")
        self.kill_vmms()
        self.start_vmms()
        self.assertEqual(self.show()["worker_pid"], pid)
        self.ok("reset", "vm")
        self.wait_said("BENCH randread-4k-qd1")
        self.ok("stop", "vm")
        self.assertEqual(self.show()["reason"], "turned off")


if __name__ == "__main__":
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: /dev/kvm is not there, or not for us to use")
        sys.exit(SKIPPED)
    main()
