#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual processors: how many, and what guests are told of them."""
import json

from rig import NO_SUCH_VM, USAGE, ServiceTest, main


class Topology(ServiceTest):
    def processors(self):
        return self.show()["definition"]["processors"]

    def make(self, *options):
        self.ok("create", "--name", "vm", "--kernel", str(self.folder / "kernel"), "--no-network", *options)
        processors = self.processors()
        self.assertEqual(self.show()["processors"], processors["count"])
        self.ok("delete", "vm")
        return processors["count"], processors["sockets"], processors["threads"]

    def test_options_of_create(self):
        self.assertEqual(self.make(), (1, 1, 1))
        self.assertEqual(self.make("--vps", "6"), (6, 1, 1))
        self.assertEqual(self.make("--vps", "12", "--sockets", "2", "--threads", "2"), (12, 2, 2))
        self.assertEqual(self.make("--sockets", "16", "--cores", "5", "--threads", "3"), (240, 16, 3))

    def refuse(self, *options, says):
        self.refused(USAGE, "create", "--name", "vm", "--kernel", "/dev/null", *options, says=says)

    def test_what_makes_no_sense(self):
        self.refuse("--vps", "241", says="--vps must be a number from 0 to 240")
        self.refuse("--vps", "0", says="processors.count")
        self.refuse("--cores", "x", says="--cores must be a number")
        self.refuse("--vps", "7", "--sockets", "2", says="is 7, which 2 sockets of 1 threads a core do not divide")
        self.refuse("--vps", "7", "--cores", "2", says="is 7, and must be 2: 1 sockets of 2 cores of 1 threads")
        self.refuse("--sockets", "16", "--cores", "16", says="are 256 virtual processors; at most 240 are possible")

    def test_none_are_added_while_it_runs(self):
        self.create(processors={"count": 2})
        self.ok("start", "vm")
        self.assertEqual(self.ok("set", "vm", "--vps", "4"), "from the next start: processors.count\n")
        self.assertEqual(self.show()["processors"], 2)
        self.ok("stop", "vm")
        self.assertEqual(self.show()["processors"], 4)

    def test_tasks_are_enough_for_them(self):
        self.create(processors={"count": 64}, resources={"tasks_max": 128})
        self.refused(USAGE, "set", "vm", "--vps", "65", says="must be at least 129 with 65 virtual processors")
        self.ok("set", "vm", "--vps", "240", "resources.tasks_max=304")

    def test_a_limit_of_tasks_waits_for_them_to_go(self):
        self.create(processors={"count": 100})
        self.ok("start", "vm")
        self.ok("set", "vm", "--vps", "4", "resources.tasks_max=130")
        self.assertEqual(self.show()["pending"], ["processors.count", "resources.tasks_max"])
        self.ok("stop", "vm")
        self.assertEqual(self.show()["definition"]["resources"]["tasks_max"], 130)


class Numa(ServiceTest):
    def numa(self):
        return self.show()["definition"].get("numa")

    def test_option_of_create(self):
        self.ok("create", "--name", "vm", "--kernel", str(self.folder / "kernel"), "--vps", "4", "--numa", "2")
        self.assertEqual(self.numa(), [{}, {}])
        # What is left open follows the rest.
        self.ok("set", "vm", "memory.size=1G", "processors.count=8")
        self.refused(USAGE, "set", "vm", "--vps", "1", says="more nodes than the VM has cores")

    def test_settings(self):
        self.create(processors={"count": 4})
        self.assertIsNone(self.numa())
        self.ok("set", "vm", 'numa=[{"processors": "0-2", "memory": "384M"}, {"processors": "3"}]')
        self.refused(USAGE, "set", "vm", "numa[1].memory=256M", says="640M of memory together, and the VM has 512M")
        self.refused(USAGE, "set", "vm", "numa[1].processors=2-3", says="numa[1].processors")
        self.refused(USAGE, "set", "vm", 'memory.dynamic={"minimum": "64M"}', says="dynamic memory")
        self.ok("start", "vm")
        self.assertEqual(self.ok("set", "vm", "numa[1].host_node=0"), "from the next start: numa\n")
        self.ok("stop", "vm")
        self.assertEqual(self.numa(), [{"processors": "0-2", "memory": "384M"}, {"processors": "3", "host_node": 0}])
        self.ok("set", "vm", "numa=")
        self.assertIsNone(self.numa())


