#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures the daemon with many VMs, defined and running: see docs/performance.md.

usage: service.py [--rounds N] [--quick] OUTPUT

On a message bus of its own, with workers that run no VM (tests/fake/fake_worker.c). OUTPUT is a
directory, for JSON files.
"""

import argparse
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import uuid

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/integration"))
import table  # noqa: E402
from bus import Bus, Refused  # noqa: E402

BUILD = TREE / "build/release"
COUNTS = [10, 100, 1000]
CALLS = 11  # of vmctl, of which the median counts
LIMIT = 300  # seconds, until something counts as hung
AT_ONCE = 50  # VMs that are being started
MANAGER = "/org/vmms1", "org.vmms1.Manager"
BUS_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path={}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/>
<allow own="*"/></policy></busconfig>"""
TARGET_LIST_MS = 100


def wait_until(condition, what):
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {LIMIT} s for {what}")
        time.sleep(0.001)


class Service:
    """A daemon with so many VMs, and what it costs."""

    def __init__(self, folder, count):
        self.folder, self.count, self.daemon = folder, count, None
        # As /run is, in memory.
        self.runtime = tempfile.TemporaryDirectory(prefix="vmms-bench-", dir="/dev/shm")
        (folder / "kernel").write_bytes(b"not looked at")
        (folder / "state/vms").mkdir(parents=True)
        for i in range(count):
            self.define(f"vm{i:04}")
        (folder / "bus.conf").write_text(BUS_CONFIGURATION.format(folder))
        self.message_bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--nopidfile"],
            stderr=subprocess.DEVNULL)
        wait_until(self.bus_listens, "the message bus")
        self.log = open(folder / "log", "wb")
        self.bus = Bus(folder / "bus", "org.vmms1")

    def bus_listens(self):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.folder / "bus")) == 0

    def define(self, name):
        """As after some use: with two disks, an adapter and a note."""
        (self.folder / f"state/vms/{name}.json").write_text(json.dumps({
            "name": name, "uuid": str(uuid.uuid4()), "notes": "one of many",
            "boot": {"kernel": str(self.folder / "kernel")},
            "disks": [{"type": "dvd", "lun": lun} for lun in range(2)],
            "network_adapters": [{"name": "nic0", "switch": "none"}]}))

    def start(self):
        """Return: seconds until it answers."""
        begun = time.monotonic()
        self.daemon = subprocess.Popen(
            [BUILD / "bin/vmms", "--address", f"unix:path={self.folder}/bus", "--state-dir",
             self.folder / "state", "--runtime-dir", self.runtime.name, "--worker",
             BUILD / "tests/fake_worker", "--hypervisor", "/dev/null"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(self.answers, "vmms")
        return time.monotonic() - begun

    def answers(self):
        with contextlib.suppress(Refused):
            return self.bus.call("/org/vmms1", "org.freedesktop.DBus.Peer", "Ping") == ()
        if self.daemon.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text())
        return False

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def states(self):
        return {path: state for _, _, state, path in self.bus.call(*MANAGER, "ListVMs")[0]}

    def start_vms(self):
        paths = list(self.states())
        while paths:
            some, paths = paths[:AT_ONCE], paths[AT_ONCE:]
            for serial in [self.bus.send(path, "org.vmms1.VM", "Start") for path in some]:
                self.bus.reply(serial, LIMIT).take()

    def list(self):
        """Return: seconds that vmctl takes."""
        begun = time.monotonic()
        output = subprocess.run(
            [BUILD / "bin/vmctl", "--address", f"unix:path={self.folder}/bus", "list"],
            capture_output=True, check=True, text=True).stdout
        seconds = time.monotonic() - begun
        if output.count("\n") < self.count:
            raise RuntimeError(f"vmctl list shows not all:\n{output}")
        return seconds

    def memory(self):
        """Resident, in KiB."""
        with open(f"/proc/{self.daemon.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def processor_time(self):
        """Of the daemon until now, in seconds: what else the machine does is not in it."""
        with open(f"/proc/{self.daemon.pid}/schedstat", encoding="ascii") as statistics:
            return int(statistics.read().split()[0]) / 1e9

    def close(self):
        """Also when it has not come up: no worker is left."""
        self.bus.close()
        if self.daemon:
            self.kill()
        for record in pathlib.Path(self.runtime.name).glob("workers/*.json"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(json.loads(record.read_text())["pid"], 9)
        self.message_bus.kill()
        self.message_bus.wait()
        self.log.close()
        self.runtime.cleanup()


def measure(service, samples, what):
    """With the daemon as it is."""
    contender = f"{service.count} VMs"
    for _ in range(CALLS):
        samples.add(f"vmctl list, {what}", "ms", contender, 1000 * service.list())
    samples.add(f"resident memory, {what}", "KiB", contender, service.memory())


def measure_start(service, samples, what):
    contender = f"{service.count} VMs"
    samples.add(f"start-up, {what}", "ms", contender, 1000 * service.start())
    samples.add(f"processor time of that, {what}", "ms", contender, 1000 * service.processor_time())


def run(count, samples):
    with tempfile.TemporaryDirectory(prefix="vmms-bench-") as name:
        service = Service(pathlib.Path(name), count)
        try:
            measure_start(service, samples, "defined")
            measure(service, samples, "defined")
            table.say(f"starting {count} VMs")
            service.start_vms()
            measure(service, samples, "running")
            service.kill()
            measure_start(service, samples, "running")
            wait_until(lambda: set(service.states().values()) == {"running"}, "all to run")
        finally:
            service.close()


def print_growth(samples):
    """What each VM adds, in a larger number of them against a smaller; 1: linear."""
    lines = [["each VM more costs", "unit", *(f"{COUNTS[i]} to {COUNTS[i + 1]}"
                                              for i in range(len(COUNTS) - 1)), "growth"]]
    for name, unit in samples.units.items():
        medians = list(samples.medians(name).values())
        each = [max(medians[i + 1] - medians[i], 0) / (COUNTS[i + 1] - COUNTS[i])
                for i in range(len(COUNTS) - 1)]
        lines.append([name, unit, *(f"{value:.4f}" for value in each),
                      f"{each[-1] / each[0]:.2f}" if each[0] else "-"])
    print("\n".join(table.aligned(lines)), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("output", type=pathlib.Path)
    options = parser.parse_args()
    samples = table.Samples()
    for _ in range(1 if options.quick else options.rounds):
        for count in COUNTS:
            table.say(f"{count} VMs")
            run(count, samples)
    print()
    table.print_medians(samples)
    print()
    print_growth(samples)
    for what in "defined", "running":
        rows = [table.row(f"vmctl list, {COUNTS[-1]} VMs {what}",
                          samples.medians(f"vmctl list, {what}")[f"{COUNTS[-1]} VMs"],
                          TARGET_LIST_MS, "target", "ms")]
        table.print_rows(rows)
        table.write(options.output / f"service-{what}.json", rows)
    table.write_samples(options.output / "service-samples.json", samples)


if __name__ == "__main__":
    main()
