#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files of disks: made, told of, checked, converted, resized, compacted; as whose they are."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
from rig import (FAILED, NOT_PERMITTED, USAGE, WRONG_STATE, ServiceTest,  # noqa: E402
                 OK, arguments, main, wait_until)
from test_access import SYSTEM_POLICY  # noqa: E402

MIB = 1 << 20
MEMBER, STRANGER = 1, 2  # of Debian's users: daemon, in the group of its name; bin
QEMU_IMG = shutil.which("qemu-img")
needs_qemu_img = unittest.skipUnless(QEMU_IMG, "there is no qemu-img")


def qemu_img(*words):
    return subprocess.run([QEMU_IMG, *map(str, words)], check=True, capture_output=True,
                          text=True).stdout


class DiskTest(ServiceTest):
    def path(self, name):
        return self.folder / name

    def left(self):
        return sorted(path.name for path in self.folder.iterdir() if "vmms-new" in path.name)

    def make(self, name, size, *options):
        self.ok("disk", "create", self.path(name), size, *options)
        return self.path(name)

    def info(self, path):
        return json.loads(self.ok("disk", "info", path, "--json"))

    def check(self, path, *options):
        return json.loads(self.ok("disk", "check", path, "--json", *options))

    def raw(self, name, size, pieces=()):
        """A raw disk with some bytes at some places."""
        path = self.path(name)
        with open(path, "wb") as file:
            file.truncate(size)
            for offset, content in pieces:
                file.seek(offset)
                file.write(content)
        return path

    def content(self, path):
        """What the guest would see, by our own reader."""
        raw = self.path("content.raw")
        with contextlib.suppress(FileNotFoundError):
            raw.unlink()
        self.ok("disk", "convert", path, raw)
        return raw.read_bytes()


