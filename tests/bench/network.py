#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares our network with QEMU's, inside the lab host: see docs/performance.md.

usage: network.py [--rounds N] [--quick] [--only PART]... [--kind NAME]... [--place NAME]... OUTPUT

parts:
  traffic  iperf3 both ways, small datagrams both ways, questions and answers of one byte; with the
           processor time of the VM's processes
  counts   VM exits, interrupts, system calls and bytes copied per packet

places:
  tap      a bridge of its own with the host; QEMU's with vhost-net besides, where the host has it
  passt    the user-mode network

In all of them the contenders of a place take turns, so that what else the machine does strikes all
alike. Guests that have not their turn are stopped. OUTPUT is a directory, for JSON files.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

import measure
import table
import vm  # puts the lab on the path
import harness
from harness_network import DHCP, NIC, Refused, iperf

PARTS = ("traffic", "counts")
VHOST = "vhost-net"
EXCHANGE = vm.BIN.parent / "tests/exchange"
DATAGRAM = 64       # bytes of payload
SEGMENT = 1448      # bytes of a TCP stream in a packet of 1500 bytes
PASST_MTU = 1500    # as our default adapter has it
IPERF_PORT, ASK_PORT, COUNT_PORT = 5201, 5301, 5302  # in the guest; the last on the host, too


class Tap:
    """A tap on a bridge of its own, with an address of the host's."""

    place = "tap"

    def __init__(self, index, vhost=False):
        self.interface, self.vhost = f"bench{index}", vhost
        self.mac = f"02:56:4d:00:00:{index + 1:02x}"
        self.host, self.address = f"10.78.{index}.1", f"10.78.{index}.2"
        bridge = f"benchbr{index}"
        for words in (f"tuntap add dev {self.interface} mode tap vnet_hdr",
                      f"link add {bridge} type bridge",
                      f"link set {self.interface} master {bridge} up",
                      f"link set {bridge} up", f"address add {self.host}/24 dev {bridge}",
                      # The host must not give up on a guest that is stopped.
                      f"neighbour add {self.address} lladdr {self.mac} dev {bridge} nud permanent"):
            subprocess.run(["ip", *words.split()], check=True)

    def adapter(self):
        return {"tap": self.interface, "mac": self.mac}

    sockets = ()

    def arguments(self):
        vhost = "on" if self.vhost else "off"
        return ["-netdev", f"tap,id=net,ifname={self.interface},script=no,downscript=no,"
                           f"vhost={vhost}", "-device", f"virtio-net-pci,netdev=net,mac={self.mac}"]

    @contextlib.contextmanager
    def ready(self, kind, environment):
        """What must run before the VM, if anything: yields its process."""
        yield None

    def set_up(self, guest):
        """Yields the host's address as the guest sees it."""
        guest.run(NIC + f"set_up {self.mac} {self.address}/24 && reach {self.host}")
        return self.host

    def reached_at(self, port):
        return self.address, port


class Passt:
    """passt(1), with the guest's ports forwarded, at the other end of a pair of sockets: our worker
    makes both, for QEMU it is done here."""

    place = "passt"

    def __init__(self, index):
        self.mac = f"02:56:4d:00:01:{index + 1:02x}"
        self.sockets = []
        self.ports = {port: 6000 + 10 * index + number for number, port in
                      enumerate((IPERF_PORT, ASK_PORT, COUNT_PORT))}

    def adapter(self):
        protocol = {COUNT_PORT: "udp:"}
        return {"switch": "default", "mac": self.mac, "mtu": PASST_MTU, "host_loopback": True,
                "forward": [f"{protocol.get(port, '')}{ours}:{port}"
                            for port, ours in self.ports.items()]}

    def arguments(self):
        descriptor = self.sockets[0].fileno()
        return ["-netdev", f"stream,id=net,server=off,addr.type=fd,addr.str={descriptor}",
                "-device", f"virtio-net-pci,netdev=net,mac={self.mac}"]

    @contextlib.contextmanager
    def ready(self, kind, environment):
        if kind.ours:
            yield None
            return
        self.sockets = socket.socketpair()
        self.sockets[0].set_inheritable(True)
        words = ["passt", "--foreground", "--quiet", "--fd", str(self.sockets[1].fileno()),
                 "--mtu", str(PASST_MTU)]
        for port, ours in self.ports.items():
            words += ["--udp-ports" if port == COUNT_PORT else "--tcp-ports", f"{ours}:{port}"]
        process = subprocess.Popen(words, env=dict(os.environ, **environment or {}),
                                   pass_fds=[self.sockets[1].fileno()])
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for end in self.sockets:
                end.close()

    def set_up(self, guest):
        return guest.run(NIC + DHCP % self.mac).split()[-1]

    def reached_at(self, port):
        return "127.0.0.1", self.ports[port]


