#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares our worker with QEMU, inside the lab host: see docs/performance.md.

usage: lab.py [--rounds N] [--quick] [--only PART]... [--kind NAME]... OUTPUT

parts:
  start   from the start of the process to the guest's first user process, and to its root image
  rest    memory of the process and what it does while its guest has nothing to do
  fio     workloads in the guest, on null_blk and on a file
  counts  VM exits, interrupts, system calls and bytes copied per request, on null_blk

In all of them the contenders take turns, so that what else the machine does strikes all alike.
Guests that have not their turn are stopped. OUTPUT is a directory, for JSON files.
"""

import argparse
import contextlib
import pathlib
import signal
import subprocess
import time

import fio
import measure
import table
import vm  # puts the lab on the path
import harness

MIB = 1 << 20
NULL_SIZE = 1 << 33
FILE_SIZE = 256 * MIB

PARTS = ("start", "rest", "fio", "counts")
PLACES = {"null_blk": NULL_SIZE, "file": FILE_SIZE}


class Bench:
    """The contenders with their disks, and the samples so far."""

    def __init__(self, kinds, seconds):
        self.kinds, self.seconds, self.samples = kinds, seconds, table.Samples()
        self.initrd = vm.make_initrd()
        subprocess.run(["modprobe", "null_blk", f"nr_devices={len(kinds)}",
                        f"gb={NULL_SIZE >> 30}"], check=True)
        # Into the page cache, for whoever is started first.
        subprocess.run(f"cat {vm.IMAGES}/vmlinuz-{vm.KERNEL} {vm.BIN}/vmwp >/dev/null; "
                       f"find {vm.PEER} -type f -exec cat {{}} + >/dev/null", shell=True, check=True)

    def disks(self, kind):
        """Its own root image, null_blk device and file."""
        index = self.kinds.index(kind)
        root, file = (vm.SCRATCH / f"bench-{name}{index}.raw" for name in ("root", "file"))
        if not root.exists():
            subprocess.run(["cp", "--reflink=auto", vm.IMAGES / "root.raw", root], check=True)
            subprocess.run(["dd", "if=/dev/zero", f"of={file}", "bs=1M", "oflag=direct",
                            f"count={FILE_SIZE // MIB}", "status=none"], check=True)
        return [root, f"/dev/nullb{index}", file]

    def vm(self, kind, environment=None):
        return vm.Vm(kind, self.initrd, self.disks(kind), environment)

    def add(self, name, unit, guest, value, compared=True):
        self.samples.add(name, unit, guest.kind.name, value, compared)

    def run(self, parts, rounds, loaded):
        if "start" in parts:
            self.start(rounds)
        self.kinds = [kind for kind in self.kinds if kind.loaded or loaded]
        if set(parts) & {"rest", "fio", "counts"}:
            self.load(parts, rounds)
        if "counts" in parts:
            self.copies()

    # ---- parts ----

    def start(self, rounds):
        for _ in range(rounds):
            for kind in self.kinds:
                table.say(f"start: {kind.name}")
                with self.vm(kind) as guest:
                    self.add("start to first user process", "s", guest, guest.wait(vm.MARK))
                    self.add("start to root image", "s", guest, guest.wait(vm.READY))

    def load(self, parts, rounds):
        """All that is done with guests that are up: one turn of each after the other."""
        with contextlib.ExitStack() as stack:
            guests = []
            for kind in self.kinds:
                guests.append(stack.enter_context(self.vm(kind)))
                guests[-1].wait(vm.READY)
                guests[-1].process.send_signal(signal.SIGSTOP)
            if "rest" in parts:
                self.take_turns(guests, self.rest)
            for _ in range(rounds if "fio" in parts else 0):
                for place in PLACES:
                    for workload in fio.WORKLOADS:
                        self.take_turns(guests, self.fio, place, workload)
            if "counts" in parts:
                for workload in fio.WORKLOADS:
                    self.take_turns(guests, self.counts, workload)
            if "rest" in parts:
                for guest in guests:
                    self.memory(guest, "after the workloads")

    @staticmethod
    def take_turns(guests, function, *arguments):
        for guest in guests:
            words = [getattr(argument, "name", argument) for argument in arguments]
            table.say(" ".join((function.__name__, *words)) + f": {guest.kind.name}")
            with guest.turn():
                function(guest, *arguments)

    def rest(self, guest):
        self.memory(guest, "at rest")
        time.sleep(1)
        pid, seconds = guest.process.pid, 10 * self.seconds
        with measure.Events([pid], measure.EVENTS) as events:
            events.begin()
            cpu = measure.cpu_seconds(pid)
            time.sleep(seconds)
            cpu = measure.cpu_seconds(pid) - cpu
            events.end()
            counts = events.counts()
        self.add("at rest: processor time", "ms/s", guest,
                 1000 * cpu / seconds)
        for name, count in counts.items():
            # Ours asks its guest for a heartbeat, which the peer has none of.
            self.add(f"at rest: {name}", "1/s", guest, count / seconds,
                     compared=name != "interrupts")

    def memory(self, guest, when):
        anonymous, file = measure.own_memory(guest.process.pid, vm.MEMORY_MIB)
        self.add(f"own memory, {when}", "MiB", guest, (anonymous + file) / 1024)
        self.add(f"own memory, {when}, anonymous", "MiB", guest, anonymous / 1024)

    def fio(self, guest, place, workload):
        out = guest.run(fio.guest_script(PLACES[place], workload, 2 * self.seconds))
        result = fio.result(out, workload)
        if workload.block < MIB:
            self.add(f"{workload.name}, {place}", "IOPS", guest, result.iops)
        else:
            self.add(f"{workload.name}, {place}", "MB/s", guest, result.bytes_per_second / 1e6)

    def counts(self, guest, workload):
        with measure.Events([guest.process.pid], measure.EVENTS) as events:
            with self.under_way(guest, workload) as requests:
                events.begin()
                begun = requests()
                time.sleep(2 * self.seconds)
                ended = requests()
                events.end()
            counts = events.counts()
        for name, count in counts.items():
            self.add(f"{workload.name}: {name}", "1/request", guest, count / (ended - begun))

    def copies(self):
        for kind in self.kinds:
            table.say(f"copies: {kind.name}")
            copies = measure.Copies(vm.COPIES_LIBRARY, vm.SCRATCH / "bench-copies")
            with contextlib.closing(copies), self.vm(kind, copies.environment) as guest:
                guest.wait(vm.READY)
                for workload in fio.WORKLOADS:
                    with self.under_way(guest, workload) as requests:
                        begun, copied = requests(), copies.read(guest.process.pid)
                        time.sleep(2 * self.seconds)
                        ended, copied_then = requests(), copies.read(guest.process.pid)
                    self.add(f"{workload.name}: copied", "bytes/request", guest,
                             (copied_then - copied) / (ended - begun))

    @contextlib.contextmanager
    def under_way(self, guest, workload):
        """While the guest runs a workload on null_blk. Yields how many requests there were."""
        device = f"nullb{self.kinds.index(guest.kind)}"

        def requests():
            # The driver may have split or merged what fio asked for: its bytes tell.
            return measure.disk_bytes(device) / workload.block

        before = requests()
        guest.run(fio.guest_script(NULL_SIZE, workload, 600, background=True))
        harness.Daemon.wait_until(lambda: requests() > before + 100, 60, f"requests of {guest.name}")
        yield requests
        guest.run("kill $(cat /tmp/fio) && while kill -0 $(cat /tmp/fio) 2>&-; do sleep 0.1; done")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--kind", action="append")
    parser.add_argument("output", type=pathlib.Path)
    return parser.parse_args()


def main():
    options = arguments()
    parts = options.only or PARTS
    rounds = 1 if options.quick else options.rounds
    kinds = [kind for kind in vm.KINDS
             if any(word in kind.name for word in options.kind or [""])]
    bench = Bench(kinds, 0.5 if options.quick else 1)
    try:
        bench.run(parts, rounds, bool(options.kind))
    finally:
        report(bench.samples, [kind.name for kind in kinds if kind.ours], options.output)


def report(samples, ours, output):
    print("\nIn the lab: medians, with half the spread")
    table.print_medians(samples)
    rows = list(samples.rows(ours))
    print("\nAgainst the best of the peers")
    table.print_rows(rows)
    table.write(output / "lab.json", rows)
    table.write_samples(output / "lab-samples.json", samples)


if __name__ == "__main__":
    main()
