# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests of other processors than the other rows have: of 32 bits, and many of them."""

import hashlib
import os
import re

from harness import SCRATCH, Guest, check, check_data
from harness_network import DHCP, NIC, guest_reads, mac, web_server

SIZE = 4 << 20

# Of the kernel without PAE there is no root image: busybox, in the initramfs, does it all. With retpolines this kernel's
# hypercalls that flush TLBs go to an address that is none: docs/lab.md.
COMMAND_LINE_32 = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off"

# A call trace there is in any case: the lab host's processor is none that AMD sold for two.
FAULTS = "BUG:|unchecked MSR|I/O error|NETDEV WATCHDOG|soft lockup|hv_.*([Ee]rror|[Ff]ail)"

DISK = f"""
disk=$(lun 0)
dd if=$disk bs=1M count={SIZE >> 20} iflag=direct 2>/dev/null | md5sum
dd if=/dev/urandom of=/tmp/data bs=1M count={SIZE >> 20} 2>/dev/null
dd if=/tmp/data of=$disk bs=64k seek={SIZE >> 16} oflag=direct 2>/dev/null && sync && md5sum </tmp/data
"""


def check_disk(run, path, content):
    """What the host has written the guest reads, and the other way round, past the guest's cache."""
    read, written = (line.split()[0] for line in run(DISK).splitlines())
    check_data(read == hashlib.md5(content).hexdigest(), "the guest reads something else than there is")
    check_data(written == hashlib.md5(path.read_bytes()[SIZE:]).hexdigest(),
               "the image has something else than the guest wrote")


def thirty_two_bits(daemon, combination):
    """A kernel of 32 bits has a calling convention of its own; it gets its disk and its network."""
    path = SCRATCH / "data.raw"
    content = os.urandom(SIZE)
    path.write_bytes(content + bytes(SIZE))
    guest = Guest(daemon, root=path, command_line=COMMAND_LINE_32, network_adapters=[{"host_loopback": True}],
                  **dict(combination, kernel="6.1-686")).boot()
    output = guest.run(f"uname -m; grep -c ^processor /proc/cpuinfo; dmesg | grep -E 'Hyper|Vmbus|{FAULTS}'")
    check(output.splitlines()[:2] == ["i686", str(combination["vps"])], output)
    check(re.search(r"Hypervisor detected: Microsoft Hyper-V", output), output)
    check(re.search(r"Vmbus version:5\.3", output) and not re.search(FAULTS, output), output)
    check_disk(guest.run, path, content)
    router = guest.run(NIC + DHCP % mac(daemon)).split()[-1]
    with web_server(os.urandom(SIZE)) as server:
        guest_reads(guest, server, router)
    guest.send("poweroff -f")
    guest.wait_state("off")


def sixteen_vps(daemon, combination):
    many_vps(daemon, combination, 16, "512M")


def sixty_four_vps(daemon, combination):
    many_vps(daemon, combination, 64, "1G")


def many_vps(daemon, combination, count, memory):
    """Every vp is there, does work, and takes interrupts of devices that have a channel for it."""
    guest = Guest(daemon, **dict(combination, vps=count, memory=memory))
    guest.start().ready(timeout=600)
    output = guest.run(r"""
nproc; for cpu in $(seq 0 $(($(nproc) - 1))); do
	taskset -c $cpu dd if=/dev/sda bs=4k count=4 skip=$((cpu * 16)) iflag=direct of=/dev/null 2>/dev/null && echo "read $cpu"
done
dmesg --color=never | grep -E 'Call Trace|rcu.*stall|%s' || true""" % FAULTS, timeout=300)
    check(output.splitlines() == [str(count), *(f"read {cpu}" for cpu in range(count))], output)
    guest.send("poweroff -f")
    guest.wait_state("off")


def processors_as_defined(daemon, combination):
    """Sockets, cores, threads, NUMA nodes and features are those of the definition."""
    members = {key: value for key, value in combination.items() if key != "vps"}
    guest = Guest(daemon, memory="512M", numa=[{"distances": [10, 30]}, {"memory": "192M", "distances": [30, 10]}],
                  processors={"count": 8, "sockets": 2, "cores": 2, "threads": 2, "model": "baseline",
                              "without": ["sse4_2"]}, **members).boot()
    places = guest.run("lscpu -p=CPU,CORE,SOCKET,NODE | grep -v ^#").split()
    check(places == [f"{cpu},{cpu // 2},{cpu // 4},{cpu // 4}" for cpu in range(8)], places)
    sizes = [int(size) >> 10 for size in guest.run(
        "awk '/MemTotal/ {print $4}' /sys/devices/system/node/node[01]/meminfo").split()]
    check(sizes[0] > 192 > sizes[1] > 128, f"the nodes have {sizes} MiB")
    distances = guest.run("cat /sys/devices/system/node/node[01]/distance").split()
    check(distances == ["10", "30", "30", "10"], distances)
    flags = guest.run("grep -m 1 ^flags /proc/cpuinfo").split()
    check({"sse4_1", "popcnt", "rdtscp"} <= set(flags) and not {"sse4_2", "avx", "xsave"} & set(flags), flags)


ALL = [sixteen_vps, thirty_two_bits]
MORE = [processors_as_defined]

# The page that hypercalls are made through is another one for each engine and each width.
OF_THE_ENGINE = [thirty_two_bits]

# More than that takes long in the lab, whose host has one processor.
AT_LENGTH = [sixty_four_vps]
