#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual switches, in a network namespace of the test's own; iproute2 is the judge.

Exit status 77 where no namespace may be made.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, FAKE_WORKER, NO_SUCH_VM, OK, USAGE, VMMS, WRONG_STATE,  # noqa: E402
                 ServiceTest, main, wait_until)

UUID = "f8615163-df3e-46c5-913f-f2d2f965ed0e"


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def ip_json(*words):
    return json.loads(ip("-json", "-details", *words) or "[]")


def links(kind=None):
    return {link["ifname"]: link for link in ip_json("link", "show")
            if kind in (None, link.get("linkinfo", {}).get("info_kind"))}


def routes(device):
    return sorted((route["dst"], route.get("gateway", ""))
                  for family in ("-4", "-6") for route in ip_json(family, "route", "show", "dev", device)
                  if not route["dst"].startswith(("fe80", "ff00")))


def addresses(device):
    return sorted(f"{a['local']}/{a['prefixlen']}" for a in ip_json("addr", "show", "dev", device)[0]
                  ["addr_info"] if a["scope"] != "link")


class SwitchTest(ServiceTest):
    def setUp(self):
        before = links()
        self.addCleanup(lambda: self.assertEqual(set(links()), set(before)))
        super().setUp()

    def interface(self, name="eth0"):
        """An interface with a network behind it, as hardware has."""
        ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-far")
        self.addCleanup(ip, "link", "del", name)
        for end in name, f"{name}-far":
            ip("link", "set", end, "up")

    def switches(self):
        return {switch["definition"]["name"]: switch
                for switch in json.loads(self.ok("switch", "list", "--json"))["switches"]}

    def bridge(self, name):
        return links()[self.switches()[name]["interface"]]

    def restart(self, kill=False):
        if kill:
            self.vmms.kill()
            self.vmms.wait()
        else:
            self.stop_vmms()
        self.start_vmms()