class Contender:
    """One VM with one network, of those that are compared."""

    def __init__(self, kind, network):
        self.kind, self.network = kind, network
        self.ours = kind.ours
        self.name = f"{kind.name} {VHOST}" if getattr(network, "vhost", False) else kind.name

    @contextlib.contextmanager
    def up(self, initrd, disks, environment=None):
        """Its guest, with all servers running in it."""
        with self.network.ready(self.kind, environment) as process, \
                vm.Vm(self.kind, initrd, disks, environment, self.network) as guest:
            guest.wait(vm.READY)
            guest.contender = self
            guest.host = self.network.set_up(guest)
            guest.run("iperf3 --server --daemon >/dev/null 2>&1\n"
                      f"/run/vmms/exchange serve {ASK_PORT} >/dev/null 2>&1 &\n"
                      f"until ss -ltn | grep -q :{IPERF_PORT}; do sleep 0.1; done")
            guest.pids = [guest.process.pid, *self.helpers(guest.process.pid, process)]
            yield guest

    def helpers(self, pid, process):
        """What else works for the VM: passt, or the kernel's thread."""
        if process:
            return [process.pid]
        if self.network.place == "passt":
            return measure.processes("passt", parent=pid)
        if self.network.vhost:
            return measure.processes(f"vhost-{pid}")
        return []


# ---- Workloads: each returns what it reached, its packets, and the bytes that they carried ----

Result = collections.namedtuple("Result", "value packets bytes")


def exchange(*words):
    return subprocess.run([EXCHANGE, *map(str, words)], stdout=subprocess.PIPE, text=True,
                          check=True, timeout=120).stdout.split()


def tcp(guest, seconds, *words):
    address, port = guest.contender.network.reached_at(IPERF_PORT)
    for _ in range(20):
        # A server that has just served somebody listens anew.
        with contextlib.suppress(Refused):
            end = iperf(address, "--port", port, "--time", seconds, *words)
            break
        time.sleep(0.5)
    else:
        raise harness.Failure(f"iperf3's server in {guest.name} is gone")
    received = end["sum_received"]
    guest.retransmits = end["sum_sent"].get("retransmits")
    return Result(received["bits_per_second"] / 8e6, received["bytes"] / SEGMENT,
                  received["bytes"])


def tcp_out(guest, seconds):
    return tcp(guest, seconds, "--reverse")


def datagrams(count, seconds):
    return Result(int(count) / float(seconds), int(count), int(count) * DATAGRAM)


def udp_out(guest, seconds):
    guest.run(f"(sleep 0.5; exec /run/vmms/exchange flood {guest.host} {COUNT_PORT} {DATAGRAM} "
              f"{seconds}) >/dev/null 2>&1 &")
    return datagrams(*exchange("count", COUNT_PORT))


def udp_in(guest, seconds):
    guest.run(f"/run/vmms/exchange count {COUNT_PORT} >/tmp/count 2>&1 &\n"
              f"until ss -lun | grep -q :{COUNT_PORT}; do sleep 0.1; done")
    address, port = guest.contender.network.reached_at(COUNT_PORT)
    exchange("flood", address, port, DATAGRAM, seconds)
    return datagrams(*guest.run("until [ -s /tmp/count ]; do sleep 0.1; done; cat /tmp/count")
                     .split())


def ask(guest, seconds, flows):
    address, port = guest.contender.network.reached_at(ASK_PORT)
    try:
        answers, time_taken = exchange("ask", address, port, flows, seconds)
    except subprocess.TimeoutExpired:
        raise harness.Failure(f"{guest.name}: no answers over {flows} connections") from None
    return Result(int(answers) / float(time_taken), int(answers), int(answers))


WORKLOADS = {
    "TCP, guest to host": ("MB/s", tcp_out),
    "TCP, host to guest": ("MB/s", tcp),
    f"UDP {DATAGRAM} bytes, guest to host": ("packets/s", udp_out),
    f"UDP {DATAGRAM} bytes, host to guest": ("packets/s", udp_in),
    "TCP_RR, 1 flow": ("transactions/s", lambda guest, seconds: ask(guest, seconds, 1)),
    "TCP_RR, 16 flows": ("transactions/s", lambda guest, seconds: ask(guest, seconds, 16)),
}


