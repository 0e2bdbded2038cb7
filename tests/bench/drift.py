#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures how far guests' clocks drift from the host's under load, inside the lab host: see
docs/performance.md.

usage: drift.py [--rounds N] [--seconds N] [--quick] [--kernel K] OUTPUT

Guests of both engines, with and without the time synchronisation service, and QEMU's, all at the same
time, with every vp busy and a disk that is written to. Before and after that their clocks are compared
with the host's, by questions on the console: a clock was read somewhere between question and answer.
Of many the one that took least counts, and half of what it took is how far the comparison may be
wrong. OUTPUT is a directory, for JSON files.
"""

import argparse
import collections
import contextlib
import pathlib
import subprocess
import time

import fio
import table
import vm

EXERCISE = vm.BIN.parent / "tests/exercise"
VPS = 2
DISK_SIZE = 48 << 20
QUESTIONS = 50
SETTLING = 3  # seconds, before clocks are read

WITHOUT = {"services": {"time": False}}
QEMU = vm.Qemu("q35", "blk")
KINDS = [vm.Worker("in-kernel"), vm.Worker("in-kernel", WITHOUT, "vmwp in-kernel, no time service"),
         vm.Worker("user-space"), vm.Worker("user-space", WITHOUT, "vmwp user-space, no time service"),
         QEMU.shaped(name="QEMU with Hyper-V's", cpu=vm.HYPER_V_CPU),
         QEMU.shaped(name="QEMU with KVM's")]

# Nanoseconds: the host's monotonic clock, how far the guest's two are ahead of the host's, and how far
# that may be wrong.
Reading = collections.namedtuple("Reading", "host monotonic real bound")

# A writer of the disk, and a loop on each vp.
LOAD = """
for i in $(seq $(nproc)); do
    timeout %(seconds)d sh -c 'while :; do :; done' >/dev/null 2>&1 &
done
"""


def disks(index):
    root, data = (vm.SCRATCH / f"bench-{name}{index}.raw" for name in ("root", "drift"))
    subprocess.run(["cp", "--reflink=auto", vm.IMAGES / "root.raw", root], check=True)
    subprocess.run(["dd", "if=/dev/zero", f"of={data}", "bs=1M", f"count={DISK_SIZE >> 20}",
                    "oflag=direct", "status=none"], check=True)
    return [root, data]


def host_epoch():
    """The host's real-time clock less its monotonic one: what comes between two readings adds to it."""
    return min(-time.monotonic_ns() + time.time_ns() for _ in range(QUESTIONS))


def read_clocks(guest):
    """The reading that is known best."""
    best, epoch = None, host_epoch()
    guest.send("/run/vmms/exercise tell </dev/ttyS0")
    guest.expect("^vmms-test: begin\n")
    for _ in range(QUESTIONS):
        heard = len(guest.heard)
        asked = time.monotonic_ns()
        guest.type("?\n")
        match = guest.expect(r"^clocks: (\d+) (\d+)\n")
        # When its first letters came, it had read them.
        middle = (int(guest.heard[heard][0] * 1e9) - asked) // 2
        reading = Reading(asked + middle, int(match[1]) - asked - middle,
                          int(match[2]) - epoch - asked - middle, middle)
        if not best or reading.bound < best.bound:
            best = reading
    guest.type("end\n")
    guest.expect("^vmms-test: ready")
    return best


def load(guest, seconds):
    workload = fio.Workload("write", "randwrite", 4096, 1)
    guest.run(LOAD % {"seconds": seconds} +
              fio.guest_script(DISK_SIZE, workload, seconds, background=True))


def compare(kernel, seconds, samples):
    initrd = vm.make_initrd([EXERCISE], kernel)
    with contextlib.ExitStack() as stack:
        guests = []
        for index, kind in enumerate(KINDS):
            table.say(f"{kind.name} starts")
            guests.append(stack.enter_context(
                vm.Vm(kind.shaped(kernel=kernel, vps=VPS), initrd, disks(index))))
            guests[-1].wait(vm.READY)
        time.sleep(SETTLING)
        before = [read_clocks(guest) for guest in guests]
        for guest, reading in zip(guests, before):
            table.say(f"{guest.name}: the real-time clock is {reading.real / 1e6:.1f} ms ahead of the "
                      f"host's, by {reading.bound / 1e6:.1f} ms at most off")
        table.say(f"{seconds} s of load")
        for guest in guests:
            load(guest, seconds)
        time.sleep(seconds)
        for guest in guests:
            guest.run("while pgrep -x fio >/dev/null; do sleep 1; done", timeout=300)
        time.sleep(SETTLING)
        for guest, first in zip(guests, before):
            add(samples, guest.kind.name, first, read_clocks(guest))
            source = guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
            table.say(f"{guest.kind.name}: clock source {source.strip()}")


def add(samples, name, first, last):
    passed = last.host - first.host
    samples.add("seconds between the readings", "s", name, passed / 1e9, compared=False)
    samples.add("drift of the monotonic clock", "ppm", name,
                1e6 * (last.monotonic - first.monotonic) / passed, compared=False)
    samples.add("drift of the real-time clock", "ppm", name,
                1e6 * (last.real - first.real) / passed, compared=False)
    samples.add("which may be wrong by", "ppm", name,
                1e6 * (first.bound + last.bound) / passed, compared=False)
    samples.add("real-time clock ahead of the host's, before", "ms", name, first.real / 1e6,
                compared=False)
    samples.add("… after", "ms", name, last.real / 1e6, compared=False)
    samples.add("which may be wrong by, at most", "ms", name, max(first.bound, last.bound) / 1e6,
                compared=False)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kernel", default=vm.KERNEL)
    parser.add_argument("output", type=pathlib.Path)
    return parser.parse_args()


def rows(samples):
    """Of drifts that are smaller than what can be told the latter counts."""
    ours = [kind.name for kind in KINDS if kind.ours]
    wrong = samples.medians("which may be wrong by")
    for clock in "monotonic", "real-time":
        drifts = {name: max(abs(drift), wrong[name])
                  for name, drift in samples.medians(f"drift of the {clock} clock").items()}
        for name in ours:
            for peer in drifts:
                if peer not in ours:
                    yield table.row(f"drift of the {clock} clock, {name}", drifts[name],
                                    drifts[peer], peer, "ppm")


def main():
    options = arguments()
    samples = table.Samples()
    for _ in range(1 if options.quick else options.rounds):
        compare(options.kernel, options.seconds or (20 if options.quick else 600), samples)
    print(f"\nClocks of guests with {VPS} vps under load in the lab, {options.kernel}")
    table.print_medians(samples)
    compared = list(rows(samples))
    print("\nAgainst QEMU's")
    table.print_rows(compared)
    table.write(options.output / "drift.json", compared)
    table.write_samples(options.output / "drift-samples.json", samples)


if __name__ == "__main__":
    main()
