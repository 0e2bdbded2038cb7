# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stock guests do on the network: as scenarios.py, with addresses of their own making."""

import contextlib
import hashlib
import http.server
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request

from harness import Daemon, Failure, Guest, check

MEGABYTES = 8
LOG_FAULTS = r"Call Trace|BUG:|WARNING:|NETDEV WATCHDOG|hv_netvsc.*([Ee]rror|[Ff]ail|[Uu]nable|invalid)"

# For the guest's scripts. Interfaces are found by MAC address: their names go by the order of discovery.
NIC = """
find_nic() { for i in $(seq 200); do for d in /sys/class/net/*; do
	[ "$(cat $d/address 2>/dev/null)" = "$1" ] && basename $d && return; done; sleep 0.1; done; return 1; }
no_nic() { for i in $(seq 200); do cat /sys/class/net/*/address | grep -q "$1" || return 0; sleep 0.1; done; return 1; }
set_up() { nic=$(find_nic $1) || return; shift; ip link set $nic up
	for address; do ip address add $address dev $nic $(case $address in (*:*) echo nodad; esac); done; }
reach() { for i in $(seq 20); do ping -n -c 1 -W 1 "$@" >/tmp/ping 2>&1 && return; done; cat /tmp/ping; return 1; }
"""

SERVE = """
mkdir -p /tmp/www && dd if=/dev/urandom of=/tmp/www/data bs=1M count=%d 2>/dev/null
busybox httpd -p 8080 -h /tmp/www && md5sum </tmp/www/data
""" % MEGABYTES

DHCP = """
cat >/tmp/lease <<'END'
#!/bin/busybox sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface" && ip route add default via "$router" dev "$interface"
echo "$router" >/tmp/router
END
chmod 755 /tmp/lease
set_up %s && busybox udhcpc -i $nic -q -n -s /tmp/lease >/tmp/udhcpc 2>&1 || { cat /tmp/udhcpc; exit 1; }
cat /tmp/router
"""


class WebServer(http.server.ThreadingHTTPServer):
    """Serves the same content to all, of either family."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def __init__(self, content):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        super().__init__(("::", 0), Handler)
        self.sum = hashlib.md5(content).hexdigest()

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)
        self.server_port = self.socket.getsockname()[1]
        self.server_name = "host"


@contextlib.contextmanager
def web_server(content=None):
    with WebServer(content or os.urandom(MEGABYTES << 20)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def host_reads(url):
    """The checksum of what the host finds there."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return hashlib.md5(answer.read()).hexdigest()


def guest_reads(guest, server, address):
    """The guest downloads what the host serves, and it is that."""
    output = guest.run(f"busybox wget -q -O - http://{address}:{server.server_port}/ | md5sum")
    check(output.split()[0] == server.sum, f"the guest got something else of {address}: {output}")


def mac(daemon, name="guest", adapter=0):
    return daemon.show(name)["definition"]["network_adapters"][adapter]["mac"]


def check_log(guest):
    faults = guest.run(f"dmesg --color=never | grep -E '{LOG_FAULTS}'", expect_status=None)
    check(not faults, f"the guest's log has:\n{faults}")


def taps():
    links = json.loads(subprocess.run(["ip", "-json", "link", "show"], check=True,
                                      capture_output=True).stdout)
    return [link["ifname"] for link in links if link["ifname"].startswith("vmtap-")]


@contextlib.contextmanager
def switch(daemon, name, *words):
    """A virtual switch, which must be gone when it is removed. Yields its interface."""
    daemon.vmctl("switch", "add", name, *words)
    interface = next(s["interface"] for s in
                     json.loads(daemon.vmctl("switch", "list", "--json").stdout)["switches"]
                     if s["definition"]["name"] == name)
    yield interface
    for vm in ("guest", "other"):
        daemon.vmctl("stop", vm, check=False)
        daemon.vmctl("delete", vm, check=False)
    daemon.vmctl("switch", "remove", name)
    check(not os.path.exists(f"/sys/class/net/{interface}"), f"{interface} is still there")


def network_default(daemon, combination):
    """Who configures nothing gets a guest that can reach out, and ports of it if they say so."""
    guest = Guest(daemon, **combination)
    daemon.vmctl("net", "set", "guest", "nic0", "--forward", "2222:8080")
    guest.boot()
    router = guest.run(NIC + DHCP % mac(daemon)).split()[-1]
    guest.run("for i in $(seq 100); do ip -6 route | grep -q ^default && exit; sleep 0.1; done; ip -6 route; exit 1")
    with web_server() as server:
        for address in router, "[2001:db8::1]":  # the routers of the host's own uplink, which are the host here
            guest_reads(guest, server, address)
    served = guest.run(SERVE).split()[0]
    check(host_reads("http://127.0.0.1:2222/data") == served, "the forwarded port gives something else")
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
                check(host_reads(f"http://{address}:8080/data") == served, "the host got something else")
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


class Refused(Failure):
    """There is no server now."""


