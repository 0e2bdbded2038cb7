# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backups of stock guests that run."""

import json
import re

from harness import SCRATCH, Daemon, Failure, Guest, Timeout, check, check_data
from scenarios_services import start_guest_daemons
from scenarios_state import FIND_DATA, FIO_VERIFY, TICKER, complaints

FOLDER = SCRATCH / "backups"


def back_up(daemon, *words, check=True):
    return daemon.vmctl("backup", "guest", "--to", FOLDER, "--json", *words, timeout=300, check=check)


def back_up_when_it_can(daemon):
    """Once the guest's service for freezing is there."""
    refused = ""

    def made():
        nonlocal refused
        refused = back_up(daemon, check=False).stderr
        return not refused

    try:
        Daemon.wait_until(made, 120, "a backup")
    except Timeout as error:
        raise Failure(f"{error}: {refused}") from None


def points():
    return [json.loads(path.read_text())
            for path in sorted(FOLDER.glob("*.json"), key=lambda path: int(path.stem))]


def restored(daemon, point, lun):
    path = SCRATCH / f"restored-{point}-{lun}.raw"
    daemon.vmctl("restore", FOLDER, path, "--disk", f"0:{lun}", "--point", point, timeout=300)
    return path


def backup_of_running(daemon, combination):
    """All, and what has changed, in the middle of I/O that all comes through; restored, it is what the disk
    is, and the root file system is one that was frozen."""
    data = SCRATCH / "data.raw"
    with open(data, "wb") as file:
        file.truncate(64 << 20)
    guest = Guest(daemon, **combination)
    daemon.vmctl("attach", "guest", data, "--controller", 0, "--lun", 1, "--format", "raw")
    guest.boot()
    start_guest_daemons(guest)
    guest.run("echo before >/root/mark")
    back_up_when_it_can(daemon)
    begun = guest.offset

    def back_up_again_and_again():
        while "vmms-test: exit" not in guest.text[begun:] and len(points()) < 5:
            back_up(daemon)

    output = guest.run(FIND_DATA + TICKER + FIO_VERIFY + "kill $ticker; wc -l </tmp/ticks", timeout=600,
                       meanwhile=back_up_again_and_again)
    check_data("verified" in output, output)
    guest.run("echo after >/root/mark")
    back_up(daemon)
    made = points()
    check(len(made) > 2, f"fio ended after {len(made)} points")
    check({point["consistency"] for point in made} == {"production"}, made)
    check(all(disk["full"] for disk in made[0]["disks"]), made[0])
    check(not any(disk["full"] for point in made[1:] for disk in point["disks"]), made)
    check(not complaints(guest), complaints(guest))
    check(daemon.show("guest")["guest"]["file_systems"] == "running", "it is still frozen")
    guest.run("echo later >/root/mark && sync")
    daemon.vmctl("stop", "guest")
    guest.wait_state("off")
    daemon.vmctl("backup", "verify", FOLDER, timeout=300)
    last = made[-1]["number"]
    check_data(restored(daemon, last, 1).read_bytes() == data.read_bytes(), "the data disk is another")
    root = restored(daemon, last, 0)
    daemon.vmctl("detach", "guest", "--controller", 0, "--lun", 0)
    daemon.vmctl("attach", "guest", root, "--controller", 0, "--lun", 0, "--format", "raw")
    guest.boot()
    check_data(guest.run("cat /root/mark").strip() == "after", "the backup has another file")
    check(not re.search("recovering journal|orphan cleanup|EXT4-fs error", guest.run("dmesg")),
          "the file system was not frozen in the backup")


ALL = [backup_of_running]