class Switches(SwitchTest):
    def test_from_creation_to_deletion(self):
        said = self.ok("switch", "add", "lan", "--type", "internal", "--ip", "192.0.2.1/24",
                       "--ip", "2001:db8::1/64")
        self.assertEqual(said, "switch 'lan' added\n")
        info = self.switches()["lan"]
        self.assertEqual((info["state"], info["reason"]), ("up", ""))
        bridge = self.bridge("lan")
        self.assertTrue(bridge["ifname"].startswith("vmsw-"))
        self.assertIn(info["definition"]["uuid"], bridge["ifalias"])
        self.assertIn("UP", bridge["flags"])
        self.assertEqual(bridge["mtu"], 1500)
        self.assertEqual(addresses(bridge["ifname"]), ["192.0.2.1/24", "2001:db8::1/64"])
        self.assertIn("192.0.2.1/24 2001:db8::1/64", self.ok("switch", "list"))
        self.assertIn("internal", self.ok("switch", "show", "lan"))
        self.assertEqual(self.ok("switch", "set", "lan", "--notes", "x"), "switch 'lan' changed\n")
        self.assertEqual(self.ok("switch", "remove", "lan"), "switch 'lan' removed\n")
        self.assertEqual(links("bridge"), {})
        self.refused(NO_SUCH_VM, "switch", "show", "lan", says="there is no virtual switch 'lan'")
        self.assertEqual(list((self.state / "switches").iterdir()), [])

    def test_private_has_no_address(self):
        self.ok("switch", "add", "lan", "--type", "private")
        self.assertEqual(ip_json("addr", "show", "dev", self.bridge("lan")["ifname"])[0]
                         ["addr_info"], [])

    def test_changes(self):
        self.ok("switch", "add", "lan", "--ip", "192.0.2.1/24")
        name = self.bridge("lan")["ifname"]
        self.ok("switch", "set", "lan", "--ip", "192.0.2.2/24", "--mtu", "9000", "--notes", "x")
        self.assertEqual(addresses(name), ["192.0.2.2/24"])
        self.assertEqual(links()[name]["mtu"], 9000)
        self.refused(USAGE, "switch", "set", "lan", "--bridge", "br0", says="external")
        self.assertEqual(addresses(name), ["192.0.2.2/24"])
        self.ok("switch", "set", "lan", "--ip", "none")
        self.assertEqual(addresses(name), [])
        self.restart()
        self.assertEqual(self.switches()["lan"]["definition"]["notes"], "x")
        self.assertEqual(self.bridge("lan")["mtu"], 9000)

    def test_refusals(self):
        self.refused(USAGE, "switch", "add", "lan", says="which type?")
        self.refused(USAGE, "switch", "add", "default", "--type", "private", says="default")
        self.refused(USAGE, "switch", "add", "lan", "--type", "public")
        self.refused(USAGE, "switch", "add", "lan", "--ip", "192.0.2.1", says="addresses[0]")
        self.assertNotIn("line 1", self.vmctl("switch", "add", "lan", "--ip", "192.0.2.1").err)
        self.refused(USAGE, "switch", "add", "lan", "--type", "external", says="--interface")
        self.refused(FAILED, "switch", "add", "lan", "--bridge", "br0", says="there is no bridge")
        self.refused(FAILED, "switch", "add", "lan", "--interface", "eth0", says="no interface eth0")
        self.ok("switch", "add", "lan", "--type", "private")
        self.refused(FAILED, "switch", "add", "lan", "--type", "private", says="already")
        self.refused(NO_SUCH_VM, "switch", "remove", "wan")
        self.assertEqual(set(self.switches()), {"lan"})

    def test_they_go_and_come_with_the_daemon(self):
        self.ok("switch", "add", "lan", "--ip", "192.0.2.1/24")
        before = self.switches()
        self.stop_vmms()
        self.assertEqual(links("bridge"), {})
        self.start_vmms()
        self.assertEqual(self.switches(), before)
        self.assertEqual(addresses(self.bridge("lan")["ifname"]), ["192.0.2.1/24"])

    def test_what_a_killed_daemon_left(self):
        self.ok("switch", "add", "kept", "--ip", "192.0.2.1/24")
        self.ok("switch", "add", "gone", "--type", "private")
        kept = self.bridge("kept")
        ip("link", "add", "vmsw-foreign", "type", "bridge")
        self.addCleanup(ip, "link", "del", "vmsw-foreign")
        self.vmms.kill()
        self.vmms.wait()
        self.assertEqual(len(links("bridge")), 3)
        (self.state / "switches/gone.json").unlink()
        self.start_vmms()
        self.assertEqual(self.bridge("kept")["ifindex"], kept["ifindex"])
        self.assertEqual(set(links("bridge")), {kept["ifname"], "vmsw-foreign"})

    def test_another_daemons_stay(self):
        ip("link", "add", "vmsw-0", "type", "bridge")
        self.addCleanup(ip, "link", "del", "vmsw-0")
        ip("link", "set", "vmsw-0", "alias", f"vmms:switch:{UUID}::/var/lib/vmms")
        self.restart()
        self.assertIn("vmsw-0", links())

    def test_a_name_that_is_taken(self):
        ip("link", "add", "vmsw-f8615163", "type", "bridge")
        self.addCleanup(ip, "link", "del", "vmsw-f8615163")
        ip("link", "set", "vmsw-f8615163", "up", "alias", "mine")
        self.stop_vmms()
        (self.state / "switches/lan.json").write_text(
            json.dumps({"name": "lan", "uuid": UUID, "type": "private"}))
        self.start_vmms()
        info = self.switches()["lan"]
        self.assertEqual(info["state"], "down")
        self.assertIn("not vmms's", info["reason"])
        self.assertEqual(links()["vmsw-f8615163"]["ifalias"], "mine")

    def test_files_changed_by_hand(self):
        self.ok("switch", "add", "a", "--type", "private")
        self.ok("switch", "add", "b", "--ip", "192.0.2.1/24")
        folder = self.state / "switches"
        definition = json.loads((folder / "b.json").read_text())
        definition["addresses"] = ["192.0.2.9/24"]
        (folder / "b.json").write_text(json.dumps(definition))
        (folder / "a.json").unlink()
        (folder / "c.json").write_text('{"name": "c",\n"type": "nonsense"}')
        (folder / "d.json").write_text(json.dumps({"name": "d", "uuid": UUID, "type": "private"}))
        self.refused(FAILED, "reload", says="broken: ")
        self.assertEqual(set(self.switches()), {"b", "d"})
        self.assertEqual(addresses(self.bridge("b")["ifname"]), ["192.0.2.9/24"])
        self.assertIn(f"{folder}/c.json:2: type", self.ok("switch", "list"))

    def test_files_are_private(self):
        self.ok("switch", "add", "lan", "--type", "private")
        self.assertEqual((self.state / "switches/lan.json").stat().st_mode & 0o777, 0o600)


