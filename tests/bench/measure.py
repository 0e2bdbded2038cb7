# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the host sees of a process: memory, processor time, and events counted by perf."""

import collections
import os
import re
import select
import signal
import subprocess
import tempfile

TIMERS = "vector != 236 && vector != 237"  # the local APIC's, Hyper-V's (asm/irq_vectors.h)

# What a request or packet costs the host, for Events.
EVENTS = {
    "VM exits": ("kvm:kvm_exit", None),
    "interrupts": ("kvm:kvm_inj_virq", f"reinjected == 0 && {TIMERS}"),
    "system calls": ("raw_syscalls:sys_enter", None),
}


def own_memory(pid, guest_mib):
    """Resident memory in KiB without the guest's: (anonymous, of files).

    The guest's memory is the mappings that are nearly as large as it or larger; parts of it may be
    mappings of their own, where a VMM gives them other attributes.
    """
    anonymous = file = size = 0
    guest = False
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as smaps:
        for line in smaps:
            key, _, rest = line.partition(":")
            if key == "Size":
                size = int(rest.split()[0])
                guest = size >= guest_mib * 1024 * 9 // 10
            elif key == "Rss":
                resident = 0 if guest else int(rest.split()[0])
            elif key == "Anonymous" and not guest:
                anonymous += int(rest.split()[0])
                file += resident - int(rest.split()[0])
    return anonymous, file


def cpu_seconds(pid, thread=None):
    """Processor time that a process or one of its threads took; a vp's has its guest's in it.

    Threads that have ended do not count.
    """
    total = 0
    for name in [str(thread)] if thread else os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{name}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def thread(pid, name):
    """The process's first thread of that name."""
    for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as file:
            if file.read().rstrip("\n") == name:
                return int(task)
    raise LookupError(f"process {pid} has no thread '{name}'")


def processes(name, parent=None):
    """The processes whose name begins so; those that a process has started itself."""
    found = []
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{other}/stat", encoding="utf-8") as file:
                comm, rest = re.match(r"\d+ \((.*)\) (.*)", file.read(), re.S).groups()
        except FileNotFoundError:
            continue
        if comm.startswith(name) and parent in (None, int(rest.split()[1])):
            found.append(int(other))
    return found


class Events:
    """Events of all threads of processes, between begin() and end(), by perf-stat(1)."""

    def __init__(self, pids, events):
        self.directory = tempfile.TemporaryDirectory()
        control, acknowledge, self.output = (f"{self.directory.name}/{name}"
                                             for name in ("control", "acknowledge", "output"))
        os.mkfifo(control)
        os.mkfifo(acknowledge)
        self.names = list(events)
        arguments = ["perf", "stat", "-x", ";", "-o", self.output, "-p", ",".join(map(str, pids)),
                     "-D", "-1",
                     "--control", f"fifo:{control},{acknowledge}"]
        for event, condition in events.values():
            arguments += ["-e", event] + (["--filter", condition] if condition else [])
        self.control = os.open(control, os.O_RDWR)
        self.acknowledge = os.open(acknowledge, os.O_RDWR)
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.control)
        os.close(self.acknowledge)
        self.directory.cleanup()

    def tell(self, command):
        os.write(self.control, command.encode() + b"\n")
        answer = b""
        while b"ack\n" not in answer:
            if not select.select([self.acknowledge], [], [], 20)[0]:
                self.process.kill()
                raise RuntimeError(f"perf stat: {self.process.stdout.read().decode()}")
            answer += os.read(self.acknowledge, 16)

    def begin(self):
        self.tell("enable")

    def end(self):
        self.tell("disable")

    def counts(self):
        """By name; once only."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        with open(self.output, encoding="utf-8") as file:
            counts = [int(match.group(1)) for match in re.finditer(r"^(\d+);", file.read(), re.M)]
        if len(counts) != len(self.names):
            raise RuntimeError(f"perf counted {len(counts)} of {len(self.names)} events")
        return dict(zip(self.names, counts))


class Reasons:
    """VM exits of all threads of a process, by their reasons; those of MSRs by MSR, where KVM itself
    serves them. Counted from the beginning of the with statement."""

    EVENTS = "/sys/kernel/tracing/events/kvm"
    KEYS = {"kvm_exit": "common_pid,exit_reason", "kvm_msr": "common_pid,ecx.hex"}
    MSR = {"vmx": (31, 32), "svm": (0x7c,)}

    def __init__(self, pid):
        self.pid = pid
        self.kind = "svm" if os.path.exists("/sys/module/kvm_amd") else "vmx"

    def __enter__(self):
        for event, keys in self.KEYS.items():
            self.trigger(event, f"hist:keys={keys}:size=8192")
        return self

    def __exit__(self, *_):
        for event, keys in self.KEYS.items():
            self.trigger(event, f"!hist:keys={keys}:size=8192")

    def trigger(self, event, text):
        with open(f"{self.EVENTS}/{event}/trigger", "w", encoding="ascii") as file:
            file.write(text)

    def names(self):
        """KVM's own: in its list SVM's numbers are hexadecimal, VMX's decimal."""
        digits = "0x[0-9a-f]+" if self.kind == "svm" else "[0-9]+"
        with open(f"{self.EVENTS}/kvm_exit/format", encoding="ascii") as file:
            return {int(number, 0): name.lower() for number, name in
                    re.findall(rf'\{{ ({digits}), "(\w+)" \}}', file.read())}

    def histogram(self, event):
        threads = os.listdir(f"/proc/{self.pid}/task")
        with open(f"{self.EVENTS}/{event}/hist", encoding="ascii") as file:
            for thread, value, count in re.findall(
                    r"common_pid: +(\d+), \w+: +(\w+) .*?hitcount: +(\d+)", file.read()):
                if thread in threads:
                    yield value, int(count)

    def counts(self):
        """By name, the most frequent first."""
        names, found, msrs = self.names(), collections.Counter(), collections.Counter()
        for value, count in self.histogram("kvm_msr"):
            msrs[f"MSR {int(value, 16):#x}"] += count
        for value, count in self.histogram("kvm_exit"):
            msr = int(value) in self.MSR[self.kind]
            found["other MSRs" if msr else names.get(int(value), value)] += count
        # The two are not read at once.
        found["other MSRs"] = max(found["other MSRs"] - sum(msrs.values()), 0)
        return dict((found + msrs).most_common())


