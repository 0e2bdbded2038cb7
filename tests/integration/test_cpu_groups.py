#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPU groups: what is kept of them, what VMs have to do with them, and their slices."""

import json
import sys

sys.dont_write_bytecode = True
from rig import FAILED, NO_SUCH_VM, USAGE, WRONG_STATE, main, wait_until  # noqa: E402
from test_pinning import NOWHERE, ONLINE, WITHOUT_SYSTEMD, Pinning, mask  # noqa: E402
from test_units import NOT_SET  # noqa: E402


class Groups(Pinning):
    def groups(self):
        return json.loads(self.ok("cpu-group", "list", "--json"))["cpu_groups"]

    def group(self, name="gold"):
        return json.loads(self.ok("cpu-group", "show", name, "--json"))

    def make(self, *options, name="gold"):
        self.ok("cpu-group", "create", name, *options)

    def file(self, name="gold"):
        return self.state / "cpu-groups" / f"{name}.json"

    def slices(self, method="StartTransientUnit"):
        return [call for call in self.calls(method) if call[0].endswith(".slice")]

    def wait_slices(self, count, method="StartTransientUnit"):
        return wait_until(lambda: len(self.slices(method)) >= count and self.slices(method),
                          f"{count} calls of {method}")[count - 1]

    def scope(self, pid):
        return next(dict(call[2]) for call in self.calls("StartTransientUnit")
                    if call[0] == f"vmms-vm-{pid}.scope")