class External(SwitchTest):
    def state_of(self, name):
        """All that ip(8) tells, but for timers."""
        return re.sub(r" +\d+\.\d\d", " t", ip("-details", "addr", "show", name))

    def test_a_bridge_of_the_administrators(self):
        self.interface()
        ip("link", "add", "br0", "type", "bridge", "ageing_time", "12300")
        self.addCleanup(ip, "link", "del", "br0")
        ip("link", "set", "eth0", "master", "br0")
        ip("link", "set", "br0", "up")
        ip("addr", "add", "192.0.2.1/24", "dev", "br0")
        wait_until(lambda: "inet6" in self.state_of("br0") and "tentative" not in self.state_of("br0"),
                   "the bridge to have its address")
        before = self.state_of("br0")
        self.ok("switch", "add", "wan", "--bridge", "br0")
        self.assertEqual(self.switches()["wan"]["interface"], "br0")
        self.restart(kill=True)
        self.assertEqual(self.switches()["wan"]["state"], "up")
        self.ok("switch", "remove", "wan")
        self.assertEqual(self.state_of("br0"), before)

    def test_not_a_bridge(self):
        self.interface()
        self.refused(USAGE, "switch", "add", "wan", "--bridge", "eth0", says="not a bridge")
        self.refused(USAGE, "switch", "add", "wan", "--interface", "lo", says="not an Ethernet")

    def furnish(self):
        self.interface()
        ip("addr", "add", "192.0.2.5/24", "dev", "eth0")
        ip("-6", "addr", "add", "2001:db8::5/64", "dev", "eth0", "nodad")
        ip("route", "add", "203.0.113.0/24", "via", "192.0.2.1")
        ip("-6", "route", "add", "2001:db8:1::/48", "via", "2001:db8::1")
        return addresses("eth0"), routes("eth0")

    def assert_given_back(self, before):
        self.assertEqual((addresses("eth0"), routes("eth0")), before)
        self.assertNotIn("master", links()["eth0"])
        self.assertEqual(links("bridge"), {})

    def assert_taken(self, before):
        bridge = self.bridge("wan")
        self.assertEqual(links()["eth0"]["master"], bridge["ifname"])
        self.assertEqual(bridge["address"], links()["eth0"]["address"])
        self.assertEqual(addresses("eth0"), [])
        self.assertEqual(routes("eth0"), [])
        self.assertEqual((addresses(bridge["ifname"]), routes(bridge["ifname"])), before)

    def test_an_interface(self):
        before = self.furnish()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        self.assert_taken(before)
        self.ok("switch", "remove", "wan")
        self.assert_given_back(before)

    def test_an_interface_over_restarts(self):
        before = self.furnish()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        self.restart(kill=True)
        self.assert_taken(before)
        self.stop_vmms()
        self.assert_given_back(before)
        self.start_vmms()
        self.assert_taken(before)
        self.vmms.kill()
        self.vmms.wait()
        (self.state / "switches/wan.json").unlink()
        self.start_vmms()
        self.assert_given_back(before)

    def test_the_default_route(self):
        self.furnish()
        ip("route", "add", "default", "via", "192.0.2.1")
        before = addresses("eth0"), routes("eth0")
        self.refused(WRONG_STATE, "switch", "add", "wan", "--interface", "eth0",
                     says="default route")
        self.assert_given_back(before)
        self.ok("switch", "add", "wan", "--interface", "eth0", "--force")
        self.assert_taken(before)
        # What has been agreed to once is not asked again.
        self.restart()
        self.assert_taken(before)
        self.ok("switch", "remove", "wan")
        self.assert_given_back(before)

    def test_one_that_is_managed(self):
        before = self.furnish()
        index = links()["eth0"]["ifindex"]
        run = pathlib.Path("/run")
        managers = ((run / f"NetworkManager/devices/{index}", "[device]\nmanaged=true\n",
                     "nmcli connection add type bridge"),
                    (run / f"systemd/netif/links/{index}", "ADMIN_STATE=configured\n",
                     "networkctl reload"),
                    (run / "network/ifstate", "eth0=eth0\n", "ifup br0"))
        for path, text, says in managers:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            try:
                self.refused(WRONG_STATE, "switch", "add", "wan", "--interface", "eth0", "--force",
                             says=says)
            finally:
                path.unlink()
            self.assert_given_back(before)
        self.assertEqual(self.switches(), {})

    def test_what_cannot_be_moved_is_rolled_back(self):
        before = self.furnish()
        with Unmovable():
            self.refused(FAILED, "switch", "add", "wan", "--interface", "eth0", says="as it was")
        self.assert_given_back(before)
        self.assertEqual(self.switches(), {})

    def test_part_of_another_bridge(self):
        self.interface()
        ip("link", "add", "br0", "type", "bridge")
        self.addCleanup(ip, "link", "del", "br0")
        ip("link", "set", "eth0", "master", "br0")
        self.refused(WRONG_STATE, "switch", "add", "wan", "--interface", "eth0", says="another")


