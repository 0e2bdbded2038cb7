#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Workers in systemd's units, and among its machines: what is asked for, and what becomes of it."""

import json
import os
import pwd
import signal
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
from rig import FAKE_SYSTEMD, USAGE, ServiceTest, main, wait_until  # noqa: E402

IMAGE_SERVER = "/usr/bin/qemu-storage-daemon"
NOT_SET = (1 << 64) - 1
LIMITS = {"cpu_weight": 200, "cpu_quota": 150, "memory_high": "64M", "memory_max": "128M",
          "io_weight": 50, "tasks_max": 500, "io_write_bandwidth": "10M",
          "io_read_operations": 100}


class Units(ServiceTest):
    vmms_arguments = ("--units", "always")
    systemd_arguments = ()

    def start_bus(self):
        super().start_bus()
        self.systemd = None
        self.start_systemd(*self.systemd_arguments)

    def start_systemd(self, *extra):
        self.calls_path = self.folder / "calls"
        with open(self.calls_path, "wb") as calls:
            self.systemd = subprocess.Popen(
                [FAKE_SYSTEMD, "--address", self.address, *extra], stdout=calls,
                stderr=self.log)
        self.addCleanup(self.systemd.wait)
        self.addCleanup(self.systemd.kill)
        wait_until(lambda: "org.freedesktop.systemd1" in self.names(), "systemd")

    def names(self):
        return subprocess.run(
            ["dbus-send", f"--bus={self.address}", "--print-reply=literal",
             "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames"],
            capture_output=True, text=True, check=True).stdout

    def calls(self, method):
        lines = self.calls_path.read_text().splitlines()
        calls = [json.loads(line) for line in lines]
        return [call["arguments"] for call in calls if call["method"] == method]

    def wait_calls(self, method, count=1):
        return wait_until(lambda: len(self.calls(method)) >= count and self.calls(method),
                          f"{count} calls of {method}")[count - 1]

    def start(self, name="vm", **members):
        self.create(name, **members)
        self.ok("start", name)
        return self.show(name)["worker_pid"]

    def unit(self, name="vm"):
        return self.show(name)["unit"]

    def log_text(self):
        return (self.folder / "log").read_text(errors="replace")

    def wait_log(self, text):
        wait_until(lambda: text in self.log_text(), f"the log to say '{text}'")


