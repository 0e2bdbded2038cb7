#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is told of what happens: owners of their VMs and jobs, whoever sees all of all, others of nothing.

On a bus with the shipped policy.

Exit status 77 without root, who alone can be somebody else.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import TIMEOUT, as_user, main, wait_until  # noqa: E402
from test_authorisation import DENIED, MANAGER, MEMBER, NAME, OTHER, ROOT, AuthorisationTest  # noqa: E402

# Has all signals of everybody sent to itself, as far as the bus does so, and, unless it is quiet, subscribes; prints each as a line of JSON.
LISTENER = r"""
import json, sys
sys.path.insert(0, sys.argv[1])
import bus
class Listener(bus.Bus):
    def take_signal(self, fields, values):
        if fields.get(bus.SENDER) != "org.freedesktop.DBus":
            print(json.dumps([fields[bus.PATH], fields[bus.MEMBER], values]), flush=True)
listener = Listener(sys.argv[1] + "/bus", "org.vmms1")
try:
    if "quiet" not in sys.argv:
        listener.call("/org/vmms1", "org.vmms1.Manager", "Subscribe")
    if "twice" in sys.argv:
        listener.call("/org/vmms1", "org.vmms1.Manager", "Subscribe")
    if "stop" in sys.argv:
        listener.call("/org/vmms1", "org.vmms1.Manager", "Unsubscribe")
except bus.Refused as why:
    print(json.dumps(["", "refused", [why.name]]), flush=True)
def listen(rule):
    listener.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s", [rule],
                  destination="org.freedesktop.DBus")
listen("type='signal'")
if "spy" in sys.argv:
    try:
        listen("type='signal',eavesdrop='true'")
    except bus.Refused:
        pass
print(json.dumps(["", "listens", []]), flush=True)
while True:
    while listener.take_message():
        pass
    listener.receive()
"""


class Listener:
    def __init__(self, test, uid, *words):
        test.program(pathlib.Path(__file__).resolve().parent / "bus.py")
        self.path = test.folder / f"heard-{uid}-{len(test.listeners)}"
        test.listeners.append(self)
        with open(self.path, "wb") as file:
            self.process = subprocess.Popen(
                as_user(uid, sys.executable, "-c", LISTENER, test.folder, *words), stdout=file, stderr=test.log)
        test.addCleanup(self.process.wait)
        test.addCleanup(self.process.kill)
        self.expect("listens")

    def heard(self, member=None, path=""):
        """Of each signal: path, member and arguments."""
        text = self.path.read_text()
        told = [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]
        return [row for row in told
                if (not member or row[1] == member) and row[0].startswith(path) and row[1] != "listens"]

    def expect(self, member, path="", containing=""):
        def found():
            if member == "listens":
                return '"listens"' in self.path.read_text()
            return any(containing in json.dumps(row) for row in self.heard(member, path))
        wait_until(found, f"a signal {member} of {path} with '{containing}'")


