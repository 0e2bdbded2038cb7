#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network adapters of VMs with the fake worker: taps, switches, passt, changes, captures.

In a network namespace of the test's own; exit status 77 where none may be made.
"""

import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, OK, USAGE, VMCTL, WRONG_STATE, main, wait_until)  # noqa: E402
from test_switch import SwitchTest, in_own_network, ip, links  # noqa: E402

MAC = "02:56:4d:01:02:03"

# Says what it was given, and lives as long as the other end of its descriptor 3.
FAKE_PASST = """#!/bin/sh
echo "$@" >>{folder}/passt
test ! -e {folder}/passt-fails || {{ echo "no route for me" >&2; exit 1; }}
exec {python} -c 'import os; os.read(3, 1)' {folder}
"""


def taps():
    return {link["ifalias"].split(":")[2]: link for link in links("tun").values()}


def rules(kept=False):
    """Those of the daemon's own table, or those that hold without it. No counts."""
    text = subprocess.run(["nft", "--stateless", "list", "ruleset"], check=True, capture_output=True,
                          text=True).stdout
    return "".join(table for table in re.split(r"(?m)^(?=table )", text)
                   if ("vmms_kept_" in table) == kept and "table bridge vmms_" in table)


def closed_users(kept=False):
    """Whose processes are kept from the host's loopback, by the daemon's own table or by the other."""
    text = subprocess.run(["nft", "--stateless", "--json", "list", "ruleset"], check=True, capture_output=True,
                          text=True).stdout
    return {user for item in json.loads(text)["nftables"] if item.get("set", {}).get("name") == "closed"
            and ("vmms_kept_" in item["set"]["table"]) == kept for user in item["set"].get("elem", [])}


class NetworkTest(SwitchTest):
    def setUp(self):
        self.addCleanup(self.wait_no_passt)
        super().setUp()

    def start_vmms(self, *extra, wait=True):
        passt = self.folder / "fake-passt"
        passt.write_text(FAKE_PASST.format(folder=self.folder, python=sys.executable))
        passt.chmod(0o755)
        super().start_vmms("--passt", passt, *extra, wait=wait)

    def passt_processes(self):
        """Of this test: others' may come and go."""
        return [path for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                if b"os.read(3, 1)\0" + bytes(self.folder) in self.read(path)]

    def read(self, path):
        try:
            return path.read_bytes()
        except OSError:
            return b""

    def wait_no_passt(self):
        """The daemon ends it, and waits for nobody."""
        wait_until(lambda: not self.passt_processes(), "passt to end")

    def worker_user(self):
        """Of the VM that runs, as its record has it."""
        record, = (self.folder / "run" / "workers").glob("*.json")
        return json.loads(record.read_text())["user"]

    def passt_calls(self):
        return self.read(self.folder / "passt").decode().splitlines()

    def adapters(self, name="vm"):
        return {adapter["definition"]["name"]: adapter
                for adapter in json.loads(self.ok("net", "list", name, "--json"))["adapters"]}

    def create(self, *words, **members):
        """As if nothing were said of adapters, unless something is."""
        super().create(*words, **{"network_adapters": None, **members})

    def create_on(self, *switches, name="vm", append="", **more):
        self.create(name, append, network_adapters=[
            switch if isinstance(switch, dict) else {"switch": switch} for switch in switches],
            **more)


