# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stock guests do in the lab. Each scenario takes a daemon and a combination (engine, vps,
kernel), and raises harness.Failure where the product falls short."""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import time

from harness import BIN, SCRATCH, TREE, Failure, Guest, check, check_data, Daemon
import logwrites
import scenarios_backup
import scenarios_checkpoints
import scenarios_confinement
import scenarios_debian
import scenarios_disk_health
import scenarios_dump
import scenarios_firmware
import scenarios_memory
import scenarios_network
import scenarios_processors
import scenarios_screen
import scenarios_services
import scenarios_sockets
import scenarios_state
import scenarios_storage
import scenarios_switch


def sparse_file(name, megabytes):
    path = SCRATCH / name
    with open(path, "wb") as file:
        file.truncate(megabytes << 20)
    return path


def disk(path, lun=1, **more):
    return {"controller": 0, "lun": lun, "path": str(path), "format": "raw", **more}


def apic_is_virtualized():
    """Whether the host's CPU ends interrupts without exits, so that guests are offered no other way."""
    files = [pathlib.Path(f"/sys/module/{name}") for name in
             ("kvm_amd/parameters/avic", "kvm_intel/parameters/enable_apicv")]
    return any(file.exists() and file.read_text().strip() in "Y1" for file in files)


def boot(daemon, combination):
    """The drivers bind, the root file system is on the synthetic disk, every vp is there."""
    guest = Guest(daemon, **combination).boot()
    output = guest.run("nproc; lsblk -no NAME,TYPE; cat /proc/mounts;"
                       " cat /sys/devices/system/clocksource/clocksource0/available_clocksource;"
                       " dmesg --color=never |"
                       " grep -E 'Hyper|hv_|sd 0|Trace|unchecked|BUG|WARN|error|MTRR|PAT:'")
    check(output.splitlines()[0] == str(combination["vps"]), f"vps: {output.splitlines()[0]}")
    for pattern in (r"^sda\s+disk", r"^/dev/sda / ext4", r"Hypervisor detected: Microsoft Hyper-V",
                    r"Vmbus version:5\.3", r"sd 0:0:0:0: \[sda\] Attached SCSI disk",
                    r"PAT: Configuration .* WC ",
                    r"^hyperv_clocksource_tsc_page .*acpi_pm"):
        check(re.search(pattern, output, re.M), f"the guest shows no {pattern!r}:\n{output}")
    check(apic_is_virtualized() or "Using enlightened APIC (x2apic mode)" in output,
          f"the guest does not end interrupts the lazy way:\n{output}")
    for fault in (r"Call Trace", r"unchecked MSR", r"BUG:", r"I/O error",
                  r"MTRRs (all blank|disabled)", r"inconsistent .*MTRR"):
        check(not re.search(fault, output), f"the guest's log has {fault!r}:\n{output}")
    guest.send("poweroff -f")
    guest.wait_state("off")


def xapics(daemon, combination):
    """A kernel that does not keep its x2APICs, by whatever word: its interrupts end all the same."""
    for words in "nosmp", "maxcpus=0", "nox2apic nointremap":
        guest = Guest(daemon, append=words, **combination).boot()
        output = guest.run("nproc; dmesg --color=never | grep -E 'x2apic|enlightened APIC|unchecked|BUG'")
        print(f"xapics: {words}: {output}", flush=True)
        vps = combination["vps"] if "x2apic" in words else 1
        check(output.splitlines()[0] == str(vps), f"{words}: vps: {output.splitlines()[0]}")
        check("x2apic mode" not in output and "unchecked" not in output, f"{words}: {output}")
        check(apic_is_virtualized() or "Using enlightened APIC (xapic mode)" in output, f"{words}: {output}")
        guest.run("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.02; dd if=/dev/sda of=/dev/null bs=64k count=16 iflag=direct"
                  " 2>/dev/null || exit; done")
        guest.send("poweroff -f")
        guest.wait_state("off")
        daemon.vmctl("delete", "guest")


