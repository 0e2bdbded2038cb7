#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs in a cluster of three nodes, with Corosync, Pacemaker, vmms, workers and guests that are real: nodes, daemons and
workers are killed, and a node is drained. That no VM runs twice is said by who has its disk open."""

import json
import sys
import time
import unittest

sys.dont_write_bytecode = True
from cluster_nodes import TIMEOUT, Nodes, Writers, enter_namespaces  # noqa: E402
from rig import arguments, main, wait_until  # noqa: E402

VMS = ["red", "blue", "green"]


class Pacemaker(unittest.TestCase):
    def setUp(self):
        self.nodes = Nodes(3)
        self.addCleanup(self.clean_up)
        self.disks = {name: self.nodes.folder / f"{name}.raw" for name in VMS}
        for number, (name, disk) in enumerate(self.disks.items()):
            with open(disk, "wb") as file:
                file.truncate(1 << 20)
            self.define(name, disk, number)
        self.writers = Writers(self.disks)
        self.nodes.await_members()

    def clean_up(self):
        self.writers.end()
        self.nodes.end(keep=not self._outcome.result.wasSuccessful())

    def define(self, name, disk, number):
        definition = {"name": name, "uuid": f"8a4f1f3e-51a5-4d5a-8a57-6d3c2b1a0f0{number}", "memory": {"size": "64M"},
                      "boot": {"kernel": str(arguments.build / "guests/guest_integration.elf"),
                               "command_line": "current=1"},
                      "disks": [{"path": str(disk)}], "network_adapters": []}
        (self.nodes.folder / f"{name}.json").write_text(json.dumps(definition))

    def add(self, name):
        self.nodes.any().run("vmctl", "cluster", "add", name, "--definition", self.nodes.folder / f"{name}.json")

    def home(self, name):
        return self.await_run(name)

    def await_run(self, name, but=()):
        """It runs on one node, which is not one of those. Returns the node."""
        def runs():
            where = self.nodes.where(name)
            return where if where and where not in but else None
        return self.nodes[wait_until(runs, f"{name} to run", TIMEOUT)]

    def work(self, name):
        """How far its guest is; it counts from 0 when it boots."""
        def ask():
            answer = self.home(name).try_run("vmctl", "kvp", "get", name, "work", "--json")
            return answer.returncode == 0 and json.loads(answer.stdout)["value"]
        return int(wait_until(ask, f"the guest of {name} to tell", TIMEOUT))

    def worker(self, name):
        answer = self.home(name).try_run("vmctl", "show", name, "--json")
        return json.loads(answer.stdout)["worker_pid"] if answer.returncode == 0 else 0

    def check_never_two(self, since):
        for name in VMS:
            self.assertEqual(self.writers.most(name, since), 1, name)

    def test_all(self):
        """In one cluster, one after another, since each step leaves it whole but the last."""
        for name in VMS:
            self.add(name)
        homes = {name: self.await_run(name).name for name in VMS}
        self.assertEqual(len(set(homes.values())), 3, homes)
        since = time.monotonic()
        self.kill_daemon("red")
        self.kill_worker("red")
        self.check_never_two(since)
        self.drain("red")
        self.leave_and_join("red")
        since = time.monotonic()
        self.kill_node("blue")
        self.split_off("green")
        self.check_never_two(since)
        self.split_off_without_fencing("red")
        self.check_never_two(since)

    def kill_daemon(self, name):
        home, pid, before = self.home(name), self.worker(name), self.work(name)
        home.run("pkill", "-KILL", "-x", "vmms")
        wait_until(lambda: home.try_run("vmctl", "list").returncode == 0, "vmms again")
        time.sleep(3)  # more than a monitor's interval
        self.assertEqual((self.home(name), self.worker(name)), (home, pid))
        self.assertGreater(self.work(name), before)

    def kill_worker(self, name):
        home, pid = self.home(name), self.worker(name)
        home.run("kill", "-KILL", pid)
        wait_until(lambda: self.worker(name) not in (0, pid), f"{name} again", TIMEOUT)

    def drain(self, name):
        home, before = self.home(name), self.work(name)
        home.run("vmctl", "drain")
        self.assertNotEqual(self.nodes.where(name), home.name)
        self.assertGreater(self.work(name), before)
        self.assertIn("it has moved: its guest stood", (self.nodes.folder / home.name / "vmms.log").read_text())
        self.assertNotIn(name, home.run("vmctl", "list", "--names").split())
        home.run("vmctl", "undrain")

    def leave_and_join(self, name):
        """Its guest notices neither."""
        home, pid = self.home(name), self.worker(name)
        home.run("vmctl", "cluster", "remove", name)
        self.assertNotIn(name, self.nodes.status())
        self.add(name)
        self.nodes.idle()
        self.assertEqual((self.home(name), self.worker(name)), (home, pid))

    def come_back(self, node):
        node.start()
        self.nodes.await_members()
        self.nodes.idle()

    def kill_node(self, name):
        home = self.home(name)
        begin = time.monotonic()
        home.kill()
        self.await_run(name, [home.name])
        print(f"from a node's death to its VM's start: {time.monotonic() - begin:.1f} s")
        self.assertEqual(self.nodes.fenced, [home.name])
        self.come_back(home)

    def split_off(self, name):
        """Two of three decide, and have the third killed before they start what it had."""
        home = self.home(name)
        home.cut()
        self.nodes.leader = next(node for node in self.nodes.up() if node is not home)
        self.await_run(name, [home.name])
        self.assertEqual(self.nodes.fenced[1:], [home.name])
        self.assertFalse(home.is_up())
        self.come_back(home)

    def split_off_without_fencing(self, name):
        """As nobody ought to: both sides think that they are the cluster. The locks of the disk are left."""
        home, before = self.home(name), self.work(name)
        self.nodes.option("no-quorum-policy", "ignore")
        self.nodes.option("stonith-enabled", "false")
        self.nodes.leader = next(node for node in self.nodes.up() if node is not home)
        home.cut()
        wait_until(lambda: f"{name}_start_0" in self.nodes.failures(), "a second start to be refused", TIMEOUT)
        self.assertEqual(len(self.nodes.fenced), 2)
        answer = home.run("vmctl", "kvp", "get", name, "work", "--json")
        self.assertGreater(int(json.loads(answer)["value"]), before)


if __name__ == "__main__":
    enter_namespaces()
    main()
