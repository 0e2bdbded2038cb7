# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stock guests do on the network: traffic of every kind, and what disturbs it."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

from harness import Daemon, Failure, Guest, check, check_data
from harness_network import (DHCP, NIC, SERVE, check_log, guest_on_a_lan, guest_reads, host_reads, mac, switch,
                             taps, traffic, transfer, web_server)


@contextlib.contextmanager
def passt_confined():
    """Under Debian's profile for it, if the host's kernel has AppArmor."""
    enabled = pathlib.Path("/sys/module/apparmor/parameters/enabled")
    if not enabled.exists() or enabled.read_text() != "Y\n":
        print("network_default: the host's kernel has no AppArmor", flush=True)
        yield
        return
    subprocess.run(["apparmor_parser", "--replace", "/etc/apparmor.d/usr.bin.passt"], check=True)
    yield
    for pid in passt_processes():
        label = pathlib.Path(f"/proc/{pid}/attr/current").read_text().strip()
        check(label == "passt (enforce)", f"passt runs as {label}")
    subprocess.run(["apparmor_parser", "--remove", "/etc/apparmor.d/usr.bin.passt"], check=True)


def passt_processes():
    return [int(pid) for pid in subprocess.run(["pidof", "passt.avx2", "passt"], check=True, capture_output=True,
                                               text=True).stdout.split()]


def network_default(daemon, combination):
    """Who configures nothing gets a guest that can reach out, and ports of it if they say so."""
    with passt_confined():
        reach_out(daemon, combination)


def reach_out(daemon, combination):
    guest = Guest(daemon, **combination)
    daemon.vmctl("net", "set", "guest", "nic0", "--forward", "2222:8080", "--host-loopback", "on")
    guest.boot()
    router = guest.run(NIC + DHCP % mac(daemon)).split()[-1]
    guest.run("for i in $(seq 100); do ip -6 route | grep -q ^default && exit; sleep 0.1; done; ip -6 route; exit 1")
    with web_server() as server:
        for address in router, "[2001:db8::1]":  # the routers of the host's own uplink, which are the host here
            guest_reads(guest, server, address)
    served = guest.run(SERVE).split()[0]
    check_data(host_reads("http://127.0.0.1:2222/data") == served, "the forwarded port gives something else")
    check_log(guest)


# Datagrams to the router, more of them than lie between the guest and a passt that does not read.
FLOOD = """
setsid perl -MSocket -e 'socket(S, AF_INET, SOCK_DGRAM, 0) or die $!;
	for (1..4000) { send(S, "x" x 1400, 0, pack_sockaddr_in(9, inet_aton($ARGV[0]))); }' %s </dev/null >/dev/null 2>&1 &
sleep 2
"""


def network_default_stalls(daemon, combination):
    """A passt that reads nothing holds up the guest's network, and nothing else of it."""
    guest = Guest(daemon, network_adapters=[{"host_loopback": True}], **combination).boot()
    nic = mac(daemon)
    router = guest.run(NIC + DHCP % nic).split()[-1]
    passt = passt_processes()
    for pid in passt:
        os.kill(pid, signal.SIGSTOP)
    guest.run(FLOOD % router)
    guest.send("reboot -f")
    guest.ready()
    for pid in passt:
        os.kill(pid, signal.SIGCONT)
    router = guest.run(NIC + DHCP % nic).split()[-1]
    with web_server() as server:
        guest_reads(guest, server, router)
    check_log(guest)


