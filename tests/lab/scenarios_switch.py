# SPDX-License-Identifier: LGPL-2.1-or-later
"""What virtual switches do for stock guests: the network outside, VLANs, guards, limits, captures."""

import contextlib
import json
import re
import subprocess

from harness import SCRATCH, Daemon, Guest, check
from harness_network import IPERF_SERVER, NIC, SERVE, Capture, check_log, link, mac, switch, transfer


# ---- The network outside ----

def ip(*words):
    subprocess.run(["ip", *words], check=True)


def far(*command, **options):
    """Runs it on the other side of the veths."""
    return subprocess.run(["ip", "netns", "exec", "far", *command], check=True, capture_output=True, text=True,
                          **options).stdout


@contextlib.contextmanager
def network_outside():
    """Two networks, 10.77.3.0 and .4, with a host at .9 that serves the file `far`: one behind the
    interface up0, the other behind the bridge br0. Yields the sum of the file."""
    folder = SCRATCH / "far"
    folder.mkdir(exist_ok=True)
    subprocess.run(["dd", "if=/dev/urandom", f"of={folder}/data", "bs=1M", "count=4", "status=none"], check=True)
    ip("netns", "add", "far")
    for number in 0, 1:
        net = f"77:{3 + number}"
        ip("link", "add", f"up{number}", "up", "type", "veth", "peer", "name", f"eth{number}", "netns", "far")
        ip("-n", "far", "address", "add", f"10.{net.replace(':', '.')}.9/24", "dev", f"eth{number}")
        ip("-n", "far", "address", "add", f"fd00:{net}::9/64", "dev", f"eth{number}", "nodad")
        ip("-n", "far", "link", "set", f"eth{number}", "up")
    ip("link", "add", "br0", "up", "type", "bridge", "forward_delay", "0")
    ip("link", "set", "up1", "master", "br0")
    ip("address", "add", "10.77.4.1/24", "dev", "br0")
    ip("address", "add", "10.77.3.1/24", "dev", "up0")
    ip("address", "add", "fd00:77:3::1/64", "dev", "up0", "nodad")
    ip("route", "add", "10.78.0.0/16", "via", "10.77.3.9", "metric", "77")
    far("busybox", "httpd", "-p", "8080", "-h", str(folder))
    Daemon.wait_until(lambda: link("br0")["operstate"] == "UP" and
                      not any(a.get("tentative") for a in link("br0")["addr_info"]), 20, "the bridge")
    yield subprocess.run(["md5sum", folder / "data"], check=True, capture_output=True, text=True).stdout.split()[0]


def addresses(interface):
    return {(a["local"], a["prefixlen"]) for a in link(interface)["addr_info"] if a["scope"] == "global"}


def routes(interface):
    output = subprocess.run(["ip", "-json", "route", "show", "dev", interface], check=True, capture_output=True,
                            text=True).stdout
    return {(route["dst"], route.get("gateway"), route.get("metric")) for route in json.loads(output)}


def bridge_state(name):
    """Of a bridge, all that its administrator has set."""
    return link(name), subprocess.run(["bridge", "vlan", "show", "dev", name], check=True, capture_output=True,
                                      text=True).stdout


def network_external(daemon, combination):
    """A switch that takes an interface, and one that joins a bridge: the guest is in the networks
    behind them, the host keeps its addresses there, and afterwards all is as it was."""
    with network_outside() as far_sum:
        before = addresses("up0"), routes("up0"), link("up0")["mtu"], bridge_state("br0")
        check(len(before[0]) == 2 and len(before[1]) == 2, f"the test's own network: {before}")
        with switch(daemon, "wan", "--type", "external", "--interface", "up0") as wan, \
                switch(daemon, "bridged", "--type", "external", "--bridge", "br0", stays=True):
            check((addresses("up0"), routes("up0")) == (set(), set()), f"up0 has kept {addresses('up0')}")
            check((addresses(wan), routes(wan)) == before[:2], f"the switch has {addresses(wan)}, {routes(wan)}")
            guest = Guest(daemon, network_adapters=[{"switch": "wan"}, {"switch": "bridged"}], **combination).boot()
            served = guest.run(SERVE).split()[0]
            for adapter, net in enumerate((3, 4)):
                guest.run(NIC + f"set_up {mac(daemon, adapter=adapter)} 10.77.{net}.2/24 fd00:77:{net}::2/64 &&"
                                f"reach 10.77.{net}.1 && reach 10.77.{net}.9 && reach fd00:77:{net}::9")
                got = guest.run(f"busybox wget -q -O - http://10.77.{net}.9:8080/data | md5sum").split()[0]
                check(got == far_sum, f"the guest got something else over network {net}")
                for address in f"10.77.{net}.2", f"[fd00:77:{net}::2]":
                    got = far("sh", "-c", f"busybox wget -q -O - http://{address}:8080/data | md5sum").split()[0]
                    check(got == served, f"the network outside got something else of {address}")
            check(bridge_state("br0") == before[3],
                  f"the administrator's bridge was changed:\n{before[3]}\n{bridge_state('br0')}")
            check_log(guest)
        after = addresses("up0"), routes("up0"), link("up0")["mtu"], bridge_state("br0")
        check(after == before, f"not as it was:\n{before}\n{after}")
        far("ping", "-n", "-c", "1", "-W", "5", "10.77.3.1")


