#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backups: folders of points, restored and checked; and disks that are served to other programs.

The worker runs no guest, and serves the images of its disks as the real one does."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import FAILED, OK, USAGE, WRONG_STATE, ServiceTest, main, wait_until  # noqa: E402

SIZE = 8 << 20


class Backups(ServiceTest):
    def setUp(self):
        super().setUp()
        (self.folder / "kernel").write_text("kernel")
        self.to = self.folder / "backups"
        self.random = random.Random(1)

    def fill(self, path, pieces=8):
        with open(path, "r+b") as image:
            for _ in range(pieces):
                image.seek(self.random.randrange(SIZE // 512 - 512) * 512)
                image.write(self.random.randbytes(self.random.randrange(1, 400) * 512))

    def start(self, append="", disks=1):
        definitions = [self.disk(f"disk{i}", SIZE, lun=i, format="raw") for i in range(disks)]
        for definition in definitions:
            self.fill(definition["path"])
        self.create(append=append, disks=definitions)
        self.ok("start", "vm")
        return [pathlib.Path(definition["path"]) for definition in definitions]

    def point(self, *options):
        return json.loads(self.ok("backup", "vm", "--to", self.to, "--json", *options))

    def restored(self, point, disk="0:0", name="restored.raw"):
        path = self.folder / name
        path.unlink(missing_ok=True)
        self.ok("restore", self.to, path, "--point", point, "--disk", disk)
        return path

    def jobs(self):
        return [job for job in json.loads(self.ok("job", "list", "--json"))["jobs"]
                if job["state"] == "running"]

    # ---- Points ----

    def test_full_and_increments(self):
        disks = self.start(disks=2)
        point = self.point()
        self.assertEqual(point["consistency"], "production")
        self.assertEqual([disk["full"] for disk in point["disks"]], [True, True])
        self.wait_said("backed up")
        # A full one is a raw image that any program reads.
        self.assertEqual((self.to / "1-0-0.data").read_bytes(), disks[0].read_bytes())
        self.assertLess((self.to / "1-0-1.data").stat().st_blocks * 512, SIZE)
        # Nothing has changed.
        point = self.point()
        self.assertEqual([(disk["full"], disk["bytes"]) for disk in point["disks"]],
                         [(False, 0), (False, 0)])
        self.assertEqual(point["parent"], 1)
        # The image has been changed by others while nobody had it, which is known.
        self.fill(disks[1])
        point = self.point()
        self.assertEqual([disk["full"] for disk in point["disks"]], [False, True])
        self.assertEqual(self.ok("backup", "list", self.to).count("\n"), 4)
        self.ok("backup", "verify", self.to)
        self.assertEqual(self.restored(3).read_bytes(), disks[0].read_bytes())
        self.assertEqual(self.restored(3, "0:1").read_bytes(), disks[1].read_bytes())
        # Asked for, or nothing.
        self.assertEqual(self.point("--since", "3")["parent"], 3)
        self.fill(disks[0])
        self.refused(FAILED, "backup", "vm", "--to", self.to, "--since", "4",
                     says="make a full backup")
        self.assertEqual(self.jobs(), [])
        self.assertEqual([disk["full"] for disk in self.point("--full")["disks"]], [True, True])
        self.refused(USAGE, "backup", "vm", "--to", self.to, "--since", "2", says="last point")
        self.refused(USAGE, "backup", "vm", says="--to")

    def test_keep(self):
        disks = self.start()
        contents = {}
        for number in range(1, 5):
            self.fill(disks[0])
            self.point("--keep", "3")
            contents[number] = disks[0].read_bytes()
        points = json.loads(self.ok("backup", "list", self.to, "--json"))
        self.assertEqual([point["number"] for point in points], [2, 3, 4])
        # One that only has what changed becomes full when what it stands on goes.
        self.point()
        self.point("--keep", "1")
        points = json.loads(self.ok("backup", "list", self.to, "--json"))
        self.assertEqual([(point["number"], point["parent"], point["disks"][0]["full"])
                          for point in points], [(6, 0, True)])
        self.ok("backup", "verify", self.to)
        self.assertEqual(self.restored(6).read_bytes(), contents[4])
        self.assertEqual(sorted(os.listdir(self.to)),
                         ["6-0-0.full.data", "6-0-0.full.index", "6.json"])

    def test_damage(self):
        self.start()
        self.point()
        self.point()
        for name in ("1-0-0.data", "1-0-0.index", "2.json"):
            path = self.to / name
            good = path.read_bytes()
            at = next(i for i in range(len(good) // 3, len(good)) if good[i] not in b" \n0")
            path.write_bytes(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1:])
            result = self.vmctl("backup", "verify", self.to)
            if name != "2.json":
                self.assertEqual(result.status, FAILED, name)
                self.assertIn("damaged", result.err)
                self.refused(FAILED, "restore", self.to, self.folder / "new", "--disk", "0:0",
                             "--point", "1", says="damaged")
                self.assertFalse((self.folder / "new").exists())
            path.write_bytes(good)
        (self.to / "1.json").unlink()
        self.refused(FAILED, "backup", "verify", self.to, says="not there")
        self.refused(FAILED, "restore", self.to, self.folder / "new", "--disk", "0:0",
                     says="not there")

    def test_restored_vm(self):
        disks = self.start(disks=2)
        self.point()
        before = [disk.read_bytes() for disk in disks]
        self.refused(FAILED, "restore", self.to, says="cannot be made")
        self.ok("restore", self.to, "--name", "other", "--to", self.folder)
        old, new = self.show(), self.show("other")
        self.assertNotEqual(old["uuid"], new["uuid"])
        definition = json.loads((self.folder / "state/vms/other.json").read_text())
        self.assertIn("generation_id", definition)
        for disk, content in zip(definition["disks"], before):
            self.assertEqual(pathlib.Path(disk["path"]).read_bytes(), content)
        self.ok("start", "other")
        self.ok("stop", "other")
        # In its own place, when that is free.
        self.ok("stop", "vm")
        self.ok("delete", "vm")
        for disk in disks:
            disk.unlink()
        self.ok("restore", self.to)
        self.assertEqual(self.show()["uuid"], old["uuid"])
        self.assertEqual([disk.read_bytes() for disk in disks], before)
        self.assertFalse(list((self.folder / "state/backup").glob(f"{old['uuid']}*")))

    def test_stopped(self):
        """Nobody else reads the disks then; formats that are not vmctl's wait until the VM runs."""
        path = self.folder / "disk.vhdx"
        raw = self.disk("raw", SIZE, format="raw")
        self.fill(raw["path"])
        subprocess.run(["qemu-img", "convert", "-O", "vhdx", raw["path"], path], check=True)
        disks = [raw, {"path": str(path), "lun": 1, "format": "vhdx"}]
        self.create(disks=disks)
        content = pathlib.Path(raw["path"]).read_bytes()
        for number in 1, 2:
            point = self.point()
            self.assertEqual((point["number"], point["consistency"]), (number, "off"))
            self.assertEqual([disk["full"] for disk in point["disks"]], [True, True])
        self.ok("backup", "verify", self.to)
        for disk in "0:0", "0:1":
            self.assertEqual(self.restored(2, disk).read_bytes(), content)
        qcow2 = self.folder / "disk.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "1M"], check=True)
        self.create(name="other", disks=[{"path": str(qcow2), "format": "qcow2"}])
        self.refused(FAILED, "backup", "other", "--to", self.folder / "more", says="once it runs")

    def test_vhdx(self):
        disks = self.start()
        self.point()
        path = self.restored(1, name="restored.vhdx")
        raw = self.folder / "converted.raw"
        subprocess.run(["qemu-img", "convert", "-f", "vhdx", "-O", "raw", path, raw], check=True)
        self.assertEqual(raw.read_bytes(), disks[0].read_bytes())

    # ---- What goes wrong ----

    def test_refusals(self):
        self.create(name="diskless")
        self.ok("start", "diskless")
        self.refused(WRONG_STATE, "backup", "diskless", "--to", self.to, says="0 disks")
        self.start()
        self.ok("pause", "vm")
        self.refused(WRONG_STATE, "backup", "vm", "--to", self.to, says="--crash-consistent")
        self.assertEqual(self.point("--crash-consistent")["consistency"], "crash")
        self.ok("resume", "vm")
        self.ok("stop", "vm")
        self.refused(FAILED, "backup", "vm", "--to", self.to, "--since", "1", says="make a full")
        self.refused(WRONG_STATE, "backup", "serve", "vm", "--socket", self.folder / "socket", says="off")
        self.create(name="another", disks=[self.disk("more", SIZE, format="raw")])
        self.ok("start", "another")
        self.refused(FAILED, "backup", "another", "--to", self.to, says="of another VM")
        self.refused(FAILED, "backup", "list", self.folder / "nothing", says="nothing")

    def test_worker_refuses(self):
        self.start(append="refuse-backup")
        self.refused(WRONG_STATE, "backup", "vm", "--to", self.to, says="refuses begin_backup")
        self.assertEqual(self.jobs(), [])
        self.assertEqual(json.loads(self.ok("show", "vm", "--json"))["guest"]["file_systems"],
                         "running")

    def test_vmctl_is_killed(self):
        """Nobody has to cancel what nobody reads, and the folder is as it was."""
        disks = self.start()
        self.point()
        path = self.folder / "socket"
        process = self.vmctl_in_background("backup", "serve", "vm", "--socket", str(path))
        self.assertIn("nbd+unix:///0:0", process.stdout.readline())
        self.assertEqual([job["kind"] for job in self.jobs()], ["backup"])
        self.refused(WRONG_STATE, "backup", "vm", "--to", self.to, says="is being backed up")
        process.kill()
        process.communicate()
        wait_until(lambda: not self.jobs(), "the job to end")
        self.wait_said("not backed up")
        (self.to / "2-0-0.data").write_text("left by one that was killed")
        self.assertEqual(self.point()["parent"], 1)
        self.assertEqual(self.restored(2).read_bytes(), disks[0].read_bytes())

    def test_vm_ends_meanwhile(self):
        self.start()
        path = self.folder / "socket"
        process = self.vmctl_in_background("backup", "serve", "vm", "--socket", str(path))
        process.stdout.readline()
        self.ok("stop", "vm")
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, WRONG_STATE)
        self.assertIn("has ended meanwhile", errors)
        self.assertFalse(path.exists())

    # ---- Other programs ----

    def test_served_disks(self):
        disks = self.start(disks=2)
        point = self.point()["point"]
        path = self.folder / "socket"
        process = self.vmctl_in_background("backup", "serve", "vm", "--socket", str(path))
        uris = [process.stdout.readline().strip() for _ in range(2)]
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        shown = json.loads(subprocess.run(["nbdinfo", "--list", "--json", uris[0]], check=True,
                                          capture_output=True, text=True).stdout)
        self.assertEqual([export["export-name"] for export in shown["exports"]], ["0:0", "0:1"])
        for export in shown["exports"]:
            self.assertEqual(export["export-size"], SIZE)
            self.assertTrue(export["is_read_only"])
            self.assertIn("base:allocation", export["contexts"])
            self.assertIn(f"qemu:dirty-bitmap:{point}", export["contexts"])
        for uri, disk in zip(uris, disks):
            copy = self.folder / "copy"
            subprocess.run(["nbdcopy", uri, copy], check=True)
            self.assertEqual(copy.read_bytes(), disk.read_bytes())
            extents = json.loads(subprocess.run(
                ["nbdinfo", f"--map=qemu:dirty-bitmap:{point}", "--json", uri], check=True,
                capture_output=True, text=True).stdout)
            self.assertEqual([(extent["length"], extent["type"]) for extent in extents],
                             [(SIZE, 0)])
        subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "raw", uris[1], copy],
                       check=True)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), OK, process.stderr.read())
        process.communicate()
        self.assertFalse(path.exists())
        self.wait_said("not backed up")


if __name__ == "__main__":
    main()
