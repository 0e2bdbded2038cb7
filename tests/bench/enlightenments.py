#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures what each enlightenment is worth to a Linux guest, inside the lab host: see
docs/enlightenments.md.

usage: enlightenments.py [--rounds N] [--quick] [--only NAME]... [--engine E] [--kernel K] OUTPUT

For each of them a guest that has it and one that has it not take turns at what it is for
(tests/bench/exercise.c): time and VM exits for each operation. The exits that the same guest takes at
rest in the same time, with the console's, are subtracted. OUTPUT is a directory, for JSON files.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import signal
import subprocess
import time

import measure
import table
import vm

EXERCISE = vm.BIN.parent / "tests/exercise"
VPS, MANY_VPS = 4, 68
MUCH_MEMORY = 1024  # MiB, of a guest with so many
SETTLING = 1        # seconds after a guest goes on
BOOT_TIMEOUT = 600  # seconds, that one with many vps may take
START_TIMEOUT = 60  # seconds, until a guest counts as one that does not start
ON, OFF = "on", "off"
ENGINES = ("in-kernel", "user-space")
OFF_BY_DEFAULT = ("synthetic_timers",)

# What all guests have of hyper_v: an invariant TSC would be their clock, whatever else there is.
BASE = {"tsc_invariant": False}

# exercise: of exercise.c; "start" is that of the guest. beside: what both guests have besides, to have
# this enlightenment alone make the difference. vps: of guests that are kept for no other row. engines:
# those that have it.
Row = collections.namedtuple("Row", "name exercise beside vps engines", defaults=({}, VPS, ENGINES))

ROWS = [
    Row("reference_tsc", "clock"),
    Row("frequencies", "start"),
    Row("tsc_invariant", "clock"),
    Row("relaxed_timing", "lock"),
    Row("spin_wait", "lock"),
    Row("tlb_flush", "protect"),
    Row("ipi", "broadcast"),
    Row("xmm_input", "protect"),
    Row("synthetic_timers", "sleep"),
    Row("direct_timers", "sleep", {"synthetic_timers": True}),
    Row("apic_msrs", "wake"),
    Row("vp_runtime", "lock"),
    Row("idle", "lock"),
    Row("extended_masks", "far", vps=MANY_VPS, engines=("in-kernel",)),
]

# What no figure says.
APART = {
    "crash_msrs": "a function: the host is told why a guest crashed",
    "reset": "a function: a guest can reset itself without a device",
    "free_page_reporting": "a function: the host has memory back that the guest has no use for",
}

UNITS = {"clock": "reading", "sleep": "sleep", "wake": "wake-up", "broadcast": "patch",
         "protect": "change", "far": "change", "lock": "turn"}


