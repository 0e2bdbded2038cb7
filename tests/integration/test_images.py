#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disk images that are not raw: what is recorded of them, what is refused, and their servers.

With qemu-storage-daemon(1) as it is. Guests of our own read and write such a disk where there is a
/dev/kvm and the workers are no sanitizers' build.
"""

import array
import fcntl
import functools
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import struct
import subprocess
import sys
import unittest
import unittest.mock

sys.dont_write_bytecode = True
from rig import (FAILED, OK, USAGE, VMMS, ServiceTest, arguments, main,  # noqa: E402
                 wait_until)

SKIPPED = 77
F_OFD_SETLK = 37
OWNER = pwd.getpwuid(1)  # "daemon", wherever there is a Debian
SERVER = "/usr/bin/qemu-storage-daemon"
GUEST = (arguments.build / "guests/guest_storage.elf").resolve()
DRIVERS = {"qcow2": "qcow2", "vhd": "vpc", "vhdx": "vhdx", "vmdk": "vmdk"}
SIZE = 16 << 20
MAKE_IMAGE = (arguments.build / "tests/make_image").resolve()
KINDS = ["vhdx", "vhd"]


@functools.cache
def pattern(size, seed):
    """The bytes that pattern_fill() of tests/guest/pattern.c gives for a whole disk."""
    return array.array("Q", (((i * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF) ^ seed
                             for i in range(1, size // 8 + 1))).tobytes()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def qemu_img(*words, folder=None):
    subprocess.run(["qemu-img", *map(str, words)], check=True, stdout=subprocess.DEVNULL,
                   cwd=folder)


def children(pid):
    """Image servers that the daemon has started. A child that is not yet another program has the daemon's words."""
    found = subprocess.run(["pgrep", "-P", str(pid), "-x", os.path.basename(SERVER)[:15]], capture_output=True,
                           text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class ImageTest(ServiceTest):
    def image(self, name, driver="qcow2", size=SIZE, *options):
        path = self.folder / name
        qemu_img("create", "-q", "-f", driver, *options, path, size, folder=self.folder)
        return path

    def define(self, *disks, name="vm"):
        (self.folder / "kernel").touch()
        self.ok("create", "--name", name, "--kernel", self.folder / "kernel",
                *(word for disk in disks for word in ("--disk", disk)), "--no-network")

    def disks(self, name="vm"):
        return json.loads(self.ok("export", "--definition", name))["disks"]

    def start(self, *disks):
        self.define(*disks)
        self.ok("start", "vm")
        return self.server()

    def server(self):
        return wait_until(lambda: children(self.vmms.pid), "an image server")[0]

    def overlay(self, name, backing, backing_format="qcow2", *options):
        path = self.folder / name
        qemu_img("create", "-q", "-u", "-f", "qcow2", "-F", backing_format, "-b", backing,
                 *options, path, SIZE)
        return path

    def refuse(self, path, *says):
        self.define(f"{path},format=qcow2")
        for text in says:
            self.refused(FAILED, "start", "vm", says=text)
        self.assertEqual(self.show()["state"], "off")
        self.assertEqual(children(self.vmms.pid), [])

    @staticmethod
    def status(pid):
        text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def seccomp(self, pid):
        return self.status(pid)["Seccomp"]


class Images(ImageTest):
    # ---- What is recorded ----

    def test_formats_are_recorded(self):
        paths = [self.image(f"a.{name}", driver) for name, driver in DRIVERS.items()]
        raw = self.folder / "raw"
        raw.write_bytes(bytes(1 << 20))
        self.define(*paths, raw)
        self.assertEqual([disk["format"] for disk in self.disks()], [*DRIVERS, "raw"])

    def test_what_is_said_counts(self):
        self.define(f"{self.image('a')},format=raw")
        self.assertEqual(self.disks()[0]["format"], "raw")
        self.ok("attach", "vm", self.image("b"), "--format", "raw")
        self.ok("attach", "vm", self.image("c"))
        self.assertEqual([disk["format"] for disk in self.disks()], ["raw", "raw", "qcow2"])
        self.refused(USAGE, "attach", "vm", self.image("d"), "--format", "qcow")

    def test_a_disk_is_not_probed_again(self):
        """What a guest writes on a raw disk does not make it another."""
        path = self.folder / "disk"
        path.write_bytes(bytes(1 << 20))
        self.define(path)
        self.image("disk")
        self.ok("start", "vm")
        self.assertEqual(children(self.vmms.pid), [])
        self.assertEqual(self.disks()[0]["format"], "raw")

    def test_a_drive_for_dvds_has_raw_ones(self):
        self.refused(USAGE, "create", "--from", "-", says="always raw", stdin=json.dumps({
            "name": "dvd", "boot": {"kernel": "/k"},
            "disks": [{"type": "dvd", "path": "/d", "format": "qcow2"}]}))

    # ---- What is refused ----

    def refused_at_start(self, path, says):
        self.define(path)
        self.refused(FAILED, "start", "vm", says=says)
        self.assertEqual(self.show()["state"], "off")
        self.assertEqual(children(self.vmms.pid), [])

    def test_another_format(self):
        path = self.folder / "a"
        path.write_bytes(bytes(1 << 20))
        self.refused_at_start(f"{path},format=qcow2", "is not qcow2")

    def test_extents(self):
        path = self.image("a", "vmdk", SIZE, "-o", "subformat=monolithicFlat")
        with open(path, "ab") as text:
            text.write(b"# padding\n" * 60)
        self.refused_at_start(f"{path},format=vmdk", "extents")

    def test_without_a_server(self):
        self.stop_vmms()
        self.start_vmms("--image-server", "/nonexistent/server")
        self.refused_at_start(self.image("a"), "qemu-system-common")

    # ---- Servers ----

    def test_a_server_is_shut_in(self):
        path = self.image("a")
        pid = self.start(path)
        worker = self.show()["worker_pid"]
        # The fake worker shakes no hands, but the connection is there from the beginning.
        wait_until(lambda: self.seccomp(pid) == "2", "its guard")
        found = self.status(pid)
        for kind in "CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb":
            self.assertEqual(int(found[kind], 16), 0, kind)
        self.assertEqual(found["NoNewPrivs"], "1")
        for kind in "mnt", "net", "ipc", "user":
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/{kind}"),
                                os.readlink(f"/proc/self/ns/{kind}"), kind)
        if os.geteuid() == 0:
            self.assertEqual(os.listdir(f"/proc/{pid}/root"), [])
            self.assertIn(int(found["Uid"].split()[0]), range(0x7ffd0000, 0x7ffe0000))
        files = {os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
        self.assertEqual({name for name in files if name.startswith("/")} - {"/dev/null"},
                         {str(path)})
        self.assertTrue(is_alive(worker))

    @unittest.skipUnless(os.geteuid() == 0, "root alone has users for servers")
    def test_a_server_is_never_root(self):
        """Not even as its libraries are loaded, which are not ours."""
        seen = self.folder / "seen"
        seen.mkdir()
        seen.chmod(0o777)
        program = self.folder / "server"
        program.write_text(f"#!/bin/sh\nexec cat /proc/self/status >{seen}/status\n")
        program.chmod(0o755)
        # With a guard that does nothing.
        shutil.copy(VMMS, self.folder / "vmms")
        shutil.copy(arguments.build / "tests/slow_users.so", self.folder / "image-guard.so")
        self.stop_vmms()
        with unittest.mock.patch("rig.VMMS", self.folder / "vmms"):
            self.start_vmms("--image-server", program)
        self.define(self.image("a"))
        self.vmctl("start", "vm")
        status = wait_until(lambda: (seen / "status").exists() and (seen / "status").read_text(),
                            "the server")
        found = dict(line.split(":\t", 1) for line in status.splitlines())
        self.assertTrue(all(int(uid) in range(0x7ffd0000, 0x7ffe0000)
                            for key in ("Uid", "Gid") for uid in found[key].split()), found)
        self.assertEqual(found["NoNewPrivs"], "1")

    def test_it_ends_with_the_vm(self):
        pid = self.start(self.image("a"))
        self.ok("stop", "vm")
        self.assertFalse(is_alive(pid))
        # The image is free again at once.
        self.ok("start", "vm")
        self.assertTrue(is_alive(self.server()))

    def test_a_worker_that_is_killed(self):
        pid = self.start(self.image("a"))
        os.kill(self.show()["worker_pid"], signal.SIGKILL)
        self.wait_state("crashed")
        self.assertFalse(is_alive(pid))

    def test_images_are_locked(self):
        path = self.image("a")
        self.start(path)
        self.define(path, name="other")
        self.refused(FAILED, "start", "other", says="in use by VM 'vm'")

    def test_a_server_that_is_killed(self):
        pid = self.start(self.image("a"))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "killed by signal 9" in self.ok("log", "vm"), "a line in the log")
        self.assertEqual(self.show()["state"], "running")
        for times in (1, 2):
            wait_until(lambda: f"started again, for the {times}. time" in self.ok("log", "vm"),
                       "another server")
            server = wait_until(lambda: self.show()["disks"][0].get("server"), "the server")
            self.assertNotEqual(server, pid)
            self.assertTrue(is_alive(server))
            pid = server
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.show()["state"], "running")
        self.ok("stop", "vm")
        self.ok("start", "vm")

    def test_a_server_is_started_again_whoever_has_locked_the_image(self):
        path = self.image("a")
        path.chmod(0o644)
        pid = self.start(path)
        whole = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        with open(path, "rb") as reader:
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: self.locks(reader, whole), "the lock")
            wait_until(lambda: "started again, for the 1. time" in self.ok("log", "vm"),
                       "another server")
        self.assertNotIn("cannot be started again", self.ok("log", "vm"))
        self.assertIn("'chmod go-r'", self.ok("log", "vm"))

    @staticmethod
    def locks(file, lock):
        try:
            fcntl.fcntl(file, F_OFD_SETLK, lock)
        except BlockingIOError:
            return False
        return True

    def test_a_server_that_hangs_is_replaced(self):
        """The worker has ended the connection, and the server does not notice."""
        pid = self.start(self.image("a"))
        os.kill(pid, signal.SIGSTOP)
        self.type("disk-no-server")
        wait_until(lambda: "started again, for the 1. time" in self.ok("log", "vm"),
                   "another server")
        self.assertFalse(is_alive(pid))
        server = wait_until(lambda: self.show()["disks"][0].get("server"), "its process")
        self.assertTrue(is_alive(server))
        self.type("disk-ok")
        wait_until(lambda: self.show()["disks"][0]["health"] == "ok", "the disk to be well")

    def test_a_server_that_cannot_be_started_again(self):
        path = self.image("a")
        pid = self.start(path)
        os.rename(path, f"{path}.away")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "cannot be started again" in self.ok("log", "vm"), "a line in the log")
        self.assertIn("No such file", self.ok("log", "vm"))
        os.rename(f"{path}.away", path)
        wait_until(lambda: "was started again, for the" in self.ok("log", "vm"),
                   "another server")
        self.ok("detach", "vm", "--lun", "0")

    def test_restarts_are_told_whatever_was_told_before(self):
        """More events of the disk than the log takes in a minute do not push them out."""
        pid = self.start(self.image("a"))
        # It would end by itself after ten seconds in which no client has spoken to it.
        os.kill(pid, signal.SIGSTOP)
        for _ in range(15):
            self.type("disk-full")
            self.wait_state("paused")
            self.type("disk-ok")
            self.wait_state("running")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "started again, for the 1. time" in self.ok("log", "vm"), "a line in the log")

    def test_it_outlives_the_daemon(self):
        pid = self.start(self.image("a"))
        self.kill_vmms()
        self.start_vmms()
        wait_until(lambda: self.show()["heartbeat"] == "ok", "the worker to be taken over")
        self.assertTrue(is_alive(pid))
        self.ok("stop", "vm")
        self.assertFalse(is_alive(pid))
        self.ok("start", "vm")

    def test_it_ends_without_a_daemon(self):
        pid = self.start(self.image("a"))
        worker = self.show()["worker_pid"]
        wait_until(lambda: self.seccomp(pid) == "2", "its guard")
        self.kill_vmms()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), "the server to end")

    def test_disks_that_come_and_go(self):
        self.define()
        self.ok("start", "vm")
        self.assertEqual(children(self.vmms.pid), [])
        path = self.image("a", "vmdk")
        self.assertEqual(self.vmctl("attach", "vm", path).status, OK)
        pid = self.server()
        self.assertEqual(self.disks()[0]["format"], "vmdk")
        self.ok("stop", "vm")
        self.assertFalse(is_alive(pid))

    # ---- What the worker reads by itself ----

    def worker_files(self):
        pid = self.show()["worker_pid"]
        return {pathlib.Path(os.readlink(link)).name
                for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()}

    def test_vhdx_has_no_server(self):
        self.define(self.image("a", "vhdx"))
        self.ok("attach", "vm", self.image("b", "vhdx"))
        self.ok("start", "vm")
        self.ok("attach", "vm", self.image("c", "vhdx"))
        self.assertEqual(children(self.vmms.pid), [])
        self.assertEqual({disk["format"] for disk in self.disks()}, {"vhdx"})
        self.assertLessEqual({"a", "b", "c"}, self.worker_files())

    def test_a_vhdx_may_grow(self):
        self.stop_vmms()
        self.start_vmms("--worker-users", "none")  # whose limits can be raised without a privilege
        self.define(self.image("a", "vhdx", 1 << 40))
        self.ok("start", "vm")
        pid = self.show()["worker_pid"]
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text(encoding="utf-8")
        most = int(re.search(r"Max file size\s+(\d+)", limits)[1])
        self.assertGreaterEqual(most, 1 << 40)
        self.assertLess(most, (1 << 40) + (1 << 30))

    def image_with_a_log(self, name):
        """As if its worker had been killed: its headers name a log."""
        path = self.image(name, "vhdx")
        image = bytearray(path.read_bytes())
        for header in (64 << 10, 128 << 10):
            image[header + 48:header + 64] = b"x" * 16
            self.mend(image, header)
        return path, image

    @staticmethod
    def mend(image, offset):
        image[offset + 4:offset + 8] = bytes(4)
        image[offset + 4:offset + 8] = crc32c(image[offset:offset + 4096]).to_bytes(4, "little")

    def test_a_vhdx_whose_log_is_corrupt(self):
        path, image = self.image_with_a_log("a")
        path.write_bytes(image)
        self.refused_at_start(f"{path},format=vhdx", "its log cannot be replayed")

    def test_a_vhdx_is_recovered(self):
        """Before its worker gets it, which may not wait for that."""
        path, image = self.image_with_a_log("a")
        log = int.from_bytes(image[(64 << 10) + 72:(64 << 10) + 80], "little")
        image[log:log + 4096] = struct.pack(
            "<4sIIIQII16sQQ", b"loge", 0, 4096, 0, 7, 0, 0, b"x" * 16, len(image) >> 20 << 20,
            len(image) >> 20 << 20).ljust(4096, b"\0")
        self.mend(image, log)
        path.write_bytes(image)
        self.define(path)
        self.ok("start", "vm")
        after = path.read_bytes()
        for header in (64 << 10, 128 << 10):
            self.assertEqual(after[header + 48:header + 64], bytes(16))
            self.assertNotEqual(after[header + 16:header + 32], image[header + 16:header + 32])