class Bench:
    """The contenders of one place, and the samples so far."""

    def __init__(self, seconds):
        self.seconds, self.samples = seconds, table.Samples()
        self.initrd = vm.make_initrd([EXCHANGE])

    def root(self, index):
        path = vm.SCRATCH / f"bench-root{index}.raw"
        if not path.exists():
            subprocess.run(["cp", "--reflink=auto", vm.IMAGES / "root.raw", path], check=True)
        return [path]

    def add(self, name, unit, guest, value, compared=True):
        self.samples.add(name, unit, guest.contender.name, value, compared)

    def run(self, contenders, parts, rounds):
        with contextlib.ExitStack() as stack:
            guests = []
            for index, contender in enumerate(contenders):
                table.say(f"{contender.network.place}: {contender.name} starts")
                guests.append(stack.enter_context(contender.up(self.initrd, self.root(index))))
                self.warm_up(guests[-1])
                guests[-1].process.send_signal(signal.SIGSTOP)
            for _ in range(rounds if "traffic" in parts else 0):
                self.take_turns(guests, self.traffic)
            if "counts" in parts:
                self.take_turns(guests, self.counts)
        if "counts" in parts:
            for index, contender in enumerate(contenders):
                table.say(f"{contender.network.place}: copies of {contender.name}")
                self.copies(contender, self.root(index))

    @staticmethod
    def warm_up(guest):
        """So that nobody's first measurement has the host's memory to find."""
        for _, run in WORKLOADS.values():
            run(guest, 1)

    @staticmethod
    def take_turns(guests, function):
        for name in WORKLOADS:
            for guest in guests:
                table.say(f"{Bench.title(guest, name)}, {function.__name__}: "
                          f"{guest.contender.name}")
                with guest.turn():
                    function(guest, name)

    @staticmethod
    def title(guest, name):
        return f"{name}, {guest.contender.network.place}"

    def traffic(self, guest, name):
        unit, run = WORKLOADS[name]
        title = self.title(guest, name)
        cpu = sum(map(measure.cpu_seconds, guest.pids))
        result = run(guest, self.seconds)
        cpu = sum(map(measure.cpu_seconds, guest.pids)) - cpu
        self.add(title, unit, guest, result.value)
        if unit == "MB/s":
            self.add(f"{title}, processor time", "s/GB", guest, 1e9 * cpu / result.bytes)
            self.add(f"{title}, retransmitted", "packets", guest, guest.retransmits or 0,
                     compared=False)
        else:
            self.add(f"{title}, processor time", "us/packet", guest, 1e6 * cpu / result.packets,
                     compared=False)

    def counts(self, guest, name):
        with measure.Events(guest.pids, measure.EVENTS) as events:
            events.begin()
            result = WORKLOADS[name][1](guest, self.seconds)
            events.end()
            counts = events.counts()
        for event, count in counts.items():
            self.add(f"{self.title(guest, name)}: {event}", "1/packet", guest,
                     count / result.packets)

    def copies(self, contender, disks):
        copies = measure.Copies(vm.COPIES_LIBRARY, vm.SCRATCH / "bench-copies")
        with contextlib.closing(copies), \
                contender.up(self.initrd, disks, copies.environment) as guest:
            for name, (_, run) in WORKLOADS.items():
                begun = copies.read(guest.process.pid)
                result = run(guest, self.seconds)
                copied = copies.read(guest.process.pid) - begun
                self.add(f"{self.title(guest, name)}: copied", "bytes/packet", guest,
                         copied / result.packets)


def has_vhost():
    if subprocess.run(["modprobe", "vhost_net"], check=False).returncode == 0:
        return True
    print("network: this host has no vhost-net, so QEMU is compared without it only", flush=True)
    return False


def make_contenders(kinds, places):
    """By place. Each network is made as its contender is."""
    peer = vm.Qemu("q35", "scsi")
    kinds = [*kinds, peer]
    made = {}
    if "tap" in places:
        made["tap"] = [Contender(kind, Tap(index)) for index, kind in enumerate(kinds)]
        if has_vhost():
            made["tap"].append(Contender(peer, Tap(len(kinds), vhost=True)))
    if "passt" in places:
        made["passt"] = [Contender(kind, Passt(index)) for index, kind in enumerate(kinds)]
    return made


def rows(samples, ours):
    """Against QEMU without vhost; and what was reached, against that with it, as rows of their
    own."""
    for row in samples.rows(ours, every=True):
        if not row["peer_name"].endswith(VHOST):
            yield row
        elif ": " not in row["name"]:
            yield dict(row, name=f"{row['name']}, against {VHOST}")


def report(samples, ours, output):
    print("\nThe network in the lab: medians, with half the spread")
    table.print_medians(samples)
    compared = list(rows(samples, ours))
    print("\nAgainst QEMU's")
    table.print_rows(compared)
    table.write(output / "network.json", compared)
    table.write_samples(output / "network-samples.json", samples)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--kind", action="append")
    parser.add_argument("--place", action="append", choices=("tap", "passt"))
    parser.add_argument("output", type=pathlib.Path)
    return parser.parse_args()


def main():
    options = arguments()
    kinds = [kind for kind in (vm.Worker("in-kernel"), vm.Worker("user-space"))
             if any(word in kind.name for word in options.kind or [""])]
    bench = Bench(1 if options.quick else 3)
    try:
        for contenders in make_contenders(kinds, options.place or ("tap", "passt")).values():
            bench.run(contenders, options.only or PARTS, 1 if options.quick else options.rounds)
    finally:
        report(bench.samples, [kind.name for kind in kinds], options.output)


if __name__ == "__main__":
    main()
