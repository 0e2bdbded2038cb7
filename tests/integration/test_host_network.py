#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens to the host's network behind the daemon's back, and what guests must not do to it.

In a network namespace of the test's own; exit status 77 where none may be made.
"""

import json
import pathlib
import socket
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import FAILED, USAGE, WRONG_STATE, main, wait_until  # noqa: E402
from test_network import NetworkTest, rules, taps  # noqa: E402
from test_switch import addresses, in_own_network, ip, ip_json, links, routes  # noqa: E402

MAC = "02:56:4d:01:02:03"


def sysctl(interface, name, value=None, family="ipv6"):
    path = pathlib.Path(f"/proc/sys/net/{family}/conf/{interface}/{name}")
    if value is not None:
        path.write_text(str(value))
    return int(path.read_text())


def queues(device):
    return json.loads(subprocess.run(["tc", "-json", "qdisc", "show", "dev", device], check=True,
                                     capture_output=True, text=True).stdout)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def advertise(interface, prefix, router="fe80::99"):
    """A router says on the wire behind that interface that it is one, and which network it is on."""
    source, target = (socket.inet_pton(socket.AF_INET6, a) for a in (router, "ff02::1"))
    prefix = struct.pack(">BBBBIII16s", 3, 4, 64, 0xc0, 86400, 14400, 0, socket.inet_pton(socket.AF_INET6, prefix))
    link = struct.pack(">BB6s", 1, 1, b"\x02\0\0\0\0\x99")
    body = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + link + prefix
    pseudo = source + target + struct.pack(">II", len(body), 58)
    body = body[:2] + struct.pack(">H", checksum(pseudo + body)) + body[4:]
    packet = struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + source + target + body
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))
        wire.send(b"\x33\x33\0\0\0\1" + b"\x02\0\0\0\0\x99" + b"\x86\xdd" + packet)


class HostTest(NetworkTest):
    def wait_switch(self, state, reason="", name="lan"):
        def reached():
            info = self.switches()[name]
            return info if info["state"] == state and reason in info["reason"] else None
        return wait_until(reached, f"switch {name} to be {state}, {reason}")

    def port_of(self, name, adapter="nic0"):
        """The adapter's tap is a port of the switch that is up."""
        tap = taps().get(adapter)
        switch = self.switches()[name]
        return tap if tap and switch["state"] == "up" and tap.get("master") == switch["interface"] and \
            "UP" in tap["flags"] else None


class Routers(HostTest):
    """Guests are the host's neighbours, not its routers."""

    def test_of_an_internal_switch(self):
        self.ok("switch", "add", "lan", "--type", "internal", "--ip", "2001:db8::1/64")
        bridge = self.bridge("lan")["ifname"]
        self.assertEqual(sysctl(bridge, "accept_ra"), 0)
        self.assertEqual(sysctl(bridge, "accept_redirects", family="ipv4"), 0)
        ip("link", "add", "guest", "type", "veth", "peer", "name", "port")
        self.addCleanup(ip, "link", "del", "guest")
        ip("link", "set", "port", "master", bridge, "up")
        ip("link", "set", "guest", "up")
        ip("link", "add", "free", "type", "veth", "peer", "name", "free-far")
        self.addCleanup(ip, "link", "del", "free")
        ip("link", "set", "free", "up")
        ip("link", "set", "free-far", "up")

        def advertised():
            advertise("guest", "2001:db8:66::")
            advertise("free-far", "2001:db8:67::")
            return any(a.startswith("2001:db8:67:") for a in addresses("free"))
        wait_until(advertised, "an interface like any to listen to routers")
        self.assertEqual(addresses(bridge), ["2001:db8::1/64"])
        self.assertNotIn("default", [dst for dst, _ in routes(bridge)])

    def test_of_a_private_switch(self):
        self.ok("switch", "add", "lan", "--type", "private")
        self.assertEqual(sysctl(self.bridge("lan")["ifname"], "disable_ipv6"), 1)


