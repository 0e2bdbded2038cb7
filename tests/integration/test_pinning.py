#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPUs of the host that VMs and their vps run on: what systemd and workers are asked for."""

import json
import os
import sys

sys.dont_write_bytecode = True
from rig import FAILED, USAGE, main, wait_until  # noqa: E402
from test_units import Units  # noqa: E402

ONLINE = max(os.sched_getaffinity(0))
NOWHERE = "1023"
WITHOUT_SYSTEMD = "without systemd there is nobody to enforce them"


def mask(*cpus):
    """As systemd takes it: a bit for each, in as many bytes as that takes."""
    number = sum(1 << cpu for cpu in cpus)
    return list(number.to_bytes((number.bit_length() + 7) // 8, "little"))


def pin(vps, cpus):
    return {"vps": str(vps), "cpus": str(cpus)}


class Pinning(Units):
    def allowed(self, method="SetUnitProperties", count=1):
        return dict(self.wait_calls(method, count)[2])["AllowedCPUs"]


class Systemd(Pinning):
    def test_cpus_of_a_vm(self):
        self.start(resources={"cpus": "0"})
        self.assertEqual(self.allowed("StartTransientUnit"), mask(0))
        self.wait_calls("RegisterMachineWithNetwork")
        self.assertIn("limits:         cpus 0\n", self.ok("show", "vm"))
        self.ok("set", "vm", f"resources.cpus=0,{ONLINE}")
        self.assertEqual(self.allowed(), mask(*{0, ONLINE}))
        self.ok("set", "vm", "resources.cpus=")
        self.assertEqual(self.allowed(count=2), [])

    def test_a_number_is_a_list(self):
        self.create()
        self.ok("set", "vm", f"resources.cpus={ONLINE}")
        self.assertEqual(self.show()["definition"]["resources"], {"cpus": str(ONLINE)})

    def test_vps(self):
        self.start(processors={"count": 4}, resources={"pinning": [pin("0,2", 0)]})
        self.wait_said('guest: pin {"pinning":[{"vps":"0,2","cpus":"0"}]}')
        text = self.ok("show", "vm")
        self.assertIn("pinning:        vp 0,2 on CPU 0\n", text)
        self.assertNotIn("limits:", text)

    def test_vps_are_pinned_again_with_other_cpus(self):
        """Before Linux 6.2 a control group's CPUs took the place of those of its threads."""
        self.start()
        self.wait_calls("RegisterMachineWithNetwork")
        self.ok("set", "vm", f'resources={{"cpus": "{ONLINE}", "pinning": [{json.dumps(pin(0, ONLINE))}]}}')
        self.assertEqual(self.allowed(), mask(ONLINE))
        self.wait_said(f'guest: pin {{"pinning":[{{"vps":"0","cpus":"{ONLINE}"}}]}}')
        self.ok("set", "vm", "resources.pinning=")
        self.wait_said('guest: pin {"pinning":[]}')

    def test_pins_of_vps_to_come(self):
        self.start(processors={"count": 2})
        self.wait_calls("RegisterMachineWithNetwork")
        pins = json.dumps([pin("1-3", 0), pin(0, ONLINE)])
        self.assertEqual(self.ok("set", "vm", "--vps", "4", f"resources.pinning={pins}"),
                         "from the next start: processors.count, resources.pinning\n")
        self.wait_said(f'guest: pin {{"pinning":[{{"vps":"1","cpus":"0"}},{{"vps":"0","cpus":"{ONLINE}"}}]}}')
        self.ok("stop", "vm")
        self.assertEqual(self.show()["definition"]["resources"]["pinning"], json.loads(pins))

    def test_found_again_by_the_next_daemon(self):
        self.start(resources={"cpus": "0", "pinning": [pin(0, 0)]})
        self.wait_calls("RegisterMachineWithNetwork")
        self.kill_vmms()
        self.start_vmms()
        self.wait_said("guest: adopted")
        self.assertEqual(self.allowed(), mask(0))
        self.wait_said('guest: pin {"pinning":[{"vps":"0","cpus":"0"}]}')
        self.assertEqual(self.show()["limits_problem"], "")

    def test_a_worker_that_cannot(self):
        self.start(append="refuse-pin", resources={"pinning": [pin(0, 0)]})
        wait_until(lambda: "processors are not pinned: " in self.show()["limits_problem"], "the problem")
        self.assertIn("not in force:   its virtual processors are not pinned", self.ok("show", "vm"))
        self.assertIn("processors are not pinned", self.ok("log", "vm"))
        self.ok("set", "vm", "resources=")
        wait_until(lambda: self.show()["limits_problem"] == "", "no problem")


class NoSystemd(Pinning):
    vmms_arguments = ("--units", "never")

    def test_pins_alone(self):
        self.start(resources={"pinning": [pin(0, 0)]})
        self.wait_said('guest: pin {"pinning":[{"vps":"0","cpus":"0"}]}')
        self.assertEqual(self.show()["limits_problem"], "")
        self.ok("set", "vm", f"resources.pinning[0].cpus=0,{ONLINE}")
        self.wait_said('guest: pin {"pinning":[{"vps":"0","cpus":"0')
        self.kill_vmms()
        self.start_vmms()
        self.wait_said("guest: adopted")
        self.wait_said('guest: pin {"pinning":[{"vps":"0","cpus":"0')
        self.assertEqual(self.calls("StartTransientUnit"), [])

    def test_cpus_of_a_vm_are_not_enforced(self):
        self.start(resources={"cpus": "0"})
        self.assertEqual(self.show()["limits_problem"], WITHOUT_SYSTEMD)


class Refused(Pinning):
    def refuse(self, *settings, says):
        self.refused(USAGE, "set", "vm", *settings, says=says)

    def test_what_makes_no_sense(self):
        self.create(processors={"count": 2}, resources={"cpus": "0"})
        for text in ("-1", "0-", "a", "0,,1", "1-0"):
            self.refuse(f"resources.cpus={text}", says="must be numbers of the host's CPUs")
        self.refuse(f'resources.pinning=[{json.dumps(pin(2, 0))}]', says="that the VM does not have")
        self.refuse(f'resources.pinning=[{json.dumps(pin(0, NOWHERE))}]', says="by resources.cpus")
        self.assertEqual(self.show()["definition"]["resources"], {"cpus": "0"})

    def test_cpus_that_the_host_does_not_have(self):
        self.create()
        self.refuse(f"resources.cpus=0,{NOWHERE}",
                    says=f"resources.cpus of VM 'vm' names CPU {NOWHERE}, which this host does not have")
        self.refuse(f"resources.pinning=[{json.dumps(pin(0, NOWHERE))}]",
                    says=f"resources.pinning of VM 'vm' names CPU {NOWHERE}")
        text = json.dumps({"name": "b", "boot": {"kernel": "/k"}, "resources": {"cpus": NOWHERE}})
        self.refused(USAGE, "create", "--from", "-", stdin=text, says=f"names CPU {NOWHERE}")

    def test_cpus_that_have_gone(self):
        self.create()
        path = next(self.folder.rglob("vm.json"))
        definition = json.loads(path.read_text())
        path.write_text(json.dumps({**definition, "resources": {"cpus": NOWHERE}}))
        self.ok("reload")
        self.refused(FAILED, "start", "vm", says=f"names CPU {NOWHERE}, which this host does not have, or which is offline")
        # All else can be changed.
        self.ok("set", "vm", "notes=x")
        self.ok("set", "vm", "resources.cpus=")
        self.ok("start", "vm")


if __name__ == "__main__":
    main()
