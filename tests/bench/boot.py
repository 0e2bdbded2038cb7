#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares how guests with 1, 4 and 16 vps start with QEMU's, inside the lab host: see
docs/performance.md.

usage: boot.py [--rounds N] [--quick] [--kernel K]... [--vps N]... OUTPUT

From the start of the process to the guest's first user process, and to where its root image's init
waits for work. All load the same ELF kernel and initramfs themselves, and enter it by its PVH note.
OUTPUT is a directory, for JSON files.
"""

import argparse
import pathlib
import subprocess

import table
import vm  # puts the lab on the path
import harness

VPS = (1, 4, 16)
MEMORY_MIB = 512
TIMEOUT = 300  # seconds, that a guest with many vps may take

KINDS = [vm.Worker("in-kernel"), vm.Worker("user-space"),
         vm.Qemu("q35", "blk"), vm.Qemu("microvm", "blk"),
         vm.Qemu("q35", "blk").shaped(name="QEMU q35 blk with Hyper-V's", cpu=vm.HYPER_V_CPU)]
# With 16 the guest of QEMU's microvm finds no disk.
MICROVM_MOST_VPS = 4


def kinds(vps):
    return [kind for kind in KINDS
            if vps <= MICROVM_MOST_VPS or getattr(kind, "machine", "") != "microvm"]


class Bench:
    def __init__(self):
        self.samples = table.Samples()
        self.root = vm.SCRATCH / "bench-root.raw"
        subprocess.run(["cp", "--reflink=auto", vm.IMAGES / "root.raw", self.root], check=True)

    def run(self, kernel, vps, rounds):
        initrd = vm.make_initrd(kernel=kernel)
        # Into the page cache, for whoever is started first.
        subprocess.run(f"cat {vm.IMAGES}/vmlinux-{kernel} {vm.BIN}/vmwp >/dev/null; "
                       f"find {vm.PEER} -type f -exec cat {{}} + >/dev/null", shell=True, check=True)
        for _ in range(rounds):
            for kind in kinds(vps):
                self.start(kind.shaped(kernel=kernel, vps=vps, memory=MEMORY_MIB, image="vmlinux"),
                           initrd)

    def start(self, kind, initrd):
        title = f"{kind.kernel}, {kind.vps} vp{'s' if kind.vps > 1 else ''}"
        table.say(f"{title}: {kind.name}")
        with vm.Vm(kind, initrd, [self.root]) as guest:
            self.samples.add(f"{title}: to first user process", "s", kind.name,
                             guest.wait(vm.MARK, TIMEOUT))
            self.samples.add(f"{title}: to root image", "s", kind.name,
                             guest.wait(vm.READY, TIMEOUT))
            up = int(guest.run("nproc"))
            if up != kind.vps:
                raise harness.Failure(f"{kind.name} has {up} of {kind.vps} vps")


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
    bench = Bench()
    try:
        for kernel in options.kernel or (vm.KERNEL,):
            for vps in options.vps or VPS:
                bench.run(kernel, vps, 1 if options.quick else options.rounds)
    finally:
        report(bench.samples, options.output)


def report(samples, output):
    print("\nStart in the lab: medians, with half the spread")
    table.print_medians(samples)
    rows = list(samples.rows([kind.name for kind in KINDS if kind.ours], every=True))
    print("\nAgainst QEMU's")
    table.print_rows(rows)
    table.write(output / "boot.json", rows)
    table.write_samples(output / "boot-samples.json", samples)


if __name__ == "__main__":
    main()