class Create(DiskTest):
    def test_vhdx_unless_asked_otherwise(self):
        path = self.make("a", "1G")
        info = self.info(path)
        self.assertEqual((info["format"], info["type"], info["size"], info["block_size"],
                          info["sector_size"], info["physical_sector_size"]),
                         ("vhdx", "dynamic", 1 << 30, 32 * MIB, 512, 4096))
        self.assertLess(info["allocated"], 8 * MIB)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        text = self.ok("disk", "info", path)
        self.assertRegex(text, r"format: +vhdx, dynamic\nsize: +1G \(1073741824 bytes\)\n")
        self.assertEqual(self.left(), [])

    def test_options_of_vhdx(self):
        info = self.info(self.make("a.vhdx", "3G", "--block-size", "1M", "--sector-size", "4096"))
        self.assertEqual((info["block_size"], info["sector_size"]), (MIB, 4096))
        info = self.info(self.make("fixed.vhdx", "40M", "--fixed"))
        self.assertEqual(info["type"], "fixed")
        self.assertGreaterEqual(info["allocated"], 40 * MIB)

    def test_other_formats_by_option_or_name(self):
        self.assertEqual(self.info(self.make("a", "5M", "--format", "raw"))["format"], "raw")
        info = self.info(self.make("b.img", "5M"))
        self.assertEqual((info["format"], info["size"], info["allocated"]), ("raw", 5 * MIB, 0))
        self.assertGreaterEqual(self.info(self.make("c.raw", "5M", "--fixed"))["allocated"], 5 * MIB)

    @needs_qemu_img
    def test_others_read_what_is_made(self):
        for name, driver in (("a.vhdx", "vhdx"), ("a.qcow2", "qcow2"), ("a.vhd", "vpc")):
            path = self.make(name, "10G")
            info = json.loads(qemu_img("info", "--output=json", path))
            self.assertEqual((info["format"], info["virtual-size"]), (driver, 10 << 30))
            if driver != "vpc":  # which it cannot check
                qemu_img("check", path)
        self.assertEqual(self.info(self.path("a.qcow2"))["size"], 10 << 30)

    @needs_qemu_img
    def test_fixed_vhd(self):
        path = self.make("a.vhd", "20M", "--fixed")
        self.assertEqual(path.stat().st_size, 20 * MIB + 512)
        info = self.info(path)
        self.assertEqual((info["format"], info["size"]), ("vhd", 20 * MIB))
        self.assertGreaterEqual(info["allocated"], 20 * MIB)

    def test_what_is_there_stays(self):
        path = self.path("a")
        path.write_text("dear")
        self.refused(FAILED, "disk", "create", path, "1G", says="already")
        self.assertEqual(path.read_text(), "dear")
        self.assertEqual(self.left(), [])

    def test_refusals(self):
        a = self.path("a")
        for words, says in ((("1x",), "size"), (("100",), "size"), (("1000",), "multiple"),
                            (("65T",), "64 TiB"), (("1G", "--block-size", "3M"), "power of two"),
                            (("1G", "--block-size", "512M"), "block_size"),
                            (("1G", "--format", "raw", "--block-size", "1M"), "VHDX"),
                            (("1G", "--format", "vmdk"), "new disks"),
                            (("2041G", "--format", "vhd"), "2040 GiB"),
                            (("1G", "--format", "vhd", "--block-size", "2M"), "VHDX"),
                            (("1G", "--sector-size", "520"), "sector_size"),
                            (("1G", "--format", "qcow2", "--fixed"), "fixed")):
            self.refused(USAGE, "disk", "create", a, *words, says=says)
        self.assertFalse(a.exists())
        self.refused(FAILED, "disk", "create", self.path("no/such"), "1G", says="No such file")
        self.refused(FAILED, "disk", "create", "/proc/self/x", "1G")
        self.refused(FAILED, "disk", "info", self.path("nothing"), says="No such file")

    def test_on_a_parent(self):
        base = self.make("base.vhdx", "1G", "--block-size", "2M", "--sector-size", "4096")
        (self.folder / "below").mkdir()
        before = base.read_bytes()
        for child, relative in (("a.vhdx", ".\\base.vhdx"), ("below/b", "..\\base.vhdx")):
            found = json.loads(self.ok("disk", "create", self.path(child), "--parent", base,
                                       "--json"))
            self.assertEqual((found["format"], found["size"], found["parent"]),
                             ("vhdx", 1 << 30, str(base)))
            info = self.info(self.path(child))
            self.assertEqual((info["type"], info["size"], info["block_size"],
                              info["sector_size"], info["parent"]["path"]),
                             ("differencing", 1 << 30, 2 * MIB, 4096, relative))
        self.make_child("below/c", "below/b")
        self.assertEqual(self.info(self.path("below/c"))["parent"]["path"], ".\\b")
        self.assertEqual(base.read_bytes(), before)

    def make_child(self, child, parent):
        self.ok("disk", "create", self.path(child), "--parent", self.path(parent))

    def test_a_vm_runs_on_a_child_and_writes_that_alone(self):
        self.make("base.vhdx", "64M")
        self.make_child("a.vhdx", "base.vhdx")
        self.make_child("b.vhdx", "a.vhdx")
        self.create(disks=[{"path": str(self.path("b.vhdx")), "format": "vhdx"}])
        self.ok("start", "vm")
        # Who may be a parent of more, and who is being written.
        self.make_child("c.vhdx", "a.vhdx")
        self.refused(FAILED, "disk", "create", self.path("d.vhdx"), "--parent",
                     self.path("b.vhdx"), says="in use")
        self.assertFalse(self.path("d.vhdx").exists())
        self.ok("stop", "vm")

    def test_what_is_no_parent(self):
        raw, child = self.make("a.raw", "1M"), self.path("child")
        self.refused(USAGE, "disk", "create", child, "--parent", raw, says="disk convert")
        self.refused(FAILED, "disk", "create", child, "--parent", self.path("no"), says="No such")
        base = self.make("base.vhdx", "1M")
        self.refused(USAGE, "disk", "create", child, "1M", "--parent", base, says="size")
        self.refused(USAGE, "disk", "create", child, says="size")
        self.refused(USAGE, "disk", "create", child, "--parent", base, "--format", "raw",
                     says="VHDX")
        base.write_bytes(base.read_bytes()[:65536])
        self.refused(FAILED, "disk", "create", child, "--parent", base, says="cannot be a parent")
        self.assertFalse(child.exists())
        self.assertEqual(self.left(), [])

    def test_left_alone(self):
        job = self.ok("disk", "create", self.path("a"), "1G", "--no-wait").strip()
        self.ok("job", "wait", job)
        self.assertIn("disk-create", self.ok("job", "list"))
        self.assertTrue(self.path("a").exists())


