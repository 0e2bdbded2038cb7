#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The message bus starts vmms when somebody calls it, by either of its names.

There is no systemd here: a program stands for it, which both names' service files start, and which
starts vmms once, as systemd starts a unit once.
"""

import configparser
import os
import shlex
import signal
import sys

sys.dont_write_bytecode = True
from bus import Bus  # noqa: E402
from rig import FAKE_WORKER, TIMEOUT, VMMS, ServiceTest, arguments, main, wait_until  # noqa: E402

FILES, NAMES = "org.vmms1.Files", ("org.vmms1", "org.vmms1.Files")
INSTALLED = arguments.source / "packaging/dbus"
# Whoever comes second waits until the names are there, as a job of systemd's that is under way.
UNIT = """#!/bin/sh
echo "$1" >>{folder}/started
mkdir {folder}/unit-$(wc -l <{folder}/generation) 2>/dev/null || while [ -d {folder} ]; do sleep 1; done
echo $$ >{folder}/pid
exec {command} >>{folder}/log 2>&1
"""


class Activation(ServiceTest):
    """A VM runs, and the service that started it is gone."""

    def setUp(self):
        super().setUp()
        self.create()
        self.ok("start", "vm")
        self.path = "/org/vmms1/vm/" + self.show()["uuid"].replace("-", "_")
        self.kill_vmms()
        self.wait_gone()
        self.make_unit()
        self.make_services()
        self.addCleanup(self.end_unit)

    def start_bus(self):
        (self.folder / "services").mkdir()
        self.policy = f"<servicedir>{self.folder}/services</servicedir>{self.policy}"
        super().start_bus()

    def make_unit(self):
        command = [VMMS, "--address", self.address, "--state-dir", self.state, "--runtime-dir",
                   self.folder / "run", "--worker", FAKE_WORKER, "--hypervisor", "/dev/null"]
        unit = self.folder / "unit"
        unit.write_text(UNIT.format(folder=self.folder, command=shlex.join(map(str, command))))
        unit.chmod(0o755)
        (self.folder / "generation").write_text("")

    def make_services(self):
        for name in NAMES:
            installed = configparser.ConfigParser()
            installed.optionxform = str
            installed.read(INSTALLED / f"{name}.service")
            service = installed["D-BUS Service"]
            self.assertEqual((service["Name"], service["SystemdService"]),
                             (name, "dbus-org.vmms1.service"))
            (self.folder / f"services/{name}.service").write_text(
                f"[D-BUS Service]\nName={name}\nExec={self.folder}/unit {name}\n")
        bus = Bus(self.folder / "bus", "org.freedesktop.DBus")
        bus.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "ReloadConfig")
        bus.close()

    def wait_gone(self):
        """Until the bus has noticed: a call before that would go to whoever is dead."""
        bus = Bus(self.folder / "bus", "org.freedesktop.DBus")
        for name in NAMES:
            wait_until(lambda name=name: bus.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
                                                  "s", [name]) in ((False,), (0,)), f"the end of {name}")
        bus.close()

    def end_unit(self):
        """Kills what the bus has started, as a crash would."""
        if (self.folder / "pid").exists():
            os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)
            (self.folder / "pid").unlink()
        with open(self.folder / "generation", "a", encoding="ascii") as generation:
            generation.write("\n")

    def started(self):
        started = self.folder / "started"
        return started.read_text().split() if started.exists() else []

    def open_console(self, bus):
        """Until one may type: the viewer before may still count as one that does."""
        def may_type():
            fd, typing = bus.call(self.path, FILES, "OpenConsole", "a{sv}", [[]], destination=FILES)
            os.close(fd)
            return bool(typing)

        wait_until(may_type, "a console to type at")

    def test_by_the_name_that_takes_files(self):
        """The call that starts it is answered, with a descriptor, and so is the next, after a crash too."""
        for times in (1, 2):
            bus = Bus(self.folder / "bus", FILES)
            self.open_console(bus)
            self.assertEqual(self.started(), [FILES] * times)
            self.open_console(bus)
            bus.close()
            self.assertEqual(self.show()["state"], "running")
            self.end_unit()
            self.wait_gone()

    def test_by_its_main_name(self):
        self.assertEqual(self.show()["state"], "running")
        bus = Bus(self.folder / "bus", FILES)
        self.open_console(bus)
        bus.close()
        self.assertEqual(self.started(), ["org.vmms1"])

    def test_by_both_at_once(self):
        bus = Bus(self.folder / "bus", FILES)
        files = bus.send(self.path, FILES, "OpenConsole", "a{sv}", [[]], destination=FILES)
        main_name = bus.send("/org/vmms1", "org.freedesktop.DBus.Peer", "Ping",
                             destination="org.vmms1")
        for serial in files, main_name:
            for fd in bus.reply(serial, TIMEOUT).take()[:1]:
                os.close(fd)
        bus.close()
        self.assertEqual(sorted(self.started()), sorted(NAMES))


if __name__ == "__main__":
    main()
