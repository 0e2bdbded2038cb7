#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs move from one service to another on the same host, over a socket that both are given.

The workers send a line of text for a VM; what real ones send is for tests/guest/run_move."""

import socket
import sys

sys.dont_write_bytecode = True
from bus import Bus, Refused  # noqa: E402
from rig import TIMEOUT, ServiceTest, main  # noqa: E402

FILES, JOB = "org.vmms1.Files", "org.vmms1.Job"


class Moved(ServiceTest):
    def setUp(self):
        super().setUp()
        self.other = ServiceTest()
        self.other._outcome = None  # whose log is shown is this test's
        self.addCleanup(self.other.doCleanups)
        self.other.setUp()
        self.bus_here = self.open_bus(self)
        self.bus_there = self.open_bus(self.other)

    def open_bus(self, service):
        bus = Bus(service.folder / "bus", FILES)
        self.addCleanup(bus.close)
        return bus

    def path(self, bus):
        return bus.call("/org/vmms1", "org.vmms1.Manager", "GetVM", "s", ["vm"],
                        destination="org.vmms1")[0]

    def create_both(self, **members):
        for service in self, self.other:
            service.create(**members)
        self.ok("start", "vm")

    def ask(self):
        """Asks both. Return: the job of the one, and the serial of the call of the other."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            receive = self.bus_there.send(self.path(self.bus_there), FILES, "Receive", "h",
                                          [theirs.fileno()])
            send = self.bus_here.send(self.path(self.bus_here), FILES, "Send", "ha{sv}",
                                      [ours.fileno(), []])
            job = self.bus_here.reply(send, TIMEOUT).take()[0]
        return job, receive

    def wait_job(self, job):
        return self.bus_here.call(job, JOB, "Wait", destination="org.vmms1")

    def test_moves(self):
        disk = self.disk("a", lun=0)
        self.create_both(disks=[disk])
        job, receive = self.ask()
        self.assertEqual(self.wait_job(job), ())
        self.bus_there.reply(receive, TIMEOUT).take()
        self.wait_state("off", reason="it was moved, and runs elsewhere")
        self.assertEqual(self.other.show()["state"], "running")
        self.other.wait_said("guest: received")
        self.assertIn("it has moved: its guest stood for", self.ok("log", "vm"))
        self.ok("delete", "vm")

    def test_only_one_that_runs(self):
        self.create_both()
        self.ok("stop", "vm")
        ours, theirs = socket.socketpair()
        with ours, theirs, self.assertRaises(Refused) as refused:
            self.bus_here.call(self.path(self.bus_here), FILES, "Send", "ha{sv}",
                               [ours.fileno(), []])
        self.assertEqual(refused.exception.name, "org.vmms1.Error.InvalidState")

    def test_nobody_receives(self):
        self.create_both()
        ours, theirs = socket.socketpair()
        theirs.close()
        with ours:
            job = self.bus_here.call(self.path(self.bus_here), FILES, "Send", "ha{sv}",
                                     [ours.fileno(), []])[0]
        with self.assertRaises(Refused):
            self.wait_job(job)
        self.assertEqual(self.show()["state"], "running")
        self.ok("pause", "vm")

    def test_nobody_sends(self):
        self.create_both()
        ours, theirs = socket.socketpair()
        ours.close()
        with theirs, self.assertRaises(Refused):
            self.bus_there.call(self.path(self.bus_there), FILES, "Receive", "h",
                                [theirs.fileno()])
        self.other.wait_state("off")
        self.other.ok("start", "vm")

    def test_images_have_to_be_raw(self):
        self.other.create(disks=[{"path": str(self.folder / "b.vhdx"), "format": "vhdx", "lun": 0}])
        ours, theirs = socket.socketpair()
        with ours, theirs, self.assertRaises(Refused) as refused:
            self.bus_there.call(self.path(self.bus_there), FILES, "Receive", "h",
                                [theirs.fileno()])
        self.assertIn("images have to be raw", str(refused.exception))
        self.other.wait_state("off")


if __name__ == "__main__":
    main()
