# SPDX-License-Identifier: LGPL-2.1-or-later
"""Storage controllers and disks, as a stock guest and a conformance suite find them."""

import hashlib
import pathlib
import shutil
import subprocess
import sys
import time

from harness import SCRATCH, TREE, Guest, check, check_data

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


# What fio finds as it wrote it, with a hole in it, and more behind.
USE_DISK = """
d=$(lun %d); [ -b "$d" ] || exit 1
fio --name=d --filename=$d --direct=1 --rw=randrw --bs=4k --size=24m --io_size=24m --iodepth=8 --ioengine=libaio \
	--verify=crc32c --do_verify=1 --verify_fatal=1 >/tmp/fio 2>&1 || { cat /tmp/fio; exit 1; }
blkdiscard -o 4M -l 8M $d || exit 1
dd if=/dev/urandom of=$d bs=1M seek=30 count=2 oflag=direct 2>/dev/null
sync; sha256sum <$d
"""


def disks_of_hyper_v(daemon, combination):
    """On dynamic and differencing VHDX, and on VHD: what is written is found again, by others too; trimmed, checked,
    and made larger."""
    files = {1: SCRATCH / "dynamic.vhdx", 2: SCRATCH / "dynamic.vhd", 3: SCRATCH / "child.vhdx"}
    daemon.vmctl("disk", "create", files[1], "64M", "--block-size", "2M")
    subprocess.run(["qemu-img", "create", "-q", "-f", "vpc", "-o", "force_size", files[2], "64M"], check=True)
    daemon.vmctl("disk", "create", SCRATCH / "parent.vhdx", "64M", "--block-size", "1M")
    daemon.vmctl("disk", "create", files[3], "--parent", SCRATCH / "parent.vhdx")
    guest = Guest(daemon, append="root=LABEL=root",
                  disks=[{"controller": 0, "lun": lun, "path": str(file), "format": file.suffix[1:]}
                         for lun, file in files.items()], **combination).boot()
    sums = {lun: guest.run(USE_DISK % lun, timeout=300).split()[0] for lun in files}
    check(not guest.run("dmesg --color=never | grep -E 'I/O error|Call Trace' || true"), "the kernel complains")
    daemon.vmctl("stop", "guest")
    guest.wait_state("off")
    for lun, file in files.items():
        if lun == 1:  # of a child, or of VHD, there is no check
            daemon.vmctl("disk", "check", file)
        copy = SCRATCH / f"copy-{lun}.raw"
        if lun != 3:  # QEMU knows no parents of VHDX
            subprocess.run(["qemu-img", "convert", "-f", {".vhd": "vpc"}.get(file.suffix, "vhdx"), "-O", "raw",
                            file, copy], check=True)
            with open(copy, "rb") as stream:
                found = hashlib.sha256(stream.read(64 << 20)).hexdigest()
            check_data(found == sums[lun], f"QEMU finds something else in {file}")
    daemon.vmctl("disk", "resize", files[1], "96M")
    guest.boot()
    check(guest.run("blockdev --getsize64 $(lun 1)").strip() == str(96 << 20), "the guest has another size")
    for lun in files:
        found = guest.run(f"dd if=$(lun {lun}) bs=1M count=64 2>/dev/null | sha256sum").split()[0]
        check_data(found == sums[lun], f"something else is in {files[lun]}")


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
AT_LENGTH = [scsi_conformance_all, disks_of_hyper_v]