class Scopes(Units):
    def test_a_worker_is_in_one(self):
        pid = self.start("web-1.x")
        name, mode, properties, auxiliary = self.wait_calls("StartTransientUnit")
        self.assertEqual((name, mode, auxiliary), (f"vmms-web-1.x-{pid}.scope", "fail", []))
        self.assertEqual(self.unit("web-1.x"), name)
        self.assertIn(f"unit:           {name}\n", self.ok("show", "web-1.x"))
        properties = [tuple(map(json.dumps, row)) for row in properties]
        for row in (["Description", "Virtual Machine web-1.x"], ["Slice", "vmms.slice"],
                    ["PIDs", [pid]], ["CPUWeight", NOT_SET],
                    ["MemoryMax", NOT_SET], ["TasksMax", NOT_SET],
                    ["Before", ["vmms-guests.service"]]):
            self.assertIn(tuple(map(json.dumps, row)), properties)
        self.ok("stop", "web-1.x")
        self.assertEqual(self.unit("web-1.x"), "")
        self.ok("start", "web-1.x")
        again = self.wait_calls("StartTransientUnit", 2)[0]
        self.assertEqual(again, f"vmms-web-1.x-{self.show('web-1.x')['worker_pid']}.scope")

    def test_it_stays_when_the_vm_is_renamed(self):
        pid = self.start("vm")
        unit = self.unit()
        self.wait_calls("RegisterMachineWithNetwork")
        self.ok("rename", "vm", "web")
        self.assertEqual(self.unit("web"), unit)
        self.kill_vmms()
        self.start_vmms()
        self.wait_state("running", "web")
        self.assertEqual(self.unit("web"), unit)
        self.ok("set", "web", "resources.cpu_weight=300")
        wait_until(lambda: self.wait_calls("SetUnitProperties")[0] == unit, "the limit")
        self.ok("stop", "web")
        self.ok("start", "web")
        self.assertEqual(self.unit("web"),
                         f"vmms-web-{self.show('web')['worker_pid']}.scope")
        self.assertNotEqual(self.show("web")["worker_pid"], pid)

    def test_its_limits(self):
        disk = self.disk("image")
        self.start(resources=LIMITS, memory={"size": "256M"}, disks=[disk])
        properties = dict(self.wait_calls("StartTransientUnit")[2])
        self.assertEqual(
            {key: properties[key] for key in (
                "CPUWeight", "CPUQuotaPerSecUSec", "MemoryHigh", "MemoryMax", "IOWeight",
                "TasksMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOReadBandwidthMax",
                "IOWriteIOPSMax")},
            {"CPUWeight": 200, "CPUQuotaPerSecUSec": 1500000, "MemoryHigh": (256 + 64) << 20,
             "MemoryMax": (256 + 128) << 20, "IOWeight": 50, "TasksMax": 500,
             "IOWriteBandwidthMax": [[disk["path"], 10 << 20]],
             "IOReadIOPSMax": [[disk["path"], 100]], "IOReadBandwidthMax": [],
             "IOWriteIOPSMax": []})
        text = self.ok("show", "vm")
        self.assertIn("limits:         cpu_weight 200, cpu_quota 150, memory_high 64M", text)
        self.assertNotIn("not in force", text)

    def test_disks_are_named_without_detours(self):
        disk = self.disk("image")
        (self.folder / "link").symlink_to("image")
        self.start(resources={"io_read_bandwidth": "1M"},
                   disks=[{"path": f"{self.folder}/../{self.folder.name}//link"}])
        properties = dict(self.wait_calls("StartTransientUnit")[2])
        self.assertEqual(properties["IOReadBandwidthMax"], [[disk["path"], 1 << 20]])

    def test_limits_change_while_it_runs(self):
        self.start()
        unit = self.unit()
        self.wait_calls("RegisterMachineWithNetwork")  # it is up then
        self.assertEqual(json.loads(self.ok("set", "vm", "resources.cpu_weight=300",
                                            "resources.io_read_bandwidth=1M", "--json")),
                         {"changed": ["resources.cpu_weight", "resources.io_read_bandwidth"],
                          "pending": []})
        name, runtime, properties = self.wait_calls("SetUnitProperties")
        self.assertEqual((name, runtime), (unit, True))
        self.assertEqual(dict(properties)["CPUWeight"], 300)
        disk = self.disk("more")
        self.ok("attach", "vm", disk["path"])
        properties = self.wait_calls("SetUnitProperties", 2)[2]
        # What there was goes first.
        self.assertEqual([value for key, value in properties if key == "IOReadBandwidthMax"],
                         [[], [[disk["path"], 1 << 20]]])
        self.ok("set", "vm", "resources=")
        properties = self.wait_calls("SetUnitProperties", 3)[2]
        self.assertEqual(dict(properties)["CPUWeight"], NOT_SET)
        self.assertEqual([value for key, value in properties if key == "IOReadBandwidthMax"], [[]])

    def test_found_again_by_the_next_daemon(self):
        self.start(resources={"cpu_weight": 300})
        unit = self.unit()
        self.wait_calls("RegisterMachineWithNetwork")
        self.kill_vmms()
        self.start_vmms()
        self.wait_said("guest: adopted")
        self.assertEqual(self.wait_calls("StartTransientUnit", 2)[0], unit)
        self.assertEqual(dict(self.wait_calls("SetUnitProperties")[2])["CPUWeight"], 300)
        self.assertEqual((self.unit(), self.show()["limits_problem"]), (unit, ""))

    def test_many(self):
        names = [f"vm{i}" for i in range(20)]
        for name in names:
            self.start(name)
        self.wait_calls("RegisterMachineWithNetwork", 20)
        self.assertEqual({self.unit(name) for name in names},
                         {call[0] for call in self.calls("StartTransientUnit")})


@unittest.skipUnless(os.geteuid() == 0, "root alone gives VMs to others")
class Owners(Units):
    """VMs of an owner are in a slice of that owner's."""

    owner = pwd.getpwuid(1).pw_name
    vmms_arguments = (*Units.vmms_arguments, "--user-processors", "6", "--user-memory", "2G",
                      "--user-tasks", "300")

    def setUp(self):
        super().setUp()
        (self.folder / "kernel").chmod(0o644)

    def slices(self, method):
        return [call for call in self.calls(method) if call[0] == f"vmms-owner:{self.owner}.slice"]

    def slice_of(self, pid, name="vm"):
        def found():
            return [dict(call[2])["Slice"] for call in self.calls("StartTransientUnit")
                    if call[0] == f"vmms-{name}-{pid}.scope"]
        return wait_until(found, "the scope")[0]

    def test_their_slice(self):
        pid = self.start(owner=self.owner)
        self.assertEqual(self.slice_of(pid), f"vmms-owner:{self.owner}.slice")
        (made,), (limits,) = self.slices("StartTransientUnit"), self.slices("SetUnitProperties")
        self.assertEqual(dict(made[2])["Description"], f"Virtual Machines of {self.owner}")
        self.assertEqual(dict(limits[2]), {"CPUQuotaPerSecUSec": 6000000, "TasksMax": 300,
                                           "MemoryMax": (2048 + 256 + 512) << 20})
        # It is there before what is in it.
        names = [call[0] for call in self.calls("StartTransientUnit")]
        self.assertLess(names.index(made[0]), names.index(f"vmms-vm-{pid}.scope"))

    def test_others(self):
        self.assertEqual(self.slice_of(self.start("own"), "own"), "vmms.slice")
        self.ok("cpu-group", "create", "gold")
        pid = self.start(owner=self.owner, resources={"cpu_group": "gold"})
        self.assertEqual(self.slice_of(pid), "vmms-gold.slice")
        self.assertEqual(self.slices("StartTransientUnit"), [])