class Bench:
    def __init__(self, kernel, seconds):
        self.kernel, self.seconds = kernel, seconds
        self.samples, self.notes = table.Samples(), {}
        self.initrd = vm.make_initrd([EXERCISE], kernel)
        self.roots = []

    def root(self):
        """An image that no guest has. Those that nobody writes to may be had again."""
        path = vm.SCRATCH / f"bench-root{len(self.roots)}.raw"
        subprocess.run(["cp", "--reflink=auto", vm.IMAGES / "root.raw", path], check=True)
        self.roots.append(path)
        return path

    def kind(self, engine, hyper_v, vps=VPS):
        return vm.Worker(engine, {"hyper_v": hyper_v}).shaped(
            kernel=self.kernel, vps=vps, memory=vm.MEMORY_MIB if vps == VPS else MUCH_MEMORY)

    @contextlib.contextmanager
    def guest(self, engine, hyper_v, vps=VPS):
        """One that is up, and stopped."""
        with vm.Vm(self.kind(engine, hyper_v, vps), self.initrd, [self.root()]) as guest:
            guest.wait(vm.READY, BOOT_TIMEOUT)
            guest.leaves = guest.run("/run/vmms/exercise leaves").strip()
            guest.clock = guest.run(
                "cat /sys/devices/system/clocksource/clocksource0/current_clocksource").strip()
            guest.process.send_signal(signal.SIGSTOP)
            yield guest

    def run(self, engine, rows, rounds):
        with contextlib.ExitStack() as kept:
            guests = {}

            def keep(hyper_v):
                key = json.dumps(hyper_v, sort_keys=True)
                if key not in guests:
                    guests[key] = kept.enter_context(self.guest(engine, hyper_v))
                return guests[key]

            for row in rows:
                table.say(f"{engine}: {row.name}")
                if row.exercise == "start":
                    self.starts(engine, row, rounds)
                elif row.vps != VPS:
                    with (self.guest(engine, BASE, row.vps) as guest,
                          self.guest(engine, {**BASE, row.name: False}, row.vps) as other):
                        self.compare(engine, row, guest, other, rounds)
                elif row.name in OFF_BY_DEFAULT:
                    self.compare(engine, row, keep({**BASE, row.name: True}), keep(BASE), rounds)
                elif row.name in BASE:
                    with self.guest(engine, {**BASE, row.name: True}) as guest:
                        self.compare(engine, row, guest, keep(BASE), rounds)
                else:
                    beside = {**BASE, **row.beside}
                    with self.guest(engine, {**beside, row.name: False}) as other:
                        self.compare(engine, row, keep(beside), other, rounds)

    def starts(self, engine, row, rounds):
        contenders = {ON: BASE, OFF: {**BASE, row.name: False}}
        for _ in range(rounds):
            for contender, hyper_v in list(contenders.items()):
                with vm.Vm(self.kind(engine, hyper_v), self.initrd, [self.root()]) as guest:
                    try:
                        self.samples.add(f"{row.name}, {engine}: start to first user process", "s",
                                         contender, guest.wait(vm.MARK, START_TIMEOUT))
                    except vm.Timeout:
                        del contenders[contender]
                        self.note(engine, row, f"{contender}: the guest does not start")

    def note(self, engine, row, text):
        self.notes[f"{row.name}, {engine}"] = text
        table.say(f"{row.name}, {engine}: {text}")

    def compare(self, engine, row, with_it, without, rounds):
        if with_it.leaves == without.leaves:
            self.note(engine, row, "not offered on this host")
            return
        if row.exercise == "clock":
            self.note(engine, row, f"clock source: {with_it.clock}; off: {without.clock}")
        for _ in range(rounds):
            for contender, guest in ((ON, with_it), (OFF, without)):
                with guest.turn():
                    time.sleep(SETTLING)
                    self.turn(engine, row, contender, guest)

    def turn(self, engine, row, contender, guest):
        rest = self.exercise(guest, "rest")
        done = self.exercise(guest, row.exercise)
        operations, unit = done.operations, UNITS[row.exercise]
        title = f"{row.name}, {engine}"
        table.say(f"{title}: {contender}: {operations} in {done.seconds:.1f} s, {done.exits} VM exits; "
                  f"{rest.exits} at rest")
        self.samples.add(f"{title}: time for each {unit}", "us", contender,
                         1e6 * done.seconds / operations)
        self.samples.add(f"{title}: VM exits for each {unit}", f"1/{unit}", contender,
                         max(done.exits - rest.exits, 0) / operations)

    Done = collections.namedtuple("Done", "operations seconds exits")

    def exercise(self, guest, name):
        with measure.Reasons(guest.process.pid) as reasons:
            operations, seconds = guest.run(f"/run/vmms/exercise {name} {self.seconds}").split()
            exits = sum(reasons.counts().values())
        return self.Done(int(operations), float(seconds), exits)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=[row.name for row in ROWS])
    parser.add_argument("--engine", action="append", choices=ENGINES)
    parser.add_argument("--kernel", default=vm.KERNEL)
    parser.add_argument("output", type=pathlib.Path)
    return parser.parse_args()


def main():
    options = arguments()
    bench = Bench(options.kernel, 1 if options.quick else 2)
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    try:
        for engine in options.engine or ENGINES:
            bench.run(engine, [row for row in rows if engine in row.engines],
                      1 if options.quick else options.rounds)
    finally:
        report(bench, options.output)


def report(bench, output):
    print(f"\nEnlightenments in the lab, {bench.kernel}, {VPS} vps ({MANY_VPS} for extended_masks): medians, with "
          "half the spread")
    table.print_medians(bench.samples)
    for name, text in [*bench.notes.items(), *APART.items()]:
        print(f"{name}: {text}")
    rows = list(bench.samples.rows([ON], every=True))
    print("\nOn against off")
    table.print_rows(rows)
    table.write(output / "enlightenments.json", rows)
    table.write_samples(output / "enlightenments-samples.json", bench.samples)


if __name__ == "__main__":
    main()
