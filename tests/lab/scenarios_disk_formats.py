# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hyper-V's formats of disks under a stock guest that writes, reads again what it wrote, and trims.

What comes of it is judged by the guest's checksums, by `vmctl disk check` and by a program that is not ours.
"""

import hashlib
import json
import subprocess

from harness import SCRATCH, Guest, check, check_data
from scenarios_storage import sparse_disk

MEGABYTE = 1 << 20
DISK_SIZE = 64   # MiB
LARGER = 96      # MiB
DYNAMIC, CHILD, VHD, RAW = 1, 2, 3, 4  # where they are attached

# Pieces of many sizes at random places: blocks of 1 MiB come to be in another order than that of the disk, and
# parts of them stay the parent's. Another seed is another order.
FIO = """
for disk in $(lun %(dynamic)d) $(lun %(child)d) $(lun %(vhd)d); do
    fio --name=v-${disk##*/} --filename=$disk --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \\
        --bsrange=512-128k --bs_unaligned=0 --size=%(size)dm --verify=crc32c --verify_fatal=1 --do_verify=1 \\
        --randseed=%(seed)d --output-format=terse >/tmp/fio-${disk##*/} 2>&1 &
    jobs="$jobs $!:$disk"
done
for job in $jobs; do
    wait ${job%%%%:*} && echo verified || { cat /tmp/fio-${job##*/}; exit 1; }
done
dmesg --color=never | grep -E 'I/O error|blocked for more|stall|lockup|Call Trace' && exit 2
true
"""

# The first half goes; what was read from it before would be kept by the guest otherwise.
TRIM = """
blkdiscard --length 32MiB $(lun %d) || exit 1
sync; echo 3 >/proc/sys/vm/drop_caches
cmp --bytes=33554432 $(lun %d) /dev/zero && echo zeros
"""

# Linux looks at the size of the disk by itself, once it has been told.
GROWN = """
size() { cat /sys/block/$(basename $(lun %(lun)d))/size; }
for i in $(seq 300); do [ $(size) = %(sectors)d ] && break; sleep 0.1; done
size
dd if=/dev/urandom of=/run/end bs=1M count=1 2>/dev/null
dd if=/run/end of=$(lun %(lun)d) bs=1M seek=%(last)d oflag=direct 2>/dev/null || exit 1
dd if=$(lun %(lun)d) bs=1M skip=%(last)d iflag=direct 2>/dev/null | cmp - /run/end && echo same
sha256sum </run/end
"""

SUM = f"sync; echo 3 >/proc/sys/vm/drop_caches; head -c {DISK_SIZE << 20} $(lun %d) | sha256sum"


def disk(path, lun, image_format):
    return {"controller": 0, "lun": lun, "path": str(path), "format": image_format}


def run_fio(guest, seed, size):
    output = guest.run(FIO % {"dynamic": DYNAMIC, "child": CHILD, "vhd": VHD, "size": size, "seed": seed}, timeout=600)
    check_data(output.count("verified") == 3, output)


def make_parent(daemon):
    """A parent that has data in every other MiB. Return: its path, and a digest of the file."""
    raw, parent = SCRATCH / "parent.raw", SCRATCH / "parent.vhdx"
    with open(raw, "wb") as file:
        for number in range(0, DISK_SIZE, 2):
            file.seek(number * MEGABYTE)
            file.write(bytes([number + 1]) * MEGABYTE)
        file.truncate(DISK_SIZE * MEGABYTE)
    daemon.vmctl("disk", "convert", raw, parent, "--block-size", "1M")
    return parent, hashlib.sha256(parent.read_bytes()).digest()


def make_disks(daemon, parent):
    """A dynamic and a differencing VHDX of ours, and a dynamic VHD of a program that is not."""
    dynamic, child, vhd = (SCRATCH / name for name in ("dynamic.vhdx", "child.vhdx", "dynamic.vhd"))
    daemon.vmctl("disk", "create", dynamic, f"{DISK_SIZE}M", "--block-size", "1M")
    daemon.vmctl("disk", "create", child, "--parent", parent, "--block-size", "1M")
    subprocess.run(["qemu-img", "create", "-q", "-f", "vpc", "-o", "force_size=on", vhd, f"{DISK_SIZE}M"], check=True)
    return {DYNAMIC: dynamic, CHILD: child, VHD: vhd}


def check_images(daemon, images, contents):
    """They are whole, and hold what the guest read."""
    for lun, path in images.items():
        daemon.vmctl("disk", "check", path)
        raw = SCRATCH / "content.raw"
        if lun == CHILD:  # of which others know nothing
            raw.unlink(missing_ok=True)
            daemon.vmctl("disk", "convert", path, raw)
        else:
            subprocess.run(["qemu-img", "convert", "-f", "vpc" if lun == VHD else "vhdx", "-O", "raw", path, raw],
                           check=True)
        found = hashlib.sha256(raw.read_bytes()).hexdigest()
        check_data(found == contents[lun], f"{path} does not hold what the guest read")


def taken(path):
    return path.stat().st_blocks * 512


def trim_gives_space_back(guest, images):
    before = taken(images[DYNAMIC])
    output = guest.run(TRIM % (DYNAMIC, DYNAMIC), timeout=120)
    check_data("zeros" in output, output)
    after = taken(images[DYNAMIC])
    check(before - after > 24 * MEGABYTE, f"a trim of 32 MiB took the file from {before} bytes to {after}")


def sums(guest):
    return {lun: guest.run(SUM % lun, timeout=120).split()[0] for lun in (DYNAMIC, CHILD, VHD)}


def disks_of_hyper_v(daemon, combination):
    """Written by fio with verification, trimmed, written again, made larger; the parent stays as it is."""
    parent, digest = make_parent(daemon)
    images = make_disks(daemon, parent)
    raw = sparse_disk("grows.raw", DISK_SIZE)
    guest = Guest(daemon, disks=[disk(path, lun, "vhd" if lun == VHD else "vhdx") for lun, path in images.items()] +
                  [disk(raw, RAW, "raw")], append="root=LABEL=root", **combination).boot()
    made_larger_while_it_runs(daemon, guest, raw)
    run_fio(guest, seed=1, size=40)
    trim_gives_space_back(guest, images)
    run_fio(guest, seed=2, size=16)
    contents = sums(guest)
    daemon.vmctl("stop", "guest")
    guest.wait_state("off")
    check_images(daemon, images, contents)
    check_data(hashlib.sha256(parent.read_bytes()).digest() == digest, "the parent was written")
    made_larger(daemon, guest, images, contents)


def made_larger_while_it_runs(daemon, guest, raw):
    """The guest finds that by itself, and writes where there was nothing before."""
    daemon.vmctl("disk", "resize", raw, f"{LARGER}M")
    output = guest.run(GROWN % {"lun": RAW, "sectors": LARGER * MEGABYTE // 512, "last": LARGER - 1}, timeout=120)
    size, same, digest = output.split()[:3]
    check(int(size) * 512 == LARGER * MEGABYTE, f"the guest found {size} sectors")
    check_data(same == "same", output)
    with open(raw, "rb") as file:
        file.seek((LARGER - 1) * MEGABYTE)
        check_data(hashlib.sha256(file.read()).hexdigest() == digest, "the end of the file is not what was written")


def made_larger(daemon, guest, images, contents):
    """The guest finds the new size, and what it wrote before."""
    daemon.vmctl("disk", "resize", images[DYNAMIC], f"{LARGER}M")
    check(json.loads(daemon.vmctl("disk", "info", images[DYNAMIC], "--json").stdout)["size"] == LARGER * MEGABYTE,
          "info does not tell of the new size")
    guest.boot()
    size = int(guest.run(f"cat /sys/block/$(basename $(lun {DYNAMIC}))/size"))
    check(size * 512 == LARGER * MEGABYTE, f"the guest found {size} sectors")
    check_data(sums(guest) == contents, "the guest reads other data than before")
    daemon.vmctl("stop", "guest")


ALL = [disks_of_hyper_v]