def network_switches(daemon, combination):
    """Guest and host on an internal switch, two guests and nobody else on a private one, VLANs."""
    lan = ("--type", "internal", "--ip", "10.77.1.1/24", "--ip", "fd00:77:1::1/64")
    with switch(daemon, "lan", *lan), switch(daemon, "closed", "--type", "private") as private:
        guest = Guest(daemon, network_adapters=[{"switch": "lan"}, {"switch": "closed"}], **combination)
        other = Guest(daemon, "other", kernel=combination["kernel"], engine=combination["engine"],
                      network_adapters=[{"switch": "closed"}])
        guest.boot()
        other.boot()
        guest.run(NIC + f"set_up {mac(daemon)} 10.77.1.2/24 fd00:77:1::2/64 && reach 10.77.1.1 &&"
                        f"set_up {mac(daemon, adapter=1)} 10.77.2.2/24")
        other.run(NIC + f"set_up {mac(daemon, 'other')} 10.77.2.3/24 && reach 10.77.2.2")

        served = guest.run(SERVE).split()[0]
        with web_server() as server:
            for host, address in ("10.77.1.1", "10.77.1.2"), ("[fd00:77:1::1]", "[fd00:77:1::2]"):
                guest_reads(guest, server, host)
                check_data(host_reads(f"http://{address}:8080/data") == served, "the host got something else")
        output = other.run("busybox wget -q -O - http://10.77.2.2:8080/data | md5sum")
        check(output.split()[0] == served, f"the other guest got something else: {output}")

        subprocess.run(["ip", "route", "add", "10.77.2.0/24", "dev", private], check=True)
        ping = subprocess.run(["ping", "-n", "-c", "2", "-W", "1", "10.77.2.3"], capture_output=True, text=True)
        check(ping.returncode, f"the host reaches a private switch:\n{ping.stdout}")

        daemon.vmctl("net", "set", "guest", "nic1", "--vlan", 10)
        other.run("ping -n -c 2 -W 1 10.77.2.2", expect_status=1)
        daemon.vmctl("net", "set", "other", "nic0", "--vlan", 10)
        other.run(NIC + "reach 10.77.2.2")
        check_log(guest)
        check_log(other)


# ---- Traffic ----

FAMILIES = ("10.77.1.1", "10.77.1.2"), ("fd00:77:1::1", "fd00:77:1::2")  # the host's, the guest's
DIRECTIONS = (), ("--reverse",)

# Not all can be changed in each kernel; these, by their long names, must be off.
NO_OFFLOADS = """
for offload in tx rx sg tso gso gro lro; do ethtool -K $nic $offload off >/dev/null 2>&1; done
for offload in tcp-segmentation-offload generic-receive-offload large-receive-offload; do
	ethtool -k $nic | grep "^$offload: off" || { ethtool -k $nic; exit 1; }
done
"""

# Sends each datagram back to where it came from.
UDP_ECHO = """
setsid perl -MSocket=:all -e 'socket(S, AF_INET6, SOCK_DGRAM, 0) && bind(S, pack_sockaddr_in6(7, "\\0" x 16)) or die $!;
	while (1) { my $from = recv(S, my $data, 65536, 0); send(S, $data, 0, $from); }' </dev/null >/dev/null 2>&1 &
"""
DATAGRAM_SIZES = (1, 17, 100, 1000, 1452, 1472, 1473, 4000, 9000, 30000, 60000)


def check_tcp(address, streams, direction, size="4M"):
    end = transfer(address, size, "--parallel", streams, *direction)
    check(end["sum_received"]["bytes"] > 100000, f"TCP {address} {direction}: {end['sum_received']}")


def check_udp(address, streams, direction):
    """Streams share the rate."""
    end = transfer(address, "1M", "--udp", "--parallel", streams, "--bitrate", f"{10 // streams}M", *direction)["sum"]
    check(end["packets"] - end["lost_packets"] > 100, f"UDP {address} {direction}: {end}")


def check_some_streams():
    """Both protocols, families and directions; TCP with several streams."""
    for address, streams in ("10.77.1.2", 1), ("10.77.1.2", 4), ("fd00:77:1::2", 2):
        for direction in DIRECTIONS:
            check_tcp(address, streams, direction)
    for _, address in FAMILIES:
        for direction in DIRECTIONS:
            check_udp(address, 1, direction)


def check_all_streams():
    for _, address in FAMILIES:
        for streams in 1, 2, 4:
            for direction in DIRECTIONS:
                check_tcp(address, streams, direction)
                check_udp(address, streams, direction)


def check_datagrams(address):
    """What the guest sends back is what it was sent."""
    for size in DATAGRAM_SIZES:
        for _ in range(5):
            check_datagram(address, os.urandom(size))