class UserMode(Units):
    """passt(1) that the VM starts with is in its unit, too."""

    def start_vmms(self, *extra, wait=True):
        passt = self.folder / "fake-passt"
        passt.write_text(f"#!/bin/sh\necho $$ >{self.folder}/pid\nexec sleep 3600\n")
        passt.chmod(0o755)
        super().start_vmms("--passt", passt, *extra, wait=wait)

    def test_passt_is_in_it(self):
        worker = self.start(network_adapters=[{}])
        properties = dict(self.wait_calls("StartTransientUnit")[2])
        path = self.folder / "pid"
        passt = int(wait_until(lambda: path.exists() and path.read_text(), "passt"))
        self.assertEqual(properties["PIDs"], [worker, passt])


@unittest.skipUnless(os.access(IMAGE_SERVER, os.X_OK), f"takes {IMAGE_SERVER}")
class Images(Units):
    """Image servers that a VM starts with are in its unit; others have one of their own."""

    def image(self, name):
        path = self.folder / name
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
        return path

    def servers(self):
        found = subprocess.run(["pgrep", "-P", str(self.vmms.pid), "-f", IMAGE_SERVER],
                               capture_output=True, text=True, check=False)
        return [int(word) for word in found.stdout.split()]

    def attach(self):
        """The server's process and its unit."""
        self.ok("attach", "vm", self.image("late"))
        pid, = wait_until(self.servers, "its server")
        return pid, f"vmms-vm-{pid}.scope"

    def test_from_the_beginning(self):
        worker = self.start(disks=[{"path": str(self.image("a")), "format": "qcow2"}])
        properties = dict(self.wait_calls("StartTransientUnit")[2])
        self.assertEqual(properties["PIDs"],
                         [worker, *wait_until(self.servers, "its server")])
        self.assertNotIn("CollectMode", properties)

    def test_later(self):
        self.start(resources={"cpu_weight": 300, "io_read_bandwidth": "1M"})
        self.wait_calls("RegisterMachineWithNetwork")
        pid, unit = self.attach()
        name, _, properties, _ = self.wait_calls("StartTransientUnit", 2)
        properties = dict(properties)
        self.assertEqual((name, properties["PIDs"]), (unit, [pid]))
        self.assertEqual(
            {key: properties[key] for key in ("Slice", "CollectMode", "CPUWeight",
                                              "IOReadBandwidthMax")},
            {"Slice": "vmms.slice", "CollectMode": "inactive-or-failed", "CPUWeight": 300,
             "IOReadBandwidthMax": [[str(self.folder / "late"), 1 << 20]]})
        # One machine, whose leader is the worker.
        self.ok("set", "vm", "resources.cpu_weight=400")
        wait_until(lambda: {call[0] for call in self.calls("SetUnitProperties")
                            if dict(call[2])["CPUWeight"] == 400} == {unit, self.unit()},
                   "limits of both")
        self.assertEqual(len(self.calls("RegisterMachineWithNetwork")), 1)
        self.ok("stop", "vm")
        self.assertEqual(self.servers(), [])

    def test_found_again_by_the_next_daemon(self):
        self.start()
        pid, unit = self.attach()
        self.wait_calls("StartTransientUnit", 2)
        own = self.unit()
        self.kill_vmms()
        self.start_vmms()
        self.wait_calls("StartTransientUnit", 4)
        self.assertEqual(
            {call[0]: dict(call[2])["PIDs"] for call in self.calls("StartTransientUnit")[2:]},
            {unit: [pid], own: [self.show()["worker_pid"]]})
        self.ok("set", "vm", "resources.cpu_weight=400")
        wait_until(lambda: {call[0] for call in self.calls("SetUnitProperties")
                            if dict(call[2])["CPUWeight"] == 400} == {unit, own},
                   "limits of both")

    def test_a_systemd_that_refuses(self):
        self.start()
        self.wait_calls("RegisterMachineWithNetwork")
        self.systemd.kill()
        self.systemd.wait()
        wait_until(lambda: "org.freedesktop.systemd1" not in self.names(), "no systemd")
        self.start_systemd("--refuse")
        pid, _ = self.attach()
        wait_until(lambda: "controller 0, lun 0 is not limited: systemd makes no unit" in
                   self.ok("log", "vm"), "a line in the log")
        self.assertEqual((self.show()["state"], self.servers()), ("running", [pid]))