class Kept(Groups):
    vmms_arguments = ("--units", "never")

    def test_life(self):
        self.assertEqual(self.groups(), [])
        self.make("--quota", "150", "--weight", "300", "--cpus", f"0,{ONLINE}", "--notes", "paid \x1b[31m")
        self.make(name="bronze")
        definition = {"version": 1, "name": "gold", "notes": "paid \x1b[31m", "cpu_weight": 300, "cpu_quota": 150,
                      "cpus": self.group()["definition"]["cpus"]}
        self.assertEqual(self.group(), {"name": "gold", "problem": WITHOUT_SYSTEMD, "vms": [], "definition": definition})
        self.assertEqual(json.loads(self.file().read_text()), definition)
        self.assertEqual(self.ok("cpu-group", "list", "--names"), "bronze\ngold\n")
        self.assertRegex(self.ok("cpu-group", "list"), r"(?m)^gold +150 +300 +0")
        self.assertIn("notes:         paid \\x1b[31m\n", self.ok("cpu-group", "show", "gold"))
        self.ok("cpu-group", "set", "gold", "--quota", "none", "--cpus", "none", "--weight", "1")
        self.stop_vmms()
        self.start_vmms()
        self.assertEqual(self.group()["definition"],
                         {"version": 1, "name": "gold", "notes": "paid \x1b[31m", "cpu_weight": 1})
        self.ok("cpu-group", "delete", "gold", "bronze")
        self.assertEqual((self.groups(), self.file().exists()), ([], False))

    def test_what_makes_no_sense(self):
        create = "cpu-group", "create"
        self.refused(USAGE, *create, "-x", says="")
        self.refused(USAGE, *create, "a/b", says="must begin with a letter or digit")
        self.refused(USAGE, *create, "a" * 33, says="name")
        self.refused(USAGE, *create, "a", "--quota", "0", says="cpu_quota")
        self.refused(USAGE, *create, "a", "--quota", "much", says="--quota must be a number")
        self.refused(USAGE, *create, "a", "--weight", "10001", says="cpu_weight")
        self.refused(USAGE, *create, "a", "--cpus", "1-0", says="numbers of the host's CPUs")
        self.refused(USAGE, *create, "a", "--cpus", NOWHERE, says=f"CPU group 'a' names CPU {NOWHERE}, which this host does not")
        self.make()
        self.refused(FAILED, *create, "gold", says="'vmctl cpu-group set' changes it")
        self.refused(USAGE, "cpu-group", "set", "gold", says="what is to be changed?")
        self.refused(USAGE, "cpu-group", "set", "gold", "--cpus", NOWHERE, says=f"names CPU {NOWHERE}")
        for verb in ["set", "none", "--quota", "1"], ["show", "none"], ["delete", "none"]:
            self.refused(NO_SUCH_VM, "cpu-group", *verb, says="there is no CPU group 'none'")
        self.assertEqual(self.ok("cpu-group", "list", "--names"), "gold\n")

    def test_vms_that_name_it(self):
        self.refused(NO_SUCH_VM, "create", "--from", "-", says="'vmctl cpu-group create gold' makes it",
                     stdin=json.dumps({"name": "vm", "boot": {"kernel": "/k"}, "resources": {"cpu_group": "gold"}}))
        self.make()
        self.create(resources={"cpu_group": "gold"})
        self.create("other")
        self.ok("set", "other", "resources.cpu_group=gold")
        self.assertEqual(self.group()["vms"], ["other", "vm"])
        self.refused(WRONG_STATE, "cpu-group", "delete", "gold", says="that of 2 VMs: 'other', 'vm'; give them another")
        self.refused(NO_SUCH_VM, "set", "vm", "resources.cpu_group=lead", says="no CPU group 'lead'")
        self.refused(USAGE, "set", "vm", "resources.cpu_group=-", says="must begin with a letter")
        self.ok("set", "vm", "resources=")
        self.ok("set", "other", "resources.cpu_group=")
        self.ok("cpu-group", "delete", "gold")

    def test_many_vms_that_name_it(self):
        self.make()
        for i in range(40):
            self.create(f"machine-{i:02}", resources={"cpu_group": "gold"})
        self.refused(WRONG_STATE, "cpu-group", "delete", "gold", says="that of 40 VMs: 'machine-00', 'machine-01'")
        self.refused(WRONG_STATE, "cpu-group", "delete", "gold", says="', …; give them another")

    def test_of_a_vm_that_runs(self):
        self.make()
        self.make(name="lead")
        self.create(resources={"cpu_group": "gold"})
        self.ok("start", "vm")
        self.assertEqual(self.show()["limits_problem"], WITHOUT_SYSTEMD)
        self.assertIn("cpu_group gold", self.ok("show", "vm"))
        self.assertEqual(self.ok("set", "vm", "resources.cpu_group=lead"), "from the next start: resources.cpu_group\n")
        for name in "gold", "lead":
            self.refused(WRONG_STATE, "cpu-group", "delete", name, says="that of 1 VM: 'vm'")
        self.ok("stop", "vm")
        self.ok("cpu-group", "delete", "gold")
        self.assertEqual(self.group("lead")["vms"], ["vm"])

    def test_files(self):
        self.make()
        self.create(resources={"cpu_group": "gold"})
        self.file("bad").write_text('{"name": "bad",\n"x": 1}')
        self.file("new").write_text('{"name": "new", "cpus": "0"}')
        self.file("wrong").write_text('{"name": "gold"}')
        self.file().write_text('{"name": "gold", "cpu_quota": 7}')
        self.refused(FAILED, "cpu-group", "create", "new", says="'vmctl reload' reads it")
        self.ok("reload")
        self.assertEqual([(group["name"], group.get("definition", {}).get("cpu_quota"), "definition" in group)
                          for group in self.groups()],
                         [("bad", None, False), ("gold", 7, True), ("new", None, True), ("wrong", None, False)])
        self.assertIn("bad:2: x", self.group("bad")["problem"])
        self.assertIn("must be the name of the file", self.group("wrong")["problem"])
        self.refused(NO_SUCH_VM, "set", "vm", "resources.cpu_group=bad", says="is broken: x ")
        self.ok("cpu-group", "set", "bad", "--quota", "5")
        self.assertEqual(self.group("bad")["definition"]["cpu_quota"], 5)
        self.file("new").unlink()
        self.file().unlink()
        self.ok("cpu-group", "delete", "wrong")
        self.ok("reload")
        # One that a VM names stays, until the service ends.
        self.assertEqual(self.ok("cpu-group", "list", "--names"), "bad\ngold\n")
        self.stop_vmms()
        self.start_vmms()
        self.refused(NO_SUCH_VM, "start", "vm", says="there is no CPU group 'gold'")
        self.make()
        self.ok("start", "vm")

    def test_cpus_go_together(self):
        self.make("--cpus", "0")
        if ONLINE == 0:
            self.skipTest("takes two CPUs")
        self.create(resources={"cpu_group": "gold", "cpus": f"0,{ONLINE}"})
        for text in f'{{"cpu_group": "gold", "cpus": "{ONLINE}"}}', \
                f'{{"cpu_group": "gold", "pinning": [{{"vps": "0", "cpus": "{ONLINE}"}}]}}':
            self.refused(USAGE, "set", "vm", f"resources={text}", says="has none of the CPUs of its CPU group 'gold', 0")
        self.ok("set", "vm", "resources.cpus=0")
        self.refused(USAGE, "cpu-group", "set", "gold", "--cpus", str(ONLINE), says="resources.cpus of VM 'vm' has none of the CPUs")
        self.assertEqual(self.group()["definition"]["cpus"], "0")