class Default(NetworkTest):
    def test_a_new_vm_has_one(self):
        self.create()
        self.ok("create", "--name", "b", "--kernel", self.folder / "kernel")
        macs = set()
        for name in "vm", "b":
            adapter = self.adapters(name)["nic0"]
            self.assertEqual((adapter["definition"]["switch"], adapter["state"]), ("default", "off"))
            self.assertTrue(adapter["definition"]["mac"].startswith("02:56:4d:"))
            macs.add(adapter["definition"]["mac"])
        self.assertEqual(len(macs), 2)
        self.ok("create", "--name", "c", "--kernel", self.folder / "kernel", "--no-network")
        self.assertEqual(self.adapters("c"), {})

    def test_passt_comes_and_goes_with_the_vm(self):
        self.ok("create", "--name", "vm", "--kernel", self.folder / "kernel", "--forward",
                "2222:22", "--forward", "udp:*:5353:53")
        self.ok("start", "vm")
        user = self.worker_user()
        self.assertEqual(self.adapters()["nic0"]["state"], "up")
        wait_until(self.passt_calls, "passt")
        self.assertEqual(self.passt_calls(), [
            f"--foreground --stderr --quiet --fd 3 --mtu 1500 --runas {user}:{user} --no-map-gw "
            "--tcp-ports 127.0.0.1/2222:22 --udp-ports 5353:53"])
        self.assertEqual(len(self.passt_processes()), 1)
        # The kernel, the hypervisor, the serial line, and this one.
        self.wait_said("4 descriptors")
        self.ok("stop", "vm")
        self.wait_no_passt()
        self.assertEqual(self.adapters()["nic0"]["state"], "off")

    def test_the_hosts_loopback(self):
        """By choice alone; and the rules for the VM's user go with it."""
        self.create()
        self.ok("start", "vm")
        user = self.worker_user()
        self.assertEqual(closed_users(), {user})
        self.kill_vmms()
        self.assertEqual(closed_users(kept=True), {user})
        self.start_vmms()
        self.assertEqual(closed_users(), {user})
        self.ok("net", "set", "vm", "nic0", "--host-loopback", "on")
        wait_until(lambda: len(self.passt_calls()) == 2, "another passt")
        self.assertNotIn("--no-map-gw", self.passt_calls()[1])
        self.assertEqual(closed_users() | closed_users(kept=True), set())
        self.assertIn("host's loopback", self.ok("net", "list", "vm"))
        self.ok("net", "set", "vm", "nic0", "--host-loopback", "off")
        wait_until(lambda: len(self.passt_calls()) == 3, "a third passt")
        self.assertIn("--no-map-gw", self.passt_calls()[2])
        self.assertEqual(closed_users(), {user})
        self.ok("stop", "vm")
        self.assertEqual(closed_users() | closed_users(kept=True), set())
        self.stop_vmms()
        self.assertNotIn("vmms_", subprocess.run(["nft", "list", "tables"], check=True, capture_output=True,
                                                 text=True).stdout)

    def test_passt_is_started_again(self):
        self.create()
        self.ok("start", "vm")
        wait_until(self.passt_processes, "passt")
        pid = int(self.passt_processes()[0].parent.name)
        os.kill(pid, 9)
        wait_until(lambda: "signal 9" in self.adapters()["nic0"]["reason"], "its end to be noticed")
        self.wait_said("connect_adapter nic0 socket, 1 descriptors")
        self.assertEqual(self.adapters()["nic0"]["state"], "up")

    def test_a_passt_that_fails_stops_no_vm(self):
        (self.folder / "passt-fails").touch()
        self.create()
        self.ok("start", "vm")
        wait_until(lambda: "no route for me" in self.adapters()["nic0"]["reason"], "the reason")
        self.assertEqual(self.adapters()["nic0"]["state"], "down")
        (self.folder / "passt-fails").unlink()
        self.wait_said("connect_adapter nic0 socket")

    def test_without_passt(self):
        self.create()
        (self.folder / "fake-passt").unlink()
        self.ok("start", "vm")
        self.assertIn("install the package passt", self.adapters()["nic0"]["reason"])
        self.assertIn("install the package passt", self.ok("net", "list", "vm"))

    def test_a_killed_worker_leaves_nothing(self):
        self.create()
        self.ok("start", "vm")
        wait_until(self.passt_processes, "passt")
        os.kill(self.show()["worker_pid"], 9)
        self.wait_state("crashed")
        self.wait_no_passt()

    def test_passt_outlives_a_killed_daemon(self):
        self.create()
        self.ok("start", "vm")
        before = wait_until(self.passt_processes, "passt")
        self.kill_vmms()
        self.start_vmms()
        self.assertEqual(self.passt_processes(), before)
        self.assertEqual(self.adapters()["nic0"]["state"], "up")
        os.kill(int(before[0].parent.name), 9)
        wait_until(lambda: "how is not known" in self.adapters()["nic0"]["reason"], "its end to be noticed")
        self.wait_said("connect_adapter nic0 socket, 1 descriptors")
        self.ok("stop", "vm")
        self.wait_no_passt()

    def test_passt_that_ended_meanwhile(self):
        self.create()
        self.ok("start", "vm")
        before = wait_until(self.passt_processes, "passt")
        self.kill_vmms()
        os.kill(int(before[0].parent.name), 9)
        wait_until(lambda: not self.passt_processes(), "passt to end")
        self.start_vmms()
        self.wait_said("connect_adapter nic0 socket, 1 descriptors")
        self.assertEqual(self.adapters()["nic0"]["state"], "up")

    def test_forwards_are_changed(self):
        self.create()
        self.ok("start", "vm")
        wait_until(self.passt_calls, "passt")
        self.ok("net", "set", "vm", "nic0", "--forward", "8080:80")
        self.wait_said("connect_adapter nic0 socket")
        wait_until(lambda: len(self.passt_calls()) == 2, "another passt")
        self.assertIn("--tcp-ports 127.0.0.1/8080:80", self.passt_calls()[1])
        wait_until(lambda: len(self.passt_processes()) == 1, "the old passt to end")
        self.ok("net", "set", "vm", "nic0", "--forward", "none")
        self.assertNotIn("forward", self.adapters()["nic0"]["definition"])

    def test_addresses(self):
        self.create()
        self.ok("start", "vm")
        self.type("addresses")
        wait_until(lambda: self.show()["addresses"], "the addresses")
        self.assertEqual(self.show()["addresses"],
                         [{"adapter": "nic0", "address": "192.0.2.7"},
                          {"adapter": "nic0", "address": "2001:db8::7"},
                          {"adapter": "nic0", "address": "fe80::1"}])
        self.assertIn("192.0.2.7 2001:db8::7 fe80::1", self.ok("list"))
        shown = self.ok("show", "vm")
        self.assertIn("addresses:      192.0.2.7 2001:db8::7 fe80::1\n", shown)
        self.assertRegex(shown, r"nic0 .* default +192\.0\.2\.7 2001:db8::7 fe80::1\n")
        self.ok("net", "set", "vm", "nic0", "--switch", "none")
        self.assertEqual(self.show()["addresses"], [])
        self.type("addresses")
        wait_until(lambda: self.show()["addresses"], "the addresses")
        self.ok("stop", "vm")
        self.assertEqual(self.show()["addresses"], [])