def disk_io(device):
    """Requests and bytes that a block device has completed, reads and writes together."""
    with open(f"/sys/block/{device}/stat", encoding="utf-8") as stat:
        fields = [int(field) for field in stat.read().split()]
    return fields[0] + fields[4], (fields[2] + fields[6]) * 512


def disk_bytes(device):
    """What was read from and written to a block device."""
    with open(f"/sys/block/{device}/stat", encoding="utf-8") as stat:
        fields = [int(field) for field in stat.read().split()]
    return (fields[2] + fields[6]) * 512


class Copies:
    """Bytes that a process copies, or the kernel for it, by readings of a running sum.

    The C library's part is counted by a preloaded library (copies.c) in a shared file. Of the
    kernel's part, what passes through event descriptors and the page cache is counted, by probes
    whose sizes a histogram sums up by thread. (The functions that do the kernel's copying
    themselves cannot be probed.)
    """

    TRACING = "/sys/kernel/tracing"
    PROBES = {  # Linux fs/eventfd.c, mm/filemap.c
        "event_write": "p:bench/event_write eventfd_write size=%dx:u64",
        "event_read": "r:bench/event_read eventfd_read size=$retval:s64",
        "cache_read": "r:bench/cache_read filemap_read size=$retval:s64",
        "cache_write": "r:bench/cache_write generic_perform_write size=$retval:s64",
    }
    SUM = "hist:keys=common_pid:vals=size if size > 0"

    def __init__(self, library, path):
        self.path = path
        self.environment = {"LD_PRELOAD": str(library), "BENCH_COPIES": str(path)}
        self.path.write_bytes(bytes(8))
        for name, probe in self.PROBES.items():
            self.write("kprobe_events", probe)
            self.write(f"events/bench/{name}/trigger", self.SUM)

    def write(self, name, text):
        # Truncating would remove everybody's probes.
        file = os.open(f"{self.TRACING}/{name}", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, text.encode() + b"\n")
        finally:
            os.close(file)

    def close(self):
        for name in self.PROBES:
            self.write(f"events/bench/{name}/trigger", f"!{self.SUM}")
            self.write("kprobe_events", f"-:bench/{name}")

    def read(self, pid):
        threads = os.listdir(f"/proc/{pid}/task")
        total = int.from_bytes(self.path.read_bytes(), "little")
        for name in self.PROBES:
            with open(f"{self.TRACING}/events/bench/{name}/hist", encoding="ascii") as file:
                for thread, size in re.findall(r"common_pid: +(\d+) .*? size: +(\d+)", file.read()):
                    total += int(size) if thread in threads else 0
        return total
