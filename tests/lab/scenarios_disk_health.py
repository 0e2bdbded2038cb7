# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks in trouble under a stock guest that writes: a full file system of the host, image servers that die."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

from harness import SCRATCH, Daemon, Guest, check
from scenarios_storage import sparse_disk

MEGABYTE = 1 << 20
DISK_SIZE = 64 * MEGABYTE
FILE_SYSTEM_SIZE = 64  # MiB
ROOM = 3 * MEGABYTE    # what a full file system has left at first: some of what fio writes
RESTARTS = 5           # times in a row that an image server is started again (vmms/vm/vm_restart.c)

FIO = """
fio --name=v --filename=$(lun 1) --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bs=4k \\
    --size=8m --verify=crc32c --verify_fatal=1 --do_verify=1 --output-format=terse \\
    >/tmp/fio 2>&1 || { cat /tmp/fio; exit 1; }
dmesg --color=never | grep -E 'I/O error|blocked for more|stall|lockup' && exit 2
echo verified
"""


def disk(path, lun=1, **more):
    return {"controller": 0, "lun": lun, "path": str(path), "format": "raw", **more}


def disk_shown(daemon, lun):
    return next(disk for disk in daemon.show("guest")["disks"] if disk["lun"] == lun)


def log(daemon):
    return daemon.vmctl("log", "guest").stdout


def is_done(guest, begun):
    return "vmms-test: exit" in guest.text[begun:]


# ---- A full file system ----

@contextlib.contextmanager
def full_file_system():
    """A file system of its own for an image, and what fills it. Gives the paths of both."""
    image, folder = sparse_disk("full.ext4", FILE_SYSTEM_SIZE), SCRATCH / "full"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", image], check=True)
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        path, filler = folder / "data.raw", folder / "filler"
        with open(path, "wb") as file:
            file.truncate(DISK_SIZE)
        room = os.statvfs(folder)
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - ROOM)
        yield path, filler
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)


def full_host_file_system(daemon, combination):
    """The guest waits while there is no room for what it writes, and never hears of that."""
    with full_file_system() as (path, filler):
        guest = Guest(daemon, disks=[disk(path)], append="root=LABEL=root", **combination).boot()
        begun = guest.offset

        def waits_for_room():
            guest.wait_state("paused")
            check("no room" in daemon.show("guest")["reason"], daemon.show("guest")["reason"])
            check(disk_shown(daemon, 1)["health"] == "full", disk_shown(daemon, 1))
            check("the host's file system is full" in daemon.vmctl("show", "guest").stdout, "show does not say why")
            time.sleep(3)  # longer than it takes to try again
            check(guest.state() == "paused" and not is_done(guest, begun), "it did not wait for room")
            filler.unlink()
            guest.wait_state("running")

        output = guest.run(FIO, timeout=300, meanwhile=waits_for_room)
        check("verified" in output, output)
        check(disk_shown(daemon, 1)["health"] == "ok", disk_shown(daemon, 1))
        check("all requests are carried out again" in log(daemon), log(daemon))
        daemon.vmctl("stop", "guest")


# ---- Image servers ----

def qcow2(name):
    """An image with all its tables: else a server that is killed takes those with it that no flush has written,
    as a disk does that loses its power."""
    path = SCRATCH / name
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", path,
                    str(DISK_SIZE)], check=True)
    return path


def written(process):
    """Bytes, as long as it lives."""
    text = pathlib.Path(f"/proc/{process}/io").read_text()
    return int(text.split("write_bytes: ")[1].split()[0])


def image_server_is_killed(daemon, combination):
    """In the middle of I/O, twice: another takes its place, and the guest sees no more than a delay."""
    path = qcow2("killed.qcow2")
    guest = Guest(daemon, disks=[disk(path, format="qcow2", iops=400)], append="root=LABEL=root",
                  **combination).boot()
    begun = guest.offset

    def kill_twice():
        for times in (1, 2):
            server = disk_shown(daemon, 1)["server"]
            Daemon.wait_until(lambda: written(server) > MEGABYTE // 2, 60, "fio to write")
            check(not is_done(guest, begun), "fio was over before a server was killed")
            os.kill(server, signal.SIGKILL)
            Daemon.wait_until(lambda: f"started again, for the {times}. time" in log(daemon), 60, "another server")
            check(disk_shown(daemon, 1)["server"] != server, disk_shown(daemon, 1))

    output = guest.run(FIO, timeout=300, meanwhile=kill_twice)
    check("verified" in output, output)
    check(disk_shown(daemon, 1)["health"] == "ok", disk_shown(daemon, 1))
    check(guest.state() == "running", guest.state())
    daemon.vmctl("stop", "guest")
    checked = subprocess.run(["qemu-img", "check", path], capture_output=True, text=True)
    check(checked.returncode == 0, f"qemu-img check: {checked.stdout}{checked.stderr}")


def kill_until_given_up(daemon, luns):
    """Return: the processes that served each disk."""
    killed = {lun: set() for lun in luns}

    def all_are_lost():
        shown = {lun: disk_shown(daemon, lun) for lun in luns}
        for lun in luns:
            server = shown[lun].get("server")
            if server and server not in killed[lun] and shown[lun]["health"] != "no-server":
                os.kill(server, signal.SIGKILL)
                killed[lun].add(server)
        return all(shown[lun]["health"] == "lost" for lun in luns)

    Daemon.wait_until(all_are_lost, 200, "the servers to be given up")
    return killed


def image_server_dies_for_good(daemon, combination):
    """It is started again so many times; then the disk fails, and what comes of that is as defined for it."""
    guest = Guest(daemon, disks=[disk(qcow2("told.qcow2"), 1, format="qcow2"),
                                 disk(qcow2("stop.qcow2"), 2, format="qcow2", on_error="stop")],
                  append="root=LABEL=root", **combination).boot()
    killed = kill_until_given_up(daemon, (1, 2))
    check([len(servers) for servers in killed.values()] == [1 + RESTARTS] * 2, f"servers: {killed}")
    check(log(daemon).count("has ended too often") == 2, log(daemon))
    check("ended for good" in daemon.vmctl("show", "guest").stdout, "show does not say so")
    output = guest.run("dd if=$(lun 1) of=/dev/null bs=4k count=1 iflag=direct 2>&1", expect_status=1)
    check("error reading" in output, output)
    check(guest.run("dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; echo $?").strip() == "0",
          "its other disks failed too")
    check(guest.state() == "running", guest.state())
    guest.send("dd if=$(lun 2) of=/dev/null bs=4k count=1 iflag=direct")
    guest.wait_state("off")
    check("disk" in daemon.show("guest")["reason"], daemon.show("guest")["reason"])


ALL = [full_host_file_system]
AT_LENGTH = [image_server_is_killed, image_server_dies_for_good]