class Parents(ImageTest):
    """Images with parents that the worker reads by itself."""

    def make(self, kind, name, parent=None, *names):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        words = [self.folder / parent, *names] if parent else []
        subprocess.run([MAKE_IMAGE, kind, path, str(SIZE >> 20), *words], check=True)
        return path

    def refuse(self, path, *says):
        self.define(f"{path},format={path.suffix[1:]}")
        error = self.refused(FAILED, "start", "vm")
        for text in says:
            self.assertIn(text, error)
        self.assertEqual(self.show()["state"], "off")

    def files(self):
        """Those that the worker has, and whether it can write them."""
        pid = self.show()["worker_pid"]
        found = {}
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            path = pathlib.Path(os.readlink(link))
            if path.suffix in (".vhd", ".vhdx"):
                text = pathlib.Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
                flags = int(text.split("flags:")[1].split()[0], 8)
                found[path.name] = flags & os.O_ACCMODE == os.O_RDWR
        return found

    def test_a_chain(self):
        for kind in KINDS:
            with self.subTest(kind):
                self.make(kind, f"0.{kind}")
                self.make(kind, f"1.{kind}", f"0.{kind}")
                path = self.make(kind, f"2.{kind}", f"1.{kind}", f".\\1.{kind}")
                chain = {f"0.{kind}": False, f"1.{kind}": False, f"2.{kind}": True}
                self.define(f"{path},format={kind}", name=kind)
                self.ok("start", kind)
                pid = self.show(kind)["worker_pid"]
                with unittest.mock.patch.object(self, "show", lambda: {"worker_pid": pid}):
                    self.assertEqual(self.files(), chain)
                self.assertEqual(children(self.vmms.pid), [])
                # Parents are locked: nobody writes them meanwhile.
                self.define(f"{self.folder}/0.{kind},format={kind}", name=f"{kind}-other")
                self.refused(FAILED, "start", f"{kind}-other", says="is in use by")
                self.ok("stop", kind)

    def test_one_that_is_attached(self):
        self.define()
        self.ok("start", "vm")
        self.make("vhdx", "0.vhdx")
        path = self.make("vhdx", "1.vhdx", "0.vhdx")
        self.ok("attach", "vm", path, "--format", "vhdx")
        self.assertEqual(self.files(), {"0.vhdx": False, "1.vhdx": True})

    def test_in_other_folders(self):
        for kind in KINDS:
            with self.subTest(kind):
                self.make(kind, f"bases/0.{kind}")
                path = self.make(kind, f"disks/1.{kind}", f"bases/0.{kind}",
                                 f"..\\bases\\0.{kind}")
                self.define(f"{path},format={kind}", name=kind)
                self.ok("start", kind)

    def test_one_that_came_from_windows(self):
        """It lies beside the child now; what is said of drives means nothing here."""
        self.make("vhdx", "0.vhdx")
        path = self.make("vhdx", "1.vhdx", "0.vhdx", "..\\Bases\\0.vhdx",
                         "D:\\Hyper-V\\Bases\\0.vhdx")
        self.define(f"{path},format=vhdx")
        self.ok("start", "vm")
        self.assertEqual(self.files(), {"0.vhdx": False, "1.vhdx": True})

    def test_which_is_not_there(self):
        for kind in KINDS:
            self.make(kind, f"0.{kind}")
            path = self.make(kind, f"1.{kind}", f"0.{kind}")
            (self.folder / f"0.{kind}").unlink()
            with self.subTest(kind):
                self.refuse(path, f"1.{kind}'", f"parent '{self.folder}/0.{kind}'",
                            "No such file")
            self.ok("delete", "vm")

    def test_which_is_another(self):
        for kind in KINDS:
            self.make(kind, f"0.{kind}")
            path = self.make(kind, f"1.{kind}", f"0.{kind}")
            self.make(kind, f"0.{kind}")
            with self.subTest(kind):
                self.refuse(path, f"parent '{self.folder}/0.{kind}'", "another image")
            self.ok("delete", "vm")

    def test_which_is_no_image(self):
        for kind in KINDS:
            self.make(kind, f"0.{kind}")
            path = self.make(kind, f"1.{kind}", f"0.{kind}")
            (self.folder / f"0.{kind}").write_bytes(bytes(1 << 20))
            with self.subTest(kind):
                self.refuse(path, f"'{self.folder}/0.{kind}'",
                            f"it is no {kind.upper()} image")
            self.ok("delete", "vm")

    def test_which_is_its_own(self):
        for kind in KINDS:
            self.make(kind, f"0.{kind}")
            path = self.make(kind, f"1.{kind}", f"0.{kind}", f"1.{kind}")
            with self.subTest(kind):
                self.refuse(path, "in the chain of files already")
            self.ok("delete", "vm")

    def test_too_many(self):
        self.make("vhdx", "0.vhdx")
        for i in range(1, 17):
            path = self.make("vhdx", f"{i}.vhdx", f"{i - 1}.vhdx")
        self.refuse(path, "one file more than a disk")
        self.ok("delete", "vm")
        self.define(f"{self.folder / '15.vhdx'},format=vhdx")
        self.ok("start", "vm")
        self.assertEqual(len(self.files()), 16)

    def test_others_may_write_the_head(self):
        self.make("vhdx", "0.vhdx")
        path = self.make("vhdx", "1.vhdx", "0.vhdx")
        path.chmod(0o666)
        self.refuse(path, "others than its owner may write")


