# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dynamic memory of stock guests, by their own hv_balloon."""

import json
import os
import pathlib

from harness import SCRATCH, Daemon, Guest, Timeout, check, check_data

MIB = 1 << 20
TIMEOUT = 60  # seconds; the driver acts within a few

# So that the driver tells of its needs after seconds, not three quarters of a minute.
EARLY = "hv_balloon.pressure_report_delay=1"


def memory(daemon, name="guest"):
    return daemon.show(name)["dynamic_memory"]


def resident(guest):
    """Of the worker: bytes."""
    return int(pathlib.Path(f"/proc/{guest.worker_pid()}/statm").read_text().split()[1]) * 4096


def total(guest):
    """What the guest takes for its memory: bytes."""
    return int(guest.run("awk '/^MemTotal:/ {print $2}' /proc/meminfo")) << 10


def wait_for(daemon, what, condition, seconds=TIMEOUT):
    """Until what is told of the guest's memory fulfils the condition."""
    try:
        Daemon.wait_until(lambda: condition(memory(daemon)), seconds, what)
    except Timeout as timeout:
        raise Timeout(f"{timeout}: {memory(daemon)}") from None


def rests_at(daemon, mib, slack=2):
    wait_for(daemon, f"the guest to have {mib} MiB", lambda now: now["state"] == "resting" and
             abs(now["assigned"] - mib * MIB) <= slack * MIB)


def boots(daemon, combination, dynamic, size="512M", append=EARLY, **more):
    guest = Guest(daemon, memory={"size": size, "dynamic": dynamic}, append=append,
                  **more, **combination).boot()
    wait_for(daemon, "the guest's driver", lambda now: now["state"] == "resting")
    return guest


# Data of known content in the guest's memory, and most of the rest used and free again.
FILL = """
mount -t tmpfs -o size=90% tmpfs /mnt
head -c 16M /dev/urandom >/mnt/kept
md5sum /mnt/kept >/run/kept.md5
fallocate -l 300M /mnt/used && rm /mnt/used
"""
CHECK = "md5sum --quiet -c /run/kept.md5 && echo kept"

# Writes and reads back what it has written for as long as the file is there.
VERIFY = """
touch /run/going
(while [ -e /run/going ]; do
fio --name=v --filename=$(lun 1) --direct=$1 --ioengine=libaio --iodepth=16 --rw=randwrite \
    --bsrange=4k-64k --size=24m --verify=crc32c --verify_fatal=1 --do_verify=1 \
    --output-format=terse >/run/fio 2>&1 || { echo failed >/run/failed; break; }
echo round >>/run/rounds
done; touch /run/over) >/dev/null 2>&1 &
"""


def squeezed_under_io(daemon, combination):
    """Memory is taken and given back, several times, while the disk is written to and verified: the
    host has it meanwhile, and neither data in memory nor on the disk suffer."""
    path = SCRATCH / "data.raw"
    with open(path, "wb") as file:
        file.truncate(32 * MIB)
    guest = boots(daemon, combination, {"minimum": "128M", "automatic": False},
                  disks=[{"controller": 0, "lun": 1, "path": str(path), "format": "raw"}])
    whole = total(guest)
    guest.run(FILL)
    before = resident(guest)
    guest.run("set -- 1\n" + VERIFY)
    for _ in range(3):
        daemon.vmctl("set", "guest", "--memory", "288M")
        rests_at(daemon, 288)
        squeezed = resident(guest)
        check(before - squeezed > 150 * MIB, f"the host got {before} - {squeezed} bytes back")
        daemon.vmctl("set", "guest", "--memory", "512M")
        rests_at(daemon, 512)
    check_data("kept" in guest.run(CHECK), "the data in memory are not what they were")
    output = guest.run("rm /run/going; while [ ! -e /run/over ]; do sleep 0.1; done; "
                       "cat /run/rounds; [ ! -e /run/failed ] || cat /run/fio", timeout=300)
    check("round" in output and "fio" not in output, output)
    check(total(guest) == whole, f"the guest has {total(guest)} bytes of {whole}")
    # All of it can be used again.
    guest.run("fallocate -l 250M /mnt/used && rm /mnt/used")
    check_data("kept" in guest.run(CHECK), "the data in memory are not what they were")
    faults = guest.run("dmesg --color=never | grep -E 'Bad page|BUG|Call Trace|I/O error' || true")
    check(not faults, faults)


def memory_is_added(daemon, combination):
    """A guest gets more memory than it began with, gives some back, and begins anew after a reset. A
    buffer for its disk that takes much of it lies over pieces that were added one by one."""
    path = SCRATCH / "data.raw"
    with open(path, "wb") as file:
        file.truncate(256 * MIB)
    guest = boots(daemon, combination, {"minimum": "128M", "maximum": "704M", "automatic": False},
                  size="320M", append=EARLY + " memhp_default_state=online",
                  disks=[{"controller": 0, "lun": 1, "path": str(path), "format": "raw"}])
    began = total(guest)
    for _ in range(2):
        daemon.vmctl("set", "guest", "--memory", "600M")
        rests_at(daemon, 600)
        has = total(guest)
        check(has > began + 240 * MIB, f"the guest has {has} bytes, and began with {began}")
        guest.run("mount -t tmpfs -o size=90% tmpfs /mnt; fallocate -l 400M /mnt/much && "
                  "head -c 8M /dev/urandom >/run/kept && cp /run/kept /mnt/kept && "
                  "cmp /run/kept /mnt/kept && rm /mnt/much")
        guest.run("echo always >/sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null; "
                  "fio --name=r --filename=$(lun 1) --direct=1 --ioengine=psync --rw=read "
                  "--bs=256m --size=256m --mem=mmap >/run/fio || { cat /run/fio; false; }",
                  timeout=300)
        before = resident(guest)
        daemon.vmctl("set", "guest", "--memory", "320M")
        rests_at(daemon, 320)
        squeezed = resident(guest)
        check(before - squeezed > 150 * MIB, f"the host got {before} - {squeezed} bytes back")
        faults = guest.run("dmesg --color=never | "
                           "grep -E 'Bad page|BUG|Call Trace|I/O error' || true")
        check(not faults, faults)
        guest.send("reboot -f")
        guest.ready()
        check(total(guest) == began, f"{total(guest)} bytes after the reboot, not {began}")
        wait_for(daemon, "the guest's driver", lambda now: now["state"] == "resting")