class Chains(DiskTest):
    """Disks that stand on others."""

    def make_chain(self):
        base, child = self.make("base.vhdx", "4M", "--block-size", "1M"), self.path("child.vhdx")
        self.ok("disk", "create", child, "--parent", base)
        with open(child, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            file.write(bytes([7]) * MIB)
            file.seek(3 * MIB + 8)
            file.write(struct.pack("<Q", end | 6))
        return base, child

    def check_merged(self, base):
        raw = self.path("out.raw")
        self.ok("disk", "convert", base, raw)
        self.assertEqual(pathlib.Path(raw).read_bytes(), bytes(MIB) + bytes([7]) * MIB + bytes(2 * MIB))
        self.assertIn("whole", self.ok("disk", "check", base))

    def test_merged(self):
        base, child = self.make_chain()
        found = json.loads(self.ok("disk", "merge", child, "--json"))
        self.assertEqual((found["format"], found["size"]), ("vhdx", 4 * MIB))
        self.assertTrue(os.path.samefile(found["path"], base))
        self.assertFalse(os.path.exists(child))
        self.check_merged(base)
        self.refused(WRONG_STATE, "disk", "merge", base, says="stands on no other")

    def test_moved(self):
        base, child = self.make_chain()
        moved, other = self.path("moved.vhdx"), self.make("other.vhdx", "4M")
        os.rename(base, moved)
        self.refused(FAILED, "disk", "merge", child, says="No such")
        self.refused(USAGE, "disk", "rebase", child, other, says="made on")
        self.ok("disk", "rebase", child, moved)
        self.assertEqual(self.info(child)["parent"]["path"], ".\\moved.vhdx")
        self.ok("disk", "merge", child)
        self.check_merged(moved)

    def test_what_is_in_use(self):
        base, child = self.make_chain()
        for path in base, child:
            self.create(disks=[{"path": str(path), "format": "vhdx"}])
            self.ok("start", "vm")
            self.refused(FAILED, "disk", "merge", child, says="in use")
            self.ok("stop", "vm")
            self.ok("delete", "vm")
            if path == base:
                # It is another disk, now that it was written by a VM; or not, if that has written nothing.
                self.assertTrue(os.path.exists(child))
        self.ok("disk", "merge", child)

    def test_another_that_stands_on_it(self):
        """The other one is refused afterwards, and never read as what it is not."""
        base, child = self.make_chain()
        other = self.path("other.vhdx")
        self.ok("disk", "create", other, "--parent", base)
        self.ok("disk", "merge", child)
        self.create(disks=[{"path": str(other), "format": "vhdx"}])
        self.assertNotEqual(self.vmctl("start", "vm").status, OK)


class Convert(DiskTest):
    def setUp(self):
        super().setUp()
        chance = random.Random(1)
        self.source = self.raw("source.raw", 100 * MIB + 512, [
            (0, chance.randbytes(3000)), (33 * MIB + 17, chance.randbytes(5 * MIB)),
            (100 * MIB, chance.randbytes(512))])

    def test_there_and_back(self):
        for options in ((), ("--block-size", "1M"), ("--fixed",)):
            vhdx = self.path("a.vhdx")
            self.ok("disk", "convert", self.source, vhdx, *options)
            self.assertEqual(self.content(vhdx), self.source.read_bytes())
            self.assertEqual(self.check(vhdx)["problems"], [])
            vhdx.unlink()

    def test_sparse_stays_sparse(self):
        vhdx = self.path("a.vhdx")
        self.ok("disk", "convert", self.source, vhdx)
        self.assertLess(self.info(vhdx)["allocated"], 20 * MIB)
        raw = self.path("b.raw")
        self.ok("disk", "convert", vhdx, raw)
        self.assertLess(self.info(raw)["allocated"], 8 * MIB)

    @needs_qemu_img
    def test_foreign_formats(self):
        for driver, name in (("qcow2", "qcow2"), ("vpc", "vhd"), ("vmdk", "vmdk"),
                             ("vhdx", "vhdx")):
            image = self.path(f"theirs.{name}")
            qemu_img("convert", "-f", "raw", "-O", driver, self.source, image)
            found = self.content(image)
            self.assertEqual(found[:self.source.stat().st_size], self.source.read_bytes(), name)
            self.assertFalse(found[self.source.stat().st_size:].strip(b"\0"))
            vhdx = self.path("ours.vhdx")
            self.ok("disk", "convert", image, vhdx)
            qemu_img("compare", "-f", driver, "-F", "vhdx", image, vhdx)
            vhdx.unlink()
        self.assertEqual(self.left(), [])

    @needs_qemu_img
    def test_to_qcow2(self):
        self.ok("disk", "convert", self.source, self.path("a.vhdx"))
        for source in self.source, self.path("a.vhdx"):
            target = self.path("b.qcow2")
            self.ok("disk", "convert", source, target)
            qemu_img("check", target)
            qemu_img("compare", "-f", "raw", "-F", "qcow2", self.source, target)
            target.unlink()

    @needs_qemu_img
    def test_to_vhd(self):
        self.ok("disk", "convert", self.source, self.path("a.vhdx"))
        qemu_img("convert", "-f", "raw", "-O", "qcow2", self.source, self.path("a.qcow2"))
        for source in "source.raw", "a.vhdx", "a.qcow2":
            for options in (), ("--fixed",):
                target = self.path("b.vhd")
                self.ok("disk", "convert", self.path(source), target, *options)
                qemu_img("compare", "-f", "raw", "-F", "vpc", self.source, target)
                self.assertEqual(self.content(target), self.source.read_bytes())
                target.unlink()
        self.ok("disk", "convert", self.source, target)
        self.assertLess(self.info(target)["allocated"], 20 * MIB)
        self.assertEqual(self.left(), [])

    def test_a_vhd_has_small_sectors(self):
        path = self.make("large.vhdx", "8M", "--sector-size", "4096")
        self.refused(USAGE, "disk", "convert", path, self.path("b.vhd"), says="512 bytes")

    @needs_qemu_img
    def test_what_stands_on_another_is_refused(self):
        qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", "/etc/shadow", self.path("a.qcow2"))
        self.refused(FAILED, "disk", "convert", self.path("a.qcow2"), self.path("b"),
                     says="stands on another")
        self.assertFalse(self.path("b").exists())

    def test_wrong_formats(self):
        self.refused(FAILED, "disk", "convert", self.source, self.path("b"), "--from-format",
                     "vhdx", says="not of that format")
        self.refused(FAILED, "disk", "convert", self.source, self.source, says="already")

    def worker(self):
        """The process that has the new file open, halted."""
        children = pathlib.Path(f"/proc/{self.vmms.pid}/task/{self.vmms.pid}/children")
        for child in children.read_text().split():
            with contextlib.suppress(OSError):
                if any("vmms-new" in os.readlink(fd)
                       for fd in pathlib.Path(f"/proc/{child}/fd").iterdir()):
                    os.kill(int(child), signal.SIGSTOP)
                    return int(child)
        return None

    def start_large(self):
        """A conversion that lasts, halted in its midst. Returns vmctl and the process."""
        large = self.path("large.raw")
        with open(large, "wb") as file:
            file.truncate(1 << 43)
            for i in range(10000):
                file.seek(i * 64 * MIB)
                file.write(b"x")
        process = self.vmctl_in_background("disk", "convert", large, self.path("b.raw"))
        self.addCleanup(process.communicate)
        worker = wait_until(self.worker, "the process that converts")
        self.assertEqual(self.left(), [".b.raw.vmms-new"])
        return process, worker

    def jobs(self):
        return {job["job"]: job["state"]
                for job in json.loads(self.ok("job", "list", "--json"))["jobs"]}

    def test_an_interrupt_leaves_nothing(self):
        process, worker = self.start_large()
        process.send_signal(signal.SIGINT)
        # So that it is told before it goes on.
        wait_until(lambda: "SIGINT" not in self.pending(process.pid), "the signal to arrive")
        self.ok("job", "list")
        os.kill(worker, signal.SIGCONT)
        process.wait(60)
        self.assertEqual(process.returncode, FAILED)
        wait_until(lambda: self.jobs() == {1: "cancelled"}, "the job to be cancelled")
        self.assertEqual(self.left(), [])
        self.assertFalse(self.path("b.raw").exists())

    def pending(self, pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        pending = int(status.split("ShdPnd:")[1].split()[0], 16)
        return ["SIGINT"] if pending & (1 << (signal.SIGINT - 1)) else []

    def test_cancelled(self):
        process, worker = self.start_large()
        self.ok("job", "cancel", "1")
        os.kill(worker, signal.SIGCONT)
        self.refused(FAILED, "job", "wait", "1", says="cancelled")
        self.assertEqual(process.wait(60), FAILED)
        self.assertEqual(self.left(), [])
        self.assertFalse(self.path("b.raw").exists())

    def test_the_daemon_is_killed(self):
        process, worker = self.start_large()
        self.vmms.kill()
        self.vmms.wait(60)
        process.wait(60)
        os.kill(worker, signal.SIGCONT)
        wait_until(lambda: not self.left(), "the process to take back what it has begun")
        self.assertFalse(self.path("b.raw").exists())
        self.start_vmms()

    def test_the_process_is_killed(self):
        process, worker = self.start_large()
        os.kill(worker, signal.SIGKILL)
        self.assertEqual(process.wait(60), FAILED)
        self.assertIn("killed", process.stderr.read())
        self.assertEqual(self.left(), [".b.raw.vmms-new"])
        self.assertFalse(self.path("b.raw").exists())
        self.make("b.raw", "1M")
        self.assertEqual(self.left(), [])

    def test_one_at_a_time_for_a_name(self):
        process, worker = self.start_large()
        self.refused(WRONG_STATE, "disk", "create", self.path("b.raw"), "1M", says="being made")
        self.ok("job", "cancel", "1")
        os.kill(worker, signal.SIGCONT)
        process.wait(60)


def gpt(sectors, partitions, sector=512):
    """The first table of a GPT, with a protective record before it."""
    record = bytearray(sector)
    record[446:462] = struct.pack("<B3sB3sII", 0, b"", 0xee, b"", 1, sectors - 1)
    record[510:512] = b"\x55\xaa"
    header = struct.pack("<QIIIIQQQQ16sQIII", 0x5452415020494645, 0x10000, 92, 0, 0, 1,
                         sectors - 1, 34, sectors - 34, b"d" * 16, 2, 128, 128, 0)
    entries = b"".join(struct.pack("<16s16sQQQ72s", b"t" * 16, b"p" * 16, first, last, 0, b"")
                       for first, last in partitions)
    return bytes(record) + header.ljust(sector, b"\0") + entries


class Resize(DiskTest):
    def filled(self, name, size, *options):
        content = random.Random(2).randbytes(64 * 1024)
        raw = self.raw("filled.raw", size, [(0, content), (size - 65536, content)])
        path = self.path(name)
        self.ok("disk", "convert", raw, path, *options)
        return path, raw

    def test_larger_and_what_was_there_stays(self):
        for options in (("--block-size", "1M"), ("--block-size", "32M"), ("--fixed",)):
            path, raw = self.filled("a.vhdx", 40 * MIB + 512, *options)
            self.ok("disk", "resize", path, "100M")
            self.assertEqual(self.info(path)["size"], 100 * MIB)
            self.assertEqual(self.check(path)["problems"], [])
            self.assertEqual(self.content(path), raw.read_bytes().ljust(100 * MIB, b"\0"))
            if QEMU_IMG:
                qemu_img("check", path)
            path.unlink()

    def test_the_table_of_blocks_gets_room(self):
        path, raw = self.filled("a.vhdx", 40 * MIB, "--block-size", "1M")
        # 131072 entries are in the first one.
        self.ok("disk", "resize", path, "1T")
        self.assertEqual(self.info(path)["size"], 1 << 40)
        checked = self.check(path)
        self.assertEqual((checked["problems"], checked["unused"]), ([], MIB))
        if QEMU_IMG:
            qemu_img("check", path)
        self.ok("disk", "resize", path, "40M", "--shrink")
        self.assertEqual(self.content(path), raw.read_bytes())

    def test_smaller_and_larger_again_is_empty(self):
        for name in "a.vhdx", "a.raw":
            path, raw = self.filled(name, 40 * MIB)
            self.refused(WRONG_STATE, "disk", "resize", path, "10M", says="--shrink")
            self.ok("disk", "resize", path, "513K", "--shrink")
            self.ok("disk", "resize", path, "+40M")
            self.assertEqual(self.info(path)["size"], 40 * MIB + 513 * 1024)
            self.assertEqual(self.content(path),
                             raw.read_bytes()[:513 * 1024].ljust(40 * MIB + 513 * 1024, b"\0"))

    def test_of_a_vm_that_runs(self):
        """A raw disk becomes larger under its guest, which hears of that; others have to wait."""
        content = random.Random(3).randbytes(64 * 1024)
        path = self.raw("a.raw", 4 * MIB, [(4 * MIB - 65536, content)])
        vhdx, readonly = self.make("b.vhdx", "4M"), self.raw("c.raw", MIB)
        self.create(disks=[{"controller": 0, "lun": 0, "path": str(vhdx), "format": "vhdx"},
                           {"controller": 1, "lun": 3, "path": str(path), "format": "raw"},
                           {"controller": 1, "lun": 4, "path": str(readonly), "format": "raw", "read_only": True}])
        self.ok("start", "vm")
        self.ok("disk", "resize", path, "+4M")
        self.wait_said(f"guest: disk 1:3 has {8 * MIB} bytes")
        self.assertEqual(path.read_bytes(), (bytes(4 * MIB - 65536) + content).ljust(8 * MIB, b"\0"))
        self.ok("disk", "resize", path, "8M")
        for size in "4M", str(8 * MIB - 512):
            self.refused(WRONG_STATE, "disk", "resize", path, size, "--shrink", says="VM 'vm', which runs")
        self.refused(USAGE, "disk", "resize", path, str(8 * MIB + 1), says="multiple")
        for other in vhdx, readonly:
            self.refused(FAILED, "disk", "resize", other, "64M", says="turn that off first")
        self.assertEqual(path.stat().st_size, 8 * MIB)
        self.ok("stop", "vm")
        self.ok("disk", "resize", path, "4M", "--shrink")

    def test_a_guest_that_cannot_be_told(self):
        path = self.raw("a.raw", MIB)
        self.create(append="refuse-disks", disks=[{"path": str(path), "format": "raw"}])
        self.ok("start", "vm")
        self.ok("disk", "resize", path, "2M")
        wait_until(lambda: "could not be told that a disk is larger" in self.ok("log", "vm"), "the log to say it")
        self.assertEqual(path.stat().st_size, 2 * MIB)

    def test_never_below_the_last_partition(self):
        for sector in 512, 4096:
            disk = 64 * MIB
            table = gpt(disk // sector, [(40, 50), (10 * MIB // sector, 20 * MIB // sector - 1)],
                        sector)
            raw = self.raw("table.raw", disk, [(0, table)])
            vhdx = self.path("a.vhdx")
            self.ok("disk", "convert", raw, vhdx, "--sector-size", str(sector))
            for path in raw, vhdx:
                error = self.refused(WRONG_STATE, "disk", "resize", path, "20M", "--shrink",
                                     says="partitions")
                self.assertIn("smaller", error)
                self.ok("disk", "resize", path, "21M", "--shrink")
            vhdx.unlink()

    def test_never_below_the_last_partition_of_a_boot_record(self):
        record = bytearray(512)
        record[446:462] = struct.pack("<B3sB3sII", 0x80, b"", 0x83, b"", 2048, 8192)
        record[462:478] = struct.pack("<B3sB3sII", 0, b"", 0x05, b"", 20480, 20480)
        record[510:512] = b"\x55\xaa"
        logical = bytearray(512)
        logical[446:462] = struct.pack("<B3sB3sII", 0, b"", 0x83, b"", 64, 10000)
        logical[510:512] = b"\x55\xaa"
        raw = self.raw("a.raw", 64 * MIB, [(0, record), (20480 * 512, logical)])
        self.refused(WRONG_STATE, "disk", "resize", raw, str(40959 * 512), "--shrink",
                     says="partitions")
        self.ok("disk", "resize", raw, str(40960 * 512), "--shrink")

    @needs_qemu_img
    def test_qcow2(self):
        path = self.make("a.qcow2", "1G")
        self.ok("disk", "resize", path, "2G")
        self.assertEqual(self.info(path)["size"], 2 << 30)
        self.refused(WRONG_STATE, "disk", "resize", path, "1G", "--shrink", says="convert")
        qemu_img("check", path)

    def test_refusals(self):
        path = self.make("a", "1G")
        self.refused(USAGE, "disk", "resize", path, "2000000001", says="multiple")
        self.refused(USAGE, "disk", "resize", path, "much", says="no size")
        self.refused(USAGE, "disk", "resize", path, "65T", says="64 TiB")


class CheckAndCompact(DiskTest):
    def test_compact(self):
        chance = random.Random(3)
        kept = chance.randbytes(MIB)
        raw = self.raw("a.raw", 200 * MIB, [(i * MIB, kept if i % 7 == 0 else b"x" * MIB)
                                            for i in range(0, 200, 2)])
        vhdx = self.path("a.vhdx")
        self.ok("disk", "convert", raw, vhdx, "--block-size", "1M")
        before = self.info(vhdx)["file_size"]
        # What the guest has removed, it has overwritten with zeros.
        content = bytearray(raw.read_bytes())
        mapped = json.loads(self.ok("disk", "map", vhdx, "--json"))
        places = {}
        for run in mapped["runs"]:
            for at in range(0, run["length"], MIB):
                if run["kind"] == "data":
                    places[run["offset"] + at] = run["file_offset"] + at
        self.assertEqual(len(places), 100)
        with open(vhdx, "r+b") as file:
            for i in range(0, 200, 2):
                if i % 7:
                    file.seek(places[i * MIB])
                    file.write(bytes(MIB))
                    content[i * MIB:(i + 1) * MIB] = bytes(MIB)
        self.ok("disk", "compact", vhdx)
        self.assertEqual(self.info(vhdx)["file_size"], before - 85 * MIB)
        checked = self.check(vhdx)
        self.assertEqual((checked["problems"], checked["unused"]), ([], 0))
        self.assertEqual(self.content(vhdx), content)
        if QEMU_IMG:
            qemu_img("check", vhdx)

    def test_compact_raw(self):
        raw = self.path("a.raw")
        raw.write_bytes(b"x" * MIB + bytes(8 * MIB) + b"y" * 512)
        before = raw.read_bytes()
        self.ok("disk", "compact", raw)
        self.assertLess(self.info(raw)["allocated"], 2 * MIB)
        self.assertEqual(raw.read_bytes(), before)

    @needs_qemu_img
    def test_compact_qcow2(self):
        raw = self.raw("a.raw", 64 * MIB, [(MIB, b"x" * 8 * MIB)])
        path = self.path("a.qcow2")
        self.ok("disk", "convert", raw, path)
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 0 1M 8M", path], check=True,
                       capture_output=True)
        path.chmod(0o640)
        self.ok("disk", "compact", path)
        self.assertLess(self.info(path)["allocated"], MIB)
        self.assertEqual(path.stat().st_mode & 0o777, 0o640)
        self.assertEqual(self.left(), [])

    def test_fixed_is_not_compacted(self):
        path = self.make("a.vhdx", "40M", "--fixed")
        self.refused(WRONG_STATE, "disk", "compact", path, says="fixed")

    def test_damage_is_found_and_mended(self):
        path = self.make("a.vhdx", "1G")
        with open(path, "r+b") as file:
            file.seek(192 * 1024)
            file.write(b"damage")
            file.seek(128 * 1024)
            file.write(b"damage")
        result = self.vmctl("disk", "check", path)
        self.assertEqual(result.status, FAILED)
        self.assertIn("headers", result.out)
        self.assertIn("regions", result.out)
        checked = self.check(path, "--repair")
        self.assertEqual((checked["problems"], checked["repaired"]), ([], True))
        self.assertEqual(self.check(path)["repaired"], False)

    def test_a_table_that_makes_no_sense(self):
        path = self.make("a.vhdx", "1G")
        with open(path, "r+b") as file:
            file.seek(3 * MIB)
            file.write(struct.pack("<QQ", (900 << 20) | 6, (2 << 20) | 6))
        result = self.vmctl("disk", "check", path, "--json")
        self.assertEqual(result.status, FAILED)
        problem, = json.loads(result.out)["problems"]
        self.assertIn("2 blocks", problem)
        self.refused(FAILED, "disk", "compact", path)
        self.refused(FAILED, "disk", "convert", path, self.path("b.raw"))
        self.assertFalse(self.path("b.raw").exists())

    @needs_qemu_img
    def test_qcow2_is_checked(self):
        path = self.make("a.qcow2", "1G")
        self.assertEqual(self.check(path)["problems"], [])
        with open(path, "r+b") as file:
            file.seek(2 * 65536)
            file.write(struct.pack(">H", 2))
        self.assertEqual(self.vmctl("disk", "check", path).status, FAILED)
        self.assertEqual(self.check(path, "--repair")["problems"], [])

    def test_map(self):
        raw = self.raw("a.raw", 10 * MIB, [(4 * MIB, b"x" * MIB)])
        runs = json.loads(self.ok("disk", "map", raw, "--json"))["runs"]
        self.assertEqual([(run["offset"], run["length"], run["kind"]) for run in runs],
                         [(0, 4 * MIB, "hole"), (4 * MIB, MIB, "data"),
                          (5 * MIB, 5 * MIB, "hole")])
        self.assertRegex(self.ok("disk", "map", raw), r"OFFSET +LENGTH +KIND +IN FILE\n0 ")

    def test_a_map_in_pieces(self):
        raw = self.raw("a.raw", 64 * MIB, [(i * 8192, b"x") for i in range(5000)])
        runs = json.loads(self.ok("disk", "map", raw, "--json"))["runs"]
        self.assertEqual(sum(run["length"] for run in runs), 64 * MIB)
        self.assertEqual(runs[-1]["kind"], "hole")


class Rights(DiskTest):
    """A disk that runs; and files of users."""

    def test_a_disk_of_a_vm_that_runs(self):
        path = self.make("a.raw", "1M")
        self.create(disks=[{"path": str(path), "format": "raw"}])
        self.ok("start", "vm")
        for words in ("compact", path), ("check", path), ("convert", path, self.path("b")):
            self.refused(FAILED, "disk", *words, says="VM 'vm'")
        info = self.info(path)
        self.assertEqual((info["in_use"], info["vm"], info["size"]), (True, "vm", MIB))
        self.assertIn("by VM 'vm'", self.ok("disk", "info", path))
        self.ok("stop", "vm")
        self.ok("disk", "resize", path, "2M")

    def test_a_disk_of_a_vm_that_is_saved(self):
        path = self.make("a.raw", "1M")
        self.create(disks=[{"path": str(path), "format": "raw"}])
        self.ok("start", "vm")
        self.ok("save", "vm")
        for words in (("resize", path, "2M"), ("compact", path), ("check", path, "--repair")):
            self.refused(FAILED, "disk", *words, says="VM 'vm', which is saved")
        self.ok("disk", "convert", path, self.path("b.raw"))
        self.assertEqual(path.stat().st_size, MIB)

    @unittest.skipIf(os.geteuid(), "not root")
    def test_root_works_as_the_owner_of_the_folder(self):
        folder = self.path("home")
        folder.mkdir()
        os.chown(folder, 65534, 65534)
        self.make("home/a", "1M")
        self.assertEqual(self.path("home/a").stat().st_uid, 65534)
        # So what that user may not read does not come into their hands.
        secret = self.path("secret")
        secret.write_bytes(b"s" * 4096)
        secret.chmod(0o600)
        self.refused(FAILED, "disk", "convert", secret, folder / "b", says="Permission denied")
        (folder / "link").symlink_to(secret)
        self.refused(FAILED, "disk", "info", folder / "link", says="Permission denied")

    def test_what_is_no_request(self):
        def call(text):
            return subprocess.run(
                ["busctl", f"--address={self.address}", "call", "org.vmms1", "/org/vmms1",
                 "org.vmms1.Manager", "WorkOnDisk", "s", text], capture_output=True,
                text=True).stderr
        for text, says in (("", "not JSON"), ("{}", "operation"),
                           ('{"operation": "create"}', "path"),
                           ('{"operation": "boil", "path": "/a"}', "operation"),
                           ('{"operation": "info", "path": "aa"}', "absolute"),
                           ('{"operation": "info", "path": "/a", "size": 512}', "size"),
                           ('{"operation": "create", "path": "/a"}', "size"),
                           ('{"operation": "convert", "path": "/a"}', "target"),
                           ('{"operation": "info", "path": "/a", "fixed": true}', "new disks"),
                           ('{"operation": "info", "path": "/a", "more": 1}', "more")):
            self.assertIn(says, call(text), text)


@unittest.skipIf(os.geteuid(), "not root, whose daemon alone has users")
class Users(DiskTest):
    policy = SYSTEM_POLICY.format(policy=arguments.source / "packaging/dbus/org.vmms1.conf")
    vmms_arguments = ("--group", "daemon")

    def setUp(self):
        super().setUp()
        self.home = self.path("home")
        self.home.mkdir()
        os.chown(self.home, MEMBER, MEMBER)

    def as_member(self, *words):
        return self.vmctl_as(MEMBER, "disk", *words)

    def test_members_work_on_files_of_their_own(self):
        result = self.as_member("create", self.home / "a", "100M")
        self.assertEqual((result.status, result.err), (OK, ""))
        self.assertEqual((self.home / "a").stat().st_uid, MEMBER)
        for words in (("resize", self.home / "a", "200M"), ("compact", self.home / "a"),
                      ("convert", self.home / "a", self.home / "b.raw"),
                      ("check", self.home / "b.raw"), ("map", self.home / "a")):
            result = self.as_member(*words)
            self.assertEqual((result.status, result.err), (OK, ""), words)
        if QEMU_IMG:
            result = self.as_member("convert", self.home / "a", self.home / "c.qcow2")
            self.assertEqual((result.status, result.err), (OK, ""))
            self.assertEqual(self.as_member("check", self.home / "c.qcow2").status, OK)

    def test_and_on_no_others(self):
        self.make("secret", "1M").chmod(0o600)
        for words in (("info", self.path("secret")), ("resize", self.path("secret"), "2M"),
                      ("convert", self.path("secret"), self.home / "b"),
                      ("create", self.path("mine"), "1M")):
            result = self.as_member(*words)
            self.assertEqual(result.status, FAILED, words)
            self.assertIn("Permission denied", result.err)

    def test_others_may_not(self):
        result = self.vmctl_as(STRANGER, "disk", "create", "/tmp/vmms-test-disk", "1M")
        self.assertEqual(result.status, NOT_PERMITTED, result.err)

    def test_whose_jobs_they_are(self):
        result = self.as_member("create", self.home / "a", "1M", "--no-wait")
        job = result.out.strip()
        self.assertEqual(self.vmctl_as(MEMBER, "job", "wait", job).status, OK)
        self.assertIn("disk-create", self.vmctl_as(MEMBER, "job", "list").out)
        self.make("b", "1M")
        self.assertEqual(self.vmctl_as(MEMBER, "job", "list").out.count("disk-create"), 1)
        self.assertEqual(self.vmctl_as(MEMBER, "job", "wait", str(int(job) + 1)).status,
                         NOT_PERMITTED)
        self.assertEqual(self.vmctl_as(STRANGER, "job", "wait", job).status, NOT_PERMITTED)
        self.assertEqual(self.ok("job", "list").count("disk-create"), 2)

    def test_a_vm_of_another_is_not_named(self):
        path = self.home / "a.raw"
        path.write_bytes(bytes(MIB))
        os.chown(path, MEMBER, MEMBER)
        self.create(name="hidden", disks=[{"path": str(path), "format": "raw"}])
        self.ok("start", "hidden")
        result = self.as_member("resize", path, "2M")
        self.assertEqual(result.status, FAILED)
        self.assertNotIn("hidden", result.err)
        self.assertIn("in use", result.err)


if __name__ == "__main__":
    main()