class Interfaces(HostTest):
    def furnish(self):
        self.interface()
        ip("addr", "add", "192.0.2.5/24", "dev", "eth0")
        ip("route", "add", "203.0.113.0/24", "via", "192.0.2.1")
        return addresses("eth0"), routes("eth0")

    def assert_given_back(self, before, name="eth0"):
        self.assertEqual((addresses(name), routes(name)), before)
        self.assertNotIn("master", links()[name])
        self.assertEqual(links("bridge"), {})

    def test_settings_of_the_interface(self):
        self.interface()
        sysctl("eth0", "accept_ra", 2)
        sysctl("eth0", "disable_ipv6", 1)
        sysctl("eth0", "rp_filter", 2, "ipv4")
        self.ok("switch", "add", "wan", "--interface", "eth0")
        bridge = self.bridge("wan")["ifname"]
        self.assertEqual((sysctl(bridge, "accept_ra"), sysctl(bridge, "disable_ipv6"),
                          sysctl(bridge, "rp_filter", family="ipv4")), (2, 1, 2))
        # What the administrator changes of the bridge later stays.
        sysctl(bridge, "accept_ra", 0)
        self.restart(kill=True)
        self.assertEqual(sysctl(bridge, "accept_ra"), 0)

    def test_what_a_router_has_told(self):
        """An address and a default route by IPv6's autoconfiguration, which are on the bridge at once."""
        self.interface()

        def told():
            advertise("eth0-far", "2001:db8:5::")
            return "default" in [dst for dst, _ in routes("eth0")] and addresses("eth0")
        wait_until(told, "the interface to listen to its router")
        before = addresses("eth0"), [route for route in routes("eth0") if route[1] == "fe80::99"]
        self.refused(WRONG_STATE, "switch", "add", "wan", "--interface", "eth0", says="default route")
        self.ok("switch", "add", "wan", "--interface", "eth0", "--force")
        bridge = self.bridge("wan")["ifname"]
        self.assertEqual((addresses("eth0"), routes("eth0")), ([], []))
        self.assertEqual(addresses(bridge), before[0])
        self.assertIn(("default", "fe80::99"), routes(bridge))
        address = next(a for a in ip_json("addr", "show", "dev", bridge)[0]["addr_info"] if a["scope"] == "global")
        self.assertLessEqual(address["valid_life_time"], 86400)
        self.ok("switch", "remove", "wan")
        self.assertEqual((addresses("eth0"), [r for r in routes("eth0") if r[1]]), before)

    def test_a_lease(self):
        self.interface()
        ip("addr", "add", "192.0.2.5/24", "dev", "eth0", "valid_lft", "3600", "preferred_lft", "3600")
        before = addresses("eth0"), routes("eth0")
        self.refused(WRONG_STATE, "switch", "add", "wan", "--interface", "eth0", says="DHCP client")
        self.assert_given_back(before)
        self.ok("switch", "add", "wan", "--interface", "eth0", "--force")
        self.assertEqual(addresses(self.bridge("wan")["ifname"]), ["192.0.2.5/24"])

    def test_a_rule_of_routing(self):
        before = self.furnish()
        ip("rule", "add", "iif", "eth0", "table", "77")
        self.refused(WRONG_STATE, "switch", "add", "wan", "--interface", "eth0", says="ip rule")
        self.assert_given_back(before)
        ip("rule", "del", "iif", "eth0", "table", "77")
        self.ok("switch", "add", "wan", "--interface", "eth0")

    def test_routes_through_several(self):
        before = self.furnish()
        self.interface("eth1")
        ip("addr", "add", "198.51.100.1/24", "dev", "eth1")
        ip("route", "add", "10.9.0.0/16", "nexthop", "via", "192.0.2.1", "dev", "eth0", "nexthop", "via",
           "198.51.100.2", "dev", "eth1")
        self.refused(FAILED, "switch", "add", "wan", "--interface", "eth0", says="through other interfaces")
        self.assert_given_back(before)

    def test_what_cannot_be_a_port(self):
        self.interface()
        ip("link", "add", "link", "eth0", "name", "above", "type", "macvlan")
        self.refused(FAILED, "switch", "add", "wan", "--interface", "eth0", says="cannot be part of a bridge")
        ip("link", "del", "above")
        self.assertEqual(links("bridge"), {})

    def rename(self, name, other):
        ip("link", "set", name, "down")
        ip("link", "set", name, "name", other)
        self.addCleanup(ip, "link", "set", other, "name", name)
        ip("link", "set", other, "up")

    def test_one_that_is_renamed(self):
        before = self.furnish()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        self.rename("eth0", "lan0")
        bridge = self.bridge("wan")["ifname"]
        # The next daemon finds no eth0, and leaves all as it is.
        self.restart(kill=True)
        self.assertIn("no interface eth0", self.switches()["wan"]["reason"])
        self.assertEqual(links()["lan0"]["master"], bridge)
        self.ok("switch", "set", "wan", "--interface", "lan0")
        self.assertEqual(self.switches()["wan"]["state"], "up")
        self.assertEqual(addresses(self.bridge("wan")["ifname"]), before[0])
        self.ok("switch", "remove", "wan")
        self.assert_given_back(before, "lan0")

    def test_one_that_is_renamed_goes_back(self):
        before = self.furnish()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        self.rename("eth0", "lan0")
        self.ok("switch", "remove", "wan")
        self.assert_given_back(before, "lan0")

    def test_one_that_goes_and_comes(self):
        """As those on a USB do, while a VM is connected."""
        self.interface()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        self.create_on("wan")
        self.ok("start", "vm")
        bridge = self.bridge("wan")["ifname"]
        ip("link", "del", "eth0")
        self.wait_switch("down", "interface eth0 is gone", "wan")
        self.assertEqual(taps()["nic0"]["master"], bridge)
        ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0-far")
        self.wait_switch("up", name="wan")
        self.assertEqual(links()["eth0"]["master"], bridge)
        self.assertTrue(self.port_of("wan"))

    def test_one_that_is_taken_out(self):
        """By hand: it is left so, until somebody says otherwise."""
        before = self.furnish()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        ip("link", "set", "eth0", "nomaster")
        self.wait_switch("down", "is not part of it any more", "wan")
        self.ok("reload")
        self.assertEqual(self.switches()["wan"]["state"], "up")
        self.assertEqual(links()["eth0"]["master"], self.bridge("wan")["ifname"])
        self.ok("switch", "remove", "wan")
        self.assert_given_back(before)
        # The other way round: it takes what was its own along.
        self.ok("switch", "add", "wan", "--interface", "eth0")
        ip("link", "set", "eth0", "nomaster")
        self.ok("switch", "remove", "wan")
        self.assert_given_back(before)

    def test_another_of_its_name(self):
        self.interface()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        ip("link", "set", "eth0", "down")
        ip("link", "set", "eth0", "name", "lan0")
        self.addCleanup(ip, "link", "del", "lan0")
        ip("link", "add", "eth0", "type", "veth", "peer", "name", "other-far")
        self.ok("reload")
        ports = [link["ifname"] for link in links().values() if link.get("master") == self.bridge("wan")["ifname"]]
        self.assertEqual(ports, ["lan0"])

    def test_one_that_is_late(self):
        self.interface()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        self.stop_vmms()
        ip("link", "del", "eth0")
        self.start_vmms()
        self.assertIn("no interface eth0", self.switches()["wan"]["reason"])
        ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0-far")
        self.wait_switch("up", name="wan")

    def test_another_of_our_switches(self):
        self.ok("switch", "add", "lan", "--type", "private")
        self.refused(USAGE, "switch", "add", "wan", "--bridge", self.bridge("lan")["ifname"],
                     says="is a virtual switch itself")

    def test_a_change_that_fails(self):
        before = self.furnish()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        self.refused(FAILED, "switch", "set", "wan", "--interface", "eth7", says="no interface eth7")
        self.assertEqual(links()["eth0"]["master"], self.bridge("wan")["ifname"])
        self.assertEqual(addresses(self.bridge("wan")["ifname"]), before[0])


