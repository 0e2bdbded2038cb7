#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files of VMs: on a file system that does not answer, and as descriptors that callers pass.

The file system is FUSE, mounted in a mount namespace of the test's own, whose server says nothing.
Exit status 77 without root, who alone may do that, and be somebody else.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import pwd
import signal
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
from bus import Bus, Refused  # noqa: E402
from rig import (FAILED, OK, TIMED_OUT, TIMEOUT, USAGE, VMCTL, WRONG_STATE, children,  # noqa: E402
                 ServiceTest, as_user, main, wait_until)

OWNER, OTHER = pwd.getpwuid(1), pwd.getpwuid(2)
FILES = "org.vmms1.Files"
BUS = pathlib.Path(__file__).with_name("bus.py")
INSIDE = "VMMS_TEST_MOUNTS"
F_OFD_SETLK = 37
libc = ctypes.CDLL(None, use_errno=True)


def in_own_mounts():
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                              *sys.argv])


def access_control_list(uid):
    """The user may read and write, and nobody else but root; acl(5) as the kernel has it."""
    user_obj, user, group_obj, mask, other, nobody = 1, 2, 4, 16, 32, 0xffffffff
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in (
        (user_obj, 6, nobody), (user, 6, uid), (group_obj, 0, nobody), (mask, 6, nobody),
        (other, 0, nobody)))


class FilesTest(ServiceTest):
    def setUp(self):
        super().setUp()
        (self.folder / "kernel").chmod(0o644)
        self.bus_path = self.folder / "bus"

    def own(self, path, mode=0o600):
        os.chown(path, OWNER.pw_uid, OWNER.pw_gid)
        os.chmod(path, mode)
        return str(path)

    def of_owner(self, name="vm", **members):
        self.create(name, owner=OWNER.pw_name, **members)

    def path(self, name="vm"):
        return "/org/vmms1/vm/" + self.show(name)["uuid"].replace("-", "_")

    def helpers(self):
        """Processes of the service's that open files: copies of it."""
        pid = self.vmms.pid
        found = []
        for child in children(pid):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{child}/exe") == os.readlink(f"/proc/{pid}/exe"):
                    found.append(child)
        return found


