#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual processors: how many, and what guests are told of them."""
from rig import USAGE, ServiceTest, main


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
        self.refused(USAGE, "create", "--name", "vm", "--kernel", "/k", *options, says=says)

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


if __name__ == "__main__":
    main()
