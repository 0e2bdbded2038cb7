#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon is killed after each step of each operation that changes something.

Then the next daemon is started: the operation has happened, or it has not; nothing of it is left
half done, on disk, in the host's network or as a process; guests run on; and the same operation can
be done again. Steps are those of vmms/base/fault.h, and every one of them has to be reached.

In a network namespace of the test's own; exit status 77 where none may be made.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import rig  # noqa: E402
from rig import OK, main, wait_until  # noqa: E402
from test_switch import SwitchTest, addresses, in_own_network, ip, links, routes  # noqa: E402

UUID = "f8615163-df3e-46c5-913f-f2d2f965ed0e"
MACS = [f"02:56:4d:00:00:0{i}" for i in range(4)]
FAKE_PASST = """#!/bin/sh
exec {python} -c 'import os, sys; os.read(int(sys.argv[1]), 1) # {folder}' 3
"""
RUNNING = "running", "paused"
LONGEST = 5  # seconds until a step that has been reached before is reached again


class Operation:
    """do and undo: words for vmctl, and what it reads. vm: what state it is in before; None: there
    is none. switch: words that make one before. members: of the VM's definition."""

    def __init__(self, name, do, undo, vm="off", stdin=None, undo_stdin=None, switch=None,
                 **members):
        self.name, self.do, self.undo, self.vm, self.members = name, do, undo, vm, members
        self.stdin, self.undo_stdin, self.switch = stdin, undo_stdin, switch


def definition(folder, **members):
    return {"name": "vm", "uuid": UUID, "network_adapters": [],
            "boot": {"kernel": str(folder / "kernel")}, **members}