class Signals(AuthorisationTest):
    def setUp(self):
        self.listeners = []
        super().setUp()

    def listen(self, uid, *words):
        return Listener(self, uid, *words)

    def test_an_owner_hears_of_a_vm(self):
        root, owner, other = self.listen(0), self.listen(MEMBER), None
        self.create("bins", owner=NAME[OTHER])
        other = self.listen(OTHER)
        self.create_as(MEMBER)
        path = self.path("own")
        self.ok_as(MEMBER, "start", "own")
        self.ok_as(MEMBER, "shutdown", "own")
        self.wait_state("off", "own")
        for listener in root, owner:
            listener.expect("InterfacesAdded", ROOT, path)
            for text in '"State", ["s", "running"]', '"State", ["s", "stopping"]', '"State", ["s", "off"]':
                listener.expect("PropertiesChanged", path, text)
            listener.expect("Logged", path, "running")
            listener.expect("InterfacesAdded", ROOT, f"{ROOT}/job/1")
            listener.expect("PropertiesChanged", f"{ROOT}/job/1", '"State", ["s", "done"]')
        self.ok_as(MEMBER, "delete", "own")
        for listener in root, owner:
            listener.expect("InterfacesRemoved", ROOT, path)
        # The same order as on the bus: what comes last tells that nothing came before.
        self.ok("set", "bins", "notes=the last")
        other.expect("PropertiesChanged", self.path("bins"), "the last")
        self.assertEqual({row[0] for row in other.heard()}, {self.path("bins")})
        self.assertNotIn(path, json.dumps(other.heard()))
        self.assertFalse(owner.heard(path=self.path("bins")))

    def test_values_are_those_of_the_properties(self):
        self.create_as(MEMBER)
        owner = self.listen(MEMBER)
        self.ok("set", "own", "notes=grüße")
        owner.expect("PropertiesChanged", self.path("own"), '["Notes", ["s", "gr\\u00fc\\u00dfe"]]')
        owner.expect("PropertiesChanged", self.path("own"), '["Definition"')
        (_, _, (interface, changed, invalidated)) = owner.heard("PropertiesChanged")[-1]
        self.assertEqual(interface, "org.vmms1.VM")
        self.assertNotIn("Definition", dict(changed))
        self.assertIn("Definition", invalidated)

    def test_an_object_that_comes_has_all_its_properties(self):
        root = self.listen(0)
        self.create()
        root.expect("InterfacesAdded", ROOT, self.path())
        listed = json.loads(subprocess.run(
            ["busctl", "--address", self.address, "--json=short", "call", "org.vmms1", ROOT,
             "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"], capture_output=True, check=True,
            timeout=TIMEOUT).stdout)["data"][0][self.path()]
        (_, _, (_, interfaces)) = root.heard("InterfacesAdded")[-1]
        told = {name: {key: value[1] for key, value in values} for name, values in interfaces}
        self.assertEqual(set(told), set(listed))
        self.assertEqual(set(told["org.vmms1.VM"]), set(listed["org.vmms1.VM"]))
        self.assertEqual(told["org.vmms1.VM"]["UUID"], self.show()["uuid"])

    def test_a_vm_that_gets_another_owner(self):
        self.create("bins", owner=NAME[OTHER])
        self.create_as(MEMBER)
        path = self.path("own")
        before, after = self.listen(MEMBER), self.listen(OTHER)
        self.ok("set", "own", f"owner={NAME[OTHER]}")
        before.expect("InterfacesRemoved", ROOT, path)
        after.expect("InterfacesAdded", ROOT, path)
        after.expect("PropertiesChanged", path, NAME[OTHER])
        self.ok("start", "own")
        after.expect("PropertiesChanged", path, "running")
        self.assertEqual([row[1] for row in before.heard()], ["InterfacesRemoved"])

    def test_a_file_that_gives_it_to_another(self):
        self.create("bins", owner=NAME[OTHER])
        self.create("own", owner=NAME[MEMBER])
        path = self.path("own")
        before, after = self.listen(MEMBER), self.listen(OTHER)
        file = self.state / "vms/own.json"
        definition = json.loads(file.read_text())
        file.write_text(json.dumps({**definition, "owner": NAME[OTHER], "owner_uid": OTHER}))
        self.ok("reload")
        before.expect("InterfacesRemoved", ROOT, path)
        after.expect("InterfacesAdded", ROOT, path)

    def test_all_that_a_change_changes(self):
        self.create_as(MEMBER)
        owner = self.listen(MEMBER)
        self.ok("set", "own", "memory.size=256M", "processors.count=2", "engine=user-space")
        for text in '["Memory", ["t", 268435456]]', '["Processors", ["u", 2]]', '["Engine", ["s", "user-space"]]':
            owner.expect("PropertiesChanged", self.path("own"), text)

    def test_an_adapter_of_a_vm_that_is_off(self):
        self.create_as(MEMBER)
        owner = self.listen(MEMBER)
        self.ok("net", "add", "own")
        owner.expect("PropertiesChanged", self.path("own"), '["Adapters", ["a(ssssss)", [["nic0"')

    def test_jobs_of_ones_own(self):
        folder = self.folder / "images"
        folder.mkdir()
        os.chown(folder, MEMBER, MEMBER)
        self.create("bins", owner=NAME[OTHER])
        owner, other = self.listen(MEMBER), self.listen(OTHER)
        self.ok_as(MEMBER, "disk", "create", str(folder / "new.vhdx"), "4M")
        owner.expect("PropertiesChanged", f"{ROOT}/job/", '"State", ["s", "done"]')
        self.ok("set", "bins", "notes=the last")
        other.expect("PropertiesChanged", "", "the last")
        self.assertFalse(other.heard(path=f"{ROOT}/job"))

    def test_what_is_the_hosts_is_for_who_sees_all(self):
        self.create("bins", owner=NAME[OTHER])
        root, other = self.listen(0), self.listen(OTHER)
        (self.state / "vms/broken.json").write_text("{")
        self.refused(1, "reload", says="broken: ")
        root.expect("PropertiesChanged", ROOT, "BrokenDefinitions")
        self.ok("set", "bins", "notes=the last")
        other.expect("PropertiesChanged", "", "the last")
        self.assertNotIn("broken", json.dumps(other.heard()))

    def test_whoever_may_read_all_hears_all(self):
        self.allow((OTHER, "read", "yes"))
        self.create()
        other = self.listen(OTHER)
        self.ok("start", "vm")
        other.expect("PropertiesChanged", self.path(), "running")

    def test_who_has_no_vm_is_refused(self):
        self.assert_denied(OTHER, ROOT, MANAGER, "Subscribe")
        self.assertIn(DENIED, self.call_as(OTHER, ROOT, MANAGER, "Subscribe").stderr)

    def test_nobody_hears_who_has_not_asked(self):
        self.create_as(MEMBER)
        root, quiet = self.listen(0), [self.listen(0, "quiet"), self.listen(MEMBER, "quiet"),
                                       self.listen(OTHER, "quiet", "spy"), self.listen(MEMBER, "stop")]
        self.ok("start", "own")
        root.expect("PropertiesChanged", self.path("own"), "running")
        for listener in quiet:
            self.assertEqual(listener.heard(), [])

    def test_subscribing_twice_is_hearing_once(self):
        self.create_as(MEMBER)
        owner = self.listen(MEMBER, "twice")
        self.ok("set", "own", "notes=once")
        self.ok("set", "own", "notes=the last")
        owner.expect("PropertiesChanged", "", "the last")
        self.assertEqual(json.dumps(owner.heard("PropertiesChanged")).count('["s", "once"]'), 1)

    def test_a_user_has_so_many_connections(self):
        self.create_as(MEMBER)
        self.create("bins", owner=NAME[OTHER])
        listeners = [self.listen(MEMBER) for _ in range(16)]
        refused = self.listen(MEMBER)
        refused.expect("refused", "", "LimitsExceeded")
        self.assertEqual(self.listen(OTHER).heard(), [])
        self.assertEqual(self.listen(0).heard(), [])
        # One that has gone makes room.
        listeners[0].process.kill()
        wait_until(lambda: not self.listen(MEMBER).heard("refused"), "room", timeout=TIMEOUT)

    def test_one_that_does_not_read_holds_up_nobody(self):
        self.create_as(MEMBER)
        slow, root = self.listen(MEMBER), self.listen(0)
        os.kill(slow.process.pid, signal.SIGSTOP)
        notes = "x" * 4000
        for number in range(100):  # more than a socket takes
            self.ok("set", "own", f"notes={notes}{number}")
        root.expect("PropertiesChanged", "", f"{notes}99")
        os.kill(slow.process.pid, signal.SIGCONT)
        slow.expect("PropertiesChanged", "", f"{notes}99")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root, to be somebody else")
        sys.exit(77)
    main()