class Silence(FilesTest):
    """A file system that does not answer."""

    seconds = "0"

    def setUp(self):
        super().setUp()
        self.mountpoint = self.folder / "silent"
        self.mountpoint.mkdir()
        self.mount()

    def start_vmms(self, *extra, wait=True):
        super().start_vmms("--open-timeout", self.seconds, *extra, wait=wait)

    def limit(self):
        """From now on the opening of files has its time."""
        self.stop_vmms()
        self.seconds = "2"
        self.start_vmms()

    def mount(self):
        self.server = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.server},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"silence", bytes(self.mountpoint), b"fuse", 0, options.encode()) != 0:
            self.skipTest(f"no FUSE may be mounted: {os.strerror(ctypes.get_errno())}")
        self.addCleanup(self.unmount)

    def unmount(self):
        self.hang_up()
        libc.umount2(bytes(self.mountpoint), 2)  # MNT_DETACH

    def hang_up(self):
        """Whoever waits for the file system gets an error."""
        if self.server >= 0:
            os.close(self.server)
            self.server = -1

    def slow(self, name="vm", **members):
        self.create(name, disks=[{"path": str(self.mountpoint / "disk")}], **members)

    def assert_others_are_served(self):
        self.create("quick")
        self.ok("start", "quick")
        self.ok("stop", "quick")
        self.ok("delete", "quick")

    def test_a_start_has_its_time(self):
        self.limit()
        self.slow()
        error = self.refused(TIMED_OUT, "start", "vm", says=f"'{self.mountpoint}/disk' could not "
                             "be opened within 2 seconds")
        self.assertIn("--open-timeout", error)
        self.assertEqual(self.show()["state"], "off")
        self.assertIn("could not be opened", self.show()["reason"])
        wait_until(lambda: not self.helpers(), "the process that opened it to be gone")
        self.slow_disk_can_be_taken_away()

    def slow_disk_can_be_taken_away(self):
        self.ok("detach", "vm", "--lun", "0")
        self.ok("start", "vm")

    def test_kernel_and_initrd(self):
        self.limit()
        for member in "kernel", "initrd":
            self.create(boot={"kernel": str(self.folder / "kernel"),
                              member: str(self.mountpoint / member)})
            self.refused(TIMED_OUT, "start", "vm", says=f"'{self.mountpoint}/{member}'")
            self.ok("delete", "vm")

    def test_turning_off_ends_the_waiting(self):
        self.slow()
        start = self.vmctl_in_background("start", "vm")
        self.wait_state("starting")
        self.assert_others_are_served()
        for words in (["delete", "vm"], ["pause", "vm"], ["set", "vm", "notes=x"]):
            self.refused(WRONG_STATE, *words)
        self.ok("stop", "--all")
        out, error = start.communicate(timeout=TIMEOUT)
        self.assertEqual(start.returncode, WRONG_STATE)
        self.assertIn("turned off before", error)
        self.assertEqual(self.show()["state"], "off")
        self.slow_disk_can_be_taken_away()

    def test_a_disk_for_a_vm_that_runs(self):
        self.create(disks=[{"type": "dvd"}])
        self.ok("start", "vm")
        before = self.show()["definition"]
        for words in ["attach", "vm", "--format", "raw"], ["insert", "vm", "--lun", "0"]:
            change = self.vmctl_in_background(*words, str(self.mountpoint / "image"))
            wait_until(self.helpers, "the image to be opened")
            self.assert_others_are_served()
            self.refused(WRONG_STATE, "attach", "vm", "--dvd", says="busy")
            self.hang_up()
            out, error = change.communicate(timeout=TIMEOUT)
            self.assertEqual(change.returncode, FAILED, error)
            self.assertIn("cannot use disk image", error)
            self.assertEqual(self.show()["definition"], before)
            self.unmount()
            self.mount()
        self.ok("attach", "vm", "--dvd")

    def test_a_disk_has_its_time(self):
        self.limit()
        self.create(disks=[{"type": "dvd"}])
        self.ok("start", "vm")
        before = self.show()["definition"]
        for words in ["attach", "vm", "--format", "raw"], ["insert", "vm", "--lun", "0"]:
            self.refused(TIMED_OUT, *words, self.mountpoint / "image", says="within 2 seconds")
            self.assertEqual(self.show()["definition"], before)
        self.ok("attach", "vm", "--dvd")

    def test_a_format_is_not_waited_for_for_ever(self):
        self.create()
        self.refused(TIMED_OUT, "attach", "vm", self.mountpoint / "image", says="timed out; say it")
        self.assertEqual(self.show()["definition"]["disks"], [])

    def test_the_guest_ends_meanwhile(self):
        self.create()
        for end in ["stop", "vm"], None:
            self.ok("start", "vm")
            change = self.vmctl_in_background("attach", "vm", "--format", "raw",
                                               str(self.mountpoint / "image"))
            wait_until(self.helpers, "the image to be opened")
            if end:
                self.ok(*end)
            else:
                os.kill(self.show()["worker_pid"], signal.SIGKILL)
                self.wait_state("crashed")
            change.communicate(timeout=TIMEOUT)
            self.assertNotEqual(change.returncode, OK)
            self.assertEqual(self.show()["definition"]["disks"], [])
            wait_until(lambda: not self.helpers(), "the process that opened it to be gone")

    def test_the_service_ends_meanwhile(self):
        self.slow()
        for end in self.stop_vmms, self.kill_vmms:
            start = self.vmctl_in_background("start", "vm")
            helpers = wait_until(self.helpers, "the disk to be opened")
            end()
            self.assertNotEqual(start.wait(TIMEOUT), OK)
            start.communicate()
            wait_until(lambda: not any(os.path.exists(f"/proc/{helper}") for helper in helpers),
                       "the helpers to be gone")
            self.start_vmms()
            self.assertEqual(self.show()["state"], "off")

    def test_all_guests_are_stopped_meanwhile(self):
        self.slow()
        self.create("other")
        self.ok("start", "other")
        start = self.vmctl_in_background("start", "vm")
        self.wait_state("starting")
        bus = Bus(self.bus_path, "org.vmms1")
        self.addCleanup(bus.close)
        bus.call("/org/vmms1", "org.vmms1.Manager", "StopGuests")
        self.assertNotEqual(start.wait(TIMEOUT), OK)
        start.communicate()
        self.assertEqual({vm["state"] for vm in self.list()["vms"]}, {"off"})

    def test_one_that_answers_at_last(self):
        self.slow()
        start = self.vmctl_in_background("start", "vm")
        wait_until(self.helpers, "the disk to be opened")
        self.hang_up()
        out, error = start.communicate(timeout=TIMEOUT)
        self.assertEqual(start.returncode, FAILED, error)
        self.assertIn("cannot use disk image", error)

    def test_at_the_start_of_the_host(self):
        """Others in the queue have their turn."""
        start = {"action": "start"}
        self.slow("first", automatic_start={**start, "order": 1})
        self.create("second", automatic_start={**start, "order": 2})
        self.stop_vmms()
        self.seconds = "2"
        (self.folder / "run/running/boot.json").write_text('{"boot_id": "another"}')
        self.start_vmms()
        self.wait_state("running", "second")
        self.assertEqual(self.show("first")["state"], "off")
        self.assertIn("does not answer", (self.folder / "log").read_text())

    def test_after_a_failure(self):
        self.limit()
        disk = self.disk("disk")
        self.create(disks=[disk], actions={"worker_failure": "restart"})
        self.ok("start", "vm")
        os.unlink(disk["path"])
        os.symlink(self.mountpoint / "disk", disk["path"])
        os.kill(self.show()["worker_pid"], signal.SIGKILL)
        info = wait_until(lambda: (lambda info: info if "it cannot be started again: " in
                                   info["reason"] else None)(self.show()), "the refusal")
        self.assertEqual(info["state"], "crashed")
        self.assertIn("does not answer", info["reason"])

    def test_the_doctor(self):
        self.slow()
        checks = {check["name"]: check
                  for check in json.loads(self.vmctl("doctor", "--json").out)["checks"]}
        self.assertEqual(checks["image-space"]["verdict"], "unknown")

    def test_who_has_a_disk_is_found_out_without_waiting(self):
        """Of all running VMs the disks are looked at, to say whose a disk is."""
        self.limit()
        disk = self.disk("disk")
        self.create("first", disks=[disk, self.disk("moved", lun=1)])
        self.ok("start", "first")
        os.unlink(self.folder / "moved")
        os.symlink(self.mountpoint / "moved", self.folder / "moved")
        self.create(disks=[{"path": str(self.folder / "link")}])
        os.symlink(self.folder / "moved", self.folder / "link")
        self.refused(TIMED_OUT, "start", "vm")
        self.assert_others_are_served()