class Faults(SwitchTest):
    def setUp(self):
        super().setUp()
        self.interface("eth0")
        ip("address", "add", "198.51.100.5/24", "dev", "eth0")
        ip("route", "add", "203.0.113.0/24", "via", "198.51.100.1")
        self.network = addresses("eth0"), routes("eth0")
        self.disk("more")

    def start_vmms(self, *extra, wait=True):
        self.fault = self.folder / "fault"
        self.vmms_environment = {"VMMS_FAULT_FILE": str(self.fault)}
        passt = self.folder / "fake-passt"
        if not passt.exists():
            passt.write_text(FAKE_PASST.format(folder=self.folder, python=sys.executable))
            passt.chmod(0o755)
        super().start_vmms("--passt", passt, *extra, wait=wait)

    # ---- What there is ----

    def processes(self, belongs):
        found = set()
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if belongs(path) and ") Z " not in (path / "stat").read_text():
                    found.add(int(path.name))
            except OSError:
                pass
        return found

    def workers(self):
        run = str(self.folder / "run")
        return self.processes(lambda path: os.readlink(path / "cwd") == run)

    def passts(self):
        mark = f"# {self.folder}\0".encode()
        return self.processes(lambda path: mark in (path / "cmdline").read_bytes())

    def settled(self):
        """What is listed, when no VM is on its way from one state to another."""
        listed = self.list()
        for vm in listed["vms"]:
            if vm["state"] not in ("off", "saved", "crashed") and not (
                    vm["state"] in RUNNING and vm["heartbeat"] == "ok"):
                return None
        return listed

    def settle(self):
        return wait_until(self.settled, "the VM to come to rest")

    # ---- What has to be true ----

    def check(self):
        """Return: all that an operation may change, without what differs from start to start."""
        listed = self.settle()
        self.assertEqual(listed["broken"], [])
        infos = [self.show(vm["name"]) for vm in listed["vms"]]
        uuids = {info["definition"]["uuid"] for info in infos}
        running = [info for info in infos if info["worker_pid"]]
        self.assertEqual(self.names("state/vms"), {f"{info['name']}.json" for info in infos})
        wait_until(lambda: self.names("state/saved") == {
            info["definition"]["uuid"] + suffix for info in infos if info["state"] == "saved"
            for suffix in (".json", ".state")}, "what is saved of VMs that are")
        for name in self.names("state/log"):
            self.assertIn(name.split(".")[0], uuids)
        self.assertEqual({re.sub(r"\.[0-9]+\.socket$", ".socket", name)
                          for name in self.names("run/workers")}, {
            info["definition"]["uuid"] + suffix for info in running
            for suffix in (".json", ".socket", ".end")})
        self.assertEqual(self.names("run/running") - {"boot.json"},
                         {info["definition"]["uuid"] + ".json" for info in running})
        switches = self.switches()
        self.assertEqual(self.names("state/switches"), {f"{name}.json" for name in switches})
        self.assertEqual({switch["state"] for switch in switches.values()} - {"up"}, set())
        self.assertEqual(set(links("bridge")),
                         {switch["interface"] for switch in switches.values()})
        wan = switches.get("wan")
        taken = wan and wan["definition"]["type"] == "external"
        self.assertEqual(links()["eth0"].get("master"), wan["interface"] if taken else None)
        # The host stays in its network.
        where = wan["interface"] if taken else "eth0"
        self.assertEqual((addresses(where), routes(where)), self.network)
        backends = [adapter["switch"] for info in running
                    for adapter in info["definition"]["network_adapters"]]
        pids = {info["worker_pid"] for info in running}
        wait_until(lambda: self.workers() == pids, f"the workers to be {pids}")
        wait_until(lambda: len(links("tun")) == len([name for name in backends
                                                     if name in ("lan", "dmz")]),
                   f"as many taps as there are adapters, of {backends}")
        wait_until(lambda: len(self.passts()) == backends.count("default"),
                   f"as many passts as there are adapters, of {backends}")
        return json.dumps([
            {info["name"]: (info["state"], info["definition"], info["pending"]) for info in infos},
            [{**switch["definition"], "uuid": ""} for switch in switches.values()]],
            sort_keys=True)

    def names(self, folder):
        path = self.folder / folder
        return {file.name for file in path.iterdir()} if path.exists() else set()

    # ---- The operations ----

    def prepare(self, operation):
        for name in "lan", "dmz":
            self.ok("switch", "add", name, "--type", "internal")
        if operation.switch:
            self.ok(*operation.switch)
        if operation.vm is None:
            return
        self.ok("create", "--from", "-",
                stdin=json.dumps(definition(self.folder, **operation.members)))
        if operation.vm in (*RUNNING, "saved"):
            self.ok("start", "vm")
            self.settle()
        if operation.vm == "saved":
            self.ok("save", "vm")

    def clear(self):
        for vm in self.list()["vms"]:
            if vm["state"] in RUNNING:
                self.ok("stop", vm["name"])
            if vm["state"] == "saved":
                self.ok("discard", vm["name"])
            self.ok("delete", vm["name"])
        for name in self.switches():
            self.ok("switch", "remove", name)

    def perform(self, operation, undo=False):
        words, stdin = ((operation.undo, operation.undo_stdin) if undo
                        else (operation.do, operation.stdin))
        if words == "restart":
            self.kill_vmms()
            self.start_vmms()
            return OK
        result = self.vmctl(*words, stdin=stdin)
        return result.err or result.status

    def arm(self, number):
        self.fault.write_text(f"{number}\n")

    def disarm(self):
        """Return: the steps that were reached."""
        steps = self.fault.read_text().split("\n")[1:-1]
        self.fault.unlink()
        return steps

    def perform_and_die(self, operation, number):
        """Return: the step after which the daemon was killed, or None."""
        self.arm(number)
        if operation.do == "restart":
            self.kill_vmms()
            self.start_vmms(wait=False)
        else:
            self.perform(operation)
        try:
            self.vmms.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self.disarm()
            return None
        steps = self.disarm()
        self.vmms = None
        self.start_vmms()
        return steps[-1]

    def try_each_step(self, operation):
        self.prepare(operation)
        before = self.check()
        self.arm(0)
        self.assertEqual(self.perform(operation), OK, operation.name)
        after = self.check()
        steps = self.disarm()
        if operation.name not in ("restart", "renew"):
            self.assertNotEqual(before, after)
        self.assertEqual(self.perform(operation, undo=True), OK, operation.name)
        self.assertEqual(self.check(), before)
        for number, step in enumerate(steps, 1):
            try:
                self.try_step(operation, number, before, after)
            except AssertionError as error:
                raise AssertionError(f"{operation.name}, killed after step {number} ({step}) of "
                                     f"{steps}: {error}") from error
        self.clear()

    def try_step(self, operation, number, before, after):
        died_at = self.perform_and_die(operation, number)
        self.reached.add(died_at)
        now = self.check()
        self.assertIn(now, (before, after))
        if now == after and operation.do != "restart":
            self.assertEqual(self.perform(operation, undo=True), OK, "undone")
            self.settle()
        self.assertEqual(self.perform(operation), OK, "done again")
        self.assertEqual(self.check(), after)
        self.assertEqual(self.perform(operation, undo=True), OK, "undone again")
        self.settle()

    def operations(self):
        more = str(self.folder / "more")
        disk = [{"path": more, "lun": 0}]
        dvd, empty = [{"type": "dvd", "path": more}], [{"type": "dvd"}]
        nics = [{"name": f"n{i}", "switch": name, "mac": MACS[i]}
                for i, name in enumerate(["lan", "default"])]
        text = json.dumps(definition(self.folder))
        add = "net", "add", "vm", "--name", "x", "--mac", MACS[3], "--switch"
        remove = "net", "remove", "vm", "x"
        yield Operation("create", ["create", "--from", "-"], ["delete", "vm"], None, text)
        yield Operation("delete", ["delete", "vm"], ["create", "--from", "-"], undo_stdin=text)
        yield Operation("start", ["start", "vm"], ["stop", "vm"], network_adapters=nics)
        yield Operation("stop", ["stop", "vm"], ["start", "vm"], "running", network_adapters=nics)
        yield Operation("save", ["save", "vm"], ["start", "vm"], "running", disks=disk)
        yield Operation("go on", ["start", "vm"], ["save", "vm"], "saved", disks=disk,
                        network_adapters=nics)
        yield Operation("renew", ["renew", "vm"], ["renew", "vm"], "running", disks=disk,
                        memory={"size": "64M", "shared": True})
        yield Operation("shut down", ["shutdown", "vm"], ["start", "vm"], "running")
        yield Operation("restart", "restart", "restart", "running", network_adapters=nics)
        for vm in "off", "running":
            yield Operation(f"set ({vm})", ["set", "vm", "notes=x"], ["set", "vm", "notes="], vm)
            yield Operation(f"attach ({vm})", ["attach", "vm", more],
                            ["detach", "vm", "--lun", "0"], vm)
            yield Operation(f"detach ({vm})", ["detach", "vm", "--lun", "0"],
                            ["attach", "vm", more], vm, disks=disk)
            yield Operation(f"insert ({vm})", ["insert", "vm", more, "--lun", "0"],
                            ["eject", "vm", "--lun", "0"], vm, disks=empty)
            yield Operation(f"eject ({vm})", ["eject", "vm", "--lun", "0"],
                            ["insert", "vm", more, "--lun", "0"], vm, disks=dvd)
            for name in "lan", "default":
                yield Operation(f"add adapter on {name} ({vm})", [*add, name], remove, vm)
        yield Operation("set actions", ["set", "vm", "actions.crash=keep"],
                        ["set", "vm", "actions.crash=stop"], "running")
        yield Operation("set what is pending", ["set", "vm", "memory.size=1G"],
                        ["set", "vm", "memory.size=512M"], "running")
        nic = [{"name": "x", "switch": "lan", "mac": MACS[3]}]
        yield Operation("remove adapter", remove, [*add, "lan"], "running", network_adapters=nic)
        for name in "dmz", "default", "none":
            yield Operation(f"move adapter to {name}",
                            ["net", "set", "vm", "x", "--switch", name],
                            ["net", "set", "vm", "x", "--switch", "lan"], "running",
                            network_adapters=nic)
        new = ["switch", "add", "wan"]
        for kind in ["--type", "private"], ["--interface", "eth0", "--force"]:
            yield Operation(f"add switch {kind}", new + kind, ["switch", "remove", "wan"], None)
            yield Operation(f"remove switch {kind}", ["switch", "remove", "wan"], new + kind, None,
                            switch=new + kind)
        yield Operation("change switch", ["switch", "set", "lan", "--ip", "192.0.2.1/24"],
                        ["switch", "set", "lan", "--ip", "none"], None)

    def test_each_step_of_each_operation(self):
        steps = set(re.findall(r"STEP\(([A-Z_]+)\)",
                               (rig.arguments.source / "vmms/base/fault.h").read_text()))
        # Of these test_checkpoints.py sees to: names of their files differ each time.
        steps = {step for step in steps if not step.startswith("CHECKPOINT_")}
        self.reached = set()
        for operation in self.operations():
            self.try_each_step(operation)
        self.assertEqual(steps - self.reached, set(), "never reached")


if __name__ == "__main__":
    in_own_network()
    main()