# ---- Guards and limits ----

SERVE_ADDRESSES = NIC + """
cat >/tmp/udhcpd.conf <<END
interface $(find_nic %s)
start 10.77.1.100
end 10.77.1.110
lease_file /tmp/leases
static_lease %s 10.77.1.100
END
touch /tmp/leases
setsid busybox udhcpd -f /tmp/udhcpd.conf </dev/null >/dev/null 2>&1 &
"""
ASK_FOR_ADDRESS = NIC + "busybox udhcpc -i $(find_nic %s) -n -q -f -t 3 -T 1 -s /bin/true 2>&1"

# An advertisement of itself as a router for the next half hour, to all nodes; the kernel sums it.
ADVERTISE_ROUTER = NIC + """
perl -e 'socket(S, 10, 3, 58) && setsockopt(S, 41, 18, pack("i", 255)) or die $!;
	send(S, pack("CCnCCnNN", 134, 0, 0, 64, 0, 1800, 0, 0), 0,
	     pack("SnNH32L", 10, 0, 0, "ff02" . "0" x 27 . "1", $ARGV[0])) or die $!;
' $(cat /sys/class/net/$(find_nic %s)/ifindex) && reach 10.77.1.3
"""
DEFAULT_ROUTE = "ip -6 route | grep ^default"

# A frame of a type of its own from each address, to everybody.
SEND_FROM = NIC + """
nic=$(find_nic %s)
for mac in %s; do perl -e 'socket(S, 17, 3, 0) or die $!;
	my $source = $ARGV[1] =~ s/://gr;
	send(S, pack("H12H12H4x46", "f" x 12, $source, "88b5"), 0,
	     pack("SnlSCCH16", 17, 0x88b5, $ARGV[0], 0, 0, 6, "f" x 12)) or die $!;
' $(cat /sys/class/net/$nic/ifindex) $mac || exit 1; done; reach 10.77.1.3
"""


def check_dhcp_guard(daemon, guest, other):
    guest.run(SERVE_ADDRESSES % (mac(daemon), mac(daemon, "other")))
    output = other.run(ASK_FOR_ADDRESS % mac(daemon, "other"), expect_status=1)
    check("no lease, failing" in output, f"behind the guard: {output}")
    daemon.vmctl("net", "set", "guest", "nic0", "--dhcp-guard", "off")
    output = other.run(ASK_FOR_ADDRESS % mac(daemon, "other"))
    check("lease of 10.77.1.1" in output, f"without the guard: {output}")


def check_router_guard(daemon, guest, other):
    """Whoever is reached after it has had time for the advertisement."""
    guest.run(ADVERTISE_ROUTER % mac(daemon))
    other.run(DEFAULT_ROUTE, expect_status=1)
    daemon.vmctl("net", "set", "guest", "nic0", "--router-guard", "off")
    guest.run(ADVERTISE_ROUTER % mac(daemon))
    check("via fe80::" in other.run(DEFAULT_ROUTE), "without the guard: no router")


def check_spoofing_guard(daemon, guest):
    own, foreign = mac(daemon), "02:00:00:00:00:01"

    def arrived():
        capture = Capture(daemon, "other", "nic0")
        guest.run(SEND_FROM % (own, f"{foreign} {own}"))
        return [source in line for source in (foreign, own) for line in capture.lines("ether proto 0x88b5")]

    guest.run(NIC + f"ip link set $(find_nic {own}) address {foreign}", expect_status=2)
    check(arrived() == [False, True], "frames from an address of its own making, or none, have arrived")
    daemon.vmctl("net", "set", "guest", "nic0", "--mac-spoofing", "on")
    check(arrived() == [True, False, False, True], "frames from another address have not arrived")
    daemon.vmctl("net", "set", "guest", "nic0", "--mac-spoofing", "off")


def datagrams(direction):
    """The part that arrives of 10 Mbit/s: the rest is lost, or the sender is made to wait."""
    end = transfer("10.77.1.2", "1M", "--udp", "--bitrate", "10M", *direction)["sum"]
    return (1 - end["lost_packets"] / end["packets"]) * end["bits_per_second"] / 10e6


