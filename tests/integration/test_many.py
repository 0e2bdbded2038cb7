#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many VMs, defined and running: all are there, and go again."""

import json
import sys
import uuid

sys.dont_write_bytecode = True
from bus import Bus  # noqa: E402
from rig import TIMEOUT, ServiceTest, main, wait_until  # noqa: E402

DEFINED, RUNNING = 300, 100


class Many(ServiceTest):
    def setUp(self):
        super().setUp()
        self.bus_client = Bus(self.folder / "bus", "org.vmms1")
        self.addCleanup(self.bus_client.close)
        self.names = [f"vm{i:03}" for i in range(DEFINED)]
        for name in self.names:
            (self.state / f"vms/{name}.json").write_text(json.dumps({
                "name": name, "uuid": str(uuid.uuid4()), "network_adapters": [],
                "boot": {"kernel": str(self.folder / "kernel")}}))
        self.ok("reload")

    def states(self):
        return {vm["name"]: vm["state"] for vm in self.list()["vms"]}

    def paths(self):
        return {name: path for name, _, _, path in
                self.bus_client.call("/org/vmms1", "org.vmms1.Manager", "ListVMs")[0]}

    def ask_all(self, method, names):
        """All at once, and then for the answers."""
        paths = self.paths()
        serials = [self.bus_client.send(paths[name], "org.vmms1.VM", method) for name in names]
        for serial in serials:
            self.bus_client.reply(serial, TIMEOUT).take()

    def expected(self, running):
        return {name: "running" if name in running else "off" for name in self.names}

    def test_many(self):
        running = self.names[::DEFINED // RUNNING]
        self.assertEqual(list(self.states()), self.names)
        self.ask_all("Start", running)
        self.assertEqual(self.states(), self.expected(running))
        self.assertEqual(self.ok("list").count("running"), RUNNING)
        self.assertEqual(len(self.ok("list").splitlines()), DEFINED + 1)
        pids = {vm["name"]: vm["worker_pid"] for vm in self.list()["vms"]}
        self.assertEqual(len(set(pids.values())), RUNNING + 1)
        self.kill_vmms()
        self.start_vmms()
        wait_until(lambda: all(vm["heartbeat"] == "ok" for vm in self.list()["vms"]
                               if vm["state"] == "running"), "all to be taken over")
        self.assertEqual({vm["name"]: vm["worker_pid"] for vm in self.list()["vms"]}, pids)
        self.ask_all("TurnOff", running[:RUNNING // 2])
        self.assertEqual(self.states(), self.expected(running[RUNNING // 2:]))
        # From the middle, and both ends.
        for name in self.names[1::3]:
            self.bus_client.call("/org/vmms1", "org.vmms1.Manager", "DeleteVM", "s", (name,))
        self.names = [name for i, name in enumerate(self.names) if i % 3 != 1]
        self.assertEqual(self.states(), self.expected(running[RUNNING // 2:]))
        self.assertEqual(self.paths(), {
            name: self.bus_client.call("/org/vmms1", "org.vmms1.Manager", "GetVM", "s",
                                       (name,))[0] for name in self.names})


if __name__ == "__main__":
    main()
