#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest of our own writes to its disk while it is backed up: all, and what has changed.

On this machine's KVM; exit status 77 where there is none. Each point is compared with what the disk was
at its instant: the VM is paused for that, and goes on as soon as the disks are served. Between points
the worker is killed, or the VM is turned off, and what changed is known all the same."""

import json
import os
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import rig  # noqa: E402
from rig import ServiceTest, main, wait_until  # noqa: E402
from test_renewed_guest import guest_runner  # noqa: E402

SIZE, SECTOR = 64 << 20, 512
LEAST, MOST = 3, 8  # points that are made while the guest writes


class BackedUpGuest(ServiceTest):
    vmms_arguments = ("--worker", rig.arguments.build / "bin/vmwp", "--hypervisor", "/dev/kvm")

    def setUp(self):
        super().setUp()
        self.to = self.folder / "backups"
        self.truths = {}

    def lines(self):
        return self.console_log().replace("\r", "").splitlines()

    def make(self, format):
        self.runner = guest_runner()
        raw, self.image = self.folder / "raw", self.folder / "image"
        raw.write_bytes(self.runner.pattern(SIZE, 1))
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", format, raw, self.image], check=True)
        self.create(memory={"size": "64M"},
                    boot={"kernel": str(rig.arguments.build / "guests/guest_storage.elf")},
                    services={"sockets": False},
                    disks=[{"path": str(self.image), "lun": 0, "format": format, "bandwidth": 12 << 20}],
                    actions={"reboot": "stop", "triple_fault": "stop", "crash": "stop"})
        self.format = format

    def content(self):
        """Of an image that is open, once nothing is under way any more: requests wait by the disk's limit."""
        content = None
        while content != (content := self.image.read_bytes()):
            time.sleep(0.3)
        return content

    def served(self):
        return self.ok("log", "vm").count("are being backed up")

    def point(self, *options):
        """One of which the truth is known, made while the guest goes on. Return: its description."""
        paused = self.vmctl("pause", "vm").status == rig.OK
        if not paused:
            return None
        truth, before = self.content() if self.format == "raw" else None, self.served()
        process = self.vmctl_in_background("backup", "vm", "--to", self.to, "--crash-consistent", "--json",
                                           *options)
        wait_until(lambda: self.served() > before or process.poll() is not None, "the disks to be served")
        self.ok("resume", "vm")
        out, errors = process.communicate(timeout=120)
        if process.returncode != rig.OK:
            self.assertIn("has ended meanwhile", errors)
            return None
        point = json.loads(out)
        self.truths[point["number"]] = truth
        return point

    def points(self):
        """One, and some more from when the guest has begun to write. Return: which were full."""
        found = [self.point()]
        first = self.image.read_bytes()
        wait_until(lambda: self.image.read_bytes() != first, "the guest to write")
        while len(found) < MOST and (point := self.point()):
            found.append(point)
        return [point["disks"][0]["full"] for point in found]

    def check_points(self):
        self.ok("backup", "verify", self.to)
        before, after = self.runner.pattern(SIZE, 1), self.runner.pattern(SIZE, 2)
        for number, truth in self.truths.items():
            path = self.folder / f"restored{number}.raw"
            self.ok("restore", self.to, path, "--point", number, "--disk", "0:0")
            content = path.read_bytes()
            if truth:
                self.assertTrue(content == truth, f"point {number}")
                continue
            # Whatever the instant, each sector is as it was before the guest wrote it, or after.
            for offset in range(0, SIZE, SECTOR):
                self.assertTrue(content[offset:offset + SECTOR] in (
                    before[offset:offset + SECTOR], after[offset:offset + SECTOR]), f"{number}: {offset}")

    def finish(self):
        self.wait_state("off")
        self.assertEqual(list(self.runner.worker.check_report(self.lines())), [], "\n".join(self.lines()))

    def test_raw(self):
        self.make("raw")
        self.ok("start", "vm")
        kinds = self.points()
        self.finish()
        print("points", len(kinds), "bytes", [json.loads((self.to / f"{i}.json").read_text())["disks"][0]["bytes"]
                                              for i in self.truths])
        self.assertGreaterEqual(len(kinds), LEAST)
        self.assertEqual(kinds, [True] + [False] * (len(kinds) - 1))
        self.check_points()

    def worker(self):
        return self.show()["worker_pid"]

    def test_killed_and_started_again(self):
        self.make("raw")
        self.ok("start", "vm")
        self.assertTrue(self.point()["disks"][0]["full"])
        os.kill(self.worker(), signal.SIGKILL)
        self.wait_state("crashed")
        self.ok("start", "vm")
        point = self.point()
        self.assertFalse(point["disks"][0]["full"])
        self.ok("stop", "vm")
        self.ok("start", "vm")
        self.assertFalse(self.point()["disks"][0]["full"])
        # A service that is killed leaves a worker that goes on to know.
        self.vmms.kill()
        self.vmms.wait()
        self.start_vmms()
        self.assertFalse(self.point()["disks"][0]["full"])
        self.ok("stop", "vm")
        # Somebody else writes the image.
        with open(self.image, "r+b") as image:
            image.seek(12345)
            image.write(b"by somebody else")
        self.ok("start", "vm")
        self.assertTrue(self.point()["disks"][0]["full"])
        self.ok("stop", "vm")
        self.check_points()

    def test_vhdx(self):
        self.make("vhdx")
        self.ok("start", "vm")
        kinds = self.points()
        self.finish()
        self.assertEqual(kinds, [True] + [False] * (len(kinds) - 1))
        self.check_points()


if __name__ == "__main__":
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        sys.exit(77)
    main()