class Refusals(NetworkTest):
    def test_a_switch_that_does_not_exist(self):
        self.create()
        for words in ("add", "vm"), ("set", "vm", "nic0"):
            self.refused(NO_SUCH_VM, "net", *words, "--switch", "lan", says="'vmctl switch add'")
        self.assertEqual(list(self.adapters()), ["nic0"])
        # In a definition it may come later than the VM.
        self.create_on("lan", name="b")
        self.refused(NO_SUCH_VM, "start", "b", says="adapter 'nic0' of VM 'b': there is no virtual "
                     "switch 'lan'; 'vmctl switch add' makes it")
        self.ok("net", "set", "b", "nic0", "--mtu", 9000)
        self.ok("switch", "add", "lan", "--type", "private")
        self.ok("start", "b")

    def test_nothing_to_change(self):
        self.create()
        self.refused(USAGE, "net", "set", "vm", "nic0", says="what is to be changed?")

    def test_an_adapter_that_does_not_exist(self):
        self.create()
        for words in (("remove", "vm", "nic9"), ("set", "vm", "nic9", "--switch", "none"),
                      ("capture", "vm", "--adapter", "nic9", "--output", "-")):
            self.refused(NO_SUCH_VM, "net", *words, says="'vmctl net list vm' shows what it has")


    def test_a_file_that_was_copied(self):
        """With another name and uuid, but the same address."""
        self.create_on("none", uuid="11111111-1111-4111-8111-111111111111")
        definition = json.loads((self.state / "vms/vm.json").read_text())
        definition.update(name="b", uuid="22222222-2222-4222-8222-222222222222")
        (self.state / "vms/b.json").write_text(json.dumps(definition))
        self.ok("reload")
        self.ok("start", "vm")
        self.refused(FAILED, "start", "b", says="VM 'vm', which runs, has the MAC address of adapter 'nic0'")
        self.ok("net", "set", "b", "nic0", "--mac", MAC)
        self.ok("start", "b")