def synthetic_timers(daemon, combination):
    """Linux takes the synthetic timers if it is offered them, and they fire."""
    guest = Guest(daemon, hyper_v={"synthetic_timers": True}, **combination).boot()
    output = guest.run("""
cd /sys/devices/system/clockevents
for cpu in $(seq 0 $(($(nproc) - 1))); do
	cat clockevent$cpu/current_device
	taskset -c $cpu sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.02; done' && echo "slept $cpu"
done""").splitlines()
    check(output == [line for cpu in range(combination["vps"])
                     for line in ("Hyper-V clockevent", f"slept {cpu}")], output)


def interrupts_end_by_themselves(daemon, combination):
    """As Linux before 4.12 and FreeBSD have them: here with guests of our own."""
    run = subprocess.run([BIN.parent / "tests/test_injection"], capture_output=True, text=True,
                         timeout=60)
    output = run.stdout + run.stderr
    check(run.returncode == 0 and "SKIPPED" not in output, output)
    run = subprocess.run([TREE / "tests/guest/run", "--worker", BIN / "vmwp",
                          "--guest", BIN.parent / "guests/guest_synic.elf",
                          "--engine", combination["engine"], "automatic_end=1"],
                         capture_output=True, text=True, timeout=120)
    check(run.returncode == 0 and re.search(r"^DONE ", run.stdout, re.M), run.stdout + run.stderr)


FIO = """
disk=$(lun 1)
for job in "1 4m" "32 16m"; do for rw in write randwrite; do
set -- $job
fio --name=v --filename=$disk --direct=1 --ioengine=libaio --iodepth=$1 --rw=$rw \
    --bs=4k --size=$2 --verify=crc32c --verify_fatal=1 --do_verify=1 --output-format=terse \
    >/tmp/fio 2>&1 || { cat /tmp/fio; exit 1; }
echo "verified $rw depth $1"
done; done
fio --name=m --filename=$disk --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite \
    --bsrange=512-256k --bs_unaligned=0 --size=16m --verify=crc32c --verify_fatal=1 \
    --output-format=terse >/tmp/fio 2>&1 || { cat /tmp/fio; exit 1; }
echo "verified mixed"
"""


def run_fio(daemon, combination, path):
    guest = Guest(daemon, disks=[disk(path)], **combination).boot()
    output = guest.run(FIO, timeout=600)
    check(output.count("verified") == 5, output)


def fio_on_a_file(daemon, combination):
    run_fio(daemon, combination, sparse_file("data.raw", 64))


def fio_on_a_block_device(daemon, combination):
    path = sparse_file("loop.raw", 64)
    device = subprocess.run(["losetup", "--find", "--show", "--direct-io=on", path], check=True,
                            capture_output=True, text=True).stdout.strip()
    try:
        run_fio(daemon, combination, device)
    finally:
        daemon.vmctl("stop", "guest", check=False)
        subprocess.run(["losetup", "--detach", device], check=False)


def reboot_ten_times(daemon, combination):
    guest = Guest(daemon, **combination).boot()
    boot_ids = set()
    for _ in range(10):
        boot_ids.add(guest.run("cat /proc/sys/kernel/random/boot_id").strip())
        guest.send("reboot -f")
        guest.ready()
    check(len(boot_ids) == 10, f"{len(boot_ids)} different boots of 10")
    check(guest.state() == "running", guest.state())


def kexec(daemon, combination):
    """A second kernel takes over without a machine reset, and finds its disk again."""
    guest = Guest(daemon, memory="512M", **combination).boot()
    first = guest.run("cat /proc/sys/kernel/random/boot_id")
    guest.run("kexec --load /boot/vmlinuz --initrd=/boot/initrd --reuse-cmdline")
    guest.send("sync; kexec --exec")
    guest.ready()
    check(guest.run("cat /proc/sys/kernel/random/boot_id") != first, "the same boot as before")
    check("sda" in guest.run("lsblk -no NAME"), "no disk after kexec")


def check_crash_report(daemon):
    crash = daemon.show("guest").get("crash") or {}
    check("sysrq" in crash.get("text", "").lower(), f"crash report: {crash}")


