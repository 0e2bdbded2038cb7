#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dynamic memory: what guests need, what they get, and what can be changed while they run."""
import json

from rig import USAGE, ServiceTest, main, wait_until

MIB = 1 << 20
DYNAMIC = {"size": "256M", "dynamic": {"minimum": "64M", "maximum": "512M"}}


class Memory(ServiceTest):
    def begin(self, memory=None, **members):
        self.create(memory=memory or DYNAMIC, **members)
        self.ok("start", "vm")
        self.has(256)

    def memory(self, name="vm"):
        return self.show(name).get("dynamic_memory")

    def has(self, mib, name="vm"):
        """It comes to have so many."""
        wait_until(lambda: (self.memory(name) or {}).get("assigned") == mib * MIB,
                   f"{name} to have {mib} MiB")

    def pending(self):
        return self.show()["pending"]

    # ---- By need ----

    def test_follows_need(self):
        self.begin()
        self.assertEqual(self.memory(), {"state": "resting", "target": 256 * MIB,
                                         "assigned": 256 * MIB, "demand": 0})
        self.type("idle")  # it needs 80 MiB, and gets 20 percent more
        self.has(96)
        self.assertEqual(self.memory()["demand"], 80 * MIB)
        self.type("busy")  # 200 MiB
        self.has(240)

    def test_bounds_and_buffer_are_changed_at_once(self):
        self.begin()
        self.type("idle")
        self.has(96)
        self.ok("set", "vm", "memory.dynamic.minimum=128M")
        self.has(128)
        self.ok("set", "vm", "memory.dynamic.minimum=64M", "memory.dynamic.buffer=100")
        self.has(160)
        self.assertEqual(self.pending(), [])
        # There is no more room than was made at the start.
        self.ok("set", "vm", "memory.dynamic.maximum=1G")
        self.assertEqual(self.pending(), ["memory.dynamic"])

    def test_size_of_a_running_vm(self):
        self.begin()
        self.assertEqual(self.ok("set", "vm", "--memory", "128M"), "changed: memory.size\n")
        self.has(128)
        self.assertEqual((self.show()["memory"], self.pending()), (128 * MIB, []))
        self.assertEqual(self.show()["definition"]["memory"]["size"], "128M")
        self.refused(USAGE, "set", "vm", "--memory", "1G", says="memory.dynamic.maximum")
        self.refused(USAGE, "set", "vm", "--memory", "32M", says="memory.dynamic.minimum")
        self.refused(USAGE, "set", "vm", says="--memory")
        self.has(128)

    def test_by_hand_alone(self):
        memory = {**DYNAMIC, "dynamic": {**DYNAMIC["dynamic"], "automatic": False}}
        self.begin(memory)
        self.type("idle")
        self.ok("set", "vm", "--memory", "200M")
        self.has(200)
        self.type("busy")
        wait_until(lambda: self.memory()["demand"] == 200 * MIB, "the guest to need 200 MiB")
        self.has(200)
        self.ok("set", "vm", "memory.dynamic.automatic=true")
        self.has(240)

    def test_without_dynamic_memory(self):
        self.create(memory={"size": "256M"})
        self.ok("start", "vm")
        self.type("idle")
        self.assertNotIn("dynamic memory:", self.ok("show", "vm"))
        self.ok("set", "vm", "--memory", "128M")
        self.assertEqual(self.pending(), ["memory.size"])
        self.ok("set", "vm", "memory.dynamic.minimum=64M")
        self.assertEqual(self.pending(), ["memory.size", "memory.dynamic"])
        self.ok("stop", "vm")
        self.ok("start", "vm")
        self.has(128)

    # ---- What is shown ----

    def test_shown(self):
        self.begin()
        self.assertIn("dynamic memory: has 256M of 256M, needs unknown (resting)\n",
                      self.ok("show", "vm"))
        self.type("idle")
        self.has(96)
        self.assertIn("dynamic memory: has 96.0M of 96.0M, needs 80.0M (resting)\n",
                      self.ok("show", "vm"))
        self.assertIn(" 96.0M ", self.ok("list"))
        vm = json.loads(self.ok("top", "--json"))["vms"][0]
        self.assertEqual((vm["memory"], vm["assigned"], vm["demand"]),
                         (256 * MIB, 96 * MIB, 80 * MIB))
        self.assertRegex(self.ok("top", "--once"), r"MEMORY +SIZE +HAS +NEEDS +USED\n"
                         r"vm +256\.?0?M +96\.0M +80\.0M ")
        self.ok("stop", "vm")
        self.assertIsNone(self.memory())

    # ---- Others ----

    def test_next_daemon(self):
        self.vmms_arguments = ("--keep-guests",)
        self.stop_vmms()
        self.start_vmms()
        self.begin()
        self.type("idle")
        self.has(96)
        self.kill_vmms()
        self.start_vmms()
        self.has(96)
        self.type("busy")
        self.has(240)
        self.ok("stop", "vm")

    def test_hostile_worker(self):
        self.begin()
        self.type("hostile")
        self.wait_said("guest: hostile")
        info = self.show()
        self.assertEqual(info["state"], "running")
        self.assertNotIn("\x1b", self.ok("show", "vm") + self.ok("list"))
        # It gets no more than its maximum, whatever it says it needs.
        self.has(512)


if __name__ == "__main__":
    main()