class Taps(NetworkTest):
    def setUp(self):
        super().setUp()
        self.ok("switch", "add", "lan", "--type", "private")

    def start(self, *switches, **more):
        self.create_on(*switches, **more)
        self.ok("start", "vm")

    def test_a_port_of_the_switch(self):
        self.start({"switch": "lan", "mac": MAC}, processors={"count": 4})
        tap = taps()["nic0"]
        self.assertEqual(tap["ifalias"], f"vmms:{self.show()['uuid']}:nic0")
        self.assertEqual(tap["master"], self.bridge("lan")["ifname"])
        self.assertTrue(self.bridge("lan")["address"].startswith("06:56:4d:"))
        self.assertIn("UP", tap["flags"])
        self.assertEqual(tap["mtu"], 9216)
        data = tap["linkinfo"]["info_data"]
        self.assertTrue(data["vnet_hdr"] and data["multi_queue"])
        self.assertFalse(data["persist"])
        self.assertEqual(data["numqueues"], 4)
        adapter = self.adapters()["nic0"]
        self.assertEqual((adapter["state"], adapter["interface"]), ("up", tap["ifname"]))
        self.wait_said("7 descriptors")
        self.assertIn(f"ether saddr != {MAC}", rules())
        self.ok("stop", "vm")
        self.assertEqual(taps(), {})
        self.assertNotIn(MAC, rules())

    def test_the_hosts_side_keeps_its_mtu(self):
        self.ok("switch", "add", "inside", "--type", "internal")
        self.start({"switch": "inside"})
        self.assertEqual(taps()["nic0"]["mtu"], 9216)
        self.assertEqual(self.bridge("inside")["mtu"], 1500)

    def test_the_worker_is_killed(self):
        self.start("lan", "lan")
        self.assertEqual(set(taps()), {"nic0", "nic1"})
        os.kill(self.show()["worker_pid"], 9)
        self.wait_state("crashed")
        self.assertEqual(taps(), {})

    def test_the_daemon_is_killed(self):
        self.start({"switch": "lan", "mac": MAC})
        before, guards = taps(), rules(kept=True)
        self.assertIn(f"ether saddr != {MAC}", guards)
        self.kill_vmms()
        wait_until(lambda: rules() == "", "the table of the dead one to go")
        self.assertEqual((taps(), rules(kept=True)), (before, guards))
        self.start_vmms()
        self.assertEqual(taps(), before)
        self.assertEqual(self.adapters()["nic0"]["state"], "up")
        self.assertIn(f"ether saddr != {MAC}", rules())
        self.assertEqual(rules(kept=True), guards)
        self.ok("stop", "vm")
        self.assertEqual(taps(), {})
        self.assertNotIn(MAC, rules() + rules(kept=True))
        self.stop_vmms()
        self.assertEqual(rules() + rules(kept=True), "")

    def test_the_daemon_leaves_its_guests(self):
        self.stop_vmms()
        self.start_vmms("--keep-guests")
        self.start({"switch": "lan", "mac": MAC})
        self.stop_vmms()
        self.assertEqual(rules(), "")
        self.assertIn(f"ether saddr != {MAC}", rules(kept=True))
        self.start_vmms()
        self.ok("stop", "vm")

    def test_a_guest_ends_without_a_daemon(self):
        """What its guards were is not a later guest's, whose tap may have the same name."""
        self.start({"switch": "lan", "mac": MAC})
        pid = self.show()["worker_pid"]
        self.kill_vmms()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: taps() == {}, "the tap to go")
        self.assertIn(MAC, rules(kept=True))
        self.start_vmms()
        self.wait_state("crashed")
        self.assertNotIn(MAC, rules() + rules(kept=True))

    def test_guards_of_a_guest_that_is_not_found(self):
        """Its definition is broken: nobody has it, but it runs."""
        self.start({"switch": "lan", "mac": MAC})
        pid, definition = self.show()["worker_pid"], self.state / "vms/vm.json"
        text = definition.read_text()
        self.kill_vmms()
        definition.write_text("{")
        self.start_vmms()
        self.assertIn(f"ether saddr != {MAC}", rules(kept=True))
        definition.write_text(text)
        self.ok("reload")
        self.assertEqual(self.show()["worker_pid"], pid)
        self.assertIn(f"ether saddr != {MAC}", rules())

    def test_the_administrator_flushes_all_rules(self):
        self.start({"switch": "lan", "mac": MAC})
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        self.assertIn(f"ether saddr != {MAC}", rules())
        self.assertEqual(rules(kept=True), "")
        self.ok("net", "set", "vm", "nic0", "--dhcp-guard", "on")
        for kept in False, True:
            self.assertIn("udp dport 68", rules(kept))
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        self.ok("stop", "vm")
        self.assertNotIn(MAC, rules() + rules(kept=True))

    def test_a_switch_that_is_not(self):
        self.create_on("wan")
        self.refused(NO_SUCH_VM, "start", "vm", says="no virtual switch 'wan'")
        self.assertEqual(self.show()["state"], "off")
        self.create_on("lan", {"switch": "lan", "vlan": {"access": 5}}, name="b")
        if not self.bridge("lan")["linkinfo"]["info_data"]["vlan_filtering"]:
            self.refused(FAILED, "start", "b", says="CONFIG_BRIDGE_VLAN_FILTERING")
        self.assertEqual(taps(), {})

    def test_the_administrators_bridge_stays_as_it_is(self):
        """Its address too: a bridge that was not given one takes the lowest of its ports'."""
        def state():
            output = subprocess.run(["ip", "-details", "address", "show", "dev", "br0"], check=True,
                                    capture_output=True, text=True).stdout
            # Of segmentation the kernel shows the least of what the ports can do.
            return re.sub(r"timer +[0-9.]+|[gt]so_max_\w+ \d+", "", output)

        self.interface()
        ip("link", "set", "eth0", "address", "f2:ff:ff:ff:ff:fe")
        ip("link", "add", "br0", "up", "type", "bridge")
        self.addCleanup(ip, "link", "del", "br0")
        ip("address", "add", "10.77.4.1/24", "dev", "br0")
        ip("link", "set", "eth0", "master", "br0")
        wait_until(lambda: "state UP" in state() and "tentative" not in state(), "the bridge")
        before = state()
        self.assertIn("f2:ff:ff:ff:ff:fe", before)
        self.ok("switch", "add", "wan", "--bridge", "br0")
        self.start(*[{"switch": "wan"}] * 4)
        self.assertEqual(state(), before)
        self.ok("stop", "vm")
        self.ok("delete", "vm")
        self.ok("switch", "remove", "wan")
        self.assertEqual(state(), before)

    def test_a_bridge_that_went_away(self):
        self.create_on("lan")
        ip("link", "del", self.bridge("lan")["ifname"])
        self.ok("start", "vm")
        self.assertEqual(taps()["nic0"]["master"], self.bridge("lan")["ifname"])

    def test_a_switch_in_use_stays(self):
        self.start("lan")
        self.refused(WRONG_STATE, "switch", "remove", "lan", says="VM 'vm' is connected")
        self.ok("stop", "vm")
        self.refused(WRONG_STATE, "switch", "remove", "lan", says="VM 'vm' is connected")
        self.ok("net", "set", "vm", "nic0", "--switch", "none")
        self.ok("switch", "remove", "lan")

    def test_moving(self):
        self.ok("switch", "add", "wan", "--type", "internal")
        self.start("lan")
        for words, says, master in (
                (["wan"], "connect_adapter nic0 tap, 1 descriptors", "wan"),
                (["none"], "disconnect_adapter nic0 -, 0 descriptors", None),
                (["lan"], "connect_adapter nic0 tap", "lan"),
                (["default"], "connect_adapter nic0 socket", None),
                (["wan"], "connect_adapter nic0 tap", "wan")):
            self.ok("net", "set", "vm", "nic0", "--switch", *words)
            self.wait_said(says)
            self.assertEqual(self.adapters()["nic0"]["definition"]["switch"], words[0])
            ports = {link["master"] for link in links("tun").values() if "master" in link}
            self.assertEqual(ports, {self.bridge(master)["ifname"]} if master else set())
            self.assertEqual(len(taps()), 1 if master else 0)
        self.ok("switch", "remove", "lan")

    def test_refused_moves_change_nothing(self):
        self.ok("switch", "add", "wan", "--type", "internal")
        self.start("lan", append="refuse-adapters")
        before = self.adapters(), taps()
        self.refused(FAILED, "net", "set", "vm", "nic0", "--switch", "wan", says="refuses")
        self.refused(NO_SUCH_VM, "net", "set", "vm", "nic0", "--switch", "nowhere")
        self.refused(FAILED, "net", "add", "vm", "--switch", "lan", says="refuses")
        self.refused(FAILED, "net", "remove", "vm", "nic0", says="refuses")
        self.assertEqual((self.adapters(), taps()), before)

    def test_adding_and_removing(self):
        self.start()
        self.assertEqual(self.ok("net", "add", "vm", "--switch", "lan"), "nic0\n")
        self.assertEqual(self.ok("net", "add", "vm", "--switch", "lan", "--name", "b"), "b\n")
        self.assertEqual(set(taps()), {"nic0", "b"})
        self.wait_said("attach_adapter new tap, 1 descriptors")
        self.refused(FAILED, "net", "add", "vm", "--name", "b", says="already")
        self.ok("net", "remove", "vm", "nic0")
        self.wait_said("detach_adapter nic0")
        self.assertEqual(set(taps()), {"b"})
        self.refused(NO_SUCH_VM, "net", "remove", "vm", "nic0", says="no network adapter 'nic0'")
        self.ok("stop", "vm")
        self.ok("net", "add", "vm")
        self.assertEqual(set(self.adapters()), {"nic0", "b"})

    def test_guards_of_addresses_and_ports(self):
        self.start("lan")
        tap = taps()["nic0"]["ifname"]
        self.ok("net", "set", "vm", "nic0", "--addresses", "192.0.2.5,2001:db8::/64", "--port-isolation", "on")
        self.assertIn("192.0.2.5", rules())
        self.assertIn("192.0.2.5", rules(kept=True))

        def isolated():
            return next(port["isolated"] for port in json.loads(subprocess.run(
                ["bridge", "-d", "-json", "link", "show", "dev", tap], check=True, capture_output=True,
                text=True).stdout))
        self.assertTrue(isolated())
        text = self.ok("net", "list", "vm")
        self.assertIn("port isolation", text)
        self.assertIn("192.0.2.5", text)
        self.refused(USAGE, "net", "set", "vm", "nic0", "--mac-spoofing", "on", says="addresses")
        self.refused(USAGE, "net", "set", "vm", "nic0", "--addresses", "224.0.0.1", says="addresses[0]")
        self.refused(USAGE, "net", "set", "vm", "nic0", "--switch", "default", says="addresses")
        self.restart(kill=True)
        self.assertIn("192.0.2.5", rules())
        self.ok("net", "set", "vm", "nic0", "--addresses", "none", "--port-isolation", "off", "--link-protocols", "on")
        self.assertFalse(isolated())
        self.assertNotIn("192.0.2.5", rules() + rules(kept=True))
        self.assertEqual(self.adapters()["nic0"]["definition"].get("addresses", []), [])

    def test_at_rest_everything_can_be_changed(self):
        self.create_on("lan")
        self.ok("net", "set", "vm", "nic0", "--mac", MAC, "--mtu", "9000", "--queues", "2", "--vlan",
                "trunk:10,20,native:5", "--dhcp-guard", "on", "--egress", "10M")
        definition = self.adapters()["nic0"]["definition"]
        self.assertEqual(definition["vlan"], {"trunk": [10, 20], "native": 5})
        self.assertEqual(definition["bandwidth"], {"egress": 10_000_000})
        self.assertEqual((definition["mac"], definition["mtu"]), (MAC, 9000))
        self.ok("net", "set", "vm", "nic0", "--vlan", "none", "--egress", "none")
        definition = self.adapters()["nic0"]["definition"]
        self.assertNotIn("vlan", definition)
        self.assertNotIn("bandwidth", definition)
        self.assertTrue(definition["dhcp_guard"])

    def test_policy_of_a_running_vm(self):
        self.start({"switch": "lan", "mac": MAC})
        tap = taps()["nic0"]["ifname"]
        self.assertNotIn("udp dport 68", rules())
        self.ok("net", "set", "vm", "nic0", "--dhcp-guard", "on", "--router-guard", "on",
                "--mac-spoofing", "on", "--egress", "8M", "--ingress", "10M")
        text = rules()
        self.assertIn("udp dport 68", text)
        self.assertIn("nd-router-advert", text)
        self.assertIn("limit rate over", text)
        self.assertNotIn(f"ether saddr != {MAC}", text)
        qdiscs = subprocess.run(["tc", "qdisc", "show", "dev", tap], capture_output=True, text=True,
                                check=True).stdout
        self.assertIn("tbf", qdiscs)
        self.assertIn("rate 10Mbit", qdiscs)
        self.assertEqual(taps()["nic0"]["ifname"], tap)
        self.refused(WRONG_STATE, "net", "set", "vm", "nic0", "--mac", "02:56:4d:00:00:01",
                     says="turn it off first")
        self.refused(WRONG_STATE, "net", "set", "vm", "nic0", "--mtu", "9000")
        self.ok("net", "set", "vm", "nic0", "--mac-spoofing", "off", "--ingress", "none")
        self.assertIn(f"ether saddr != {MAC}", rules())

    def test_refusals(self):
        self.create_on({"switch": "lan", "mac": MAC})
        self.create_on(name="b")
        self.refused(FAILED, "net", "add", "b", "--mac", MAC, says="VM 'vm' has the MAC")
        for mac in "01:00:00:00:00:00", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "02:00:00:00:00":
            self.refused(USAGE, "net", "add", "b", "--mac", mac, says="mac")
        self.refused(USAGE, "net", "add", "b", "--egress", "10M", says="bandwidth")
        self.refused(USAGE, "net", "add", "b", "--switch", "lan", "--egress", "fast", says="10M")
        self.refused(USAGE, "net", "add", "b", "--vlan", "5000", says="--vlan")
        self.refused(USAGE, "net", "add", "b", "--forward", "22")
        self.refused(USAGE, "net", "add", "b", "--switch", "lan", "--dhcp-guard", "yes", says="on or")
        self.refused(USAGE, "net", "set", "vm", "nic0", "--forward", "2222:22")
        self.assertEqual(self.adapters("b"), {})
        for _ in range(8):
            self.ok("net", "add", "b", "--switch", "none")
        self.refused(FAILED, "net", "add", "b", says="that is all")


