#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the VMs of one user may take together, and the file that says so.

Exit status 77 without root, who alone can be somebody else.
"""

import json
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import FAILED, TIMEOUT, USAGE, VMMS, main, wait_until  # noqa: E402
from test_authorisation import MEMBER, NAME, OTHER, AuthorisationTest  # noqa: E402

LIMITS = """# Of each user
user-vms = 4
user-disks=3
  user-running = 2
user-processors = 6
user-memory = 1G
user-saved = 300M

open-timeout = 30
"""


class QuotaTest(AuthorisationTest):
    limits = LIMITS

    def start_vmms(self, *extra, wait=True):
        (self.folder / "vmms.conf").write_text(self.limits)
        super().start_vmms("--config", self.folder / "vmms.conf", *extra, wait=wait)

    def start_as(self, uid, name, says=None):
        if says is None:
            self.ok_as(uid, "start", name)
        else:
            self.refused_as(uid, FAILED, "start", name, says=says)
            self.assertNotEqual(self.show(name)["state"], "running")

    def create_many_as(self, uid, *names, **members):
        for name in names:
            self.create_as(uid, name, **members)

    def checks_as(self, uid):
        result = self.vmctl_as(uid, "doctor", "--json")
        return {check["name"]: check for check in json.loads(result.out)["checks"]}


class Quota(QuotaTest):
    def test_vms(self):
        self.create_many_as(MEMBER, "a", "b", "c", "d")
        text = json.dumps({"name": "e", "boot": {"kernel": "/k"}})
        error = self.refused_as(MEMBER, FAILED, "create", "--from", "-", stdin=text,
                                says=f"user '{NAME[MEMBER]}' may have 4 VMs")
        self.assertIn("'user-vms' in vmms.conf(5)", error)
        self.create("other")
        self.create("given", owner=NAME[MEMBER])
        self.ok_as(MEMBER, "delete", "given")
        self.ok_as(MEMBER, "delete", "a")
        self.create_as(MEMBER, "e")

    def test_disks(self):
        empty = [{"type": "dvd"}, {"type": "dvd", "lun": 1}]
        self.create_many_as(MEMBER, "a", disks=empty)
        says = "may have 3 disks, and this would be 4"
        text = json.dumps({"name": "b", "boot": {"kernel": "/k"}, "disks": empty})
        self.refused_as(MEMBER, FAILED, "create", "--from", "-", stdin=text, says=says)
        self.ok_as(MEMBER, "attach", "a", "--dvd")
        self.refused_as(MEMBER, FAILED, "attach", "a", "--dvd", says=says)
        four = json.dumps([*empty, {"type": "dvd", "lun": 2}, {"type": "dvd", "lun": 3}])
        self.refused_as(MEMBER, FAILED, "set", "a", f"disks={four}", says=says)
        self.ok("attach", "a", "--dvd")
        self.ok_as(MEMBER, "set", "a", "notes=what root gave stays")
        self.ok_as(MEMBER, "detach", "a", "--lun", "3")
        self.ok_as(MEMBER, "set", "a", "disks=[]")

    def test_running(self):
        small = {"memory": {"size": "64M"}}
        self.create_many_as(MEMBER, "a", "b", "c", **small)
        for name, says in ("a", None), ("b", None), ("c", "may have 2 VMs that run"):
            self.start_as(MEMBER, name, says)
        error = self.refused_as(MEMBER, FAILED, "start", "c", "--pass", says="'user-running'")
        self.assertIn("stop one", error)
        self.ok("start", "c")  # by root
        self.ok_as(MEMBER, "stop", "a")
        self.start_as(MEMBER, "a", "may have 2 VMs that run, and this would be 3")
        self.ok_as(MEMBER, "stop", "b")
        self.start_as(MEMBER, "a")

    def test_processors_and_memory(self):
        self.create_as(MEMBER, "a", processors={"count": 4}, memory={"size": "256M"})
        self.create_as(MEMBER, "b", processors={"count": 3}, memory={"size": "256M"})
        self.create_as(MEMBER, "c", processors={"count": 1}, memory={"size": "1G"})
        self.start_as(MEMBER, "a")
        self.start_as(MEMBER, "b", "may have 6 virtual processors that run, and this would be 7")
        self.start_as(MEMBER, "c", "may have 1G memory of VMs that run, and this would be 1280M")
        self.ok_as(MEMBER, "set", "b", "processors.count=2")
        self.start_as(MEMBER, "b")
        # What waits for the next start counts then.
        self.ok_as(MEMBER, "set", "b", "memory.size=1G")
        self.ok_as(MEMBER, "stop", "b")
        self.start_as(MEMBER, "b", "memory of VMs that run")

    def test_saved(self):
        self.create_many_as(MEMBER, "a", "b", memory={"size": "200M"})
        self.ok_as(MEMBER, "start", "a", "b")
        self.ok_as(MEMBER, "save", "a")
        says = "may have 300M memory of VMs that are saved, and this would be 400M"
        error = self.refused_as(MEMBER, FAILED, "save", "b", says=says)
        self.assertIn("discard its saved state, or have root raise 'user-saved'", error)
        self.assertEqual(self.show("b")["state"], "running")
        self.assertIn("200M of 300M memory of VMs that are saved", self.checks_as(MEMBER)["limits"]["found"])
        self.ok_as(MEMBER, "start", "a")
        self.ok_as(MEMBER, "save", "b")
        self.ok("save", "a")  # by root

    def test_each_for_themselves(self):
        self.allow((OTHER, "read", "yes"), (OTHER, "manage", "yes"))
        small = {"memory": {"size": "64M"}}
        for name in "a", "b", "c", "d":
            self.create(name, **small)
        self.ok("start", "a", "b", "c", "d")
        self.create_many_as(MEMBER, "m1", "m2", "m3", **small)
        self.create_many_as(OTHER, "o1", "o2", **small)
        for name in "m1", "m2", "o1", "o2":
            self.ok_as(OTHER, "start", name)
        # Whoever starts it, it is of its owner's.
        self.start_as(OTHER, "m3", f"user '{NAME[MEMBER]}' may have 2 VMs")

    def test_a_start_by_itself(self):
        start, small = {"action": "start"}, {"size": "64M"}
        self.create_many_as(MEMBER, "a", "b", "c", automatic_start=start, memory=small)
        self.create("last", automatic_start={**start, "order": 1000})
        self.stop_vmms()
        (self.folder / "run/running/boot.json").write_text('{"boot_id": "another"}')
        self.start_vmms()
        self.wait_state("running", "last")
        self.assertEqual([self.show(name)["state"] for name in "abc"],
                         ["running", "running", "off"])
        self.assertIn("'user-running'", (self.folder / "log").read_text())

    def test_after_a_failure(self):
        small = {"size": "64M"}
        self.create_many_as(MEMBER, "a", "b", memory=small)
        self.create_as(MEMBER, "c", memory=small, actions={"worker_failure": "restart"})
        self.ok_as(MEMBER, "start", "c", "a")
        os.kill(self.show("c")["worker_pid"], signal.SIGKILL)
        wait_until(lambda: self.show("c")["state"] == "crashed", "the end of c")
        self.vmctl_as(MEMBER, "start", "b")
        info = wait_until(lambda: (lambda info: info if info["state"] == "running" or "user-running"
                                   in info["reason"] else None)(self.show("c")), "c")
        running = [name for name in "abc" if self.show(name)["state"] == "running"]
        self.assertEqual(len(running), 2, info)

    def test_the_doctor(self):
        self.create_many_as(MEMBER, "a", "b", memory={"size": "64M"})
        self.ok_as(MEMBER, "start", "a")
        check = self.checks_as(MEMBER)["limits"]
        self.assertEqual((check["verdict"], check["mend"]), ("ok", ""))
        for text in ("2 of 4 VMs", "0 of 3 disks", "1 of 2 VMs that run",
                     "1 of 6 virtual processors that run", "64M of 1G memory of VMs that run"):
            self.assertIn(text, check["found"])
        check = self.checks_as(0)["limits"]
        self.assertEqual(check["verdict"], "ok")
        self.assertIn("users may each have 4 VMs, 3 disks", check["found"])
        self.ok_as(MEMBER, "start", "b")
        for uid, says in (MEMBER, "2 of 2 VMs that run"), (0, f"'{NAME[MEMBER]}' has all of"):
            check = self.checks_as(uid)["limits"]
            self.assertEqual(check["verdict"], "warning")
            self.assertIn(says, check["found"])
            self.assertIn("/etc/vmms/vmms.conf", check["mend"])


class Unlimited(QuotaTest):
    limits = "".join(f"user-{kind} = none\n" for kind in
                     ("vms", "disks", "processors", "memory", "saved", "tasks"))

    def test_none(self):
        for number in range(101):
            self.create(f"vm{number}", owner=NAME[MEMBER])
        self.create_as(MEMBER)
        self.assertIn("as much as there is", self.checks_as(0)["limits"]["found"])


class Defaults(QuotaTest):
    """One user does not get all of the host, where nobody has said anything."""

    limits = ""

    def test_defaults(self):
        found = self.checks_as(0)["limits"]["found"]
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        processors = max(4 * os.cpu_count(), 16)
        for text in "100 VMs", "256 disks", f"{processors} virtual processors", "memory of VMs":
            self.assertIn(text, found)
        half = f"{memory // 2 >> 21 << 1}M"
        self.create_many_as(MEMBER, "a", "b", memory={"size": half})
        self.start_as(MEMBER, "a")
        self.start_as(MEMBER, "b", "memory of VMs that run")
        self.create("roots", memory={"size": half})
        self.ok("start", "roots")


class File(QuotaTest):
    """vmms.conf itself."""

    def refused_file(self, text, *says):
        path = self.folder / "bad.conf"
        path.write_bytes(text)
        vmms = subprocess.run([VMMS, "--address", self.address, "--state-dir", self.folder / "x",
                               "--runtime-dir", self.folder / "y", "--config", path],
                              capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual(vmms.returncode, USAGE, vmms.stderr)
        for part in says:
            self.assertIn(part, vmms.stderr)
        self.assertFalse((self.folder / "x").exists())

    def test_bad_files(self):
        path = self.folder / "bad.conf"
        for text, says in (
                (b"a\n", f"{path}, line 1: not of the form"),
                (b"\n[vmms]\n", f"{path}, line 2: not of the form"),
                (b"user-vms = 3\0\n", "line 1: not of the form"),
                (b"colour = red\n", "no setting 'colour'"),
                (b"address = unix:path=/x\n", "no setting 'address'"),
                (b"config = /x\n", "no setting 'config'"),
                (b"help = yes\n", "no setting 'help'"),
                (b"\n\nuser-vms = many\n", "--user-vms must be a number above 0, or none"),
                (b"user-memory = 0\n", "--user-memory must be a size"),
                (b"open-timeout = -1\n", "--open-timeout must be a number"),
                (b"keep-guests = 1\n", "keep-guests must be yes or no"),
                (b"# " + b"x" * 65536, "File too large")):
            self.refused_file(text, says)
        self.refused_file(b"\n\nuser-vms = many\n", f"(in {path}, line 3)")

    def test_bad_values(self):
        """Each is refused with the same words on the command line and in the file."""
        for name, value, expected in (
                ("shutdown-timeout", "3601", "a number from 0 to 3600"),
                ("answer-timeout", "-1", "a number from 0 to 3600"),
                ("authentication-timeout", "0", "a number from 1 to 3600"),
                ("open-timeout", "x", "a number from 0 to 3600"),
                ("moves", "0", "a number from 1 to 1000"),
                ("migration-address", "localhost", "an IPv4 or IPv6 address"),
                ("migration-ports", "9-1", "a port, a range of them, as 6600-6631, or none"),
                ("metrics-port", "65536", "a number from 1 to 65535"),
                ("user-vms", "0", "a number above 0, or none"),
                ("user-disks", "x", "a number above 0, or none"),
                ("user-running", "-1", "a number above 0, or none"),
                ("user-processors", "4294967296", "a number above 0, or none"),
                ("user-memory", "much", "a size, as 16G, or none"),
                ("user-saved", "0", "a size, as 16G, or none"),
                ("user-tasks", "1K", "a number above 0, or none"),
                ("worker-users", "9-1", "a range of numbers above 0, as 70000-79999, or none"),
                ("units", "perhaps", "auto, always or never"),
                ("apparmor", "on", "auto, require or off")):
            says = f"vmms: --{name} must be {expected}\n"
            self.refused_file(f"{name} = {value}\n".encode(), says)
            vmms = subprocess.run([VMMS, f"--{name}", value], capture_output=True, text=True,
                                  timeout=TIMEOUT)
            self.assertEqual((vmms.returncode, vmms.stderr), (USAGE, says))

    def test_an_ambiguous_abbreviation(self):
        vmms = subprocess.run([VMMS, "--user-"], capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual(vmms.returncode, USAGE)
        self.assertIn("ambiguous", vmms.stderr)
        self.assertIn("--help", vmms.stderr)

    def test_no_file(self):
        vmms = subprocess.run([VMMS, "--config", "/nonexistent"], capture_output=True, text=True,
                              timeout=TIMEOUT)
        self.assertEqual(vmms.returncode, USAGE)
        self.assertIn("cannot read /nonexistent: No such file", vmms.stderr)

    def test_the_command_line_counts_more(self):
        self.stop_vmms()
        self.start_vmms("--user-vms", "1")
        self.create_as(MEMBER, "a")
        text = json.dumps({"name": "b", "boot": {"kernel": "/k"}})
        self.refused_as(MEMBER, FAILED, "create", "--from", "-", stdin=text, says="may have 1 VMs")

    def test_options_without_a_value(self):
        (self.folder / "vmms.conf").write_text("keep-guests = yes\n")
        self.limits = "keep-guests = yes\ndebug = no\n"
        self.stop_vmms()
        self.start_vmms()
        self.create()
        self.ok("start", "vm")
        pid = self.show()["worker_pid"]
        self.stop_vmms()
        os.kill(pid, 0)
        self.start_vmms()
        self.assertEqual(self.show()["worker_pid"], pid)
        self.ok("stop", "vm")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root, to be somebody else")
        sys.exit(77)
    main()