def kdump(daemon, combination):
    """A guest that reports its crash and then goes on into its crash kernel is let go on, by a
    definition that says nothing of that."""
    guest = Guest(daemon, memory="768M", append="crashkernel=256M", **combination).boot()
    first = guest.run("cat /proc/sys/kernel/random/boot_id")
    guest.run("kexec --load-panic /boot/vmlinuz --initrd=/boot/initrd --reuse-cmdline"
              " --append=nr_cpus=1")
    guest.send("taskset -c $(($(nproc) - 1)) sh -c 'echo c > /proc/sysrq-trigger'")
    guest.ready()
    check(guest.run("cat /proc/sys/kernel/random/boot_id") != first, "the same boot as before")
    check(int(guest.run("stat -c %s /proc/vmcore")) > 100 << 20, "no memory image of the first")
    check("sda" in guest.run("lsblk -no NAME"), "no disk in the crash kernel")
    check_crash_report(daemon)
    check(guest.state() == "running", guest.state())
    guest.send("poweroff -f")
    guest.wait_state("off")
    check(daemon.show("guest")["reason"] == "the guest shut down", daemon.show("guest")["reason"])


def panic(daemon, combination):
    """The crash is reported with the guest's own words, and the machine restarts."""
    guest = Guest(daemon, actions={"crash": "restart", "reboot": "stop"}, **combination).boot()
    guest.send("echo c > /proc/sysrq-trigger")
    guest.ready()
    check_crash_report(daemon)


def panic_by_nmi(daemon, combination):
    """A guest that is told to panics by an NMI; one that is not goes on."""
    guest = Guest(daemon, actions={"crash": "stop", "reboot": "stop"}, **combination).boot()
    daemon.vmctl("nmi", "guest")
    guest.run("for i in $(seq 100); do dmesg | grep -q 'NMI received for unknown reason' && exit; "
              "sleep 0.1; done; exit 1")
    guest.run("echo 1 > /proc/sys/kernel/unknown_nmi_panic")
    daemon.vmctl("nmi", "guest")
    guest.wait_state("off")
    check("NMI" in daemon.show("guest")["crash"]["text"], daemon.show("guest"))


def panic_stops(daemon, combination):
    guest = Guest(daemon, actions={"crash": "stop", "reboot": "stop"}, **combination).boot()
    guest.send("echo c > /proc/sysrq-trigger")
    guest.wait_state("off")


def panic_without_an_end(daemon, combination):
    """A guest that spins after its panic gets no more than its grace."""
    guest = Guest(daemon, actions={"crash": "stop", "crash_grace": 5}, append="panic=0",
                  **combination).boot()
    guest.send("echo c > /proc/sysrq-trigger")
    guest.wait_state("off")
    check("crashed" in daemon.show("guest")["reason"], daemon.show("guest")["reason"])


def hot_add_and_remove(daemon, combination):
    guest = Guest(daemon, **combination).boot()
    path = sparse_file("hot.raw", 32)
    for _ in range(3):
        daemon.vmctl("attach", "guest", path, "--controller", 0, "--lun", 5)
        guest.run("for i in $(seq 100); do [ -b $(lun 5) ] && exit 0; sleep 0.1; done; exit 1")
        guest.run("dd if=/dev/urandom of=$(lun 5) bs=64k count=16 oflag=direct 2>/dev/null && "
                  "dd if=$(lun 5) bs=64k count=16 iflag=direct 2>/dev/null | md5sum")
        daemon.vmctl("detach", "guest", "--controller", 0, "--lun", 5)
        guest.run("for i in $(seq 100); do [ -b $(lun 5) ] || exit 0; sleep 0.1; done; exit 1")
    check("sda" in guest.run("lsblk -no NAME"), "the root disk went too")


# CDROMEJECT and CDROMCLOSETRAY, <linux/cdrom.h>; the drive is opened as eject(1) does: O_NONBLOCK.
TRAY = """
tray() { perl -e 'sysopen(D, "/dev/sr0", 04000) && ioctl(D, shift, 0) || die "$!\\n"' $1; }
eject=$((0x5309)) close=$((0x5319))
"""

NO_MEDIUM = r"No medium found"


def disc(name, megabytes):
    path = SCRATCH / name
    path.write_bytes(os.urandom(megabytes << 20))
    return path, hashlib.md5(path.read_bytes()).hexdigest()