class Chains(ImageTest):
    """Images that name other files."""

    def serve(self, path):
        """The files that the server has, and whether it can write them."""
        pid = self.start(f"{path},format=qcow2")
        wait_until(lambda: self.status(pid)["Seccomp"] == "2", "its guard")
        found = {}
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            name = pathlib.Path(os.readlink(link))
            if name.parent == self.folder:
                text = pathlib.Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
                flags = int(text.split("flags:")[1].split()[0], 8)
                found[name.name] = flags & os.O_ACCMODE == os.O_RDWR
        self.assertTrue(is_alive(pid))
        return found

    # ---- What is served ----

    def test_a_chain(self):
        (self.folder / "base").write_bytes(bytes(SIZE))
        self.overlay("middle", self.folder / "base", "raw")
        self.assertEqual(self.serve(self.overlay("top", "middle")),
                         {"top": True, "middle": False, "base": False})
        self.ok("stop", "vm")
        self.assertEqual(children(self.vmms.pid), [])

    def test_relative_to_the_image(self):
        (self.folder / "images").mkdir()
        self.image("base")
        path = self.overlay("images/top", "../base")
        # The link's folder counts, not the folder where it leads.
        link = self.folder / "link"
        link.symlink_to("images/top")
        self.refuse(link, "No such file")
        self.ok("delete", "vm")
        self.assertEqual(self.serve(path), {"base": False})

    def test_data_elsewhere(self):
        path = self.image("a", "qcow2", SIZE, "-o", "data_file=data,data_file_raw=on")
        self.assertEqual(self.serve(path), {"a": True, "data": True})
        self.ok("stop", "vm")
        self.ok("set", "vm", "disks[0].read_only=true")
        # Data of what backs an image are for reading.
        self.define(f"{self.overlay('top', 'a')},format=qcow2", name="other")
        self.ok("start", "vm")
        self.ok("start", "other")

    def test_one_base_for_many(self):
        self.image("base")
        for name in "a", "b":
            self.define(f"{self.overlay(name, 'base')},format=qcow2", name=name)
            self.ok("start", name)
        self.define(self.folder / "base")
        self.refused(FAILED, "start", "vm", says="is in use")
        self.ok("stop", "a")
        self.ok("stop", "b")
        self.ok("start", "vm")
        self.refused(FAILED, "start", "a", says="'vm'")

    def test_while_the_vm_runs(self):
        self.image("base")
        self.define()
        self.ok("start", "vm")
        self.ok("attach", "vm", self.overlay("top", "base"), "--format", "qcow2")
        self.server()
        self.refused(FAILED, "attach", "vm", self.overlay("more", "missing"), "--format",
                     "qcow2", says="missing")
        self.assertEqual(len(self.disks()), 1)

    def test_a_raw_one_stays_one(self):
        """What its guest has written on it names nothing."""
        self.overlay("base", "/etc/passwd", "raw")
        self.assertEqual(self.serve(self.overlay("top", "base", "raw")),
                         {"top": True, "base": False})

    # ---- What is refused ----

    def test_nothing_is_followed_that_nobody_vouches_for(self):
        """It may have been the raw disk of a guest, who has written a head on it."""
        path = self.overlay("a", "/etc/passwd", "raw")
        self.define()
        self.refused(USAGE, "attach", "vm", path, says="'/etc/passwd'")
        self.refused(USAGE, "create", "--name", "b", "--kernel", self.folder / "kernel",
                     "--disk", path, says="on top of another file")
        self.assertEqual(self.disks(), [])

    def test_a_file_that_is_not_there(self):
        self.refuse(self.overlay("a", "base"), f"backing file '{self.folder}/base'",
                    "No such file")

    def test_what_is_no_path(self):
        for name in 'json:{"driver": "file", "filename": "/x"}', "nbd://localhost/", "file:/x":
            with self.subTest(name):
                path = self.image("a")
                self.overlay("a", name, "raw")
                self.refuse(path, name, "is no path")
                self.ok("delete", "vm")

    def test_a_format_that_is_not_said(self):
        path = self.overlay("a", self.image("base"))
        head = path.read_bytes()
        at = head.index(bytes.fromhex("e2792aca"))
        path.write_bytes(head[:at] + bytes(4) + head[at + 4:])
        self.refuse(path, "does not say of which format", "qemu-img rebase")

    def test_a_format_that_it_is_not(self):
        (self.folder / "base").write_bytes(bytes(SIZE))
        self.refuse(self.overlay("a", "base"), "is not qcow2, as the head")

    def test_loops(self):
        self.overlay("a", "b")
        self.overlay("b", "a")
        self.refuse(self.folder / "a", "in the chain of files already")
        self.ok("delete", "vm")
        self.refuse(self.overlay("itself", "itself"), "in the chain of files already")

    def test_long_chains(self):
        self.image("0")
        for i in range(1, 17):
            self.overlay(str(i), str(i - 1))
        self.refuse(self.folder / "16", "one file more")
        self.ok("delete", "vm")
        self.assertEqual(len(self.serve(self.folder / "15")), 16)

    def test_special_files(self):
        os.mkfifo(self.folder / "fifo")
        self.refuse(self.overlay("a", "fifo", "raw"), "neither a regular file")
        self.ok("delete", "vm")
        self.refuse(self.overlay("a", "/proc/self/fd/0", "raw"), "/proc/self/fd/0")

    def test_heads_that_others_may_write(self):
        self.image("base")
        path = self.overlay("a", "base")
        path.chmod(0o664)
        self.refuse(path, "others than its owner may write it")
        path.chmod(0o644)
        self.ok("start", "vm")

    def test_names_are_shown_without_harm(self):
        self.refuse(self.overlay("a", "b\x1b[31m\udcff", "raw"), "'", "b\\x1b[31m")


