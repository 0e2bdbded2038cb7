# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checkpoints of stock guests that run."""

import json
import re
import time

from harness import SCRATCH, Daemon, Failure, Guest, Timeout, check, check_data
from scenarios_services import start_guest_daemons
from scenarios_state import FIND_DATA, FIO_VERIFY, TICKER, complaints


def as_vhdx(daemon, raw, block="2M"):
    """The same disk as a dynamic VHDX."""
    path = raw.with_suffix(".vhdx")
    daemon.vmctl("disk", "convert", raw, path, "--format", "vhdx", "--block-size", block, timeout=300)
    raw.unlink()
    return path


def guest_on_vhdx(daemon, combination):
    """With its root file system, and a disk for data, on VHDX images."""
    guest = Guest(daemon, **combination)
    root = as_vhdx(daemon, guest.root)
    daemon.vmctl("detach", "guest", "--controller", 0, "--lun", 0)
    daemon.vmctl("attach", "guest", root, "--controller", 0, "--lun", 0, "--format", "vhdx")
    data = SCRATCH / "data.vhdx"
    daemon.vmctl("disk", "create", data, "64M", "--block-size", "1M")
    daemon.vmctl("attach", "guest", data, "--controller", 0, "--lun", 1, "--format", "vhdx")
    return guest


def checkpoints(daemon):
    return json.loads(daemon.vmctl("checkpoint", "list", "guest", "--json").stdout)["checkpoints"]


def create_when_it_can(daemon, *words):
    """Once the guest's service for freezing is there."""
    refused = ""

    def made():
        nonlocal refused
        refused = daemon.vmctl("checkpoint", "create", "guest", *words, check=False).stderr
        return not refused

    try:
        Daemon.wait_until(made, 120, "a checkpoint")
    except Timeout as error:
        raise Failure(f"{error}: {refused}") from None


def checkpoint_of_running(daemon, combination):
    """Made in the middle of I/O, which all comes through; a guest whose services freeze it is taken back to a
    clean file system."""
    guest = guest_on_vhdx(daemon, combination).boot()
    start_guest_daemons(guest)
    guest.run("echo before >/root/mark")
    create_when_it_can(daemon, "--name", "first", "--type", "production-only")
    guest.run("echo after >/root/mark && sync")
    begun = guest.offset

    def make_again_and_again():
        while "vmms-test: exit" not in guest.text[begun:] and len(checkpoints(daemon)) < 6:
            daemon.vmctl("checkpoint", "create", "guest")

    output = guest.run(FIND_DATA + TICKER + FIO_VERIFY + "kill $ticker; wc -l </tmp/ticks",
                       timeout=600, meanwhile=make_again_and_again)
    check_data("verified" in output, output)
    made = checkpoints(daemon)
    check(len(made) > 2, f"fio ended after {len(made)} checkpoints")
    check({point["type"] for point in made} == {"production"}, made)
    check(not complaints(guest), complaints(guest))
    check(daemon.show("guest")["guest"]["file_systems"] == "running", "it is still frozen")
    daemon.vmctl("stop", "guest")
    guest.wait_state("off")
    daemon.vmctl("checkpoint", "apply", "guest", "first", "--discard")
    guest.boot()
    check_data(guest.run("cat /root/mark").strip() == "before", "the checkpoint has another file")
    check(not re.search("recovering journal|orphan cleanup|EXT4-fs error", guest.run("dmesg")),
          "the file system was not frozen in the checkpoint")


def checkpoint_with_memory(daemon, combination):
    """Made in the middle of I/O, which goes on after a pause; and goes on from there again when it is applied, on
    what the disks held then: fio finds what it had written."""
    guest = guest_on_vhdx(daemon, combination).boot()
    begun = guest.offset

    def make_some():
        while "vmms-test: exit" not in guest.text[begun:] and len(checkpoints(daemon)) < 3:
            daemon.vmctl("checkpoint", "create", "guest", "--type", "standard", timeout=300)
            time.sleep(1)

    output = guest.run(FIND_DATA + TICKER + FIO_VERIFY + "kill $ticker; wc -l </tmp/ticks",
                       timeout=600, meanwhile=make_some)
    check_data("verified" in output, output)
    made = checkpoints(daemon)
    check(made and {point["type"] for point in made} == {"standard"}, made)
    check(not complaints(guest), complaints(guest))
    # As often as that is wanted; the last may have been made when fio was over.
    for _ in range(2):
        daemon.vmctl("stop", "guest")
        guest.wait_state("off")
        daemon.vmctl("checkpoint", "apply", "guest", made[0]["id"], "--discard")
        check(guest.state() == "saved", guest.state())
        daemon.vmctl("start", "guest", timeout=300)
        # The script that ran then comes to its end once more.
        output = guest.expect(r"^((?:.*\n)*?)vmms-test: exit (\d+)\nvmms-test: ready$", 600)
        check_data("verified" in output.group(1) and output.group(2) == "0", output.group(0))
        check("crng reseeded" in guest.run("dmesg"), "the guest does not know that it is another")
        check(not complaints(guest), complaints(guest))
    daemon.vmctl("stop", "guest")
    guest.wait_state("off")
    for point in made:
        daemon.vmctl("checkpoint", "delete", "guest", point["id"])
    guest.boot()


def checkpoint_merged(daemon, combination):
    """Made and deleted in the middle of I/O; when the guest is off its disks are the files that it began with, and
    have all that it has written."""
    guest = guest_on_vhdx(daemon, combination)
    before = [disk["path"] for disk in daemon.show("guest")["definition"]["disks"]]
    guest.boot()
    begun = guest.offset

    def make_and_delete():
        made = 0
        while "vmms-test: exit" not in guest.text[begun:] and made < 6:
            # Where the lab's own disk is slow to answer, it is refused, and tried again.
            if daemon.vmctl("checkpoint", "create", "guest", check=False).returncode != 0:
                continue
            made += 1
            if made % 2 == 0:
                daemon.vmctl("checkpoint", "delete", "guest", checkpoints(daemon)[made // 4]["id"])
        check(made > 2, f"fio ended after {made} checkpoints")

    write_root = "mount -o remount,rw / && dd if=/dev/urandom of=/root/random bs=4k count=2000 && sync"
    output = guest.run(FIND_DATA + FIO_VERIFY + write_root, timeout=600, meanwhile=make_and_delete)
    check_data("verified" in output, output)
    check(not complaints(guest), complaints(guest))
    sums = "sha256sum $(find_data) /root/random | cut -d' ' -f1"
    expected = guest.run(FIND_DATA + sums)
    for point in checkpoints(daemon):
        daemon.vmctl("checkpoint", "delete", "guest", point["id"])
    guest.run("sync")
    daemon.vmctl("stop", "guest")
    guest.wait_state("off")

    def paths():
        return [disk["path"] for disk in daemon.show("guest")["definition"]["disks"]]

    Daemon.wait_until(lambda: paths() == before, 120, "the disks that it began with")
    for path in before:
        daemon.vmctl("disk", "check", path)
    guest.boot()
    check_data(guest.run(FIND_DATA + sums) == expected, "the merged disks have something else")
    check(not re.search("EXT4-fs error|corrupt", guest.run("dmesg")), "the file system is damaged")


ALL = [checkpoint_of_running]
AT_LENGTH = [checkpoint_merged, checkpoint_with_memory]