def check_limits(daemon, guest):
    """A tenth of what is sent passes, and what may pass at once."""
    guest.run(IPERF_SERVER)
    for option, direction in ("--ingress", ()), ("--egress", ("--reverse",)):
        free = datagrams(direction)
        daemon.vmctl("net", "set", "guest", "nic0", option, "1M")
        limited = datagrams(direction)
        daemon.vmctl("net", "set", "guest", "nic0", option, "none")
        check(limited < free / 2, f"{option} 1M: {limited:.2f} of 10 Mbit/s have come, else {free:.2f}")


def network_guarded(daemon, combination):
    """What a guest must not say is not heard, until it may; and it is held to its bandwidth."""
    with switch(daemon, "lan", "--type", "internal", "--ip", "10.77.1.1/24"):
        guest = Guest(daemon, network_adapters=[{"switch": "lan", "dhcp_guard": True, "router_guard": True}],
                      **combination)
        other = Guest(daemon, "other", kernel=combination["kernel"], engine=combination["engine"],
                      network_adapters=[{"switch": "lan"}])
        guest.start()
        other.boot()
        guest.ready()
        guest.run(NIC + f"set_up {mac(daemon)} 10.77.1.2/24 && reach 10.77.1.1")
        other.run(NIC + f"set_up {mac(daemon, 'other')} 10.77.1.3/24 && reach 10.77.1.2")
        check_dhcp_guard(daemon, guest, other)
        check_router_guard(daemon, guest, other)
        check_spoofing_guard(daemon, guest)
        check_limits(daemon, guest)
        check_log(guest)
        check_log(other)


# ---- VLANs ----

SET_UP_VLANS = NIC + """
modprobe 8021q && nic=$(find_nic %s) && ip link set $nic up || exit 1
for id in 10 20 30; do
	ip link add link $nic name vlan$id type vlan id $id && ip link set vlan$id up &&
	ip address add 10.77.$id.3/24 dev vlan$id || exit 1
done
"""


def network_vlans(daemon, combination):
    """An adapter in one VLAN or another, another one that has two of three: who hears whom, and what
    is on the wire. The second guest is of the image's own kernel, whose VLAN driver is there."""
    with switch(daemon, "lan", "--type", "private"):
        guest = Guest(daemon, network_adapters=[{"switch": "lan", "vlan": {"access": 10}}], **combination)
        trunk = Guest(daemon, "other", kernel="6.1-cloud", engine=combination["engine"],
                      network_adapters=[{"switch": "lan", "vlan": {"trunk": [10, 20]}}])
        guest.start()
        trunk.boot()
        guest.ready()
        guest.run(NIC + f"set_up {mac(daemon)} 10.77.10.2/24 10.77.20.2/24 10.77.30.2/24")
        trunk.run(SET_UP_VLANS % mac(daemon, "other"))
        at_guest, at_trunk = Capture(daemon, "guest", "nic0"), Capture(daemon, "other", "nic0")
        for vlan in 10, 20:
            daemon.vmctl("net", "set", "guest", "nic0", "--vlan", vlan)
            guest.run(NIC + f"reach 10.77.{vlan}.3")
            trunk.run(NIC + f"reach 10.77.{vlan}.2")
            # Of another VLAN of the trunk's nothing is heard, though the guest is in its network.
            trunk.run(f"ping -n -c 2 -W 1 10.77.{30 - vlan}.2", expect_status=1)
        daemon.vmctl("net", "set", "guest", "nic0", "--vlan", 30)
        for guest_or_trunk, address in (guest, "10.77.30.3"), (trunk, "10.77.30.2"):
            guest_or_trunk.run(f"ping -n -c 2 -W 1 {address}", expect_status=1)

        def frames(capture, expression, source):
            return len([line for line in capture.lines(expression) if f" {source} > " in f" {line}"])

        nic, trunk_nic = mac(daemon), mac(daemon, "other")
        check(not at_guest.lines("vlan"), f"tags at an access port: {at_guest.lines('vlan')[:3]}")
        check(at_guest.lines("icmp"), "no ping in the guest's capture")
        for vlan, heard in (10, True), (20, True), (30, False):
            count = frames(at_trunk, f"vlan {vlan}", nic)
            check((count > 0) == heard, f"{count} frames of the guest in VLAN {vlan} at the trunk")
            check(frames(at_trunk, f"vlan {vlan}", trunk_nic) > 0, f"none of the trunk's own in VLAN {vlan}")
        check(frames(at_trunk, "not vlan", nic) == 0, "the guest is heard without a tag")
        for line in at_guest.lines("arp"):
            check(not re.search(r"who-has 10\.77\.30\.2 tell", line), f"VLAN 30 of the trunk was heard: {line}")
        check_log(guest)
        check_log(trunk)


ALL = [network_external, network_guarded, network_vlans]