class Machines(Units):
    def machine(self, name, **members):
        before = len(self.calls("RegisterMachineWithNetwork"))
        pid = self.start(name, **members)
        call = self.wait_calls("RegisterMachineWithNetwork", before + 1)
        self.assertEqual(call[2:6], ["vmms", "vm", pid, ""])
        return call

    def test_registered(self):
        call = self.machine("web-1.example")
        self.assertEqual(call[0], "web-1.example")
        self.assertEqual(bytes(call[1]).hex(), self.show("web-1.example")["uuid"].replace("-", ""))
        self.assertEqual(call[6], [])

    def test_names_that_no_host_has(self):
        for name, stem in (("a_b", "a-b"), ("a..b", "a-b"), ("a-", "a"), ("a.", "a"),
                           ("a-.b", "a-b"), ("x_" * 32, "x-" * 27 + "x")):
            machine = self.machine(name)[0]
            part = self.show(name)["uuid"].split("-")[0]
            self.assertEqual(machine, f"{stem}-{part}", name)
            self.assertLessEqual(len(machine), 64)


class Problems(Units):
    systemd_arguments = ("--refuse",)

    def restart_systemd(self, *extra):
        self.systemd.kill()
        self.systemd.wait()
        wait_until(lambda: "org.freedesktop.systemd1" not in self.names(), "no systemd")
        self.start_systemd(*extra)

    def wait_problem(self, text):
        wait_until(lambda: text in self.show()["limits_problem"], f"the problem '{text}'")
        self.assertEqual(self.show()["state"], "running")

    def test_no_unit_is_no_reason_not_to_run(self):
        self.start(resources={"cpu_weight": 300})
        self.wait_problem("systemd makes no unit: not \x1b[31mtoday")
        text = self.ok("show", "vm")
        self.assertIn("not in force:   systemd makes no unit: not \\x1b[31mtoday\n", text)
        self.assertIn("systemd makes no unit: not \\x1b[31mtoday", self.ok("log", "vm"))
        self.ok("set", "vm", "resources.cpu_weight=100")
        self.assertEqual(self.calls("SetUnitProperties"), [])
        self.assertEqual(self.calls("RegisterMachineWithNetwork"), [])

    def test_a_job_that_fails(self):
        self.restart_systemd("--job", "failed")
        self.start()
        self.wait_problem("systemd makes no unit: failed")

    def test_limits_that_are_refused(self):
        self.restart_systemd("--refuse-limits")
        self.start()
        self.wait_calls("RegisterMachineWithNetwork")
        self.ok("set", "vm", "resources.cpu_weight=300")
        self.wait_problem("systemd does not take the limits: ")

    def test_no_systemd(self):
        self.systemd.kill()
        self.systemd.wait()
        self.start()
        self.wait_problem("systemd makes no unit: ")
        # Nor does another worker need it before.
        self.start_systemd()
        self.start("other")
        self.wait_calls("StartTransientUnit")


class Ends(Units):
    """Why a worker has ended, of which its unit knows more."""
    systemd_arguments = ("--result", "oom-kill")

    def test_of_a_worker_that_was_killed(self):
        pid = self.start()
        unit = self.unit()
        os.kill(pid, signal.SIGKILL)
        self.wait_state("crashed", reason="killed by signal 9")
        wait_until(lambda: "; its unit ran out of memory (oom-kill)" in self.show()["reason"],
                   "the reason")
        self.assertEqual(self.wait_calls("ResetFailedUnit"), [unit])

    def test_of_one_that_ended_while_there_was_no_daemon(self):
        pid = self.start()
        self.wait_calls("RegisterMachineWithNetwork")
        unit = self.unit()
        self.kill_vmms()
        os.kill(pid, signal.SIGKILL)
        self.start_vmms()
        wait_until(lambda: "; its unit ran out of memory (oom-kill)" in self.show()["reason"],
                   "the reason")
        self.assertEqual(self.show()["state"], "crashed")
        self.assertEqual(self.wait_calls("ResetFailedUnit"), [unit])


class Without(Units):
    vmms_arguments = ()

    def test_on_a_bus_of_ones_own(self):
        """There is a systemd, but this bus is not the system's."""
        self.start(resources={"cpu_weight": 300})
        self.assertEqual(self.calls("StartTransientUnit"), [])
        self.assertEqual(self.unit(), "")
        self.assertIn("not in force:   without systemd", self.ok("show", "vm"))
        self.ok("set", "vm", "resources=")
        self.assertNotIn("not in force", self.ok("show", "vm"))
        self.ok("stop", "vm")
        self.assertEqual(self.show()["limits_problem"], "")

    def test_what_cannot_be_a_limit(self):
        self.create()
        self.refused(USAGE, "set", "vm", "resources.memory_max=1M", says="resources.memory_max")


if __name__ == "__main__":
    main()