def dvd_media_come_and_go(daemon, combination):
    """Discs inserted and ejected by either side, of different sizes, and a tray that is locked."""
    (first, first_sum), (second, second_sum) = disc("first.iso", 5), disc("second.iso", 3)
    guest = Guest(daemon, disks=[disk(first, lun=2, type="dvd")], append="root=LABEL=root",
                  **combination).boot()

    def read():
        return guest.run("md5sum </dev/sr0 2>&1", expect_status=None).split()[0]

    def no_medium():
        output = guest.run("md5sum </dev/sr0 2>&1", expect_status=None)
        check(NO_MEDIUM in output, f"read of an empty drive: {output}")

    def holds(path):
        drive = daemon.show("guest")["definition"]["disks"][1]
        return drive.get("path") == (str(path) if path else None)

    place = ("--controller", 0, "--lun", 2)
    check_data(read() == first_sum, "the first disc reads differently")
    daemon.vmctl("eject", "guest", *place)
    no_medium()
    daemon.vmctl("insert", "guest", second, *place)
    check_data(read() == second_sum, "the second disc reads differently")
    check(guest.run("cat /sys/block/sr0/size").strip() == str(3 * 2048), "the first disc's size")

    guest.run(TRAY + "tray $eject")
    daemon.wait_until(lambda: holds(None), 20, "the definition to have an empty drive")
    no_medium()
    guest.run(TRAY + "tray $close")
    no_medium()
    daemon.vmctl("insert", "guest", first, *place)
    check_data(read() == first_sum, "the first disc reads differently when it is back")

    guest.run("sleep 600 </dev/sr0 >/dev/null 2>&1 & echo $! >/tmp/holder")
    refused = daemon.vmctl("eject", "guest", *place, check=False)
    check(refused.returncode == 4 and "locked" in refused.stderr, f"{refused}")
    check(holds(first), "a refused eject changed the definition")
    daemon.vmctl("eject", "guest", *place, "--force")
    check(holds(None), "a forced eject did not change the definition")
    guest.run("kill $(cat /tmp/holder); wait")
    no_medium()
    daemon.vmctl("insert", "guest", second, *place)
    check_data(read() == second_sum, "the second disc reads differently after a forced eject")


IDENTITY = """
for lun in 0 1; do
	cd /sys/bus/scsi/devices/0:0:0:$lun
	cat wwid
	for page in 80 83; do od -An -v -t x1 vpd_pg$page | tr -d ' \\n'; echo; done
done
"""


def disks_are_told_apart(daemon, combination):
    """Serial number and world-wide name as the guest's own kernel reads them, at every boot."""
    guest = Guest(daemon, disks=[disk(sparse_file("data.raw", 8), serial="Serial-1")],
                  append="root=LABEL=root", **combination).boot()
    output = guest.run(IDENTITY)
    lines = output.split("\n")
    wwid, serial, identification = zip(lines[0:3], lines[3:6])
    check(bytes.fromhex(serial[1]) == b"\0\x80\0\x08Serial-1", f"page 80: {serial[1]}")
    check(len(bytes.fromhex(serial[0])) > 4, f"page 80 of a disk without: {serial[0]}")
    check(serial[0] != serial[1] and wwid[0] != wwid[1], f"two disks of one name: {output}")
    for name, page in zip(wwid, map(bytes.fromhex, identification)):
        check(re.fullmatch(r"naa\.6[0-9a-f]{31}", name), f"world-wide name: {name}")
        check(page[1] == 0x83 and page[4:8] == b"\x01\x03\0\x10" and page[8:24].hex() == name[4:],
              f"page 83: {page.hex()}")
    check(b"Msft    Serial-1" in bytes.fromhex(identification[1]), identification[1])
    guest.send("reboot -f")
    guest.ready()
    again = guest.run(IDENTITY)
    check(again == output, f"other names after a reboot: {output}\n{again}")


FIO_VERIFY = """
fio --name=v --filename=$(lun 1) --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bs=4k \\
    --size=16m --verify=crc32c --verify_fatal=1 --do_verify=1 --output-format=terse \\
    >/tmp/fio 2>&1 || { cat /tmp/fio; exit 1; }
dmesg --color=never | grep -E 'I/O error|blocked for more|stall|lockup' && exit 2
echo verified
"""


