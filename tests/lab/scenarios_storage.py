# SPDX-License-Identifier: LGPL-2.1-or-later
"""Storage controllers and disks, as a stock guest and a conformance suite find them."""

import pathlib
import shutil
import sys
import time

from harness import SCRATCH, TREE, Guest, check

sys.path.append(str(TREE / "tests/conformance"))
import families  # noqa: E402  (it lies elsewhere in the tree)

STORM = 20
CONTROLLERS = (1, 2, 3)


def sparse_disk(name, megabytes):
    path = SCRATCH / name
    with open(path, "wb") as file:
        file.truncate(megabytes << 20)
    return path


def storm_of_disks(daemon, combination):
    """Disks attached in turn to controllers that appear with the first of them: the guest finds all."""
    guest = Guest(daemon, append="root=LABEL=root", **combination).boot()
    for number in range(STORM):
        controller, lun = CONTROLLERS[number * len(CONTROLLERS) // STORM], number
        daemon.vmctl("attach", "guest", sparse_disk(f"storm-{number}.raw", 8), "--controller", controller,
                     "--lun", lun)
    found = guest.run(f"for i in $(seq 300); do [ $(ls /sys/block | grep -c '^sd') = {STORM + 1} ] && break; "
                      "sleep 0.1; done; ls /sys/block | grep -c '^sd'; "
                      "dmesg --color=never | grep -E 'Call Trace|BUG:|WARNING:'; true").splitlines()
    check(found == [str(STORM + 1)], f"the guest has {found}")
    for number in range(STORM):
        daemon.vmctl("detach", "guest", "--controller", CONTROLLERS[number * len(CONTROLLERS) // STORM],
                     "--lun", number)
    guest.run("for i in $(seq 300); do [ $(ls /sys/block | grep -c '^sd') = 1 ] && exit 0; sleep 0.1; done; exit 1")
    check(guest.state() == "running", guest.state())
    limits_are_felt(daemon, guest)


def limits_are_felt(daemon, guest):
    """However slow the lab is, so many requests cannot come sooner."""
    daemon.vmctl("attach", "guest", sparse_disk("limited.raw", 8), "--controller", 0, "--lun", 9, "--iops", 50)
    took = int(guest.run("for i in $(seq 300); do [ -b $(lun 9) ] && break; sleep 0.1; done; "
                         "begun=$(date +%s%N); dd if=$(lun 9) of=/dev/null bs=512 count=300 iflag=direct 2>/dev/null; "
                         "echo $((($(date +%s%N) - begun) / 1000000))"))
    check(took > 300 * 1000 // 50 * 9 // 10, f"300 requests took {took} ms with 50 a second")


# The suite comes on a disk of its own, with the libraries that the guest may not have (tests/lab/run).
SUITE = pathlib.Path("/vmms-in/conformance.raw")

RUN_FAMILY = """
mountpoint -q /mnt || mount -o ro $(lun 2) /mnt || exit 1
LD_LIBRARY_PATH=/mnt stdbuf -o0 timeout %d /mnt/iscsi-test-cu -d -n -t SCSI.%s $(lun 1) 2>&1 | tail -n 400
"""


def conformance(daemon, combination, chosen, timeout):
    check(SUITE.exists(), f"{SUITE} is missing: run this row by tests/lab/run")
    suite = SCRATCH / "conformance.raw"
    shutil.copyfile(SUITE, suite)
    guest = Guest(daemon, disks=[{"controller": 0, "lun": 1, "path": str(sparse_disk("target.raw", 64)),
                                  "format": "raw"},
                                 {"controller": 0, "lun": 2, "path": str(suite), "format": "raw",
                                  "read_only": True}],
                  append="root=LABEL=root", **combination).boot()
    wrong = []
    for family in chosen:
        begun = time.monotonic()
        output = guest.run(RUN_FAMILY % (timeout, family), timeout=timeout + 30)
        found = families.judge(family, output, "guest")
        print(f"{family}: {time.monotonic() - begun:.0f} s", flush=True)
        wrong += found + (output.splitlines()[-40:] if found else [])
    check(not wrong, "\n".join(wrong))


# What tells most in the least time; the others are in the full plan.
QUICK = ("Inquiry", "Mandatory", "ModeSense6", "ReadCapacity10", "ReadCapacity16", "ReportSupportedOpcodes",
         "Read16", "Write16", "TestUnitReady", "StartStopUnit")


def scsi_conformance(daemon, combination):
    """A suite that is not ours, by SG_IO on one of our disks: the families that take little time."""
    conformance(daemon, combination, QUICK, 60)


def scsi_conformance_all(daemon, combination):
    conformance(daemon, combination, [family for family in families.FAMILIES if family not in QUICK], 900)


ALL = [storm_of_disks, scsi_conformance]
AT_LENGTH = [scsi_conformance_all]
