#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what: users with VMs of their own, and what polkit allows of the rest.

polkit is a fake one, which answers as a file says (tests/fake/fake_polkit.c). Exit status 77 without
root, who alone can be somebody else.
"""

import json
import os
import pathlib
import pwd
import re
import subprocess
import sys
import xml.etree.ElementTree

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, NOT_PERMITTED, OK, TIMEOUT, VMCTL, ServiceTest,  # noqa: E402
                 arguments, as_user, main, wait_until)
from terminal import TerminalTest  # noqa: E402
from test_access import SYSTEM_POLICY  # noqa: E402

MEMBER = 1  # "daemon", which is in the group of its name
OTHER = 2  # "bin", which is in none
NAME = {uid: pwd.getpwuid(uid).pw_name for uid in (MEMBER, OTHER)}
MANAGER = "org.vmms1.Manager"
ROOT = "/org/vmms1"
DENIED = "Access denied"  # as busctl says it

# pkttyagent: polkit knows it while there is a file "agent".
AGENT = r"""#!/usr/bin/env python3
import os, pathlib, signal, sys
folder = pathlib.Path(sys.argv[0]).parent
(folder / "agent-called").write_text(f"{os.getppid()}\n" + "\n".join(sys.argv[1:]))
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
try:
    (folder / "agent").touch()
    print("the agent is here", os.isatty(0), os.isatty(2), flush=True)
    os.close(int(sys.argv[sys.argv.index("--notify-fd") + 1]))
    signal.pause()
finally:
    (folder / "agent").unlink()
"""

# Makes a call that wants no answer, and stays until it has been dealt with; busctl would be gone.
CALLER = r"""
import ctypes, sys
bus, call = ctypes.c_void_p(), ctypes.c_void_p()
library = ctypes.CDLL("libsystemd.so.0")
address, path, interface, method, *arguments = map(str.encode, sys.argv[1:])
def do(name, *values):
    assert getattr(library, name)(*values) >= 0, name
do("sd_bus_new", ctypes.byref(bus))
do("sd_bus_set_address", bus, address)
do("sd_bus_set_bus_client", bus, 1)
do("sd_bus_start", bus)
do("sd_bus_message_new_method_call", bus, ctypes.byref(call), b"org.vmms1", path, interface, method)
for argument in arguments:
    do("sd_bus_message_append_basic", call, ctypes.c_char(b"s"), argument)
do("sd_bus_message_set_expect_reply", call, 0)
do("sd_bus_send", bus, call, None)
do("sd_bus_call_method", bus, b"org.vmms1", b"/org/vmms1", b"org.freedesktop.DBus.Peer", b"Ping",
   None, None, b"")