@unittest.skipUnless(os.geteuid() == 0, "takes root, who gives VMs to others")
class Owners(ImageTest):
    """Files are opened with the rights of the VM's owner."""

    vmms_is_leader = True

    def own(self, path, mode):
        os.chown(path, OWNER.pw_uid, OWNER.pw_gid)
        path.chmod(mode)
        return path

    def define(self, *disks, name="vm"):
        super().define(*disks, name=name)
        (self.folder / "kernel").chmod(0o644)
        self.ok("set", name, f"owner={OWNER.pw_name}")

    def image(self, name, driver="qcow2", size=SIZE, *options):
        return self.own(super().image(name, driver, size, *options), 0o600)

    def overlay(self, name, backing, backing_format="qcow2", *options):
        return self.own(super().overlay(name, backing, backing_format, *options), 0o600)

    def test_what_the_owner_may_not_read(self):
        secret = self.folder / "secret"
        secret.write_bytes(bytes(SIZE))
        secret.chmod(0o600)
        path = self.overlay("a", "secret", "raw")
        self.refuse(path, f"'{secret}'", f"Permission denied to its owner '{OWNER.pw_name}'")
        secret.chmod(0o644)
        self.ok("start", "vm")

    def test_data_that_the_owner_may_not_write(self):
        path = self.image("a", "qcow2", SIZE, "-o", "data_file=data,data_file_raw=on")
        (self.folder / "data").chmod(0o644)
        os.chown(self.folder / "data", 0, 0)
        self.refuse(path, f"'{self.folder}/data'", "Permission denied to its owner")
        self.ok("set", "vm", "disks[0].read_only=true")
        self.ok("start", "vm")

    def test_heads_of_others(self):
        """They could have the owner read what they may not."""
        self.image("base")
        path = self.overlay("a", "base")
        os.chown(path, OWNER.pw_uid + 1, OWNER.pw_gid)
        path.chmod(0o664)
        self.refuse(path, "belongs neither to the VM's owner nor to root")
        os.chown(path, 0, OWNER.pw_gid)
        self.refused(FAILED, "start", "vm", says="others than its owner may write it")
        path.chmod(0o644)
        self.ok("set", "vm", "disks[0].read_only=true")
        self.ok("start", "vm")


