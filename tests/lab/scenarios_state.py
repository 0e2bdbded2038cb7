# SPDX-License-Identifier: LGPL-2.1-or-later
"""Saved VMs of stock guests."""

import json
import os
import re
import subprocess
import time
import uuid

from harness import BIN, SCRATCH, Console, Daemon, Guest, check

# What a kernel says that has lost time, an interrupt, or an answer.
COMPLAINTS = ("lockup", "hung_task", "blocked for more than", "rcu_sched", "rcu: INFO", "clocksource: Marking",
              "timed out", "I/O error", "Call Trace")

FIO_VERIFY = """
fio --name=saved --filename=$(find_data) --direct=1 --rw=randrw --bs=4k --size=32m --io_size=64m --iodepth=8 \
	--ioengine=libaio --verify=crc32c --do_verify=1 --verify_fatal=1 >/tmp/fio 2>&1 || { cat /tmp/fio; exit 1; }
echo verified
"""

FIND_DATA = """
find_data() { for d in $(ls /sys/block | grep '^sd'); do grep -q "^/dev/$d " /proc/mounts || echo /dev/$d; done; }
"""

TICKER = """
( while sleep 0.1; do cut -d' ' -f1 /proc/uptime; done >/tmp/ticks ) & ticker=$!
"""


def save_and_start(daemon):
    daemon.vmctl("save", "guest", timeout=300)
    info = daemon.show("guest")
    check(info["state"] == "saved" and info["worker_pid"] == 0, info)
    daemon.vmctl("start", "guest", timeout=300)
    check(daemon.show("guest")["state"] == "running", daemon.show("guest"))


def complaints(guest):
    return [line for line in guest.run("dmesg").splitlines() if any(word in line for word in COMPLAINTS)]


def saved_and_resumed(daemon, combination):
    """A guest goes on from its saved state in the middle of I/O, again and again, and notices nothing."""
    path = SCRATCH / "data.raw"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    guest = Guest(daemon, disks=[{"controller": 0, "lun": 1, "path": str(path), "format": "raw"}],
                  append="root=LABEL=root", **combination).boot()
    begun = guest.offset
    saves = 0

    def save_again_and_again():
        nonlocal saves
        while "vmms-test: exit" not in guest.text[begun:] and saves < 10:
            time.sleep(0.5)
            save_and_start(daemon)
            saves += 1

    output = guest.run(FIND_DATA + TICKER + FIO_VERIFY + "kill $ticker; wc -l </tmp/ticks",
                       timeout=600, meanwhile=save_again_and_again)
    check("verified" in output, output)
    check(saves > 1, f"fio ended after {saves} saves")
    check(not complaints(guest), complaints(guest))
    Daemon.wait_until(lambda: daemon.show("guest")["heartbeat"] == "ok", 60, "heartbeat ok")
    # The clock has been set to the host's.
    Daemon.wait_until(lambda: abs(int(guest.run("date +%s").split()[-1]) - time.time()) < 3, 60,
                      "the guest's clock to be right")


def renewed(daemon, combination):
    """One worker after the other goes on with a guest in the middle of I/O, which notices nothing."""
    path = SCRATCH / "data.raw"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    guest = Guest(daemon, disks=[{"controller": 0, "lun": 1, "path": str(path), "format": "raw"}],
                  append="root=LABEL=root", memory={"size": "256M", "shared": True}, network_adapters=[],
                  **combination).boot()
    begun = guest.offset
    workers = {daemon.show("guest")["worker_pid"]}

    def renew_again_and_again():
        while "vmms-test: exit" not in guest.text[begun:] and len(workers) <= 10:
            time.sleep(0.5)
            daemon.vmctl("renew", "guest", timeout=300)
            workers.add(daemon.show("guest")["worker_pid"])

    output = guest.run(FIND_DATA + TICKER + FIO_VERIFY + "kill $ticker; wc -l </tmp/ticks",
                       timeout=600, meanwhile=renew_again_and_again)
    check("verified" in output, output)
    check(len(workers) > 2, f"fio ended after {len(workers) - 1} renewals")
    check(not complaints(guest), complaints(guest))
    Daemon.wait_until(lambda: daemon.show("guest")["heartbeat"] == "ok", 60, "heartbeat ok")
    print(re.findall("stood still for ([0-9.]+ ms)", daemon.vmctl("log", "guest").stdout))