"""

# Makes a call with a text of that many bytes, JSON of very many values, and prints why it failed.
CALLER_OF_TEXT = r"""
import ctypes, sys
class Error(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("message", ctypes.c_char_p), ("_need_free", ctypes.c_int)]
bus, error = ctypes.c_void_p(), Error()
library = ctypes.CDLL("libsystemd.so.0")
library.sd_bus_call_method.argtypes = [ctypes.c_void_p] + [ctypes.c_char_p] * 4 + [
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
address, size, path, interface, method = map(str.encode, sys.argv[1:])
text = b'{"a":[' + b"{}," * (int(size) // 3) + b"{}]}"
def do(name, *values):
    assert getattr(library, name)(*values) >= 0, name
do("sd_bus_new", ctypes.byref(bus))
do("sd_bus_set_address", bus, address)
do("sd_bus_set_bus_client", bus, 1)
do("sd_bus_start", bus)
assert library.sd_bus_call_method(bus, b"org.vmms1", path, interface, method, ctypes.byref(error), None,
                                  b"s", text) < 0
print(error.name.decode(), error.message.decode())
"""


class AuthorisationTest(ServiceTest):
    policy = SYSTEM_POLICY.format(policy=arguments.source / "packaging/dbus/org.vmms1.conf").replace(
        "<include", """<policy context="default"><allow own="*"/>
        <allow send_destination="org.freedesktop.PolicyKit1"/></policy><include""")
    vmms_arguments = ("--group", "daemon")

    def setUp(self):
        super().setUp()
        (self.folder / "kernel").chmod(0o644)
        self.start_polkit()

    def start_vmms(self, *extra, wait=True):
        passt = self.folder / "fake-passt"
        passt.write_text("#!/bin/sh\nexec sleep 600\n")
        passt.chmod(0o755)
        super().start_vmms("--passt", passt, *extra, wait=wait)

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

    def call_without_answer(self, uid, path, interface, method, *arguments_):
        subprocess.run(as_user(uid, sys.executable, "-c", CALLER, self.address, path, interface,
                               method, *arguments_), check=True, timeout=TIMEOUT)

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
                      ["console", "own", "--log"], ["screenshot", "own"], ["log", "own"],
                      ["set", "own", "notes=mine"],
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
                     (ROOT, MANAGER, "GetMeters"),
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
        self.refused(FAILED, "reload", says="broken: ")
        self.assertIn("broken", self.ok("list"))
        self.assertNotIn("broken", self.ok_as(MEMBER, "list"))
        self.refused_as(MEMBER, NO_SUCH_VM, "delete", "broken")

    def test_owners_do_not_change_their_meters(self):
        self.create_as(MEMBER)
        for verb in "enable", "disable", "reset":
            self.refused_as(MEMBER, NOT_PERMITTED, "meter", verb, "own", says="whoever manages the host")
        self.ok("meter", "enable", "own")
        self.assertIn("own", self.ok_as(MEMBER, "meter", "show"))

    def test_what_is_the_hosts(self):
        self.ok("cpu-group", "create", "gold")
        for words in (["reload"], ["switch", "add", "lan", "--type", "private"], ["cpu-group", "create", "a"],
                      ["cpu-group", "delete", "gold"]):
            self.refused_as(MEMBER, NOT_PERMITTED, *words, says="or the host's")
        self.assertEqual(self.ok_as(MEMBER, "cpu-group", "list", "--names"), "")

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
            {"name": "given", "boot": {"kernel": "/dev/null"}, "owner": NAME[OTHER]}))
        self.ok_as(OTHER, "set", "given", "notes=mine")
        self.refused_as(OTHER, NOT_PERMITTED, "create", "--name", "x", "--kernel", "/dev/null",
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
                         ["tcp:127.0.0.1:80:80"])


    def test_a_network_that_root_takes_away(self):
        low = {"name": "nic0", "forward": ["80:80"]}
        self.create("own", owner=NAME[MEMBER], network_adapters=[low])
        self.ok("start", "own")
        self.ok("set", "own", "network_adapters[0].forward=[]")
        self.assertEqual(self.show("own")["pending"], ["network_adapters"])
        self.refused_as(MEMBER, NOT_PERMITTED, "net", "set", "own", "nic0", "--forward", "80:80",
                        says="only root forwards")
        self.ok("stop", "own")
        self.assertEqual(self.show("own")["definition"]["network_adapters"][0].get("forward", []), [])

    def test_what_the_host_gives(self):
        for limits in ({"resources": {"cpu_weight": 10000}},
                       {"automatic_start": {"action": "start", "order": 1}},
                       {"automatic_start": {"delay": 3600}}, {"automatic_stop": {"timeout": 3600}},
                       {"memory": {"size": "8TiB"}}):
            self.refused_create_as(MEMBER, "only root", **limits)
        self.create_as(MEMBER, automatic_start={"action": "start"})
        for setting in ("automatic_start.order=1", "automatic_start.delay=1",
                        "automatic_stop.timeout=1", "memory.size=8T", "resources.tasks_max=200"):
            self.refused_as(MEMBER, NOT_PERMITTED, "set", "own", setting, says="only root")
        self.ok("set", "own", "automatic_start.order=1", "memory.size=8T", "resources.tasks_max=199")
        self.ok_as(MEMBER, "set", "own", "notes=what root gave stays")
        self.ok_as(MEMBER, "set", "own", "memory.size=1G", "automatic_start.action=none")

    def test_so_many_vms(self):
        for number in range(100):
            self.create(f"vm{number}", owner=NAME[MEMBER])
        definition = {"name": "own", "boot": {"kernel": "/k"}}
        self.refused_as(MEMBER, FAILED, "create", "--from", "-", stdin=json.dumps(definition),
                        says="that is all")
        self.create("more", owner=NAME[MEMBER])
        self.create_as(0)
        self.ok_as(MEMBER, "delete", "more")
        self.ok_as(MEMBER, "delete", "vm0")
        self.create_as(MEMBER, "again")

    def test_who_wants_no_answer_is_refused_too(self):
        self.create()
        for definition in ({"name": "a", "owner": "root", "boot": {"kernel": "/etc/shadow"}},
                           {"name": "b", "boot": {"kernel": "/k"}, "resources": {"cpu_weight": 9}}):
            self.call_without_answer(MEMBER, ROOT, MANAGER, "CreateVM", json.dumps(definition))
        self.call_without_answer(MEMBER, self.path(), "org.vmms1.VM", "Start")
        own = {"name": "own", "boot": {"kernel": "/k"}}
        self.call_without_answer(MEMBER, ROOT, MANAGER, "CreateVM", json.dumps(own))
        self.ok("delete", "own")
        self.call_without_answer(MEMBER, ROOT, MANAGER, "DeleteVM", "vm")
        self.assertEqual([(vm["name"], vm["state"]) for vm in self.list()["vms"]], [("vm", "off")])

    def test_the_wrong_object(self):
        """A method of the manager's, with a VM of one's own, called of another's object."""
        self.create()
        self.create_as(MEMBER)
        missing = f"{ROOT}/vm/0f8fad5b_d9cb_469f_a165_70867728950e"
        self.assertEqual(self.call_as(MEMBER, ROOT, MANAGER, "GetVM", "s", "own").returncode, 0)
        for path in self.path(), missing, "/":
            for method in "GetVM", "DeleteVM":
                self.assert_denied(MEMBER, path, MANAGER, method, "s", "own")
        self.assertEqual(self.names_as(MEMBER), ["own"])


class Polkit(AuthorisationTest):
    """What is not one's own."""

    def test_nobody_in_particular(self):
        self.create()
        for words in (["list"], ["show", "vm"], ["start", "vm"], ["delete", "vm"], ["reload"],
                      ["console", "vm", "--log"], ["host"], ["switch", "list"], ["job", "list"],
                      ["create", "--name", "x", "--kernel", "/dev/null"]):
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

    def test_refusals_do_not_fill_the_log(self):
        callers = [subprocess.Popen(
            as_user(OTHER, "busctl", "--address", self.address, "call", "org.vmms1", ROOT, MANAGER,
                    "Reload"), stderr=subprocess.DEVNULL) for _ in range(30)]
        for caller in callers:
            self.assertNotEqual(caller.wait(TIMEOUT), 0)
        self.assertIn("that is not logged", (self.folder / "log").read_text())

    def test_reading(self):
        self.allow((OTHER, "read", "yes"))
        self.create()
        self.assertEqual(self.names_as(OTHER), ["vm"])
        self.ok_as(OTHER, "show", "vm")
        self.ok_as(OTHER, "firmware", "show", "vm")
        for words in ["export", "vm", "-"], ["reset", "vm"]:
            self.refused_as(OTHER, NOT_PERMITTED, "firmware", *words, says="org.vmms1.manage")
        self.ok_as(OTHER, "switch", "list")
        self.ok("cpu-group", "create", "gold")
        self.assertEqual(self.ok_as(OTHER, "cpu-group", "list", "--names"), "gold\n")
        self.refused_as(OTHER, NOT_PERMITTED, "start", "vm", says="org.vmms1.manage")
        self.ok("start", "vm")
        # Registers are the guest's.
        self.refused_as(OTHER, NOT_PERMITTED, "inspect", "vm", "vps", says="org.vmms1.manage")
        for words in ["console", "vm", "--log"], ["screenshot", "vm"]:
            self.refused_as(OTHER, NOT_PERMITTED, *words, says="org.vmms1.console")
        self.assertIn(f"{OTHER} org.vmms1.manage vm", self.asked())

    def test_the_version_is_no_question_of_reaching_it(self):
        self.assertIn("vmms runs; its version is told to root", " ".join(self.ok_as(OTHER, "version").split()))
        self.allow((OTHER, "read", "yes"))
        self.assertNotIn("runs;", self.ok_as(OTHER, "version"))

    def test_a_console_is_no_way_into_the_guest(self):
        """Whoever sits before it may know no password; ports of the guest may ask for none."""
        self.allow((OTHER, "read", "yes"), (OTHER, "console", "yes"))
        self.create()
        self.ok("start", "vm")
        self.ok_as(OTHER, "console", "vm", "--log")
        self.ok_as(OTHER, "screenshot", "vm")
        for words in ["connect", "vm", "22"], ["exec", "vm", "--", "true"]:
            self.refused_as(OTHER, NOT_PERMITTED, *words, says="org.vmms1.manage")

    def test_to_look_and_to_type_are_rights_of_their_own(self):
        self.allow((OTHER, "read", "yes"), (OTHER, "screen", "yes"))
        self.create(video={}, keyboard=True)
        self.ok("start", "vm")
        shots = self.folder / "shots"
        shots.mkdir()
        shots.chmod(0o777)
        self.ok_as(OTHER, "screenshot", "vm", "--image", shots / "one.png")
        self.assertIn(f"{NAME[OTHER]} looks at the screen", self.ok("log", "vm"))
        self.assertIn("RFB 003.008", self.ok_as(OTHER, "view", "vm", "--read-only", "--socket=-"))
        self.assertIn(f"{NAME[OTHER]} opens the screen, to look at it", self.ok("log", "vm"))
        self.refused_as(OTHER, NOT_PERMITTED, "view", "vm", "--socket=-", says="org.vmms1.manage")
        self.refused_as(OTHER, NOT_PERMITTED, "type", "vm", "a", says="org.vmms1.keys")
        self.allow((OTHER, "read", "yes"), (OTHER, "keys", "yes"))
        self.ok_as(OTHER, "type", "vm", "a")
        self.assertIn(f"{NAME[OTHER]} types on the keyboard", self.ok("log", "vm"))
        self.refused_as(OTHER, NOT_PERMITTED, "screenshot", "vm", "--image", "-", says="org.vmms1.screen")

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
        for words in (["set", "vm", "boot.kernel=/etc/shadow"], ["set", "vm", "boot.initrd=/etc/passwd"],
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

    def wait_for_polkit(self, count, path=ROOT, interface=MANAGER, method="Reload", *arguments_):
        """So many calls that polkit does not answer."""
        callers = [subprocess.Popen(
            as_user(OTHER, "busctl", "--address", self.address, "call", "--timeout=120",
                    "org.vmms1", path, interface, method, *arguments_), stderr=subprocess.DEVNULL)
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

    def test_an_answer_for_somebody_who_has_gone(self):
        self.allow((OTHER, "manage", "late"))
        self.create()
        caller = self.wait_for_polkit(1, self.path(), "org.vmms1.VM", "Start")[0]
        caller.kill()
        caller.wait(TIMEOUT)
        self.allow((OTHER, "manage", "yes"))
        self.assertEqual(self.call_as(OTHER, ROOT, MANAGER, "Reload").returncode, 0)
        self.assertEqual(self.show()["state"], "off")

    def test_calls_of_those_who_have_gone_wait_no_more(self):
        self.allow((OTHER, "manage", "never"))
        for caller in self.wait_for_polkit(16):
            caller.kill()
            caller.wait(TIMEOUT)
        self.allow((OTHER, "manage", "yes"))
        wait_until(lambda: self.call_as(OTHER, ROOT, MANAGER, "Reload").returncode == 0,
                   "room for another call")

    def test_a_person_who_does_not_answer(self):
        self.stop_vmms()
        self.start_vmms("--authentication-timeout", "1")
        self.allow((OTHER, "manage", "never"))
        self.create()
        result = self.call_as(OTHER, self.path(), "org.vmms1.VM", "Start", interactive=True)
        self.assertIn(DENIED, result.stderr)
        self.assertIn("nobody authenticated in time for org.vmms1.manage", (self.folder / "log").read_text())
        wait_until(lambda: "0 cancelled -" in self.asked(), "the question to be cancelled")

    def send_text(self, size, path=ROOT, interface=MANAGER, method="CreateVM", uid=OTHER):
        """A call with so many bytes of text."""
        caller = subprocess.Popen(
            as_user(uid, sys.executable, "-c", CALLER_OF_TEXT, self.address, str(size), path, interface,
                    method), stdout=subprocess.PIPE, text=True)
        self.addCleanup(caller.stdout.close)
        self.addCleanup(caller.wait)
        self.addCleanup(caller.kill)
        return caller

    def test_calls_that_are_too_large_are_refused_before_polkit_is_asked(self):
        self.allow((OTHER, "manage", "never"))
        for method in "CreateVM", "NoSuchMethod":
            caller = self.send_text(24 << 20, method=method)
            self.assertIn("LimitsExceeded", caller.communicate(timeout=TIMEOUT)[0])
        self.assertEqual(self.asked(), [])

    def peak(self):
        """Bytes of memory that the service had at most."""
        status = pathlib.Path(f"/proc/{self.vmms.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10

    def test_texts_of_members_take_little_memory(self):
        self.create_as(MEMBER)
        before = self.peak()
        for interface, method in (("VM", "AttachDisk"), ("VM", "AddAdapter"), ("Manager", "CreateVM")):
            path = self.path("own") if interface == "VM" else ROOT
            for size in 60_000, 900_000, 2_000_000:
                caller = self.send_text(size, path, f"org.vmms1.{interface}", method, MEMBER)
                self.assertRegex(caller.communicate(timeout=TIMEOUT)[0], "more than|larger than")
        # Sanitizers keep for a while what was freed.
        self.assertLess(self.peak() - before, 128 << 20)

    def test_calls_that_wait_have_so_many_bytes(self):
        self.allow((OTHER, "manage", "never"))
        waiting = [self.send_text(1 << 20) for _ in range(3)]
        wait_until(lambda: len(self.asked()) == len(waiting), "polkit to be asked")
        self.assertIn("LimitsExceeded", self.send_text(3 << 19).communicate(timeout=TIMEOUT)[0])
        self.assertEqual(len(self.asked()), len(waiting))

    def test_an_answer_about_a_vm_that_was_there(self):
        self.allow((OTHER, "manage", "late"))
        self.create()
        caller = self.wait_for_polkit(1, ROOT, MANAGER, "DeleteVM", "s", "vm")[0]
        self.ok("delete", "vm")
        self.create()
        self.allow((OTHER, "manage", "no"))
        self.assertNotEqual(self.call_as(OTHER, ROOT, MANAGER, "Reload").returncode, 0)
        self.assertNotEqual(caller.wait(TIMEOUT), 0)
        self.assertEqual(self.show()["state"], "off")

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


class Passwords(TerminalTest, AuthorisationTest):
    """vmctl on a terminal, with pkttyagent to ask."""

    def setUp(self):
        super().setUp()
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.bin.chmod(0o777)
        self.agent = self.bin / "pkttyagent"
        self.agent.write_text(AGENT)
        self.agent.chmod(0o755)
        # Where polkit looks for it.
        (self.folder / "agent").symlink_to(self.bin / "agent")
        self.create()

    def open_as(self, uid, *words):
        self.open_program(*as_user(uid, self.program(VMCTL), "--address", self.address, *words),
                          PATH=f"{self.bin}:{os.environ['PATH']}")

    def agent_arguments(self):
        """With which it was called, and by whom."""
        parent, *words = (self.bin / "agent-called").read_text().splitlines()
        return int(parent), words

    def test_an_agent_is_started_where_one_is_needed(self):
        self.allow((OTHER, "read", "agent"), (OTHER, "manage", "agent"))
        self.open_as(OTHER, "start", "vm")
        self.assertEqual(self.end(), OK, self.output)
        self.assertIn(b"the agent is here True True", self.output)
        self.wait_state("running")
        parent, words = self.agent_arguments()
        self.assertEqual(parent, self.pid)
        self.assertEqual(words[0], "--notify-fd")
        self.assertEqual(words[2:], ["--process", str(self.pid), "--fallback"])
        self.assertFalse((self.bin / "agent").exists(), "it has been ended")
        # Once in vain, and again; then with the agent, which stays for what follows: whether the VM is a
        # cluster's, and the start.
        self.assertEqual(self.asked(), [f"{OTHER} org.vmms1.read vm"] * 3 +
                         [f"{OTHER} org.vmms1.manage vm"])

    def test_arguments_are_sent_again(self):
        self.allow((OTHER, "read", "yes"), (OTHER, "manage", "agent"))
        self.open_as(OTHER, "set", "vm", "notes=typed")
        self.assertEqual(self.end(), OK, self.output)
        self.assertEqual(self.show()["definition"]["notes"], "typed")

    def test_no_agent_where_none_is_needed(self):
        self.allow((OTHER, "read", "yes"))
        self.open_as(OTHER, "list")
        self.assertEqual(self.end(), OK, self.output)
        self.open_as(OTHER, "start", "vm")  # which polkit does not allow at all
        self.assertEqual(self.end(), NOT_PERMITTED, self.output)
        self.allow((OTHER, "read", "ask"))  # the desktop's agent asks
        self.open_as(OTHER, "list")
        self.assertEqual(self.end(), OK, self.output)
        self.assertFalse((self.bin / "agent-called").exists())

    def test_it_can_be_switched_off(self):
        self.allow((OTHER, "read", "agent"))
        self.open_as(OTHER, "show", "vm", "--no-ask-password")
        self.assertEqual(self.end(), NOT_PERMITTED, self.output)
        self.assertFalse((self.bin / "agent-called").exists())
        (self.folder / "agent").unlink()
        (self.folder / "agent").touch()
        self.open_as(OTHER, "show", "vm", "--no-ask-password")  # nor is another agent's asked
        self.assertEqual(self.end(), NOT_PERMITTED, self.output)

    def test_an_agent_that_fails_or_is_missing(self):
        self.allow((OTHER, "read", "agent"))
        self.agent.write_text("#!/bin/sh\nexit 1\n")
        self.open_as(OTHER, "show", "vm")
        self.assertEqual(self.end(), NOT_PERMITTED, self.output)
        self.assertIn(b"wants authentication", self.output)
        self.agent.unlink()
        self.open_program(*as_user(OTHER, "env", f"PATH={self.bin}", self.program(VMCTL),
                                   "--address", self.address, "show", "vm"))
        self.assertEqual(self.end(), NOT_PERMITTED, self.output)

    def test_a_start_with_the_console(self):
        """All passwords come before the keys are the guest's."""
        self.allow(*((OTHER, action, "agent") for action in ("read", "console", "manage")))
        self.open_as(OTHER, "start", "vm", "--console")
        self.expect(b"leave with")
        self.wait_state("running")
        wait_until(lambda: not (self.bin / "agent").exists(), "the end of the agent")
        os.write(self.master, b"\x1d")
        self.assertEqual(self.end(), OK, self.output)

    def test_root_is_not_asked(self):
        self.open_as(0, "start", "vm")
        self.assertEqual(self.end(), OK, self.output)
        self.assertFalse((self.bin / "agent-called").exists())


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root, to be somebody else")
        sys.exit(77)
    main()
