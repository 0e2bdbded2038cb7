#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures our worker at native speed, on this machine's own KVM: see docs/performance.md.

usage: local.py [--rounds N] [--quick] [--only PART]... OUTPUT

parts:
  start  time from the start of the process to the guest's first instruction
  disk   requests of a freestanding guest (tests/guest/guest_bench.c), beside fio on the same file,
         and the same guest with a virtio-blk disk in QEMU (guest_bench_virtio.c), if the lab has
         been built, taking turns; with the processor time of the I/O threads, and of fio
  memory of the worker: 1 vp, 128 MiB, one disk

OUTPUT is a directory, for JSON files.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

import fio
import measure
import table
import vm
from vm import BIN, TREE

MIB = 1 << 20
MEMORY_MIB = 128
FILE_SIZE = 1024 * MIB
BUILD = BIN.parent
GUEST = BUILD / "guests/guest_bench.elf"
GUEST_VIRTIO = BUILD / "guests/guest_bench_virtio.elf"
GUEST_LIMIT = 300  # seconds, until a guest's round counts as hung
QEMU_ROOT = TREE + "/build/lab/qemu"
STOCK_KERNEL = TREE + "/build/lab/guest/boot/vmlinuz-6.1-cloud"
STOCK_INITRD = TREE + "/build/lab/guest/boot/initrd-6.1-cloud"

WORKER, FIO, QEMU = "vmwp", "fio on the host", "QEMU microvm virtio-blk"
TARGET_START_MS, TARGET_MEMORY_MIB = 15, 5
# What the guest calls them, which for the large ones keeps four in flight.
NAMES = {"randread-4k-qd1": 0, "randread-4k-qd32": 1, "randwrite-4k-qd1": 2,
         "randwrite-4k-qd32": 3, "read-1m-qd4": 4, "write-1m-qd4": 5}


