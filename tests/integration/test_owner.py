#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs of users: what their definitions name is opened with their owners' rights, and no more.

Exit status 77 without root, who alone gives VMs to others.
"""

import fcntl
import json
import os
import pathlib
import pwd
import signal
import sys

sys.dont_write_bytecode = True
from rig import FAILED, USAGE, ServiceTest, main, wait_until  # noqa: E402

OWNER, OTHER = pwd.getpwuid(1), pwd.getpwuid(2)  # wherever there is a Debian


class Owner(ServiceTest):
    vmms_is_leader = True

    def setUp(self):
        super().setUp()
        os.chmod(self.folder / "kernel", 0o644)

    def own(self, path, mode=0o600):
        os.chown(path, OWNER.pw_uid, OWNER.pw_gid)
        os.chmod(path, mode)
        return str(path)

    def of_owner(self, **members):
        self.create(owner=OWNER.pw_name, **members)

    def hide(self, name):
        """A file that everybody may read, in a folder that root alone may look into."""
        folder = self.folder / "hidden"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / name
        path.write_bytes(b"s" * 4096)
        path.chmod(0o666)
        return path

    def assert_start_refused(self, *says):
        before = self.show()["state"]
        for text in says:
            self.refused(FAILED, "start", "vm", says=text)
        self.assertEqual(self.show()["state"], before)

    def test_files_of_the_owner(self):
        disk = self.disk("disk.raw")
        self.own(disk["path"])
        self.of_owner(disks=[disk])
        self.assertEqual(self.show()["owner"], OWNER.pw_name)
        self.ok("start", "vm")
        self.ok("stop", "vm")

    def test_a_disk_of_root(self):
        disk = self.disk("disk.raw")
        os.chmod(disk["path"], 0o600)
        self.of_owner(disks=[disk])
        self.assert_start_refused("Permission denied", f"owner '{OWNER.pw_name}'")
        self.own(disk["path"])
        self.ok("start", "vm")

    def test_a_disk_that_the_owner_may_only_read(self):
        disk = self.disk("disk.raw")
        os.chmod(disk["path"], 0o644)
        self.of_owner(disks=[disk])
        self.assert_start_refused("Permission denied")
        self.ok("set", "vm", "disks[0].read_only=true")
        self.ok("start", "vm")

    def test_a_group_of_the_owner(self):
        disk = self.disk("disk.raw")
        os.chown(disk["path"], 0, OWNER.pw_gid)
        os.chmod(disk["path"], 0o660)
        self.of_owner(disks=[disk])
        self.ok("start", "vm")

    def test_folders_and_links_on_the_way(self):
        secret = self.hide("secret.raw")
        link = self.folder / "link"
        link.symlink_to(secret)
        for path in secret, link:
            self.of_owner(disks=[{"path": str(path)}])
            self.assert_start_refused("Permission denied")
            self.ok("delete", "vm")

    def test_kernel_and_initrd(self):
        secret = str(self.hide("secret"))
        self.of_owner(boot={"kernel": secret})
        self.assert_start_refused("cannot open the kernel")
        self.ok("set", "vm", f"boot.kernel={self.folder}/kernel", f"boot.initrd={secret}")
        self.assert_start_refused("cannot open the initrd")

    def test_what_the_daemon_has_open_is_nobodys_path(self):
        for path in ("/proc/self/fd/0", f"/proc/{self.vmms.pid}/fd/0", "/proc/self/exe",
                     f"/proc/{self.vmms.pid}/root{self.folder}/kernel", "/proc/self/maps",
                     f"/proc/{self.vmms.pid}/status", "/proc/cpuinfo"):
            definition = json.dumps({"name": "vm", "boot": {"kernel": path}})
            self.refused(USAGE, "create", "--from", "-", stdin=definition, says="not in /proc")
            # Nor is what leads there.
            link = self.folder / "link"
            link.unlink(missing_ok=True)
            link.symlink_to(path)
            self.of_owner(boot={"kernel": str(link)})
            self.assert_start_refused("cannot open the kernel")
            self.ok("delete", "vm")

    def test_a_terminal_does_not_become_the_daemons(self):
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        path = self.own(os.ttyname(slave))
        self.of_owner(boot={"kernel": path})
        self.assert_start_refused("is not a file")
        self.ok("set", "vm", f"boot.kernel={self.folder}/kernel", f'disks=[{{"path": "{path}"}}]')
        self.assert_start_refused("neither a regular file nor a block device")
        stat = pathlib.Path(f"/proc/{self.vmms.pid}/stat").read_text(encoding="utf-8")
        self.assertEqual(stat.rsplit(")", 1)[1].split()[4], "0", "its terminal")
        os.write(master, b"\x03")
        self.ok("list")

    def test_a_fifo_holds_nobody_up(self):
        path = self.folder / "fifo"
        os.mkfifo(path)
        self.of_owner(boot={"kernel": self.own(path)})
        self.assert_start_refused("is not a file")

    def test_a_lease_holds_nobody_up(self):
        """Whoever has one is asked to give it up, which may take them most of a minute."""
        handler = signal.signal(signal.SIGIO, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGIO, handler)
        disk = self.disk("disk.raw")
        self.own(disk["path"])
        self.of_owner(disks=[disk])
        for path, says in ((disk["path"], "is in use"),
                           (self.folder / "kernel", "cannot open the kernel")):
            with open(path, "rb+") as file:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
                self.assert_start_refused(says)
                self.assertNotEqual(fcntl.fcntl(file, fcntl.F_GETLEASE), fcntl.F_WRLCK)  # asked
        self.ok("start", "vm")

    def test_files_that_come_while_it_runs(self):
        self.of_owner(disks=[{"type": "dvd"}])
        self.ok("start", "vm")
        secret = self.hide("secret.raw")
        self.refused(FAILED, "attach", "vm", secret, says="Permission denied")
        self.refused(FAILED, "insert", "vm", secret, "--lun", "0", says="Permission denied")
        disk = self.disk("disk.raw")
        self.own(disk["path"])
        self.ok("attach", "vm", disk["path"])

    def test_afterwards_the_daemon_is_itself_again(self):
        self.of_owner(boot={"kernel": str(self.hide("secret"))})
        self.assert_start_refused("Permission denied")
        self.create("other", boot={"kernel": str(self.hide("secret"))})
        self.ok("start", "other")
        status = pathlib.Path(f"/proc/{self.vmms.pid}/status").read_text(encoding="utf-8")
        self.assertIn("Uid:\t0\t0\t0\t0\n", status)
        self.assertIn("Gid:\t0\t0\t0\t0\n", status)
        groups = next(line for line in status.splitlines() if line.startswith("Groups:"))
        self.assertEqual(sorted(map(int, groups.split()[1:])), sorted(os.getgroups()))

    def test_the_owner_is_opened_for_at_a_start_by_itself(self):
        secret = self.hide("secret.raw")
        self.of_owner(disks=[{"path": str(secret)}], automatic_start={"action": "start"})
        self.stop_vmms()
        (self.folder / "run/running/boot.json").write_text('{"boot_id": "another"}')
        self.start_vmms()
        wait_until(lambda: "Permission denied" in (self.folder / "log").read_text(), "the refusal")
        self.assertNotEqual(self.show()["state"], "running")

    def test_giving_it_away(self):
        disk = self.disk("disk.raw")
        os.chmod(disk["path"], 0o600)
        self.create(disks=[disk])
        self.assertEqual(self.show()["owner"], "root")
        self.ok("start", "vm")
        self.ok("set", "vm", f"owner={OWNER.pw_name}")
        self.assertEqual((self.show()["owner"], self.show()["pending"]), (OWNER.pw_name, []))
        self.ok("set", "vm", "notes=it keeps its owner")
        self.assertEqual(self.show()["owner"], OWNER.pw_name)
        self.ok("stop", "vm")
        self.assert_start_refused("Permission denied")
        self.ok("set", "vm", "owner=root")
        self.ok("start", "vm")

    def test_another_user_of_the_name(self):
        """The VM is not theirs, and opens nothing of theirs, until root says so."""
        disk = self.disk("disk.raw")
        self.own(disk["path"])
        self.of_owner(disks=[disk])
        self.assertEqual(self.show()["definition"]["owner_uid"], OWNER.pw_uid)
        self.stop_vmms()
        path = self.state / "vms/vm.json"
        definition = json.loads(path.read_text())
        definition["owner_uid"] = 4242
        path.write_text(json.dumps(definition))
        self.start_vmms()
        self.assert_start_refused("who had the number 4242", "vmctl set VM owner_uid=")
        self.ok("set", "vm", "notes=still another's")
        self.assert_start_refused("4242")
        self.ok("set", "vm", "owner_uid=")
        self.assertEqual(self.show()["definition"]["owner_uid"], OWNER.pw_uid)
        self.ok("start", "vm")
        # A number that root makes up is none.
        self.ok("set", "vm", "owner_uid=7")
        self.assertEqual(self.show()["definition"]["owner_uid"], OWNER.pw_uid)
        self.ok("set", "vm", f"owner={OTHER.pw_name}")
        self.assertEqual(self.show()["definition"]["owner_uid"], OTHER.pw_uid)

    def test_nobody_is_no_owner(self):
        self.create()
        self.refused(FAILED, "set", "vm", "owner=nosuchuser", says="is no user of this host")
        self.assertEqual(self.show()["owner"], "root")

    def test_other_owners_are_not_named(self):
        disk = self.disk("disk.raw")
        self.own(disk["path"], 0o666)
        self.create("secret", disks=[disk])
        self.of_owner(disks=[disk])
        self.ok("start", "secret")
        self.assertNotIn("'secret'", self.refused(FAILED, "start", "vm", says="is in use"))


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root, to give VMs away")
        sys.exit(77)
    main()