class Slices(Groups):
    def limits(self, call):
        properties = dict(call[2])
        return tuple(properties[key] for key in ("CPUQuotaPerSecUSec", "CPUWeight", "AllowedCPUs"))

    def test_life(self):
        self.make("--quota", "150", "--weight", "300", "--cpus", "0", name="a-b.c_d")
        self.assertEqual(self.slices(), [])
        pid = self.start(resources={"cpu_group": "a-b.c_d"})
        call = self.wait_slices(1)
        self.assertEqual((call[0], call[1], call[3]), ("vmms-a\\x2db.c_d.slice", "fail", []))
        self.assertEqual(self.limits(call), (1500000, 300, mask(0)))
        self.wait_calls("RegisterMachineWithNetwork")
        self.assertEqual(self.scope(pid)["Slice"], "vmms-a\\x2db.c_d.slice")
        self.assertEqual(self.calls("StartTransientUnit")[0], call)  # before what is to be in it
        self.assertEqual((self.group("a-b.c_d")["problem"], self.show()["limits_problem"]), ("", ""))
        self.ok("cpu-group", "set", "a-b.c_d", "--quota", "none", "--weight", "none", "--cpus", "none")
        call = self.wait_slices(1, "SetUnitProperties")
        self.assertEqual(call[:2], ["vmms-a\\x2db.c_d.slice", True])
        self.assertEqual(self.limits(call), (NOT_SET, NOT_SET, []))
        self.ok("stop", "vm")
        self.ok("delete", "vm")
        self.ok("cpu-group", "delete", "a-b.c_d")
        self.assertEqual(self.wait_slices(1, "StopUnit"), ["vmms-a\\x2db.c_d.slice", "fail"])

    def test_a_vm_without(self):
        self.make()
        pid = self.start()
        self.wait_calls("RegisterMachineWithNetwork")
        self.assertEqual((self.scope(pid)["Slice"], self.slices()), ("vmms.slice", []))
        # While none of its VMs runs a change is for the next one.
        self.create("b", resources={"cpu_group": "gold"})
        self.ok("cpu-group", "set", "gold", "--quota", "7")
        self.assertEqual(self.slices("SetUnitProperties"), [])

    def test_two_vms(self):
        self.make("--quota", "70")
        self.start("a", resources={"cpu_group": "gold"})
        self.wait_slices(1)
        self.ok("cpu-group", "set", "gold", "--quota", "80")
        self.wait_slices(1, "SetUnitProperties")
        self.start("b", resources={"cpu_group": "gold"})
        self.assertEqual(self.limits(self.wait_slices(2, "SetUnitProperties"))[0], 800000)

    def test_vps_are_pinned_again_with_other_cpus(self):
        self.make()
        self.start(resources={"cpu_group": "gold", "pinning": [{"vps": "0", "cpus": "0"}]})
        self.wait_calls("RegisterMachineWithNetwork")
        # Twice at most because of the start itself.
        for count, cpus in enumerate(("0", "none", "0"), 1):
            self.ok("cpu-group", "set", "gold", "--cpus", cpus)
            wait_until(lambda: self.console_log().count("guest: pin ") >= count, "pins once more")

    def test_found_again_by_the_next_daemon(self):
        self.make("--quota", "70")
        self.start(resources={"cpu_group": "gold"})
        self.wait_calls("RegisterMachineWithNetwork")
        self.kill_vmms()
        self.file().write_text('{"name": "gold", "cpu_quota": 90}')
        self.start_vmms()
        self.wait_said("guest: adopted")
        self.assertEqual(self.limits(self.wait_slices(1, "SetUnitProperties"))[0], 900000)

    def test_it_stays_while_a_vm_runs(self):
        self.make()
        self.make(name="lead")
        pid = self.start(resources={"cpu_group": "gold"})
        self.wait_calls("RegisterMachineWithNetwork")
        self.ok("set", "vm", "resources.cpu_group=lead", "resources.cpu_weight=5")
        self.wait_calls("SetUnitProperties")
        self.assertEqual([call[0] for call in self.slices()], ["vmms-gold.slice"])
        self.assertEqual(self.scope(pid)["Slice"], "vmms-gold.slice")
        self.ok("stop", "vm")
        self.ok("start", "vm")
        self.assertEqual(self.wait_slices(2)[0], "vmms-lead.slice")


class Refusing(Groups):
    systemd_arguments = ("--refuse",)

    def test_no_slice(self):
        self.make()
        self.start(resources={"cpu_group": "gold"})
        wait_until(lambda: "no slice of its CPU group: not \x1b[31mtoday" in self.group()["problem"], "the problem")
        self.assertIn("not \\x1b[31mtoday", self.ok("cpu-group", "show", "gold"))
        self.assertNotEqual(self.show()["limits_problem"], "")
        self.assertEqual(self.show()["state"], "running")


class RefusingLimits(Groups):
    systemd_arguments = ("--refuse-limits",)

    def test_limits_that_are_not_taken(self):
        self.make()
        self.start(resources={"cpu_group": "gold"})
        self.wait_calls("RegisterMachineWithNetwork")
        self.assertEqual(self.show()["limits_problem"], "")
        self.ok("cpu-group", "set", "gold", "--quota", "10")
        wait_until(lambda: "does not take the limits of its CPU group" in self.show()["limits_problem"], "the problem")
        self.assertIn("not in force:", self.ok("show", "vm"))


if __name__ == "__main__":
    main()
