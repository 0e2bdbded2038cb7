# SPDX-License-Identifier: LGPL-2.1-or-later
"""Integration services of stock guests, by their own hv_utils and Debian's hyperv-daemons."""

import hashlib
import os
import re
import subprocess
import time

from harness import BIN, SCRATCH, Daemon, Guest, check, check_data


def heartbeat(daemon, combination):
    """Seen while the guest's driver is there; without it the guest cannot be shut down either."""
    guest = Guest(daemon, modules=["hv_utils"], **combination).boot()
    Daemon.wait_until(lambda: daemon.show("guest")["heartbeat"] == "ok", 60, "heartbeat ok")
    guest.run("rmmod hv_utils")
    Daemon.wait_until(lambda: daemon.show("guest")["heartbeat"] != "ok", 60, "heartbeat lost")
    refused = daemon.vmctl("shutdown", "guest", check=False)
    check(refused.returncode and "shutdown service" in refused.stderr, f"{refused}")
    guest.run("insmod /run/vmms/modules/hv_utils.ko")
    Daemon.wait_until(lambda: daemon.show("guest")["heartbeat"] == "ok", 60, "heartbeat ok again")
    daemon.vmctl("shutdown", "guest", timeout=180)
    guest.wait_state("off", 120)


def time_is_set(daemon, combination):
    """The guest's clock is set when the service connects, and after a resume; else it is let be."""
    long_ago = 1000000000
    guest = Guest(daemon, **combination).boot()
    clock = guest.run("cd /sys/bus/vmbus; driver=drivers/hv_utils;"
                      " device=$(grep -l 9527e630 devices/*/class_id | cut -d/ -f2);"
                      f" echo $device >$driver/unbind; date -s @{long_ago} >/dev/null;"
                      " echo $device >$driver/bind;"
                      " for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1; date +%s; done")
    check(abs(int(clock.split()[-1]) - time.time()) < 30, f"not set at start: {clock}")
    clock = guest.run(f"date -s @{long_ago} >/dev/null; sleep 12; date +%s")
    check(abs(int(clock) - long_ago) < 120, f"a sample has set the clock: {clock}")
    daemon.vmctl("pause", "guest")
    daemon.vmctl("resume", "guest")
    time.sleep(2)
    clock = guest.run("date +%s; cat /sys/class/ptp/*/clock_name")
    check(abs(int(clock.split()[0]) - time.time()) < 30, f"not set after the resume: {clock}")
    check("hyperv" in clock, f"no PTP clock: {clock}")


def start_guest_daemons(guest):
    """Debian's daemons, as their units start them; the pools are on the root file system."""
    guest.run("mount -o remount,rw / && mkdir -p /var/lib/hyperv && hostname lab-guest &&"
              " echo 127.0.0.1 lab-guest >>/etc/hosts &&"
              " for daemon in kvp vss fcopy; do"
              " [ -x /usr/sbin/hv_${daemon}_daemon ] || { echo no hyperv-daemons; exit 1; };"
              " hv_${daemon}_daemon; done")


def values_of_the_guest(daemon, combination):
    """The guest tells its system and name; values pass both ways."""
    guest = Guest(daemon, **combination).boot()
    start_guest_daemons(guest)
    Daemon.wait_until(lambda: daemon.show("guest")["guest"]["os"], 120, "the guest's system")
    told = daemon.show("guest")["guest"]
    check("lab-guest" in told["host_name"], told)
    check(told["os"] == f"Debian GNU/Linux 12 ({guest.run('uname -r').strip()})", told)
    check("OSName" in daemon.vmctl("kvp", "list", "guest").stdout, "no OSName in the list")
    daemon.vmctl("kvp", "set", "guest", "k\u00f6y", "v\u00e4lue \u20ac")
    pool = guest.run("pool=/var/lib/hyperv/.kvp_pool_0; for text in 1 513; do"
                     " tail -c +$text $pool | tr '\\0' '\\n' | head -n 1; done")
    check(pool.split("\n")[:2] == ["k\u00f6y", "v\u00e4lue \u20ac"], repr(pool))
    got = daemon.vmctl("kvp", "get", "guest", "k\u00f6y", "--pool", "external").stdout
    check(got == "v\u00e4lue \u20ac\n", f"what was set is not what is got: {got!r}")
    daemon.vmctl("kvp", "delete", "guest", "k\u00f6y")
    check(daemon.vmctl("kvp", "get", "guest", "k\u00f6y", "--pool", "external",
                       check=False).returncode == 3, "it is still there")
    guest.run("{ printf color; head -c 507 /dev/zero; printf blue; head -c 2044 /dev/zero; }"
              " >/var/lib/hyperv/.kvp_pool_1")
    check(daemon.vmctl("kvp", "get", "guest", "color").stdout == "blue\n", "no value of the guest")


# A write that a frozen file system holds up, and what it says on the console when it has passed.
HELD_WRITE = "(echo x >/root/held; echo the write has passed >/dev/ttyS0) & sleep 5; echo still held"


