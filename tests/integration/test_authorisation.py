#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what: users with VMs of their own, and what polkit allows of the rest.

polkit is a fake one, which answers as a file says (tests/fake/fake_polkit.c). Exit status 77 without
root, who alone can be somebody else.
"""

import json
import os
import pwd
import subprocess
import sys
import xml.etree.ElementTree

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, NOT_PERMITTED, OK, TIMEOUT, VMCTL, ServiceTest,  # noqa: E402
                 arguments, as_user, main, wait_until)
from test_access import SYSTEM_POLICY  # noqa: E402

MEMBER = 1  # "daemon", which is in the group of its name
OTHER = 2  # "bin", which is in none
NAME = {uid: pwd.getpwuid(uid).pw_name for uid in (MEMBER, OTHER)}
MANAGER = "org.vmms1.Manager"
ROOT = "/org/vmms1"
DENIED = "Access denied"  # as busctl says it


class AuthorisationTest(ServiceTest):
    policy = SYSTEM_POLICY.format(policy=arguments.source / "packaging/dbus/org.vmms1.conf").replace(
        "<include", """<policy context="default"><allow own="*"/>
        <allow send_destination="org.freedesktop.PolicyKit1"/></policy><include""")
    vmms_arguments = ("--group", "daemon")

    def setUp(self):
        super().setUp()
        (self.folder / "kernel").chmod(0o644)
        self.start_polkit()

    def start_polkit(self):
        self.polkit = subprocess.Popen([arguments.build / "tests/fake_polkit", self.address, self.folder],
                                       stderr=self.log)
        self.addCleanup(self.polkit.wait)
        self.addCleanup(self.polkit.kill)
        wait_until(lambda: b"org.freedesktop.PolicyKit1" in subprocess.run(
            ["busctl", "--address", self.address, "list", "--acquired"], capture_output=True,
            timeout=TIMEOUT, check=True).stdout, "polkit")

    def allow(self, *rows):
        """polkit's answers: rows of (uid, action, answer)."""
        (self.folder / "polkit").write_text(
            "".join(f"{uid} org.vmms1.{action} {answer}\n" for uid, action, answer in rows))

    def asked(self):
        path = self.folder / "polkit-asked"
        return path.read_text().splitlines() if path.exists() else []

    def ok_as(self, uid, *words, **more):
        result = self.vmctl_as(uid, *words, **more)
        self.assertEqual((result.status, result.err), (OK, ""), f"vmctl {words}")
        return result.out

    def refused_as(self, uid, status, *words, says="", **more):
        result = self.vmctl_as(uid, *words, **more)
        self.assertEqual(result.status, status, f"vmctl {words}: {result.out}{result.err}")
        self.assertIn(says, result.err)
        return result.err

    def create_as(self, uid, name="own", **members):
        definition = {"name": name, "network_adapters": [],
                      "boot": {"kernel": str(self.folder / "kernel")}, **members}
        self.ok_as(uid, "create", "--from", "-", stdin=json.dumps(definition))

    def refused_create_as(self, uid, says, **members):
        definition = {"name": "own", "network_adapters": [],
                      "boot": {"kernel": str(self.folder / "kernel")}, **members}
        self.refused_as(uid, NOT_PERMITTED, "create", "--from", "-", stdin=json.dumps(definition),
                        says=says)

    def names_as(self, uid):
        return [vm["name"] for vm in json.loads(self.ok_as(uid, "list", "--json"))["vms"]]

    def path(self, name="vm"):
        return f"{ROOT}/vm/" + self.show(name)["uuid"].replace("-", "_")

    def call_as(self, uid, path, interface, method, *arguments_, interactive=False):
        return subprocess.run(
            as_user(uid, "busctl", "--address", self.address, "call", "--timeout=30",
                    f"--allow-interactive-authorization={'yes' if interactive else 'no'}",
                    "org.vmms1", path, interface, method, *arguments_),
            capture_output=True, text=True, timeout=TIMEOUT)

    def assert_denied(self, uid, path, interface, method, *arguments_):
        result = self.call_as(uid, path, interface, method, *arguments_)
        self.assertNotEqual(result.returncode, 0, f"{path} {interface}.{method}: {result.stdout}")
        self.assertIn(DENIED, result.stderr, f"{path} {interface}.{method}")