def check_datagram(address, data):
    """One that is lost is sent again; from a port of its own, since its answer may be late."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.connect((address, 7))
        client.settimeout(1)
        for _ in range(10):
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                client.send(data)
                check_data(client.recv(65536) == data, f"a datagram of {len(data)} bytes has changed on its way")
                return
    raise Failure(f"no datagram of {len(data)} bytes has come back")


def check_traffic(guest, served):
    """Data of either protocol and family is the same at the other end, both ways."""
    with web_server() as server:
        for host, address in FAMILIES:
            bracketed = (host, address) if "." in host else (f"[{host}]", f"[{address}]")
            guest_reads(guest, server, bracketed[0])
            check_data(host_reads(f"http://{bracketed[1]}:8080/data") == served, "the host got something else")
            check_datagrams(address)


def run_traffic(daemon, combination, check_streams):
    with guest_on_a_lan(daemon, combination) as (guest, nic, set_up):
        guest.run(set_up)
        served = guest.run(UDP_ECHO + SERVE).split()[0]
        for offloads in "", NO_OFFLOADS:
            guest.run(NIC + f"nic=$(find_nic {nic})\n{offloads}")
            check_streams()
            check_traffic(guest, served)
        daemon.vmctl("switch", "set", "lan", "--mtu", 9000)
        guest.run(NIC + f"ip link set $(find_nic {nic}) mtu 9000 && reach -M do -s 8972 10.77.1.1")
        check_traffic(guest, served)
        check_log(guest)


def network_traffic(daemon, combination):
    """Every kind of traffic, with offloads and without, and with a large MTU."""
    run_traffic(daemon, combination, check_some_streams)


def network_traffic_matrix(daemon, combination):
    """Every kind of traffic with each of the others."""
    run_traffic(daemon, combination, check_all_streams)


# ---- Disturbances ----

def check_reachable(guest, set_up, address):
    """The guest, which has just found its adapter, sets it up, and data passes it."""
    guest.run(set_up)
    with web_server(os.urandom(1 << 20)) as server:
        guest_reads(guest, server, address)


def pull_adapter(daemon, guest, nic, set_up, times):
    for _ in range(times):
        time.sleep(0.5)
        daemon.vmctl("net", "remove", "guest", "nic0")
        guest.run(NIC + f"no_nic {nic}")
        daemon.vmctl("net", "add", "guest", "--name", "nic0", "--switch", "lan", "--mac", nic)
        guest.run(set_up)


def index(interface):
    path = pathlib.Path(f"/sys/class/net/{interface}/ifindex")
    return int(path.read_text()) if path.exists() else None


def delete_behind(daemon, guest):
    """The tap, and then the bridge, are deleted behind the daemon's back, and are there again."""
    bridge = json.loads(daemon.vmctl("switch", "list", "--json").stdout)["switches"][0]["interface"]
    for name in taps()[0], bridge:
        gone = index(name)
        subprocess.run(["ip", "link", "del", name], check=True)

        def is_made_again():
            ports = taps()
            return len(ports) == 1 and os.path.exists(f"/sys/class/net/{bridge}/brif/{ports[0]}") and \
                gone not in (index(bridge), index(ports[0]))
        Daemon.wait_until(is_made_again, 60, f"{name} to be made again")
        guest.run(NIC + "reach 10.77.1.1")


def run_disturbed(daemon, combination, times, reboots):
    """In the middle of traffic an adapter goes and comes back, its tap and bridge are deleted, the
    guest reboots, a worker dies."""
    with guest_on_a_lan(daemon, combination) as (guest, nic, set_up):
        guest.run(set_up)
        with traffic("10.77.1.2"):
            pull_adapter(daemon, guest, nic, set_up, times)
            delete_behind(daemon, guest)
            check_reachable(guest, set_up, "10.77.1.1")
            check_log(guest)
            for _ in range(reboots):
                guest.send("reboot -f")
                guest.ready()
                check_reachable(guest, set_up, "10.77.1.1")
            check_log(guest)
            check(len(taps()) == 1, f"taps: {taps()}")
            guest.kill_worker()
            guest.wait_state("crashed")
            Daemon.wait_until(lambda: not taps(), 10, "its tap to go")


def network_disturbed(daemon, combination):
    run_disturbed(daemon, combination, times=3, reboots=1)


def network_adapter_pulled_a_hundred_times(daemon, combination):
    run_disturbed(daemon, combination, times=100, reboots=5)


def network_kexec(daemon, combination):
    """A second kernel takes over in the middle of traffic, without a machine reset."""
    with guest_on_a_lan(daemon, {**combination, "memory": "512M"}) as (guest, nic, set_up):
        guest.run(set_up)
        guest.run("kexec --load /boot/vmlinuz --initrd=/boot/initrd --reuse-cmdline")
        with traffic("10.77.1.2"):
            time.sleep(1)
            guest.send("sync; kexec --exec")
            guest.ready()
            check_reachable(guest, set_up, "10.77.1.1")
        check_log(guest)


ALL = [network_default, network_default_stalls, network_switches, network_traffic, network_disturbed, network_kexec]

# Interrupts, whoever is at the other end of the tap.
OF_THE_ENGINE = [network_default]

# What repeats these, or combines all with all.
AT_LENGTH = [network_traffic_matrix, network_adapter_pulled_a_hundred_times]