def frozen_and_thawed(daemon, combination):
    guest = Guest(daemon, **combination).boot()
    start_guest_daemons(guest)
    Daemon.wait_until(lambda: daemon.vmctl("backup", "freeze", "guest",
                                           check=False).returncode == 0, 120, "the freeze")
    check(daemon.show("guest")["guest"]["file_systems"] == "frozen", "not shown as frozen")
    check("passed" not in guest.run(HELD_WRITE), "a frozen file system was written to")
    daemon.vmctl("backup", "thaw", "guest")
    guest.expect("the write has passed", 30)
    daemon.vmctl("backup", "freeze", "guest", "--limit", "8")
    guest.send(HELD_WRITE)
    guest.expect("the write has passed", 60)
    Daemon.wait_until(lambda: daemon.show("guest")["guest"]["file_systems"] == "running", 30,
                      "the limit")


def file_is_copied(daemon, combination):
    """With a 6.1 kernel: the daemon is Debian 12's, and from 6.10 on there is another."""
    combination = {**combination, "kernel": combination["kernel"].replace("6.12", "6.1")}
    content = os.urandom(300000)
    file = SCRATCH / "to-copy"
    file.write_bytes(content)
    guest = Guest(daemon, **combination).boot()
    start_guest_daemons(guest)
    Daemon.wait_until(lambda: daemon.vmctl("copy", file, "guest:/root/copied",
                                           check=False).returncode == 0, 120, "the copy")
    check_data(guest.run("sha256sum </root/copied").split()[0] == hashlib.sha256(content).hexdigest(),
               "the copy differs")
    check(daemon.vmctl("copy", file, "guest:/root/copied", check=False).returncode == 1,
          "a file that was there was replaced")
    daemon.vmctl("copy", file, "guest:/root/copied", "--overwrite")
    daemon.vmctl("copy", file, "guest:/root/new/folder/", "--create-path")
    check(guest.run("cmp /root/copied /root/new/folder/to-copy && echo same").strip() == "same",
          "the second copy differs")
    # The file system is full, which Linux's daemon says only of a write that fits not even in part:
    # what was written of the file is gone again.
    guest.run("mkdir /small && mount -t tmpfs -o size=64k tmpfs /small")
    refused = daemon.vmctl("copy", file, "guest:/small/file", check=False)
    check(refused.returncode == 1 and "not copied" in refused.stderr, refused.stderr)
    check(guest.run("ls /small").strip() == "", "a part of the file was left")
    guest.run("pkill hv_fcopy", expect_status=None)


# A service by the beginning of its type: which device of the bus it is, and its driver.
SERVICE = """
service() { grep -l "$1" /sys/bus/vmbus/devices/*/class_id | cut -d/ -f6; }
driver=/sys/bus/vmbus/drivers/hv_utils
"""
KVP, VSS, FILE_COPY = "a9a0f4e7", "35fa2e29", "34d14be3"


def pull(guest, service, meanwhile=":"):
    guest.run(SERVICE + f"service {service} >/run/{service}; cat /run/{service} >$driver/unbind & "
              f"sleep 1; {meanwhile}; wait $!")


def put_back(guest, service, daemon_name):
    """The daemon has ended, or serves a device that is no more."""
    guest.run(SERVICE + f"pkill -KILL hv_{daemon_name} || true; cat /run/{service} >$driver/bind && "
              f"sleep 1 && hv_{daemon_name}_daemon")