class Members(AuthorisationTest):
    """Of the group: they have VMs of their own."""

    def test_a_vm_of_ones_own(self):
        self.assertEqual(self.names_as(MEMBER), [])
        self.create_as(MEMBER)
        self.assertEqual(self.show("own")["owner"], NAME[MEMBER])
        self.assertEqual(self.names_as(MEMBER), ["own"])
        for words in (["start", "own"], ["pause", "own"], ["resume", "own"], ["show", "own"],
                      ["console", "own", "--log"], ["log", "own"], ["set", "own", "notes=mine"],
                      ["kvp", "list", "own"], ["shutdown", "own"], ["start", "own"],
                      ["stop", "own"], ["job", "list"], ["host"], ["delete", "own"]):
            self.ok_as(MEMBER, *words)
        self.assertEqual(self.names_as(MEMBER), [])

    def test_others_are_not_there(self):
        self.create()
        self.create("bins", owner=NAME[OTHER])
        self.create_as(MEMBER)
        self.assertEqual(self.names_as(MEMBER), ["own"])
        self.assertEqual(self.names_as(OTHER), ["bins"])
        for name in "vm", "bins", "none":
            for words in ["show"], ["start"], ["stop"], ["delete"], ["set", "notes=x"]:
                self.refused_as(MEMBER, NO_SUCH_VM, words[0], name, *words[1:], says="has no VM")
        self.assertEqual(self.show()["state"], "off")

    def test_objects_of_others_are_not_there(self):
        self.create()
        self.create_as(MEMBER)
        self.ok("start", "vm")
        self.ok("shutdown", "vm")
        uuid = self.path().rsplit("/", 1)[1]
        for call in ((ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"),
                     (f"{ROOT}/vm", "org.freedesktop.DBus.Introspectable", "Introspect"),
                     (ROOT, MANAGER, "ListVMs"), (ROOT, MANAGER, "GetStatistics"), (ROOT, MANAGER, "ListJobs"),
                     (f"{ROOT}/job", "org.freedesktop.DBus.Introspectable", "Introspect")):
            everything = self.call_as(0, *call)
            own = self.call_as(MEMBER, *call)
            self.assertEqual((everything.returncode, own.returncode), (0, 0), own.stderr)
            self.assertNotIn(uuid, own.stdout)
            self.assertNotIn(uuid.replace("_", "-"), own.stdout)
            self.assertNotIn("job/1", own.stdout)
            self.assertNotIn('node name=\\"1\\"', own.stdout)
        self.assertIn(uuid, self.call_as(0, ROOT, MANAGER, "ListVMs").stdout)
        self.assertIn("own", self.call_as(MEMBER, ROOT, MANAGER, "GetStatistics").stdout)
        missing = f"{ROOT}/vm/" + uuid.replace(uuid[0], "f" if uuid[0] != "f" else "e")
        for path in self.path(), missing, f"{ROOT}/job/1", f"{ROOT}/job/99":
            self.assert_denied(MEMBER, path, "org.freedesktop.DBus.Properties", "GetAll", "s", "")
            self.assert_denied(MEMBER, path, "org.freedesktop.DBus.Introspectable", "Introspect")
            self.assert_denied(MEMBER, path, "org.vmms1.VM", "Start")
            self.assert_denied(MEMBER, path, "org.vmms1.Job", "Cancel")

    def test_broken_definitions_are_for_who_sees_all(self):
        (self.state / "vms/broken.json").write_text("{")
        self.ok("reload")
        self.assertIn("broken", self.ok("list"))
        self.assertNotIn("broken", self.ok_as(MEMBER, "list"))
        self.refused_as(MEMBER, NO_SUCH_VM, "delete", "broken")

    def test_what_is_the_hosts(self):
        for words in ["reload"], ["switch", "add", "lan", "--type", "private"]:
            self.refused_as(MEMBER, NOT_PERMITTED, *words, says="or the host's")

    def test_files_are_opened_as_the_owner(self):
        disk = self.disk("secret.raw")
        os.chmod(disk["path"], 0o600)
        self.create_as(MEMBER, disks=[disk])
        self.refused_as(MEMBER, FAILED, "start", "own", says="Permission denied to its owner")
        self.ok_as(MEMBER, "detach", "own", "--lun", "0")
        self.ok_as(MEMBER, "start", "own")
        self.refused_as(MEMBER, FAILED, "attach", "own", disk["path"], says="Permission denied")
        os.chown(disk["path"], MEMBER, MEMBER)
        self.ok_as(MEMBER, "attach", "own", disk["path"])

    def test_following_the_log_without_signals(self):
        self.create_as(MEMBER)
        self.ok_as(MEMBER, "list")
        follower = subprocess.Popen(
            as_user(MEMBER, self.program(VMCTL), "--address", self.address, "log", "own",
                    "--follow", "--json"), stdout=subprocess.PIPE, text=True)
        self.addCleanup(follower.stdout.close)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        self.assertEqual(json.loads(follower.stdout.readline())["event"], "created")
        self.ok("start", "own")
        self.assertEqual(json.loads(follower.stdout.readline())["message"], "starting")

    def test_nobody_else_gives_or_takes_vms(self):
        self.create_as(MEMBER, owner=NAME[MEMBER])
        for owner in "root", NAME[OTHER]:
            self.refused_as(MEMBER, NOT_PERMITTED, "set", "own", f"owner={owner}",
                            says="only root gives")
        self.ok("delete", "own")
        self.refused_create_as(MEMBER, "only root gives", owner="root")
        self.ok("create", "--from", "-", stdin=json.dumps(
            {"name": "given", "boot": {"kernel": "/k"}, "owner": NAME[OTHER]}))
        self.ok_as(OTHER, "set", "given", "notes=mine")
        self.refused_as(OTHER, NOT_PERMITTED, "create", "--name", "x", "--kernel", "/k",
                        says="members of group 'daemon'")

    def test_networks(self):
        lan = {"switch": "lan"}
        low = {"switch": "default", "forward": ["80:80"]}
        for adapter in lan, low:
            self.refused_create_as(MEMBER, "only root", network_adapters=[adapter])
        self.create_as(MEMBER, network_adapters=[{"forward": ["8080:80"]}, {"switch": "none"}])
        self.refused_as(MEMBER, NOT_PERMITTED, "set", "own", "network_adapters[1].switch=lan",
                        says="only root connects")
        self.refused_as(MEMBER, NOT_PERMITTED, "net", "set", "own", "nic0", "--forward", "53:53",
                        says="only root forwards")
        self.refused_as(MEMBER, NOT_PERMITTED, "set", "own", "resources.cpu_weight=10000",
                        says="only root changes")
        self.ok("delete", "own")
        # What the administrator gave it, it keeps.
        self.create("own", owner=NAME[MEMBER], network_adapters=[low])
        self.ok_as(MEMBER, "set", "own", "notes=mine")
        self.ok_as(MEMBER, "set", "own", "memory.size=256M")
        self.assertEqual(self.show("own")["definition"]["network_adapters"][0]["forward"],
                         ["tcp:80:80"])


class Polkit(AuthorisationTest):
    """What is not one's own."""

    def test_nobody_in_particular(self):
        self.create()
        for words in (["list"], ["show", "vm"], ["start", "vm"], ["delete", "vm"], ["reload"],
                      ["console", "vm", "--log"], ["host"], ["switch", "list"], ["job", "list"],
                      ["create", "--name", "x", "--kernel", "/k"]):
            message = self.refused_as(OTHER, NOT_PERMITTED, *words, says="polkit does not allow")
            self.assertIn("as root", message)

    def test_no_method_is_left_out(self):
        """Every method of every object, as somebody who may nothing."""
        self.create()
        self.ok("start", "vm")
        self.ok("shutdown", "vm")
        for path in ROOT, self.path(), f"{ROOT}/job/1":
            text = json.loads(subprocess.run(
                ["busctl", "--address", self.address, "--json=short", "call", "org.vmms1", path,
                 "org.freedesktop.DBus.Introspectable", "Introspect"],
                capture_output=True, check=True, timeout=TIMEOUT).stdout)["data"][0]
            for interface in xml.etree.ElementTree.fromstring(text).iter("interface"):
                if interface.get("name") == "org.freedesktop.DBus.Peer":
                    continue
                for method in interface.iter("method"):
                    self.assert_denied(OTHER, path, interface.get("name"), method.get("name"))
        self.assertEqual(self.show()["state"], "off")

    def test_reading(self):
        self.allow((OTHER, "read", "yes"))
        self.create()
        self.assertEqual(self.names_as(OTHER), ["vm"])
        self.ok_as(OTHER, "show", "vm")
        self.ok_as(OTHER, "switch", "list")
        self.refused_as(OTHER, NOT_PERMITTED, "start", "vm", says="org.vmms1.manage")
        self.refused_as(OTHER, NOT_PERMITTED, "console", "vm", "--log", says="org.vmms1.console")
        self.assertIn(f"{OTHER} org.vmms1.manage vm", self.asked())

    def test_a_member_who_may_read(self):
        self.allow((MEMBER, "read", "yes"))
        self.create()
        self.create_as(MEMBER)
        self.assertEqual(self.names_as(MEMBER), ["own", "vm"])

    def test_managing(self):
        self.allow((OTHER, "read", "yes"), (OTHER, "manage", "yes"), (OTHER, "console", "yes"))
        self.create()
        self.create("dvd", disks=[{"type": "dvd"}])
        for words in (["start", "vm"], ["console", "vm", "--log"], ["stop", "vm"], ["reload"],
                      ["set", "vm", "memory.size=256M"]):
            self.ok_as(OTHER, *words)
        for words in (["set", "vm", "boot.kernel=/etc/shadow"], ["set", "vm", "boot.initrd=/etc/x"],
                      ["attach", "vm", "/etc/shadow"], ["insert", "dvd", "/etc/shadow", "--lun", "0"],
                      ["set", "vm", f"owner={NAME[OTHER]}"]):
            self.refused_as(OTHER, NOT_PERMITTED, *words, says="root")
        self.assertEqual(self.show()["owner"], "root")
        self.create_as(OTHER, "third")
        self.assertEqual(self.show("third")["owner"], NAME[OTHER])
        self.ok_as(OTHER, "delete", "vm")

    def test_what_is_read_only_stays_so(self):
        self.allow((OTHER, "read", "yes"), (OTHER, "manage", "yes"))
        self.create(disks=[self.disk("disk.raw", read_only=True)])
        self.refused_as(OTHER, NOT_PERMITTED, "set", "vm", "disks[0].read_only=false", says="root")
        self.ok_as(OTHER, "detach", "vm", "--lun", "0")

    def test_a_password(self):
        self.allow((OTHER, "manage", "ask"))
        self.create()
        for interactive, status in (False, 1), (True, 0):
            result = self.call_as(OTHER, self.path(), "org.vmms1.VM", "Start",
                                  interactive=interactive)
            self.assertEqual(result.returncode, status, result.stderr)
        self.allow((OTHER, "read", "ask"))
        self.refused_as(OTHER, NOT_PERMITTED, "list", says="wants authentication")

    def wait_for_polkit(self, count):
        """So many calls that polkit does not answer."""
        callers = [subprocess.Popen(
            as_user(OTHER, "busctl", "--address", self.address, "call", "--timeout=120",
                    "org.vmms1", ROOT, MANAGER, "Reload"), stderr=subprocess.DEVNULL)
            for _ in range(count)]
        for caller in callers:
            self.addCleanup(caller.wait)
            self.addCleanup(caller.kill)
        wait_until(lambda: len(self.asked()) == count, "polkit to be asked")
        return callers

    def test_while_polkit_thinks_others_are_served(self):
        self.allow((OTHER, "manage", "never"))
        self.create()
        callers = self.wait_for_polkit(16)
        self.ok("start", "vm")
        self.create_as(MEMBER)
        result = self.call_as(OTHER, ROOT, MANAGER, "Reload")
        self.assertIn("too many calls", result.stderr)
        callers[0].kill()
        self.ok("stop", "vm")
        self.stop_vmms()
        self.start_vmms()

    def test_without_polkit(self):
        self.polkit.terminate()
        self.polkit.wait()
        self.create()
        self.create_as(MEMBER)
        self.assertEqual(self.names_as(MEMBER), ["own"])
        self.refused_as(OTHER, NOT_PERMITTED, "list", says="polkit, which does not answer")

    def test_polkit_that_goes_while_it_is_asked(self):
        self.allow((OTHER, "manage", "never"))
        caller = self.wait_for_polkit(1)[0]
        self.polkit.kill()
        self.polkit.wait()
        self.assertNotEqual(caller.wait(TIMEOUT), 0)
        self.ok("list")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root, to be somebody else")
        sys.exit(77)
    main()