class Bridges(HostTest):
    def test_one_that_is_deleted(self):
        """It is made again, with what was connected, guards included."""
        self.ok("switch", "add", "lan", "--type", "internal", "--ip", "192.0.2.1/24")
        self.create_on({"switch": "lan", "mac": MAC}, "lan")
        self.ok("start", "vm")
        before = self.bridge("lan")
        tap = taps()["nic0"]["ifname"]
        ip("link", "del", before["ifname"])
        wait_until(lambda: before["ifname"] in links() and self.port_of("lan") and self.port_of("lan", "nic1"),
                   "the bridge and its ports")
        self.assertEqual(addresses(self.bridge("lan")["ifname"]), ["192.0.2.1/24"])
        self.assertEqual(taps()["nic0"]["ifname"], tap)
        self.assertEqual(self.adapters()["nic0"]["state"], "up")
        self.assertEqual(rules().count(f"ether saddr != {MAC}"), 1)

    def test_one_that_is_renamed(self):
        self.ok("switch", "add", "lan", "--type", "internal", "--ip", "192.0.2.1/24")
        ip("link", "set", self.bridge("lan")["ifname"], "down")
        ip("link", "set", self.bridge("lan")["ifname"], "name", "br-mine")
        ip("link", "set", "br-mine", "up")
        self.ok("reload")
        self.assertEqual((self.switches()["lan"]["state"], set(links("bridge"))), ("up", {"br-mine"}))
        self.assertEqual(self.switches()["lan"]["interface"], "br-mine")
        self.restart(kill=True)
        self.assertEqual(set(links("bridge")), {"br-mine"})
        self.ok("switch", "remove", "lan")
        self.assertEqual(links("bridge"), {})

    def test_one_of_the_administrators(self):
        """Is not ours to make again; when it is back, it is joined."""
        ip("link", "add", "br0", "up", "type", "bridge")
        self.addCleanup(ip, "link", "del", "br0")
        self.ok("switch", "add", "wan", "--bridge", "br0")
        self.create_on("wan")
        self.ok("start", "vm")
        ip("link", "del", "br0")
        self.wait_switch("down", "there is no bridge br0", "wan")
        wait_until(lambda: "no bridge br0" in self.adapters()["nic0"]["reason"], "the adapter to be down")
        self.assertEqual(links("bridge"), {})
        ip("link", "add", "br0", "up", "type", "bridge")
        wait_until(lambda: self.port_of("wan"), "the tap to be its port")
        self.assertEqual(self.adapters()["nic0"]["state"], "up")

    def test_one_of_that_name(self):
        """Down and without an alias, as ours is for a moment; but it has another address."""
        self.ok("switch", "add", "lan", "--type", "internal")
        name = self.bridge("lan")["ifname"]
        self.stop_vmms()
        ip("link", "add", name, "type", "bridge")
        self.addCleanup(ip, "link", "del", name)
        self.start_vmms()
        self.assertIn("not vmms's", self.switches()["lan"]["reason"])
        self.assertNotIn("ifalias", links()[name])
        self.ok("switch", "remove", "lan")
        self.assertIn(name, links())

    def test_its_own_address(self):
        self.ok("switch", "add", "lan", "--type", "internal")
        self.create_on({"switch": "lan", "mac": self.bridge("lan")["address"]})
        self.refused(FAILED, "start", "vm", says="that the host itself has")