def pauses_under_load(daemon, combination):
    """Pausing and resuming in the middle of I/O loses and changes nothing."""
    guest = Guest(daemon, disks=[disk(sparse_file("data.raw", 64))], append="root=LABEL=root",
                  **combination).boot()
    begun = guest.offset

    pauses = 0

    def pause_again_and_again():
        nonlocal pauses
        while "vmms-test: exit" not in guest.text[begun:] and pauses < 100:
            time.sleep(0.5)
            daemon.vmctl("pause", "guest")
            check(guest.state() == "paused", guest.state())
            time.sleep(0.2)
            daemon.vmctl("resume", "guest")
            pauses += 1

    output = guest.run(FIO_VERIFY, timeout=300, meanwhile=pause_again_and_again)
    check("verified" in output, output)
    check(pauses > 3, f"fio ended after {pauses} pauses")
    Daemon.wait_until(lambda: daemon.show("guest")["heartbeat"] == "ok", 60, "heartbeat ok")


FIND_DATA_DISK = """
find_data() { for d in $(ls /sys/block | grep '^sd'); do grep -q "^/dev/$d " /proc/mounts || echo /dev/$d; done; }
sum() { dd if=$(find_data) bs=64k count=16 iflag=direct 2>/dev/null | md5sum; }
cd /sys/bus/vmbus
"""

MOVE_CHANNELS = FIND_DATA_DISK + """
dd if=$(find_data) of=/dev/null bs=4k count=2000 iflag=direct 2>/dev/null & reader=$!
for round in 1 2 3 4 5; do for cpu in $(seq 0 $(($(nproc) - 1))); do
for driver in devices/*/driver; do for channel in ${driver%/driver}/channels/*/cpu; do
	echo $cpu > $channel || exit 1
done; done; done; done
wait $reader
"""

REBIND_DRIVERS = FIND_DATA_DISK + """
before=$(sum)
scsi=$(readlink -f /sys/block/$(basename $(find_data))/device | tr / '\\n' | grep -E '^[0-9a-f]{8}-')
channels=$(ls devices/$scsi/channels | wc -l)
for round in 1 2 3 4 5; do
	echo $scsi > drivers/hv_storvsc/unbind && [ -z "$(find_data)" ] || exit 1
	echo $scsi > drivers/hv_storvsc/bind || exit 2
	for i in $(seq 100); do [ -b "$(find_data)" ] && break; sleep 0.1; done
	[ "$(sum)" = "$before" ] || exit 3
	[ "$(ls devices/$scsi/channels | wc -l)" = $channels ] || exit 4
	for service in $(ls drivers/hv_utils | grep -- -); do
		echo $service > drivers/hv_utils/unbind && echo $service > drivers/hv_utils/bind || exit 5
	done
done
"""


def drivers_come_and_go(daemon, combination):
    """Channels move between vps under load, are closed and opened again, sub-channels and all."""
    path = SCRATCH / "data.raw"
    path.write_bytes(os.urandom(2 << 20))
    guest = Guest(daemon, disks=[{**disk(path, lun=0), "controller": 1}],
                  append="root=LABEL=root", **combination).boot()
    guest.run(MOVE_CHANNELS, timeout=240)
    guest.run(REBIND_DRIVERS, timeout=240)
    Daemon.wait_until(lambda: daemon.show("guest")["heartbeat"] == "ok", 60, "heartbeat ok")
    daemon.vmctl("shutdown", "guest", timeout=180)
    guest.wait_state("off", 120)


def shutdown_leaves_a_clean_file_system(daemon, combination):
    guest = Guest(daemon, **combination).boot()
    daemon.vmctl("meter", "enable", "guest")
    guest.run("mount -o remount,rw / && dd if=/dev/urandom of=/root/data bs=1M count=8 2>/dev/null"
              " && md5sum </root/data >/root/sum")
    daemon.vmctl("shutdown", "guest", timeout=180)
    guest.wait_state("off", 120)
    result = subprocess.run(["e2fsck", "-fn", guest.root], capture_output=True, text=True)
    check(result.returncode == 0, f"e2fsck: {result.returncode}\n{result.stdout}")
    state = subprocess.run(["dumpe2fs", "-h", guest.root], capture_output=True, text=True).stdout
    check(re.search(r"Filesystem state:\s+clean\n", state), state)
    # What the worker has left in its last moment.
    [used] = json.loads(daemon.vmctl("meter", "show", "guest", "--json").stdout)["vms"]
    check(used["disk_bytes_written"] > 8 << 20, used)
    check(1e6 < used["cpu_us"] < used["run_us"] * 4, used)
    check(daemon.vmctl("meter", "show").stdout.count("guest") == 1, "vmctl meter show")