class Vlans(NetworkTest):
    """Where the kernel's bridges tell VLANs apart; elsewhere Taps sees the refusal."""

    def setUp(self):
        super().setUp()
        self.ok("switch", "add", "lan", "--type", "internal")
        if not self.bridge("lan")["linkinfo"]["info_data"]["vlan_filtering"]:
            self.skipTest("this kernel's bridges have no VLANs")

    def vlans(self, port):
        """{VLAN: flags} of a port."""
        output = subprocess.run(["bridge", "-json", "-compressvlans", "vlan", "show", "dev", port],
                                check=True, capture_output=True, text=True).stdout
        return {(vlan["vlan"], vlan.get("vlanEnd", vlan["vlan"])): vlan.get("flags", [])
                for port in json.loads(output) for vlan in port["vlans"]}

    def test_of_an_adapter(self):
        untagged = ["PVID", "Egress Untagged"]
        self.create_on("lan", {"switch": "lan", "vlan": {"access": 7}},
                       {"switch": "lan", "vlan": {"trunk": [10, 11, 30], "native": 5}},
                       {"switch": "lan", "vlan": {"trunk": [20]}})
        self.ok("start", "vm")
        expected = ({(1, 1): untagged}, {(7, 7): untagged},
                    {(5, 5): untagged, (10, 11): [], (30, 30): []}, {(20, 20): []})
        for number, vlans in enumerate(expected):
            self.assertEqual(self.vlans(taps()[f"nic{number}"]["ifname"]), vlans)
        self.ok("net", "set", "vm", "nic2", "--vlan", "9")
        self.assertEqual(self.vlans(taps()["nic2"]["ifname"]), {(9, 9): untagged})
        self.ok("net", "set", "vm", "nic2", "--vlan", "none")
        self.assertEqual(self.vlans(taps()["nic2"]["ifname"]), {(1, 1): untagged})

    def test_of_an_external_switch(self):
        self.interface()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        self.assertEqual(self.vlans("eth0"), {(1, 1): ["PVID", "Egress Untagged"], (2, 4094): []})

    def test_of_the_administrators_bridge(self):
        ip("link", "add", "br0", "type", "bridge", "vlan_default_pvid", "3")
        self.addCleanup(ip, "link", "del", "br0")
        ip("link", "set", "br0", "up")
        self.ok("switch", "add", "wan", "--bridge", "br0")
        self.create_on({"switch": "wan", "vlan": {"access": 7}})
        self.refused(FAILED, "start", "vm", says="vlan_filtering 1")
        ip("link", "set", "br0", "type", "bridge", "vlan_filtering", "1")
        self.ok("start", "vm")
        self.assertEqual(list(self.vlans(taps()["nic0"]["ifname"])), [(7, 7)])
        self.ok("net", "add", "vm", "--switch", "wan")
        self.assertEqual(list(self.vlans(taps()["nic1"]["ifname"])), [(3, 3)])

    def test_what_is_heard(self):
        """A frame in a VLAN reaches its access port untagged, and no other VLAN's."""
        self.interface()
        self.ok("switch", "add", "wan", "--interface", "eth0")
        self.create_on(*({"switch": "wan", "vlan": {"access": vlan}} for vlan in (7, 8)))
        self.ok("start", "vm")
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as heard, \
                socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as far:
            heard.settimeout(60)
            far.bind(("eth0-far", 0))
            for vlan in 8, 7:
                far.send(b"\xff" * 6 + b"\x02" * 6 + b"\x81\x00" + struct.pack(">H", vlan) +
                         b"\x88\xb5in %d" % vlan)
            seen = set()
            while (taps()["nic0"]["ifname"], b"in 7") not in seen:
                frame, address = heard.recvfrom(2048)
                if frame[12:14] == b"\x88\xb5":
                    seen.add((address[0], frame[14:18]))
        names = {taps()["nic0"]["ifname"]: b"in 7", taps()["nic1"]["ifname"]: b"in 8"}
        self.assertEqual({pair for pair in seen if pair[0] in names}, set(names.items()))


