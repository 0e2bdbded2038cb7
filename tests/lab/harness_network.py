# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the network's scenarios share: servers and clients on both sides, switches, and traffic."""

import contextlib
import hashlib
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

from harness import BIN, SCRATCH, Daemon, Failure, Guest, check, check_data

MEGABYTES = 4
LOG_FAULTS = r"Call Trace|BUG:|WARNING:|NETDEV WATCHDOG|hv_netvsc.*([Ee]rror|[Ff]ail|[Uu]nable|invalid)"

# For the guest's scripts. Interfaces are found by MAC address: their names go by the order of discovery.
NIC = """
find_nic() { for i in $(seq 200); do for d in /sys/class/net/*; do
	[ "$(cat $d/address 2>/dev/null)" = "$1" ] && basename $d && return; done; sleep 0.1; done; return 1; }
no_nic() { for i in $(seq 200); do cat /sys/class/net/*/address | grep -q "$1" || return 0; sleep 0.1; done
	echo w >/proc/sysrq-trigger; dmesg | tail -n 40; return 1; }
set_up() { nic=$(find_nic $1) || return; shift; ip link set $nic up
	for address; do ip address replace $address dev $nic $(case $address in (*:*) echo nodad; esac); done; }
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


class Capture:
    """What passes an adapter, by `vmctl net capture`, as tcpdump(8) reads it."""

    def __init__(self, daemon, name, adapter):
        self.path = SCRATCH / f"{name}-{adapter}.pcapng"
        self.path.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [BIN / "vmctl", "--address", daemon.address, "net", "capture", name, "--adapter", adapter,
             "--output", self.path], stderr=subprocess.PIPE, text=True)
        Daemon.wait_until(lambda: self.path.exists() and self.path.stat().st_size > 0, 20, "the capture")

    def lines(self, expression):
        """Of the frames so far; the first time ends it, when the last of them is in the file."""
        if self.process:
            time.sleep(1)
            self.process.send_signal(signal.SIGINT)
            self.process.communicate(timeout=20)
            self.process = None
        result = subprocess.run(["tcpdump", "-nn", "-e", "-r", self.path, expression], capture_output=True,
                                text=True)
        check(result.returncode == 0, f"tcpdump {expression!r}: {result.stderr}")
        # Of frames of types that it does not know, tcpdump prints the data as well.
        return [line for line in result.stdout.splitlines() if not line.startswith("\t")]


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
    check_data(output.split()[0] == server.sum, f"the guest got something else of {address}: {output}")


def mac(daemon, name="guest", adapter=0):
    return daemon.show(name)["definition"]["network_adapters"][adapter]["mac"]


def check_log(guest):
    faults = guest.run(f"dmesg --color=never | grep -E '{LOG_FAULTS}'", expect_status=None)
    check(not faults, f"the guest's log has:\n{faults}")


def link(name):
    """All that ip(8) knows of an interface, but what passes with time, and what the kernel makes of
    the abilities of a bridge's ports."""
    output = subprocess.run(["ip", "-details", "-json", "address", "show", "dev", name], check=True,
                            capture_output=True, text=True).stdout
    return {key: value for key, value in json.loads(re.sub(r'timer": *[0-9.]+', 'timer":0', output))[0].items()
            if not key.startswith(("gso_", "tso_"))}


def taps():
    links = json.loads(subprocess.run(["ip", "-json", "link", "show"], check=True,
                                      capture_output=True).stdout)
    return [link["ifname"] for link in links if link["ifname"].startswith("vmtap-")]


@contextlib.contextmanager
def switch(daemon, name, *words, stays=False):
    """A virtual switch, whose interface must be gone, or stay, when it is removed; yields that."""
    daemon.vmctl("switch", "add", name, *words)
    interface = next(s["interface"] for s in
                     json.loads(daemon.vmctl("switch", "list", "--json").stdout)["switches"]
                     if s["definition"]["name"] == name)
    yield interface
    for vm in ("guest", "other"):
        daemon.vmctl("stop", vm, check=False)
        daemon.vmctl("delete", vm, check=False)
    daemon.vmctl("switch", "remove", name)
    check(os.path.exists(f"/sys/class/net/{interface}") == stays, f"{interface} is {'gone' if stays else 'left'}")


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
    with switch(daemon, "lan", "--type", "internal", "--ip", "10.77.1.1/24", "--ip", "fd00:77:1::1/64"):
        guest = Guest(daemon, network_adapters=[{"switch": "lan"}], **combination).boot()
        nic = mac(daemon)
        yield guest, nic, (NIC + f"set_up {nic} 10.77.1.2/24 fd00:77:1::2/64 && reach 10.77.1.1"
                           " || exit 1\n" + IPERF_SERVER)