# Takes memory a piece at a time, for as long as the file is there, and keeps some of it free.
GREED = """
mount -t tmpfs -o size=8G tmpfs /mnt; touch /run/greedy
(while [ -e /run/greedy ]; do
	[ "$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)" -lt 40000 ] && { sleep 0.5; continue; }
	fallocate -l 16M /mnt/$((i = i + 1))
done) >/dev/null 2>&1 &
"""


def memory_is_shared(daemon, combination):
    """Two guests that could have more together than the host has: both want all there is, then one."""
    with open("/proc/meminfo") as lines:
        host = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines}
    most = (host["MemAvailable"] * 2 // 3) // (128 * MIB) * 128 * MIB
    names = ("one", "other")
    guests = [Guest(daemon, name=name, append=EARLY + " memhp_default_state=online",
                    memory={"size": "256M", "dynamic": {"minimum": "128M", "maximum": most, "buffer": 50}},
                    **combination).boot() for name in names]
    for guest in guests:
        guest.run(GREED)

    def assigned():
        return [memory(daemon, name)["assigned"] for name in names]

    def wait_for_both(condition, seconds, what):
        try:
            Daemon.wait_until(lambda: condition(*assigned()), seconds, what)
        except Timeout as timeout:
            raise Timeout(f"{timeout}: {[memory(daemon, name) for name in names]}") from None

    def pressures():
        told = [memory(daemon, name) for name in names]
        return [guest["demand"] / guest["assigned"] for guest in told]

    # The host has enough for neither to get all: each gets its part, and lacks as much of it as the other. One
    # that was quicker may have more.
    floor = most // 2
    wait_for_both(lambda one, other: min(one, other) > floor, TIMEOUT * 4, f"both guests to get {floor} bytes")
    wait_for_both(lambda one, other: max(pressures()) - min(pressures()) < 0.1, TIMEOUT,
                  "both guests to be under the same pressure")
    before = assigned()
    check(max(before) < most, f"the guests have {before} of {most} each, and the host {host['MemTotal']} in all")
    guests[0].run("rm /run/greedy; sleep 1; rm -f /mnt/*")
    wait_for_both(lambda one, other: one < before[0] - 200 * MIB and other > before[1] + 100 * MIB, TIMEOUT * 2,
                  "the guest under pressure to get what the other does not need any more")
    for guest in guests:
        faults = guest.run("dmesg --color=never | grep -E 'Bad page|BUG|Call Trace|Out of memory' || true")
        check(not faults, f"{guest.name}: {faults}")


# Whether KVM passes extended hypercalls on: since Linux 6.3.
FORWARDS = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 3)


def free_pages_are_reported(daemon, combination):
    """The host has back what the guest has no use for, with no balloon, and while the guest uses and
    frees memory and verifies what it writes to its disk, neither suffers. A guest whose KVM keeps
    extended hypercalls to itself is not told that there are any."""
    path = SCRATCH / "data.raw"
    with open(path, "wb") as file:
        file.truncate(32 * MIB)
    guest = boots(daemon, combination, {"minimum": "128M", "automatic": False},
                  disks=[{"controller": 0, "lun": 1, "path": str(path), "format": "raw"}])
    offered = combination["engine"] == "user-space" or FORWARDS
    state = json.loads(daemon.vmctl("show", "--cpu", "guest", "--json").stdout)["enlightenments"]["free_page_reporting"]
    check(state == ("on" if offered else "not-offered"), state)
    told = guest.run("dmesg --color=never | grep -i 'cold memory discard' || true")
    check(("enabled" in told) == offered, told)
    if not offered:
        return
    guest.run("mount -t tmpfs -o size=90% tmpfs /mnt; head -c 16M /dev/urandom >/mnt/kept; "
              "md5sum /mnt/kept >/run/kept.md5; set -- 1\n" + VERIFY)
    for _ in range(3):
        guest.run("fallocate -l 280M /mnt/used")
        full = resident(guest)
        # Linux reports pieces of 2 MiB, and fio has left its own between those of the file.
        guest.run("rm /mnt/used; echo 1 >/proc/sys/vm/compact_memory")
        Daemon.wait_until(lambda: full - resident(guest) > 150 * MIB, TIMEOUT, "the host to have 150 MiB back")
    check(memory(daemon)["assigned"] == 512 * MIB, memory(daemon))
    check_data("kept" in guest.run(CHECK), "the data in memory are not what they were")
    output = guest.run("rm /run/going; while [ ! -e /run/over ]; do sleep 0.1; done; "
                       "cat /run/rounds; [ ! -e /run/failed ] || cat /run/fio", timeout=300)
    check("round" in output and "fio" not in output, output)
    faults = guest.run("dmesg --color=never | grep -E 'Bad page|BUG|Call Trace|I/O error|hypercall failed' || true")
    check(not faults, faults)


# Whose in-kernel half takes a newer host than the lab's is run on one, too.
OF_NEWER_HOSTS = [free_pages_are_reported]

OF_THE_ENGINE = [free_pages_are_reported]

ALL = [squeezed_under_io, memory_is_added, memory_is_shared, free_pages_are_reported]
