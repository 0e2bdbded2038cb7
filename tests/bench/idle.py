#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares idle guests with QEMU's, inside the lab host: see docs/performance.md.

usage: idle.py [--rounds N] [--quick] [--kernel K]... [--vps N]... OUTPUT

What a guest with a disk and a network adapter costs its host while it has nothing to do: VM exits and
processor time of the process for each second. QEMU's guest has Hyper-V's enlightenments once, all that
QEMU has, and once KVM's own. The contenders take turns; those that have not theirs are stopped.
OUTPUT is a directory, for JSON files.
"""

import argparse
import contextlib
import pathlib
import signal
import subprocess
import time

import measure
import network
import table
import vm

KERNELS, VPS = ("6.1-cloud", "6.12-cloud"), (1, 4)
SETTLING = 3  # seconds after a guest goes on, which has timers to catch up with
LEAST = 0.1   # exits for each second that a reason must have to be shown

QEMU = vm.Qemu("q35", "blk")
KINDS = [vm.Worker("in-kernel"), vm.Worker("user-space"),
         QEMU.shaped(name="QEMU with Hyper-V's", cpu=vm.HYPER_V_CPU),
         QEMU.shaped(name="QEMU with KVM's")]


class Bench:
    def __init__(self, seconds):
        self.seconds, self.samples, self.reasons = seconds, table.Samples(), {}
        self.networks = [network.Tap(index) for index, _ in enumerate(KINDS)]

    def disks(self, index):
        path = vm.SCRATCH / f"bench-root{index}.raw"
        if not path.exists():
            subprocess.run(["cp", "--reflink=auto", vm.IMAGES / "root.raw", path], check=True)
        return [path]

    def run(self, kernel, vps, rounds):
        title = f"{kernel}, {vps} vp{'s' if vps > 1 else ''}"
        initrd = vm.make_initrd(kernel=kernel)
        with contextlib.ExitStack() as stack:
            guests = []
            for index, kind in enumerate(KINDS):
                table.say(f"{title}: {kind.name} starts")
                tap = self.networks[index]
                guests.append(stack.enter_context(
                    vm.Vm(kind.shaped(kernel=kernel, vps=vps), initrd, self.disks(index),
                          network=tap)))
                guests[-1].wait(vm.READY)
                tap.set_up(guests[-1])
                guests[-1].process.send_signal(signal.SIGSTOP)
            for _ in range(rounds):
                for guest in guests:
                    table.say(f"{title}: {guest.kind.name}")
                    with guest.turn():
                        self.rest(guest, title)

    def rest(self, guest, title):
        pid = guest.process.pid
        time.sleep(SETTLING)
        with measure.Reasons(pid) as reasons:
            begun, cpu = time.monotonic(), measure.cpu_seconds(pid)
            time.sleep(self.seconds)
            seconds, cpu = time.monotonic() - begun, measure.cpu_seconds(pid) - cpu
            counts = reasons.counts()
        name = guest.kind.name
        self.samples.add(f"{title}: VM exits", "1/s", name, sum(counts.values()) / seconds)
        self.samples.add(f"{title}: processor time", "ms/s", name, 1000 * cpu / seconds)
        told = self.reasons.setdefault(title, {}).setdefault(name, {})
        for reason, count in counts.items():
            told.setdefault(reason, []).append(count / seconds)

    def print_reasons(self, rounds):
        for title, contenders in self.reasons.items():
            print(f"\nVM exits for each second by reason, {title}")
            means = {name: {reason: sum(values) / rounds for reason, values in reasons.items()}
                     for name, reasons in contenders.items()}
            shown = dict.fromkeys(reason for reasons in means.values()
                                  for reason, mean in reasons.items() if mean >= LEAST)
            lines = [["", *means]]
            lines += [[reason, *(table.number(reasons.get(reason, 0)) for reasons in means.values())]
                      for reason in shown]
            print("\n".join(table.aligned(lines)), flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kernel", action="append")
    parser.add_argument("--vps", action="append", type=int)
    parser.add_argument("output", type=pathlib.Path)
    return parser.parse_args()


def main():
    options = arguments()
    rounds = 1 if options.quick else options.rounds
    bench = Bench(5 if options.quick else 10)
    try:
        for kernel in options.kernel or KERNELS:
            for vps in options.vps or VPS:
                bench.run(kernel, vps, rounds)
    finally:
        report(bench, rounds, options.output)


def report(bench, rounds, output):
    print("\nIdle guests in the lab: medians, with half the spread")
    table.print_medians(bench.samples)
    bench.print_reasons(rounds)
    rows = list(bench.samples.rows([kind.name for kind in KINDS if kind.ours], every=True))
    print("\nAgainst QEMU's")
    table.print_rows(rows)
    table.write(output / "idle.json", rows)
    table.write_samples(output / "idle-samples.json", bench.samples)


if __name__ == "__main__":
    main()