class Captures(NetworkTest):
    def capture(self, *words):
        return subprocess.Popen([VMCTL, "--address", self.address, "net", "capture", "vm", "--output",
                                 self.folder / "pcapng", *words], stderr=subprocess.PIPE, text=True)

    def blocks(self):
        """(type, body) of each whole block of the file."""
        data, at = self.read(self.folder / "pcapng"), 0
        while at + 12 <= len(data):
            kind, size = struct.unpack_from("<II", data, at)
            if at + size > len(data):
                return
            self.assertEqual(struct.unpack_from("<I", data, at + size - 4)[0], size)
            yield kind, data[at + 8:at + size - 4]
            at += size

    def frames(self):
        for kind, body in self.blocks():
            if kind == 6:
                kept, size = struct.unpack_from("<II", body, 12)
                yield size, body[20:20 + kept]

    def say(self, text, vlan=b""):
        """The host says that on the switch."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as host:
            host.bind((self.bridge("lan")["ifname"], 0))
            host.send(b"\xff" * 6 + b"\x02" * 6 + vlan + b"\x88\xb5" + text)

    def test_frames(self):
        self.ok("switch", "add", "lan", "--type", "internal")
        bridge = self.bridge("lan")
        tag = b"\x81\x00\x00\x07"
        if bridge["linkinfo"]["info_data"]["vlan_filtering"]:
            subprocess.run(["bridge", "vlan", "add", "vid", "7", "dev", bridge["ifname"], "self"],
                           check=True)
            self.create_on({"switch": "lan", "vlan": {"trunk": [7], "native": 1}})
        else:
            tag = b"\x81\x00\xe0\x00"  # a priority, which is all of a tag that passes here
            self.create_on("lan")
        self.refused(WRONG_STATE, "net", "capture", "vm", "--output", "-", says="is off")
        self.ok("start", "vm")
        capture = self.capture()
        wait_until(lambda: len(list(self.blocks())) >= 2, "the header")
        self.assertEqual([kind for kind, _ in self.blocks()][:2], [0x0a0d0d0a, 1])
        self.refused(WRONG_STATE, "net", "capture", "vm", "--output", "-", says="already")
        self.say(b"one two three" * 9)
        wait_until(lambda: any(b"one two three" * 9 in frame for _, frame in self.frames()), "it")
        self.say(b"tagged", tag)
        wait_until(lambda: any(tag + b"\x88\xb5tagged" in frame
                               for _, frame in self.frames()), "the tag")
        self.ok("stop", "vm")
        self.assertEqual(capture.wait(60), 0)
        capture.stderr.close()
        self.assertEqual(list(self.blocks())[-1][0], 5)

    def test_snap_length_and_interrupt(self):
        self.ok("switch", "add", "lan", "--type", "internal")
        self.create_on("lan")
        self.ok("start", "vm")
        capture = self.capture("--snap-length", "20")
        wait_until(lambda: len(list(self.blocks())) >= 2, "the header")
        self.say(b"x" * 100)
        wait_until(lambda: (114, 20) in [(size, len(frame)) for size, frame in self.frames()], "it")
        capture.send_signal(2)
        self.assertEqual(capture.wait(60), 0)
        capture.stderr.close()
        # Another may be made.
        again = self.capture()
        wait_until(lambda: len(list(self.blocks())) >= 2, "the header")
        again.terminate()
        again.communicate()

    def test_where_it_goes(self):
        """To a new file that is the caller's, or where they say; and it ends with whoever reads it."""
        self.ok("switch", "add", "lan", "--type", "internal")
        self.create_on("lan")
        self.ok("start", "vm")
        for path, fails in ("/dev/full", "No space left on device"), ("/", "Is a directory"):
            result = self.vmctl("net", "capture", "vm", "--output", path)
            self.assertNotEqual(result.status, OK)
            self.assertIn(f"cannot write '{path}': {fails}", result.err)
        folder = self.folder / "callers"
        folder.mkdir()
        words = [VMCTL, "--address", self.address, "net", "capture", "vm"]
        for number in 9, 2:
            with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True) as capture:
                self.assertEqual(capture.stdout.readline(), "vm-nic0.pcapng\n")
                file = folder / "vm-nic0.pcapng"
                self.assertEqual(file.stat().st_mode & 0o777, 0o600)
                wait_until(lambda: file.stat().st_size > 0, "the header")
                capture.send_signal(number)
            # Nothing is written over that was not named.
            self.assertIn("File exists", subprocess.run(words, cwd=folder, capture_output=True, text=True).stderr)
            file.unlink()
        self.refused(USAGE, "net", "capture", "vm", "--output", "-", "--snap-length", "x")

    def test_needs_a_switch(self):
        self.create()
        self.ok("start", "vm")
        self.refused(WRONG_STATE, "net", "capture", "vm", "--output", "-", says="virtual switch")
        self.refused(NO_SUCH_VM, "net", "capture", "vm", "--output", "-", "--adapter", "x")


if __name__ == "__main__":
    in_own_network()
    main()