@unittest.skipUnless(os.access("/dev/kvm", os.R_OK | os.W_OK) and GUEST.exists(),
                     "takes /dev/kvm and guests")
class Guests(ServiceTest):
    vmms_arguments = ("--worker", arguments.build / "bin/vmwp", "--hypervisor", "/dev/kvm")

    def run_guest(self, name, image, **disk):
        """A guest reads one pattern from the disk, and writes another."""
        self.create(name, boot={"kernel": str(GUEST), "command_line": ""},
                    memory={"size": "64M"},
                    actions={"reboot": "stop", "triple_fault": "stop", "crash": "stop"},
                    disks=[{"path": str(image), **disk}])
        self.ok("start", name)
        self.wait_state("off", name)
        said = self.console_log(name)
        self.assertRegex(said, r"DONE passed=[1-9]\d* failed=0")
        self.assertNotIn("FAIL ", said)

    def check_after(self, image, driver):
        after = self.folder / "after"
        qemu_img("convert", "-f", driver, "-O", "raw", image, after)
        self.assertEqual(after.read_bytes()[:SIZE], pattern(SIZE, 2))

    def convert(self, name, driver):
        raw, image = self.folder / f"{name}.raw", self.folder / name
        raw.write_bytes(pattern(SIZE, 1))
        options = ["-o", "force_size=on"] if driver == "vpc" else []
        qemu_img("convert", "-f", "raw", "-O", driver, *options, raw, image)
        return image

    def run_format(self, name, driver, **disk):
        image = self.convert(name, driver)
        self.run_guest(name, image, format=name, **disk)
        self.check_after(image, driver)

    def test_formats(self):
        for name, driver in DRIVERS.items():
            with self.subTest(name):
                self.run_format(name, driver)

    def test_buffered(self):
        self.run_format("qcow2", "qcow2", cache="buffered")

    def test_backing_files(self):
        for name, driver in {"raw": "raw", **DRIVERS}.items():
            with self.subTest(name):
                base = self.convert(name, driver)
                middle, top = self.folder / f"{name}.middle", self.folder / f"{name}.top"
                qemu_img("create", "-q", "-f", "qcow2", "-F", driver, "-b", base, middle)
                qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", middle, top)
                before = base.read_bytes(), middle.read_bytes()
                self.run_guest(name, top, format="qcow2")
                self.assertEqual((base.read_bytes(), middle.read_bytes()), before)
                self.check_after(top, "qcow2")

    def test_parents_of_vmdk(self):
        base = self.convert("base", "vmdk")
        top = self.folder / "top"
        qemu_img("create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", base, top)
        before = base.read_bytes()
        self.run_guest("vm", top, format="vmdk")
        self.assertEqual(base.read_bytes(), before)
        self.check_after(top, "vmdk")

    def test_data_elsewhere(self):
        raw, top = self.folder / "raw", self.folder / "top"
        raw.write_bytes(pattern(SIZE, 1))
        qemu_img("convert", "-f", "raw", "-O", "qcow2", "-o", f"data_file={self.folder}/data",
                 raw, top)
        over = self.folder / "over"
        qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", top, over)
        before = (self.folder / "data").read_bytes()
        self.run_guest("over", over, format="qcow2")
        self.assertEqual((self.folder / "data").read_bytes(), before)
        self.check_after(over, "qcow2")
        self.run_guest("vm", top, format="qcow2")
        self.assertNotEqual((self.folder / "data").read_bytes(), before)
        self.check_after(top, "qcow2")


if __name__ == "__main__":
    if not os.access(SERVER, os.X_OK):
        print(f"there is no {SERVER}")
        sys.exit(SKIPPED)
    main()