def killed_worker_harms_nothing_else(daemon, combination):
    other = Guest(daemon, name="other", kernel=combination["kernel"]).boot()
    victim = Guest(daemon, disks=[disk(sparse_file("victim.raw", 64))], **combination).boot()
    victim.send("dd if=/dev/zero of=$(lun 1) bs=64k oflag=direct")
    time.sleep(2)
    victim.kill_worker()
    victim.wait_state("crashed")
    check("SIGKILL" in daemon.show("guest")["reason"], daemon.show("guest")["reason"])
    check(other.run("echo alive").strip() == "alive", "the other guest suffered")
    victim.boot()
    check(other.state() == "running", other.state())


def acknowledged_writes_survive(daemon, combination):
    """Whatever a flush or FUA write acknowledged is on the device at that mark."""
    with logwrites.Device(SCRATCH) as device:
        guest = Guest(daemon, disks=[disk(device.path)], **combination).boot()
        guest.run(logwrites.GUEST_SCRIPT, timeout=300)
        daemon.vmctl("stop", "guest")
        marks = device.verify()
    check(marks >= logwrites.ROUNDS, f"only {marks} flushes reached the device")


def without_flushes_the_check_fails(daemon, combination):
    """The same with a disk that drops flushes: the check above must notice."""
    with logwrites.Device(SCRATCH) as device:
        guest = Guest(daemon, disks=[disk(device.path, cache="unsafe")], **combination).boot()
        guest.run(logwrites.GUEST_SCRIPT, timeout=300)
        daemon.vmctl("stop", "guest")
        try:
            marks = device.verify()
        except Failure:
            return
    check(marks < logwrites.ROUNDS, f"{marks} flushes reached a device that should get none")


# In the default plan their order deals the combinations out: what takes long has light ones.
ALL = [boot, xapics, synthetic_timers, panic_stops, fio_on_a_block_device,
       kdump, kexec, fio_on_a_file, panic, panic_by_nmi, reboot_ten_times, panic_without_an_end,
       hot_add_and_remove, dvd_media_come_and_go, disks_are_told_apart, pauses_under_load, drivers_come_and_go,
       *scenarios_services.ALL,
       shutdown_leaves_a_clean_file_system, killed_worker_harms_nothing_else,
       acknowledged_writes_survive, without_flushes_the_check_fails,
       *scenarios_memory.ALL, *scenarios_network.ALL, *scenarios_switch.ALL, *scenarios_dump.ALL,
       *scenarios_sockets.ALL, *scenarios_processors.ALL, *scenarios_debian.ALL,
       *scenarios_processors.MORE, *scenarios_services.MORE, *scenarios_debian.MORE,
       interrupts_end_by_themselves, *scenarios_storage.ALL,
       *scenarios_confinement.ALL, *scenarios_disk_health.ALL, *scenarios_state.ALL,
       *scenarios_firmware.ALL, *scenarios_screen.ALL, *scenarios_checkpoints.ALL]

# What each engine does in its own way.
OF_THE_ENGINE = [xapics, synthetic_timers, interrupts_end_by_themselves,
                 *scenarios_network.OF_THE_ENGINE,
                 *scenarios_memory.OF_THE_ENGINE, *scenarios_processors.OF_THE_ENGINE,
                 *scenarios_firmware.OF_THE_ENGINE]

# What KVM has of late.
OF_NEWER_HOSTS = scenarios_memory.OF_NEWER_HOSTS

# Of the full plan alone.
AT_LENGTH = [*scenarios_storage.AT_LENGTH, *scenarios_network.AT_LENGTH, *scenarios_processors.AT_LENGTH,
             *scenarios_disk_health.AT_LENGTH, *scenarios_firmware.AT_LENGTH,
             *scenarios_checkpoints.AT_LENGTH, *scenarios_backup.ALL]
