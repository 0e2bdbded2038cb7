#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disk images that are not raw: what is recorded of them, what is refused, and their servers.

With qemu-storage-daemon(1) as it is. Guests of our own read and write such a disk where there is a
/dev/kvm and the workers are no sanitizers' build.
"""

import array
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
from rig import FAILED, OK, ServiceTest, USAGE, arguments, main, wait_until  # noqa: E402

SKIPPED = 77
SERVER = "/usr/bin/qemu-storage-daemon"
GUEST = (arguments.build / "guests/guest_storage.elf").resolve()
DRIVERS = {"qcow2": "qcow2", "vhd": "vpc", "vhdx": "vhdx", "vmdk": "vmdk"}
SIZE = 16 << 20


def pattern(size, seed):
    """The bytes that pattern_fill() of tests/guest/pattern.c gives for a whole disk."""
    return array.array("Q", (((i * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF) ^ seed
                             for i in range(1, size // 8 + 1))).tobytes()


def qemu_img(*words):
    subprocess.run(["qemu-img", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def children(pid):
    """Image servers that the daemon has started."""
    found = subprocess.run(["pgrep", "-P", str(pid), "-f", SERVER], capture_output=True,
                           text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Images(ServiceTest):
    def image(self, name, driver="qcow2", size=SIZE, *options):
        path = self.folder / name
        qemu_img("create", "-q", "-f", driver, *options, path, size)
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

    def test_backing_files(self):
        base = self.image("base")
        path = self.folder / "a"
        qemu_img("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path)
        self.refused_at_start(path, str(base))

    def test_json_for_a_name(self):
        path = self.folder / "a"
        qemu_img("create", "-q", "-u", "-f", "qcow2", "-F", "raw",
                 "-b", 'json:{"driver": "raw", "file": {"driver": "file", "filename": "/x"}}',
                 path, SIZE)
        self.refused_at_start(path, "json:")

    def test_external_data(self):
        path = self.image("a", "qcow2", SIZE, "-o", f"data_file={self.folder / 'data'}")
        self.refused_at_start(path, "a file with its data")

    def test_extents(self):
        path = self.image("a", "vmdk", SIZE, "-o", "subformat=monolithicFlat")
        with open(path, "ab") as text:
            text.write(b"# padding\n" * 60)
        self.refused_at_start(path, "extents")

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

    @staticmethod
    def status(pid):
        text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def seccomp(self, pid):
        return self.status(pid)["Seccomp"]

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
        wait_until(lambda: "image server" in self.ok("log", "vm"), "a line in the log")
        self.assertEqual(self.show()["state"], "running")
        self.ok("stop", "vm")
        self.ok("start", "vm")

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
        path = self.image("a", "vhdx")
        self.assertEqual(self.vmctl("attach", "vm", path).status, OK)
        pid = self.server()
        self.assertEqual(self.disks()[0]["format"], "vhdx")
        self.ok("stop", "vm")
        self.assertFalse(is_alive(pid))


@unittest.skipUnless(os.access("/dev/kvm", os.R_OK | os.W_OK) and GUEST.exists(),
                     "takes /dev/kvm and guests")
class Guests(ServiceTest):
    vmms_arguments = ("--worker", arguments.build / "bin/vmwp", "--hypervisor", "/dev/kvm")

    def run_guest(self, name, driver, **disk):
        raw, image, after = (self.folder / f"{name}{end}" for end in (".raw", "", ".after"))
        raw.write_bytes(pattern(SIZE, 1))
        options = ["-o", "force_size=on"] if driver == "vpc" else []
        qemu_img("convert", "-f", "raw", "-O", driver, *options, raw, image)
        self.create(name, boot={"kernel": str(GUEST), "command_line": ""},
                    memory={"size": "64M"},
                    actions={"reboot": "stop", "triple_fault": "stop", "crash": "stop"},
                    disks=[{"path": str(image), "format": name, **disk}])
        self.ok("start", name)
        self.wait_state("off", name)
        said = self.console_log(name)
        self.assertRegex(said, r"DONE passed=[1-9]\d* failed=0")
        self.assertNotIn("FAIL ", said)
        qemu_img("convert", "-f", driver, *(["-O", "raw"]), image, after)
        self.assertEqual(after.read_bytes()[:SIZE], pattern(SIZE, 2))

    def test_formats(self):
        for name, driver in DRIVERS.items():
            with self.subTest(name):
                self.run_guest(name, driver)

    def test_buffered(self):
        self.run_guest("qcow2", "qcow2", cache="buffered")


if __name__ == "__main__":
    if not os.access(SERVER, os.X_OK):
        print(f"there is no {SERVER}")
        sys.exit(SKIPPED)
    main()