class Unmovable:
    """A route that cannot be moved: by a nexthop object, which is the old interface's."""

    def __enter__(self):
        ip("nexthop", "add", "id", "7", "via", "192.0.2.1", "dev", "eth0")
        ip("route", "add", "198.51.100.0/24", "nhid", "7")

    def __exit__(self, *_):
        ip("route", "del", "198.51.100.0/24")
        ip("nexthop", "del", "id", "7")


class Unprivileged(ServiceTest):
    def start_vmms(self, *extra, wait=True):
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        os.chown(home, 65534, 65534)
        self.vmms = subprocess.Popen(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", VMMS, "--address",
             self.address, "--state-dir", home / "state", "--runtime-dir", home / "run",
             "--worker", FAKE_WORKER, "--hypervisor", "/dev/null"],
            stdout=self.log, stderr=self.log)
        wait_until(lambda: self.vmctl("list").status == OK, "vmms")

    def test_switches_need_privilege(self):
        self.refused(FAILED, "switch", "add", "lan", "--type", "private", says="CAP_NET_ADMIN")
        self.assertIn("switch 'default', needs no privilege",
                      self.refused(FAILED, "switch", "add", "lan", "--type", "private"))
        self.assertEqual(json.loads(self.ok("switch", "list", "--json")), {"switches": []})


def in_own_network():
    """Starts the program again in a network namespace, and with a /run, of its own."""
    if "VMMS_TEST_NETWORK" in os.environ:
        return
    if subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True).returncode != 0:
        print("needs a network namespace")
        sys.exit(77)
    if not os.path.exists("/dev/net/tun"):
        subprocess.run(["modprobe", "tun"], check=False)
    os.environ["VMMS_TEST_NETWORK"] = "own"
    os.execvp("unshare", ["unshare", "-n", "-m", "sh", "-c",
                          'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"', "sh",
                          sys.executable, *sys.argv])


if __name__ == "__main__":
    in_own_network()
    main()