def iperf(address, *words):
    """Runs against the guest's server; returns what iperf3 says at the end."""
    result = subprocess.run(["iperf3", "--json", "--client", address, "--connect-timeout", "5000",
                             *map(str, words)], capture_output=True, text=True, timeout=60)
    try:
        report = json.loads(result.stdout)
    except ValueError:
        raise Failure(f"iperf3 {words}: {result.stdout}{result.stderr}") from None
    if "error" in report:
        raise Refused(f"iperf3 {words}: {report['error']}") if "connect" in report["error"] else \
            Failure(f"iperf3 {words}: {report['error']}")
    return report["end"]


def transfer(address, size, *words):
    """Moves so many bytes; a server that has just served somebody else is waited for."""
    for _ in range(20):
        with contextlib.suppress(Refused):
            return iperf(address, "--bytes", size, *words)
        time.sleep(0.5)
    raise Failure(f"iperf3's server at {address} is gone")


IPERF_SERVER = """
ss -ltn | grep -q :5201 || iperf3 --server --daemon >/dev/null 2>&1
for i in $(seq 50); do ss -ltn | grep -q :5201 && exit; sleep 0.1; done; exit 1
"""

# Not all can be changed in each kernel; these, by their long names, must be off.
NO_OFFLOADS = """
for offload in tx rx sg tso gso gro lro; do ethtool -K $nic $offload off >/dev/null 2>&1; done
for offload in tcp-segmentation-offload generic-receive-offload large-receive-offload; do
	ethtool -k $nic | grep "^$offload: off" || { ethtool -k $nic; exit 1; }
done
"""


def check_streams():
    """Both protocols, families and directions; TCP with several streams."""
    for address, streams in ("10.77.1.2", 1), ("10.77.1.2", 4), ("fd00:77:1::2", 2):
        for direction in (), ("--reverse",):
            end = transfer(address, "4M", "--parallel", streams, *direction)
            check(end["sum_received"]["bytes"] > 100000, f"TCP {address} {direction}: {end['sum_received']}")
    for address in "10.77.1.2", "fd00:77:1::2":
        for direction in (), ("--reverse",):
            end = transfer(address, "1M", "--udp", "--bitrate", "10M", *direction)["sum"]
            check(end["packets"] - end["lost_packets"] > 100, f"UDP {address} {direction}: {end}")


@contextlib.contextmanager
def traffic(address):
    """Datagrams and connections to the guest, whatever becomes of them; not so many that an emulated
    host has time for nothing else."""
    stop = threading.Event()

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    datagrams.sendto(bytes(1400), (address, 9))
                time.sleep(0.005)

    def connect():
        while not stop.is_set():
            with contextlib.suppress(Failure, subprocess.TimeoutExpired):
                iperf(address, "--bidir", "--time", 5, "--bitrate", "5M")
            time.sleep(0.2)

    threads = [threading.Thread(target=target, daemon=True) for target in (send, connect)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        subprocess.run(["killall", "-q", "iperf3"], check=False)
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def guest_on_a_lan(daemon, combination):
    """A guest on an internal switch with the host; yields it, its adapter's MAC address, and what
    it runs to be reached."""
    with switch(daemon, "lan", "--type", "internal", "--mtu", 9000, "--ip", "10.77.1.1/24",
                "--ip", "fd00:77:1::1/64"):
        guest = Guest(daemon, network_adapters=[{"switch": "lan"}], **combination).boot()
        nic = mac(daemon)
        yield guest, nic, (NIC + f"set_up {nic} 10.77.1.2/24 fd00:77:1::2/64 && reach 10.77.1.1"
                           " || exit 1\n" + IPERF_SERVER)


def network_traffic(daemon, combination):
    """Every kind of traffic, with offloads and without."""
    with guest_on_a_lan(daemon, combination) as (guest, nic, set_up):
        guest.run(set_up)
        check_streams()
        guest.run(NIC + f"nic=$(find_nic {nic})" + NO_OFFLOADS)
        check_streams()
        guest.run(NIC + f"ip link set $(find_nic {nic}) mtu 9000 && reach -M do -s 8972 10.77.1.1")
        check_log(guest)


def network_disturbed(daemon, combination):
    """In the middle of traffic an adapter goes and comes back, and a worker dies."""
    with guest_on_a_lan(daemon, combination) as (guest, nic, set_up):
        guest.run(set_up)
        with traffic("10.77.1.2"):
            for _ in range(5):
                time.sleep(0.5)
                daemon.vmctl("net", "remove", "guest", "nic0")
                guest.run(NIC + f"no_nic {nic}")
                daemon.vmctl("net", "add", "guest", "--name", "nic0", "--switch", "lan", "--mac", nic)
                guest.run(set_up)
        with web_server() as server:
            guest_reads(guest, server, "10.77.1.1")
        check_log(guest)
        with traffic("10.77.1.2"):
            time.sleep(1)
            check(len(taps()) == 1, f"taps: {taps()}")
            guest.kill_worker()
            guest.wait_state("crashed")
            Daemon.wait_until(lambda: not taps(), 10, "its tap to go")


ALL = [network_default, network_switches, network_traffic]
