#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What VMs use of the host, added up over their runs, the service's ends, and ends that nobody saw."""

import json
import os
import pathlib
import signal
import sys

sys.dont_write_bytecode = True
from rig import NO_SUCH_VM, WRONG_STATE, main, wait_until  # noqa: E402
from test_metrics import MetricsTest  # noqa: E402

END = 500         # reads that the fake worker leaves beyond the thousands that it has told
END_CPU = 10**9  # microseconds that it says it has had then


class Meter(MetricsTest):
    def meter(self, name="vm"):
        found = json.loads(self.ok("meter", "show", name, "--json"))["vms"]
        self.assertEqual([vm["name"] for vm in found], [name])
        return found[0]

    def run_once(self, looks=0):
        self.ok("start", "vm")
        for _ in range(looks):
            self.meter()
        self.ok("stop", "vm")
        self.wait_state("off")

    def test_off(self):
        self.create()
        self.ok("start", "vm")
        self.assertEqual(json.loads(self.ok("meter", "show", "--json")), {"vms": []})
        self.assertEqual(self.meter().keys(), {"name", "uuid", "owner", "on"})
        self.assertIn("off", self.ok("meter", "show", "vm"))
        self.refused(WRONG_STATE, "meter", "reset", "vm", says="meter enable vm")
        self.refused(NO_SUCH_VM, "meter", "show", "other", says="other")
        self.ok("stop", "vm")
        self.assertFalse(list((self.state / "meters").glob("*.json")))

    def test_runs_are_added_up(self):
        self.create(memory={"size": "64M"})
        self.assertEqual(self.ok("meter", "enable", "vm"), "VM 'vm' is metered\n")
        self.ok("meter", "enable", "vm")
        before = self.meter()
        self.assertEqual((before["run_us"], before["disk_reads"]), (0, 0))
        self.ok("start", "vm")
        reads = self.meter()["disk_reads"]
        self.assertTrue(reads >= 1000 and reads % 1000 == 0, reads)
        self.assertLess(reads, self.meter()["disk_reads"])
        self.ok("stop", "vm")
        self.wait_state("off")
        first = self.meter()
        self.assertEqual(first["disk_reads"] % 1000, END)
        self.assertEqual(first["disk_reads"], first["received_bytes"])
        self.assertEqual(first["cpu_us"], END_CPU)
        self.assertGreater(first["run_us"], 0)
        self.assertEqual(first["memory"], dict.fromkeys(("average", "minimum", "maximum"), 64 << 20))
        self.run_once(looks=2)
        second = self.meter()
        self.assertEqual(second["disk_reads"] % 1000, 2 * END % 1000)
        self.assertGreaterEqual(second["disk_reads"] - first["disk_reads"], 2000 + END)
        self.assertEqual(second["cpu_us"], 2 * END_CPU)
        self.assertGreater(second["run_us"], first["run_us"])

    def test_on_while_it_runs(self):
        """What was used before is nobody's."""
        self.create()
        self.ok("start", "vm")
        for _ in range(5):
            self.statistics()
        self.ok("meter", "enable", "vm")
        reads = self.meter()["disk_reads"]
        self.assertLess(reads, 4000)
        self.ok("meter", "reset", "vm")
        self.assertLess(self.meter()["disk_reads"], 4000)
        for _ in range(5):
            self.statistics()
        self.ok("meter", "disable", "vm")
        off = self.meter()
        self.assertFalse(off["on"])
        self.assertGreater(off["disk_reads"], 4000)
        self.statistics()
        self.assertEqual(self.meter(), off)

    def test_the_service_comes_and_goes(self):
        self.create()
        self.ok("meter", "enable", "vm")
        self.ok("start", "vm")
        for _ in range(2):
            seen = self.meter()
            self.kill_vmms()
            self.start_vmms()
            self.wait_state("running")
            self.assertGreater(self.meter()["disk_reads"], seen["disk_reads"])
        self.ok("stop", "vm")
        self.wait_state("off")
        total = self.meter()
        self.assertEqual(total["disk_reads"] % 1000, END)
        self.assertEqual(total["cpu_us"], END_CPU)
        self.assertLess(total["run_us"], 600 * 10**6)

    def test_an_end_that_nobody_saw(self):
        self.create()
        self.ok("meter", "enable", "vm")
        self.ok("start", "vm")
        self.meter()
        pid = self.show()["worker_pid"]
        self.kill_vmms()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the worker to end")
        self.start_vmms()
        self.wait_state("off")
        self.assertEqual(self.meter()["disk_reads"] % 1000, END)

    def test_hostile(self):
        self.create(append="hostile-statistics hostile-used")
        self.ok("meter", "enable", "vm")
        self.run_once(looks=3)
        self.run_once(looks=1)
        for value in self.meter().values():
            if isinstance(value, int):
                self.assertTrue(0 <= value < 2**63)

    def test_a_file_that_is_broken(self):
        self.create()
        self.ok("meter", "enable", "vm")
        self.stop_vmms()
        [file] = (self.state / "meters").glob("*.json")
        for text in "{", '{"version": 2, "on": true}', '{"version": 1, "on": true, "run_us": -1}':
            file.write_text(text)
            self.start_vmms()
            self.assertFalse(self.meter()["on"])
            self.assertIn("its meter is off", self.ok("log", "vm"))
            self.stop_vmms()
        self.start_vmms()
        self.ok("meter", "enable", "vm")
        self.assertTrue(self.meter()["on"])
        self.ok("rename", "vm", "web")
        self.assertTrue(self.meter("web")["on"])
        self.ok("delete", "web")
        self.assertFalse(file.exists())

    def test_many(self):
        for name in "a", "b", "c":
            self.create(name)
        self.ok("meter", "enable", "a", "b")
        self.ok("start", "a", "b", "c")
        lines = self.ok("meter", "show").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["NAME", "a", "b", "all"])
        self.assertEqual(self.ok("meter", "show", "--owner", "nobody").splitlines()[1:], [])
        families = self.metrics()
        self.assertGreaterEqual(self.value(families, "vmms_vm_meter_disk_operations", "_total", vm="a", operation="read"), 1000)
        self.assertGreater(self.value(families, "vmms_vm_meter_run_seconds", "_total", vm="b"), 0)
        self.assertGreater(self.value(families, "vmms_vm_meter_memory_bytes", vm="b", statistic="maximum"), 0)
        self.assertEqual({sample.labels["vm"] for family in families.values() if "_meter_" in family.name
                          for sample in family.samples}, {"a", "b"})


if __name__ == "__main__":
    main()