def services_are_pulled(daemon, combination):
    """Services go in the middle of what they were asked for. Whoever asked is told, and when they are
    back they do the same again. With a 6.1 kernel, which has all of them in hv_utils."""
    combination = {**combination, "kernel": combination["kernel"].replace("6.12", "6.1")}
    guest = Guest(daemon, **combination).boot()
    start_guest_daemons(guest)

    # A file, while it is copied: some tens of megabytes take the guest's daemon a while.
    file = SCRATCH / "large"
    file.write_bytes(os.urandom(1 << 20) * 48)
    guest.run("mount -t tmpfs -o size=100m tmpfs /mnt")
    command = [BIN / "vmctl", "--address", daemon.address, "copy", str(file), "guest:/mnt/"]
    Daemon.wait_until(lambda: daemon.vmctl("copy", SCRATCH / "large", "guest:/nowhere/x", check=False)
                      .returncode == 1, 120, "the service of file copy")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as copy:
        guest.run("for i in $(seq 600); do [ -s /mnt/large ] && exit; sleep 0.1; done; exit 1")
        pull(guest, FILE_COPY)
        _, said = copy.communicate(timeout=120)
    check(copy.returncode != 0 and said, f"{copy.returncode}: {said}")
    put_back(guest, FILE_COPY, "fcopy")
    Daemon.wait_until(lambda: daemon.vmctl("copy", file, "guest:/mnt/again", check=False).returncode == 0,
                      120, "the copy")
    check_data(guest.run("sha256sum </mnt/again").split()[0] == hashlib.sha256(file.read_bytes()).hexdigest(),
               "the copy differs")

    # File systems, while they are frozen.
    Daemon.wait_until(lambda: daemon.vmctl("backup", "freeze", "guest", check=False).returncode == 0, 120,
                      "the freeze")
    pull(guest, VSS)
    Daemon.wait_until(lambda: daemon.show("guest")["guest"]["file_systems"] != "frozen", 60,
                      "the end of the freeze")
    check(daemon.vmctl("backup", "thaw", "guest", check=False).returncode != 0, "thawed by nobody")
    guest.run("fsfreeze --unfreeze /", expect_status=None)
    put_back(guest, VSS, "vss")
    Daemon.wait_until(lambda: daemon.vmctl("backup", "freeze", "guest", check=False).returncode == 0, 120,
                      "the freeze")
    daemon.vmctl("backup", "thaw", "guest")

    # A value, while nobody answers.
    guest.run("pkill -STOP hv_kvp")
    command = [BIN / "vmctl", "--address", daemon.address, "kvp", "set", "guest", "key", "value"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as asking:
        time.sleep(1)
        # The driver waits until its daemon lets go of it, and a daemon that is stopped does not.
        pull(guest, KVP, "pkill -KILL hv_kvp")
        _, said = asking.communicate(timeout=120)
    check(asking.returncode != 0 and said, f"{asking.returncode}: {said}")
    put_back(guest, KVP, "kvp")
    Daemon.wait_until(lambda: daemon.vmctl("kvp", "set", "guest", "key", "value", check=False)
                      .returncode == 0, 120, "the value to be set")
    faults = guest.run("dmesg --color=never | grep -E 'BUG|Call Trace|blocked for more' || true")
    check(not faults, faults)


SUSPEND = """
cd /sys/class/rtc/rtc0 && grep -q mem /sys/power/state || exit 1
echo 0 >wakealarm; echo +8 >wakealarm; before=$(date +%s)
echo mem >/sys/power/state || exit 2
echo asleep for $(($(date +%s) - before))
dmesg --color=never | grep -E 'PM: suspend|PM:.*(fail|error)|BUG|Call Trace|I/O error'
dd if=$(lun 0) of=/dev/null bs=1M count=32 iflag=direct 2>/dev/null && echo read
"""


# What systemd's sleep does upon the event of hv_utils.
HIBERNATION = """
mkswap $(lun 1) >/dev/null && swapon $(lun 1) || exit
udevadm monitor --kernel --property --subsystem-match=vmbus </dev/null 2>/dev/null |
	while read -r line; do
		[ "$line" != EVENT=hibernate ] || { echo disk >/sys/power/state; echo "back: $?"; } >/dev/ttyS0
	done >/dev/null 2>&1 &
head -c 4M /dev/urandom >/tmp/kept && md5sum </tmp/kept
"""
RESUMED = """
md5sum </tmp/kept; dmesg --color=never | grep -E 'PM: hibernation|BUG|Call Trace|I/O error'
dd if=/dev/sda bs=64k count=16 iflag=direct of=/dev/null 2>/dev/null && echo read
"""


def suspended_and_woken(daemon, combination):
    """A guest suspends itself to memory, twice; the alarm of its clock wakes it, and all goes on."""
    guest = Guest(daemon, **combination).boot()
    Daemon.wait_until(lambda: daemon.show("guest")["heartbeat"] == "ok", 60, "heartbeat ok")
    for times in (1, 2):
        output = guest.run(SUSPEND)
        check(5 <= int(re.search(r"asleep for (\d+)", output)[1]) < 60, output)
        check(len(re.findall("PM: suspend entry", output)) == times and output.endswith("read\n"), output)
        check(not re.search("fail|BUG|Call Trace|error", output), output)
    Daemon.wait_until(lambda: daemon.show("guest")["heartbeat"] == "ok", 60, "heartbeat ok")
    daemon.vmctl("shutdown", "guest", timeout=180)
    guest.wait_state("off", 120)


def hibernated_and_resumed(daemon, combination):
    """A guest that is asked to hibernate turns itself off, and goes on where it was, twice."""
    swap = SCRATCH / "swap.raw"
    swap.write_bytes(b"")
    os.truncate(swap, 512 << 20)
    guest = Guest(daemon, append="vmms.resume", services={"hibernation": True},
                  disks=[{"controller": 0, "lun": 1, "path": str(swap), "format": "raw"}], **combination).boot()
    content = guest.run(HIBERNATION)
    for times in (1, 2):
        daemon.vmctl("shutdown", "guest", "--hibernate", timeout=180)
        check(daemon.show("guest")["reason"] == "the guest hibernated", daemon.show("guest")["reason"])
        guest.start().expect("^back: 0\n")
        output = guest.run(RESUMED)
        check_data(output.startswith(content), f"what was in memory is another: {output}")
        check(len(re.findall("PM: hibernation: hibernation exit", output)) == times, output)
        check(not re.search("BUG|Call Trace|I/O error", output) and output.endswith("read\n"), output)
    daemon.vmctl("shutdown", "guest", timeout=180)
    guest.wait_state("off", 120)


ALL = [heartbeat, time_is_set, values_of_the_guest, frozen_and_thawed, file_is_copied]

# At the end of the plan, so that the combinations of what was there before stay as they are.
MORE = [services_are_pulled, suspended_and_woken, hibernated_and_resumed]