def lead_ssh(daemon, name):
    """A folder with an ssh that leads to that daemon, as to another host."""
    folder = daemon.directory / name
    folder.mkdir()
    (folder / "ssh").write_text(f"""#!/bin/sh
for command; do :; done
cd /
exec env SSH_CONNECTION='127.0.0.1 40000 127.0.0.1 22' VMMS_BUS_ADDRESS='{daemon.address}' PATH='{BIN}':"$PATH" /bin/sh -c "$command"
""")
    (folder / "ssh").chmod(0o755)
    return folder


def migrate(source, target):
    """Return: the guest's console there, and how long the guest stood, in milliseconds."""
    result = subprocess.run([BIN / "vmctl", "--address", source.address, "--json", "migrate", "guest", "other",
                             "--max-downtime", "2000", "--force"],
                            env={**os.environ, "PATH": f"{target.directory / 'ssh'}:{os.environ['PATH']}"},
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    check(result.returncode == 0, f"vmctl migrate: {result.stderr}")
    check(" by ssh" not in result.stderr, f"not from service to service: {result.stderr}")
    check(target.show("guest")["state"] == "running", target.show("guest"))
    check(source.vmctl("list", "--names").stdout == "", "the VM is still where it was")
    console = Console(target, "guest")
    console.attach()
    return console, json.loads(result.stdout)["blackout"] / 1e6


def migrated(daemon, combination):
    """A guest moves to another daemon and back in the middle of I/O, again and again, and notices nothing."""
    path = SCRATCH / "data.raw"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    with Daemon() as other:
        for side in daemon, other:
            lead_ssh(side, "ssh")
        guest = Guest(daemon, disks=[{"controller": 0, "lun": 1, "path": str(path), "format": "raw"}],
                      append="root=LABEL=root", **combination).boot()
        boot_id = guest.run("cat /proc/sys/kernel/random/boot_id").split()[-1]
        consoles, stood = [guest], []
        consoles[-1].send(FIND_DATA + TICKER + FIO_VERIFY + "kill $ticker; wc -l </tmp/ticks")
        sides = [daemon, other]
        while not any("vmms-test: exit" in console.text[console.offset:] for console in consoles) and len(stood) < 4:
            console, milliseconds = migrate(*sides)
            consoles.append(console)
            stood.append(milliseconds)
            sides.reverse()
            time.sleep(0.5)
        Daemon.wait_until(lambda: any("vmms-test: exit" in console.text[console.offset:] for console in consoles),
                          600, "the end of fio")
        output = "".join(console.text[console.offset:] for console in consoles)
        check("verified" in output and "vmms-test: exit 0" in output, output)
        check(len(stood) > 1, f"fio ended after {len(stood)} moves")
        last = consoles[-1]
        last.offset = len(last.text)
        check(boot_id in last.run("cat /proc/sys/kernel/random/boot_id"), "the guest has booted anew")
        check(not complaints(last), complaints(last))
        Daemon.wait_until(lambda: sides[0].show("guest")["heartbeat"] == "ok", 60, "heartbeat ok")
        print("stood for", ", ".join(f"{milliseconds:.0f}" for milliseconds in stood), "ms")
        sides[0].vmctl("stop", "guest")


RESEEDED = "crng reseeded due to virtual machine fork"


def reseeds_as_another(daemon, combination):
    """A guest that goes on as itself hears nothing; with another generation ID it reseeds, once."""
    guest = Guest(daemon, **combination).boot()

    def reseeded():
        return guest.run("dmesg").count(RESEEDED)

    save_and_start(daemon)
    check(reseeded() == 0, "the guest takes itself for another")
    daemon.vmctl("set", "guest", f"generation_id={uuid.uuid4()}")
    check(reseeded() == 0, "it was told while it ran")
    save_and_start(daemon)
    Daemon.wait_until(lambda: reseeded() == 1, 60, "the guest's random numbers to be seeded anew")
    save_and_start(daemon)
    check(reseeded() == 1, "it was told again")


ALL = [saved_and_resumed, reseeds_as_another, renewed, migrated]