class Bench:
    def __init__(self, scratch, seconds):
        self.scratch, self.seconds, self.samples = scratch, seconds, table.Samples()
        self.disk = scratch / "disk.raw"
        # Written, so that reads go to the disk and writes allocate nothing.
        subprocess.run(["dd", "if=/dev/urandom", f"of={self.disk}", "bs=1M", "oflag=direct",
                        f"count={FILE_SIZE // MIB}", "status=none"], check=True)

    def worker(self, boot, **options):
        definition = {
            "version": 1, "name": "bench", "processors": {"count": 1},
            "memory": {"size": f"{MEMORY_MIB}M"}, "boot": boot,
            "disks": [{"controller": 0, "lun": 0, "path": str(self.disk), "format": "raw"}],
        }
        path = self.scratch / "definition.json"
        path.write_text(json.dumps(definition))
        return subprocess.Popen([BIN / "vmwp", "--definition", path, "--print-timings"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **options)

    def qemu(self, command_line):
        """QEMU with the least firmware, since kernel mode may be slow; vp and disk as the worker's.

        Without that CPU flag it ends at once on a KVM that has the MSR but does not let it be set.
        """
        arguments, environment = vm.peer(QEMU_ROOT)
        arguments += [
            "-name", "bench,debug-threads=on", "-M", "microvm,acpi=off", "-bios", "qboot.rom",
            "-cpu", "host,arch-capabilities=off", "-smp", "1", "-m", f"{MEMORY_MIB}M",
            "-global", "virtio-mmio.force-legacy=false",
            "-kernel", str(GUEST_VIRTIO), "-append", command_line,
            *vm.peer_drive("disk", self.disk),
            "-device", "virtio-blk-device,drive=disk,iothread=io",
        ]
        return subprocess.Popen(arguments, env=dict(os.environ, **environment),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    # ---- start ----

    def start(self, count):
        boots = {"freestanding guest": {"kernel": str(GUEST), "command_line": "requests=1"}}
        if os.path.exists(STOCK_KERNEL):
            boots["stock kernel, initramfs"] = {"kernel": STOCK_KERNEL, "initrd": STOCK_INITRD,
                                                "command_line": "quiet"}
        for _ in range(count):
            for name, boot in boots.items():
                self.samples.add(f"start to first instruction, {name}", "ms", WORKER,
                                 self.first_instruction(boot))

    def first_instruction(self, boot):
        started = time.monotonic_ns()
        with self.worker(boot) as worker:
            time.sleep(0.3)
            worker.terminate()
            _, errors = worker.communicate(timeout=30)
        timings = errors.splitlines()[-1]
        if not timings.startswith("{"):
            raise RuntimeError(f"vmwp: {errors}")
        first = json.loads(timings)["first_run_monotonic_ns"]
        return (first - started) / 1e6

    # ---- disk ----

    def disk_rounds(self, rounds):
        with_qemu = os.path.exists(QEMU_ROOT + "/usr/bin/qemu-system-x86_64")
        if not with_qemu:
            print(f"bench: {QEMU} is left out: the lab's QEMU is not there; 'scripts/lab build' "
                  "makes it", file=sys.stderr)
        command_line = f"requests={int(20000 * self.seconds)}"
        for _ in range(rounds):
            worker = self.worker({"kernel": str(GUEST), "command_line": command_line})
            # The I/O thread is the main one.
            self.guest_round(WORKER, worker, lambda pid: pid)
            if with_qemu:
                self.guest_round(QEMU, self.qemu(command_line),
                                 lambda pid: measure.thread(pid, "IO io"))
            for workload in fio.WORKLOADS:
                self.fio_round(workload)

    def guest_round(self, contender, process, find_io_thread):
        """Takes the samples of one run from the guest's report, until that is done."""
        cpu, memory, line = 0, None, ""
        limit = threading.Timer(GUEST_LIMIT, process.kill)
        limit.start()
        with process:
            try:
                for line in process.stdout:
                    if line.startswith(("FAIL", "DONE")):
                        break
                    match = re.match(r"BENCH (\S+) requests=(\d+) bytes=(\d+) ns=(\d+) ", line)
                    if match:
                        count, size, ns = map(int, match.groups()[1:])
                        now = measure.cpu_seconds(process.pid, find_io_thread(process.pid))
                        self.add(fio.WORKLOADS[NAMES[match[1]]], contender, count / ns * 1e9,
                                 size / ns * 1e3, (now - cpu) / count)
                        cpu = now
                        memory = memory or measure.own_memory(process.pid, MEMORY_MIB)
            finally:
                limit.cancel()
                process.kill()
            if not line.startswith("DONE"):
                raise RuntimeError(f"{contender}: the guest did not finish\n"
                                   f"{line}{process.stderr.read()}")
        self.samples.add("own memory", "MiB", contender, sum(memory) / 1024)
        self.samples.add("own memory, anonymous", "MiB", contender, memory[0] / 1024)

    def fio_round(self, workload):
        seconds = 2 * self.seconds
        out = subprocess.run(fio.command(self.disk, workload, seconds, 0.2), capture_output=True,
                             text=True, check=True).stdout
        result = fio.result(out, workload)
        self.add(workload, FIO, result.iops, result.bytes_per_second / 1e6, result.cpu_seconds)

    def add(self, workload, contender, iops, megabytes, cpu):
        if workload.block < MIB:
            self.samples.add(workload.name, "IOPS", contender, iops)
        else:
            self.samples.add(workload.name, "MB/s", contender, megabytes)
        self.samples.add(f"{workload.name}: processor time", "µs/request", contender, cpu * 1e6)

    def rows(self):
        yield from self.samples.rows([WORKER], every=True)
        for name, unit in self.samples.units.items():
            target = (TARGET_START_MS if name.startswith("start") else
                      TARGET_MEMORY_MIB if name == "own memory" else None)
            if target:
                yield table.row(name, self.samples.medians(name)[WORKER], target, "target", unit)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("output", type=pathlib.Path)
    return parser.parse_args()


PARTS = ("start", "disk")


def main():
    options = arguments()
    parts = options.only or PARTS
    rounds = 1 if options.quick else options.rounds
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.output) as scratch:
        bench = Bench(pathlib.Path(scratch).resolve(), 0.5 if options.quick else 1)
        if "start" in parts:
            bench.start(10 if options.quick else 40)
        if "disk" in parts:
            bench.disk_rounds(rounds)
    print("\nOn this machine's own KVM: medians, with half the spread")
    table.print_medians(bench.samples)
    rows = list(bench.rows())
    print("\nAgainst fio on the host, QEMU, and the targets")
    table.print_rows(rows)
    table.write(options.output / "local.json", rows)
    table.write_samples(options.output / "local-samples.json", bench.samples)


if __name__ == "__main__":
    main()
