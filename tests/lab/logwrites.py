# SPDX-License-Identifier: LGPL-2.1-or-later
"""A device whose writes are logged (dm-log-writes), and the check of what its flushes promise.

The guest writes rounds of numbered blocks. Each round ends with a commit record that names the
round, and is written after a flush of the round's blocks, followed by a flush of its own. So at
any moment: if the device holds the commit record of round n, it holds every block of rounds up to
n. The log is replayed onto an empty device, and that is checked at every flush and FUA mark.

The log's format is that of drivers/md/dm-log-writes.c: a superblock, then for each write a header
of one sector, followed by its data.
"""

import os
import pathlib
import struct
import subprocess

from harness import Failure, check

SECTOR = 512
BLOCK = 4096
BLOCKS = 8        # a round
ROUNDS = 24
SIZE = 8 << 20

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4

# Block b of round n holds the text "round n block b", repeated. The commit record is block 0.
GUEST_SCRIPT = f"""
disk=$(lun 1)
round=1
while [ $round -le {ROUNDS} ]; do
	block=0
	while [ $block -lt {BLOCKS} ]; do
		yes "round $round block $block" | head -c {BLOCK} |
			dd of=$disk bs={BLOCK} seek=$((1 + (round - 1) * {BLOCKS} + block)) \\
				conv=notrunc,fsync oflag=direct 2>/dev/null || exit 1
		block=$((block + 1))
	done
	sync $disk
	yes "commit $round" | head -c {BLOCK} |
		dd of=$disk bs={BLOCK} conv=notrunc,fsync oflag=direct 2>/dev/null || exit 1
	sync $disk
	round=$((round + 1))
done
"""


def pattern(text):
    line = (text + "\n").encode()
    return (line * (BLOCK // len(line) + 1))[:BLOCK]


# Without udev, dmsetup makes the device node itself.
DMSETUP = {**os.environ, "DM_DISABLE_UDEV": "1"}


class Device:
    """/dev/mapper/… over two loop devices: the data, and the log."""

    def __init__(self, directory):
        self.files = {name: pathlib.Path(directory) / f"{name}.raw" for name in ("data", "log")}
        self.loops = {}
        self.path = "/dev/mapper/vmms-log-writes"

    def __enter__(self):
        for name, size in (("data", SIZE), ("log", 16 * SIZE)):
            with open(self.files[name], "wb") as file:
                file.truncate(size)
            self.loops[name] = subprocess.run(
                ["losetup", "--find", "--show", self.files[name]],
                check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(["modprobe", "dm-log-writes"], check=True)
        subprocess.run(["dmsetup", "create", "vmms-log-writes", "--table",
                        f"0 {SIZE // SECTOR} log-writes {self.loops['data']} {self.loops['log']}"],
                       check=True, env=DMSETUP)
        return self

    def __exit__(self, *_):
        self.remove()
        for loop in self.loops.values():
            subprocess.run(["losetup", "--detach", loop], check=False)

    def remove(self):
        subprocess.run(["dmsetup", "remove", "--retry", "vmms-log-writes"], check=False,
                       stderr=subprocess.DEVNULL, env=DMSETUP)

    def verify(self):
        """Replays the log; returns the number of flush and FUA marks at which all was well."""
        self.remove()
        subprocess.run(["blockdev", "--flushbufs", self.loops["log"]], check=True)
        device, marks = bytearray(SIZE), 0
        for flags, sector, data in entries(open(self.loops["log"], "rb")):
            if flags & FLUSH:  # what came before the flush is durable: look before applying more
                verify_image(device)
                marks += 1
            if flags & DISCARD:
                continue
            device[sector * SECTOR:sector * SECTOR + len(data)] = data
            if flags & FUA:
                verify_image(device)
                marks += 1
        check(committed(device) == ROUNDS, f"the last commit is {committed(device)}")
        return marks


def entries(log):
    """The (flags, sector, data) of the log, in order."""
    magic, version, count, size = struct.unpack("<QQQI", log.read(28))
    check(magic == MAGIC and version == 1, "not a log of dm-log-writes")
    position = size
    for _ in range(count):
        log.seek(position)
        sector, sectors, flags, data_size = struct.unpack("<QQQQ", log.read(32))
        position += size
        data = b""
        if not flags & DISCARD and sectors:
            log.seek(position)
            data = log.read(sectors * size)
            position += sectors * size
        yield flags, sector * size // SECTOR, data


def committed(device):
    """The round that the commit record names; 0 for none."""
    words = bytes(device[:64]).split(b"\n", 1)[0].split()
    return int(words[1]) if len(words) == 2 and words[0] == b"commit" else 0


def verify_image(device):
    last = committed(device)
    for round_ in range(1, last + 1):
        for block in range(BLOCKS):
            offset = BLOCK * (1 + (round_ - 1) * BLOCKS + block)
            if device[offset:offset + BLOCK] != pattern(f"round {round_} block {block}"):
                raise Failure(f"commit {last} is on the device, but not block {block} of "
                              f"round {round_}")