class Model(ServiceTest):
    def model(self):
        processors = self.show()["definition"]["processors"]
        return processors["model"], processors["without"]

    def test_options_of_create(self):
        self.ok("create", "--name", "vm", "--kernel", str(self.folder / "kernel"), "--cpu", "baseline",
                "--without", "aes", "--without", "rdtscp")
        self.assertEqual(self.model(), ("baseline", ["aes", "rdtscp"]))

    def test_settings(self):
        self.create()
        self.assertEqual(self.model(), ("host", []))
        self.ok("set", "vm", "processors.without=avx512f,avx2")
        self.assertEqual(self.model(), ("host", ["avx2", "avx512f"]))
        self.refused(USAGE, "set", "vm", "processors.without=avx21", says="there is avx2")
        self.refused(USAGE, "set", "vm", "processors.without=x2apic", says="cannot be taken away")
        self.refused(USAGE, "set", "vm", "processors.model=core2", says='must be "host" or "baseline"')
        self.ok("start", "vm")
        self.assertEqual(self.ok("set", "vm", "processors.model=baseline", "processors.without="),
                         "from the next start: processors.model, processors.without\n")
        self.ok("stop", "vm")
        self.assertEqual(self.model(), ("baseline", []))


class Show(ServiceTest):
    def cpu(self):
        return json.loads(self.ok("show", "vm", "--cpu", "--json"))

    def test_at_rest(self):
        self.create(processors={"count": 12, "sockets": 2, "threads": 2, "model": "baseline", "without": ["aes"]},
                    memory={"size": "1G"},
                    numa=[{"memory": "256M", "distances": [10, 30]}, {"host_node": 3}])
        self.assertEqual(self.cpu(), {
            "count": 12, "sockets": 2, "cores": 3, "threads": 2, "model": "baseline", "without": ["aes"],
            "numa": [{"processors": "0-5", "memory": 256 << 20, "distances": [10, 30]},
                     {"processors": "6-11", "memory": 768 << 20, "distances": [20, 10], "host_node": 3}]})
        self.assertEqual(self.ok("show", "vm", "--cpu").splitlines(), [
            "processors:   12: 2 sockets of 3 cores of 2 threads",
            "model:        baseline",
            "without:      aes",
            "",
            "NODE  PROCESSORS  MEMORY  HOST NODE  DISTANCES",
            "0     0-5         256M               10 30",
            "1     6-11        768M    3          20 10"])

    def test_while_it_runs(self):
        self.create()
        self.ok("start", "vm")
        self.assertEqual(self.cpu()["removed"], ["pcid", "avx512f"])
        self.assertEqual(self.cpu()["enlightenments"], {"reference_tsc": "on", "ipi": "not-offered", "apic_msrs": "off"})
        text = self.ok("show", "vm", "--cpu")
        self.assertIn("removed:      pcid avx512f\n", text)
        self.assertIn("\nreference_tsc  on\nipi            not-offered\napic_msrs      off\n", text)
        # It is told what it runs with.
        self.ok("set", "vm", "--vps", "4", "processors.without=avx2")
        self.assertEqual((self.cpu()["count"], self.cpu()["without"]), (1, []))
        self.ok("stop", "vm")
        self.assertEqual((self.cpu()["count"], self.cpu()["without"]), (4, ["avx2"]))
        self.assertNotIn("removed", self.cpu())

    def test_long_lists_are_wrapped(self):
        names = "avx2 avx512f avx512dq avx512ifma avx512cd avx512bw avx512vl avx512vbmi avx512_vbmi2".split()
        self.create(processors={"without": names})
        lines = self.ok("show", "vm", "--cpu").splitlines()[2:]
        self.assertEqual(len(lines), 2)
        self.assertTrue(all(len(line) <= 80 for line in lines), lines)
        self.assertEqual(" ".join(lines).split()[1:], names)

    def test_worker_that_does_not_answer(self):
        self.create(append="fault=mute-processors")
        self.ok("start", "vm")
        self.assertNotIn("removed", self.cpu())
        self.assertEqual(self.cpu()["count"], 1)

    def test_hostile_worker(self):
        self.create(append="fault=hostile-processors")
        self.ok("start", "vm")
        answer = self.cpu()
        self.assertEqual((answer["removed"], answer["count"]), (["pcid"], 1))
        self.assertNotIn("strange", answer)
        self.assertEqual(answer["enlightenments"], {"reset": "on"})

    def test_no_such_vm(self):
        self.refused(NO_SUCH_VM, "show", "vm", "--cpu")


if __name__ == "__main__":
    main()