class Taps(HostTest):
    def setUp(self):
        super().setUp()
        self.ok("switch", "add", "lan", "--type", "private")
        self.create_on({"switch": "lan", "mac": MAC})
        self.ok("start", "vm")

    def wait_another(self, before):
        wait_until(lambda: self.port_of("lan") and self.port_of("lan")["ifindex"] != before["ifindex"],
                   "another tap")
        self.wait_said("connect_adapter nic0 tap, 1 descriptors")
        wait_until(lambda: self.adapters()["nic0"]["state"] == "up", "the adapter to be up")
        self.assertEqual(rules().count(f"ether saddr != {MAC}"), 1)

    def test_one_that_is_deleted(self):
        before = taps()["nic0"]
        ip("link", "del", before["ifname"])
        self.wait_another(before)
        self.ok("stop", "vm")
        self.assertEqual(taps(), {})

    def test_one_that_is_deleted_while_nobody_looks(self):
        before = taps()["nic0"]
        self.kill_vmms()
        ip("link", "del", before["ifname"])
        # Another's, of the same name.
        ip("link", "add", before["ifname"], "type", "bridge")
        self.addCleanup(ip, "link", "del", before["ifname"])
        self.start_vmms()
        self.wait_another(before)
        self.assertNotIn("master", links()[before["ifname"]])
        self.ok("stop", "vm")

    def test_one_that_is_taken_out(self):
        """By hand, on purpose perhaps: it is left so, until somebody says otherwise."""
        tap = taps()["nic0"]["ifname"]
        ip("link", "set", tap, "nomaster")
        self.ok("net", "set", "vm", "nic0", "--switch", "lan")
        self.assertTrue(self.port_of("lan"))

    def test_bandwidth_is_changed_and_cleared(self):
        def limits():
            qdisc = [q for q in queues(taps()["nic0"]["ifname"]) if q["kind"] == "tbf"]
            return [q["options"]["rate"] * 8 for q in qdisc], rules().count("limit rate")
        for words, expected in ((["--ingress", "10M", "--egress", "8M"], ([10_000_000], 1)),
                                (["--ingress", "20M"], ([20_000_000], 1)),
                                (["--egress", "none"], ([20_000_000], 0)),
                                (["--ingress", "none"], ([], 0))):
            self.ok("net", "set", "vm", "nic0", *words)
            self.assertEqual(limits(), expected)


if __name__ == "__main__":
    in_own_network()
    main()
