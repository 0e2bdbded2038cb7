# SPDX-License-Identifier: LGPL-2.1-or-later
"""The workloads, and fio(1) running them, in a guest or on the host."""

import collections

Workload = collections.namedtuple("Workload", "name pattern block depth")

WORKLOADS = [
    Workload("randread 4k depth 1", "randread", 4096, 1),
    Workload("randread 4k depth 32", "randread", 4096, 32),
    Workload("randwrite 4k depth 1", "randwrite", 4096, 1),
    Workload("randwrite 4k depth 32", "randwrite", 4096, 32),
    Workload("read 1m depth 4", "read", 1 << 20, 4),
    Workload("write 1m depth 4", "write", 1 << 20, 4),
]

# cpu_seconds: of fio itself, for each request.
Result = collections.namedtuple("Result", "iops bytes_per_second cpu_seconds")


def command(device, workload, seconds, ramp=0.5, options=()):
    """One workload on one device or file, as words of a command line. Prints one terse line."""
    return ["fio", "--minimal", "--name=bench", f"--filename={device}", "--ioengine=io_uring",
            "--direct=1", "--thread", "--gtod_reduce=1", "--norandommap", "--time_based",
            f"--rw={workload.pattern}", f"--bs={workload.block}", f"--iodepth={workload.depth}",
            f"--runtime={seconds}s", f"--ramp_time={ramp}s", *options]


def result(line, workload):
    """Of a line that fio printed: terse version 3, where writes are 41 fields after reads."""
    fields = line.strip().split(";")
    first = 5 + (41 if "write" in workload.pattern else 0)
    iops = float(fields[first + 2])
    busy = sum(float(field.rstrip("%")) for field in fields[87:89]) / 100
    return Result(iops, float(fields[first + 1]) * 1024, busy / iops if iops else 0)


# Where a guest has its disks: /dev/sdb or /dev/vdb, and SCSI disks in no order. By size it is.
DEVICE_OF_SIZE = """
device_of_size() {
    for disk in /sys/block/[sv]d*; do
        [ $(cat $disk/size) != $(($1 / 512)) ] || { echo /dev/${disk##*/}; return; }
    done
    echo "no disk of $1 bytes" >&2
    exit 1
}
"""


def guest_script(size, workload, seconds, background=False):
    """Runs a workload on the guest's disk of that size, and prints what result() wants to know.

    In the background it says nothing, and its process is found in /tmp/fio.
    """
    words = " ".join(command("$device", workload, seconds))
    tail = ">/dev/null 2>&1 & echo $! >/tmp/fio" if background else "| cut -d ';' -f 1-89"
    return f"{DEVICE_OF_SIZE}\ndevice=$(device_of_size {size}) || exit\n{words} {tail}\n"