class Owner(FilesTest):
    """Who opens files."""

    def test_a_process_that_its_user_kills(self):
        mountpoint = self.folder / "silent"
        mountpoint.mkdir()
        server = os.open("/dev/fuse", os.O_RDWR)
        self.addCleanup(os.close, server)
        options = f"fd={server},rootmode=40000,user_id=0,group_id=0,allow_other"
        self.assertEqual(libc.mount(b"silence", bytes(mountpoint), b"fuse", 0, options.encode()), 0)
        self.addCleanup(libc.umount2, bytes(mountpoint), 2)
        self.of_owner(boot={"kernel": str(mountpoint / "kernel")})
        start = self.vmctl_in_background("start", "vm")
        # It is the owner, has nothing of the service's, and nobody looks into it.
        helper, status = wait_until(self.open_helper, "the process that opens to be the owner")
        self.assertEqual(status["Uid"].split(), [str(OWNER.pw_uid)] * 4)
        self.assertEqual(status["Gid"].split(), [str(OWNER.pw_gid)] * 4)
        self.assertEqual({status[f"Cap{kind}"] for kind in ("Prm", "Eff", "Amb")}, {"0" * 16})
        targets = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{helper}/fd").iterdir()]
        # To report, and for what it opens.
        self.assertEqual(len([target for target in targets if target.startswith("socket:")]), 2)
        self.assertFalse([target for target in targets
                          if target.startswith((str(self.state), str(self.folder / "run")))])
        self.assertNotEqual(subprocess.run(
            as_user(OWNER.pw_uid, "cat", f"/proc/{helper}/maps"), capture_output=True,
            timeout=TIMEOUT).returncode, 0)
        subprocess.run(as_user(OWNER.pw_uid, "kill", "-KILL", str(helper)), check=True,
                       timeout=TIMEOUT)
        out, error = start.communicate(timeout=TIMEOUT)
        self.assertEqual(start.returncode, FAILED, error)
        self.assertIn("was killed", error)
        self.assertEqual(self.show()["state"], "off")

    def open_helper(self):
        found = [(helper, self.status(helper)) for helper in self.helpers()]
        return next((entry for entry in found if entry[1]), None)

    def status(self, pid):
        with contextlib.suppress(OSError):
            status = dict(line.split(":\t", 1) for line in pathlib.Path(
                f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
            return status if status["Uid"].split()[0] == str(OWNER.pw_uid) else None

    def test_an_access_control_list(self):
        disk = self.disk("disk.raw")
        os.chmod(disk["path"], 0o600)
        self.of_owner(disks=[disk])
        self.refused(FAILED, "start", "vm", says="Permission denied")
        try:
            os.setxattr(disk["path"], "system.posix_acl_access", access_control_list(OWNER.pw_uid))
        except OSError as error:
            self.skipTest(f"no access control lists here: {error.strerror}")
        self.ok("start", "vm")

    def test_what_is_exchanged_while_it_is_opened(self):
        """Somebody exchanges a file of theirs for a link to root's, again and again."""
        secret = self.folder / "secret"
        secret.write_bytes(b"s" * 4096)
        secret.chmod(0o600)
        yard = self.folder / "yard"
        yard.mkdir()
        self.own(yard, 0o700)
        (yard / "mine").write_bytes(b"m" * 4096)
        self.own(yard / "mine")
        os.symlink(secret, yard / "theirs")
        os.symlink(yard / "mine", yard / "disk")
        self.of_owner(disks=[{"path": str(yard / "disk")}])
        swapper = subprocess.Popen([sys.executable, "-c", """
import os, sys
os.chdir(sys.argv[1])
while True:
    for name in "mine", "theirs":
        os.symlink(name, "next")
        os.rename("next", "disk")
""", str(yard)])
        self.addCleanup(swapper.wait)
        self.addCleanup(swapper.kill)
        started = 0
        for _ in range(40):
            if self.vmctl("start", "vm").status != OK:
                continue
            started += 1
            held = [os.readlink(entry) for entry in pathlib.Path(
                f"/proc/{self.show()['worker_pid']}/fd").iterdir()]
            self.assertNotIn(str(secret), held)
            self.ok("stop", "vm")
        self.assertGreater(started, 0)


class Passed(FilesTest):
    """Descriptors instead of paths."""

    vmms_arguments = ("--group", OWNER.pw_name)

    def hide(self, name, size=1 << 20):
        """A file in a folder that root alone may look into."""
        folder = self.folder / "hidden"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / name
        with open(path, "wb") as file:
            file.truncate(size)
        return path

    def open(self, path, flags=os.O_RDWR):
        fd = os.open(path, flags)
        self.addCleanup(os.close, fd)
        return fd

    def call(self, method, signature, *values, name="vm"):
        bus = Bus(self.bus_path, "org.vmms1")
        self.addCleanup(bus.close)
        return bus.call(self.path(name), FILES, method, signature, values, destination=FILES)

    def assert_call_refused(self, error, says, method, signature, *values):
        with self.assertRaises(Refused) as refusal:
            self.call(method, signature, *values)
        self.assertEqual(refusal.exception.name, "org.vmms1.Error." + error)
        self.assertIn(says, str(refusal.exception))

    def held(self, name="vm"):
        pid = self.show(name)["worker_pid"]
        return {os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()}

    def test_what_the_owner_could_not_open(self):
        disk, kernel, initrd = self.hide("disk"), self.hide("kernel"), self.hide("initrd")
        self.of_owner(disks=[{"path": str(disk)}],
                      boot={"kernel": str(kernel), "initrd": str(initrd)})
        self.refused(FAILED, "start", "vm", says="Permission denied")
        self.call("StartWithFiles", "a{sh}", [
            ("kernel", self.open(kernel, os.O_RDONLY)), ("initrd", self.open(initrd, os.O_RDONLY)),
            ("disk:0:0", self.open(disk))])
        self.assertEqual(self.show()["state"], "running")
        self.assertLessEqual({str(disk), str(kernel), str(initrd)}, self.held())
        # It was for that run.
        self.ok("stop", "vm")
        self.refused(FAILED, "start", "vm", says="Permission denied")

    def test_not_after_a_failure_either(self):
        disk = self.hide("disk")
        self.of_owner(disks=[{"path": str(disk)}], actions={"worker_failure": "restart"})
        self.call("StartWithFiles", "a{sh}", [("disk:0:0", self.open(disk))])
        os.kill(self.show()["worker_pid"], signal.SIGKILL)
        wait_until(lambda: "it cannot be started again: " in self.show()["reason"], "the refusal")
        self.assertIn("Permission denied", self.show()["reason"])

    def test_it_is_locked(self):
        disk = self.disk("disk")
        self.create(disks=[disk])
        self.create("other", disks=[disk])
        fd = os.open(disk["path"], os.O_RDWR)
        self.call("StartWithFiles", "a{sh}", [("disk:0:0", fd)])
        os.close(fd)
        self.refused(FAILED, "start", "other", says="is in use by VM 'vm'")
        self.ok("stop", "vm")
        self.ok("start", "other")
        self.assert_call_refused("DiskInUse", "is in use by VM 'other'", "StartWithFiles", "a{sh}",
                                 [("disk:0:0", self.open(disk["path"]))])

    def test_a_lock_of_others(self):
        """Whoever may read an image can lock it, and keeps no VM from starting so."""
        disk = self.disk("disk")
        os.chmod(disk["path"], 0o644)
        os.chown(disk["path"], OWNER.pw_uid, -1)
        self.of_owner(disks=[disk])
        self.of_owner("second", disks=[disk])
        self.of_owner("reader", disks=[{**disk, "read_only": True}])
        whole = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        with open(disk["path"], "rb") as reader:
            fcntl.fcntl(reader, F_OFD_SETLK, whole)
            self.ok("start", "vm")
            self.assertIn("'chmod go-r'", self.ok("log", "vm"))
            # It excludes other writers all the same.
            self.refused(FAILED, "start", "second", says="is in use by VM 'vm'")
            self.refused(FAILED, "start", "reader", says="is in use by VM 'vm'")
            self.ok("stop", "vm")
            self.ok("start", "second")
            self.ok("stop", "second")
            # A VM of the same owner that reads it counts.
            self.ok("start", "reader")
            self.refused(FAILED, "start", "vm", says="is in use by VM 'reader'")
            self.ok("stop", "reader")
        # A program that writes it, too, whatever lock it has.
        with open(disk["path"], "r+b") as writer:
            self.ok("start", "vm")
            self.ok("stop", "vm")
            fcntl.fcntl(writer, F_OFD_SETLK, whole)
            self.refused(FAILED, "start", "vm", says="is in use by another process")
        twice = [{**disk, "read_only": True}, {**disk, "lun": 1}]
        self.of_owner("twice", disks=twice)
        self.refused(FAILED, "start", "twice", says="named twice")

    def test_what_cannot_be_a_disk(self):
        disk = self.disk("disk")
        self.create(disks=[disk])
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        empty = self.folder / "empty"
        empty.touch()
        for fd, says in ((reader, "neither a regular file"), (self.open("/dev/null"), "neither"),
                         (self.open(self.folder, os.O_RDONLY), "neither a regular file"),
                         (self.open(empty), "smaller than one sector"),
                         (self.open(disk["path"], os.O_RDONLY), "not open for the access"),
                         (self.open(disk["path"], os.O_RDWR | os.O_APPEND), "for appending"),
                         (self.open(disk["path"], os.O_PATH), "not open for the access"),
                         (self.open("/proc/self/mem"), "Permission denied")):
            self.assert_call_refused("Resource", says, "StartWithFiles", "a{sh}",
                                     [("disk:0:0", fd)])
        for fd in (reader, self.open(self.folder, os.O_RDONLY),
                   self.open(self.folder / "kernel", os.O_WRONLY),
                   self.open(self.folder / "kernel", os.O_PATH)):
            self.assert_call_refused("Resource", "not a file that can be read", "StartWithFiles",
                                     "a{sh}", [("kernel", fd)])
        self.assertEqual(self.show()["state"], "off")
        self.ok("start", "vm")

    def test_names(self):
        self.create(disks=[self.disk("disk"), {"type": "dvd", "lun": 5}])
        fd = self.open(self.folder / "disk")
        for name in "initrd", "disk:0:1", "disk:0:5", "disk:0:00", "", "x" * 5000, "serial", "end":
            self.assert_call_refused("InvalidArgument", "", "StartWithFiles", "a{sh}",
                                     [(name, fd)])
        self.assert_call_refused("InvalidArgument", "each once", "StartWithFiles", "a{sh}",
                                 [("kernel", fd), ("kernel", fd)])
        self.assertEqual(self.show()["state"], "off")
        self.call("StartWithFiles", "a{sh}", [])
        self.assertEqual(self.show()["state"], "running")

    def test_while_it_runs(self):
        self.of_owner(disks=[{"type": "dvd"}])
        disk, medium = self.hide("disk"), self.hide("medium")
        text = json.dumps({"path": str(disk)})
        for method, signature, values in (
                ("AttachDiskWithFile", "sh", (text, self.open(disk))),
                ("InsertMediumWithFile", "uush", (0, 0, str(medium), self.open(medium)))):
            self.assert_call_refused("InvalidState", "when the VM is started", method, signature,
                                     *values)
        self.ok("start", "vm")
        self.refused(FAILED, "attach", "vm", disk, says="Permission denied")
        self.assertEqual(self.call("AttachDiskWithFile", "sh", text, self.open(disk)), (0, 1))
        self.call("InsertMediumWithFile", "uush", 0, 0, str(medium),
                  self.open(medium, os.O_RDONLY))
        self.assertLessEqual({str(disk), str(medium)}, self.held())
        self.assertEqual([disk["path"] for disk in self.show()["definition"]["disks"]],
                         [str(medium), str(disk)])
        self.ok("stop", "vm")
        self.refused(FAILED, "start", "vm", says="Permission denied")

    def test_who_may(self):
        self.create()
        self.of_owner("own")
        for uid, name, status in ((OWNER.pw_uid, "own", 0), (OTHER.pw_uid, "own", 1),
                                  (OWNER.pw_uid, "vm", 1)):
            path = self.path(name)
            result = subprocess.run(as_user(
                uid, sys.executable, "-c", PASSER, self.program(BUS).parent, self.bus_path, path, self.folder / "kernel"), capture_output=True,
                text=True, timeout=TIMEOUT)
            self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        self.assertEqual((self.show("own")["state"], self.show()["state"]), ("running", "off"))

    def test_vmctl(self):
        """Whoever sees the file opens it: here in a mount namespace of their own."""
        private = self.folder / "private"
        private.mkdir()
        members = {"disks": [{"path": str(private / "disk")}, {"type": "dvd", "lun": 1}],
                   "boot": {"kernel": str(private / "kernel")}}
        self.of_owner(**members)
        self.refused(FAILED, "start", "vm", says="No such file")
        script = f"""
mount -t tmpfs none {private} && truncate -s 1M {private}/disk {private}/kernel {private}/more &&
chown {OWNER.pw_uid} {private}/* && exec setpriv --reuid={OWNER.pw_uid} --regid={OWNER.pw_gid} \\
--clear-groups sh -ec '
vmctl() {{ {self.program(VMCTL)} --address {self.address} "$@"; }}
vmctl start vm --pass
vmctl attach vm {private}/more --pass
vmctl insert vm {private}/more --lun 1 --pass && exit 9
vmctl detach vm --lun 2
vmctl insert vm {private}/more --lun 1 --pass
'"""
        result = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                 script], capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            result.stdout,
            "VM 'vm' started\n"
            f"'{private}/more' attached to VM 'vm': controller 0, lun 2\n"
            "controller 0, lun 2 of VM 'vm': detached\n"
            "controller 0, lun 1 of VM 'vm': inserted\n")
        self.assertIn("in use", result.stderr)
        self.assertLessEqual({f"{private}/{name}" for name in ("disk", "more", "kernel")},
                             {path.replace(" (deleted)", "") for path in self.held()} |
                             {str(private) + "/" + path.lstrip("/") for path in self.held()})

    def test_files_of_another(self):
        """Root opens what the owner of a VM has chosen only if it is named here, too."""
        secret, kernel = self.folder / "secret", self.folder / "kernel"
        secret.write_bytes(bytes(1 << 20))
        secret.chmod(0o600)
        link = self.folder / "link"
        link.symlink_to(secret)
        self.of_owner("own", disks=[{"path": str(secret)}])
        self.of_owner("linked", disks=[{"path": str(link)}])
        said = self.refused(FAILED, "start", "own", "--pass", says=f"  {secret}\n")
        self.assertIn(f"  {kernel}\n", said)
        said = self.refused(FAILED, "start", "own", "--pass", "--file", kernel, says=f"  {secret}\n")
        self.assertNotIn(f"  {kernel}\n", said)
        self.refused(FAILED, "start", "linked", "--pass", "--file", kernel, "--file", link,
                     says="symbolic link")
        self.refused(USAGE, "start", "own", "--file", kernel, says="--pass")
        self.assertEqual(self.show("own")["state"], "off")
        self.ok("start", "own", "--pass", "--file", kernel, "--file", secret)
        # One's own needs none of that.
        self.create("mine", boot={"kernel": str(kernel)})
        self.ok("start", "mine", "--pass")

    def test_vmctl_says_what_is_wrong(self):
        self.create(disks=[{"path": "/nonexistent"}])
        self.refused(FAILED, "start", "vm", "--pass", says="/nonexistent: No such file")
        self.refused(USAGE, "start", "vm", "--pass", "--console", says="either")
        self.refused(USAGE, "attach", "vm", "--dvd", "--pass", says="goes with a file")
        self.create("large", disks=[self.disk(f"disk{i}", lun=i) for i in range(16)])
        self.refused(FAILED, "start", "large", "--pass", says="16 files at once")
        self.refused(WRONG_STATE, "attach", "large", self.folder / "kernel", "--pass",
                     says="when the VM is started")


PASSER = """
import os, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
from bus import Bus, Refused
bus = Bus(sys.argv[2], "org.vmms1")
fd = os.open(sys.argv[4], os.O_RDONLY)
try:
    bus.call(sys.argv[3], "org.vmms1.Files", "StartWithFiles", "a{sh}", [[("kernel", fd)]],
             destination="org.vmms1.Files")
except Refused as refusal:
    print(refusal)
    sys.exit(refusal.name != "org.freedesktop.DBus.Error.AccessDenied" and 2 or 1)
"""


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root, to be somebody else")
        sys.exit(77)
    in_own_mounts()
    main()
