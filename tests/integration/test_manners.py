#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""wait, events, rename, delete --with-disks: what scripts and people live by."""

import json
import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, OK, TIMED_OUT, TIMEOUT, USAGE, VMCTL, WRONG_STATE,  # noqa: E402
                 ServiceTest, main, wait_until)
from terminal import TerminalTest  # noqa: E402


class Wait(ServiceTest):
    def wait_in_background(self, *words):
        waiting = self.vmctl_in_background("wait", "vm", *words)
        self.addCleanup(waiting.kill)
        return waiting

    def ends(self, waiting, status, out="", err=""):
        said, error = waiting.communicate(timeout=TIMEOUT)
        self.assertEqual((waiting.returncode, said), (status, out), error)
        self.assertIn(err, error)

    def test_what_is_so_already(self):
        self.create()
        self.assertEqual(self.ok("wait", "vm", "--for", "off"), "VM 'vm' is off\n")
        self.ok("start", "vm")
        self.assertEqual(self.ok("wait", "vm"), "VM 'vm' runs\n")
        self.assertEqual(self.ok("wait", "vm", "--for", "heartbeat"), "VM 'vm' has a heartbeat\n")
        self.assertEqual(json.loads(self.ok("wait", "vm", "--json"))["state"], "running")

    def test_until_it_is(self):
        self.create()
        waiting = self.wait_in_background("--timeout", "600")
        self.ok("start", "vm")
        self.ends(waiting, OK, "VM 'vm' runs\n")
        waiting = self.wait_in_background("--for", "off")
        self.ok("stop", "vm")
        self.ends(waiting, OK, "VM 'vm' is off\n")

    def test_of_the_guest(self):
        self.create(network_adapters=[{"name": "nic0", "switch": "none"}],
                    append="agent=/bin/cat")
        waiting = self.wait_in_background("--for", "agent")
        self.ok("start", "vm")
        self.ends(waiting, OK, "VM 'vm' has its agent\n")
        waiting = self.wait_in_background("--for", "address", "--json")
        self.type("addresses")
        said, error = waiting.communicate(timeout=TIMEOUT)
        self.assertEqual((waiting.returncode, error), (OK, ""))
        addresses = {address["address"] for address in json.loads(said)["addresses"]}
        self.assertGreater(len(addresses), 0)
        said = self.ok("wait", "vm", "--for", "address")
        self.assertTrue(said.startswith("VM 'vm' has addresses: "), said)
        for address in addresses:
            self.assertIn(address, said)

    def test_not_in_time(self):
        self.create()
        self.refused(TIMED_OUT, "wait", "vm", "--timeout", "0", says="'running' in time")
        self.ok("start", "vm")
        self.refused(TIMED_OUT, "wait", "vm", "--for", "off", "--timeout", "1", says="is running")

    def test_it_ends_on_the_way(self):
        self.create()
        waiting = self.wait_in_background("--for", "address")

        def ended():
            self.ok("start", "vm")
            self.ok("stop", "vm")
            return waiting.poll() is not None

        # Once it has looked while the VM ran.
        wait_until(ended, "vmctl wait to end")
        self.ends(waiting, WRONG_STATE, err="is off: turned off")

    def test_it_is_deleted_on_the_way(self):
        self.create()
        waiting = self.wait_in_background()
        self.ok("delete", "vm")
        self.ends(waiting, NO_SUCH_VM)

    def test_usage(self):
        self.create()
        self.refused(USAGE, "wait", "vm", "--for", "godot", says="running, heartbeat, agent")
        self.refused(USAGE, "wait", "vm", "--timeout", "soon")
        self.refused(NO_SUCH_VM, "wait", "nobody")


class Events(ServiceTest):
    def follow(self, *words):
        """Lines of a vmctl events that is there by now, as they come."""
        events = self.vmctl_in_background("events", *words)
        self.addCleanup(events.kill)
        os.set_blocking(events.stdout.fileno(), False)
        self.said = ""
        return events

    def wait_said_by(self, events, text, do=lambda: None):
        def said():
            do()
            try:
                self.said += os.read(events.stdout.fileno(), 1 << 16).decode()
            except BlockingIOError:
                pass
            return text in self.said
        wait_until(said, f"vmctl events to say {text!r}, after {self.said!r}")

    def begin(self, *words):
        """It is known to listen when it tells of something."""
        self.create("probe")
        events = self.follow(*words)
        numbers = iter(range(1000000))
        self.wait_said_by(events, "settings changed: notes",
                          lambda: self.ok("set", "probe", f"notes={next(numbers)}"))
        return events

    def test_all_vms(self):
        events = self.begin()
        self.create("vm")
        self.wait_said_by(events, "vm              created  created")
        self.ok("start", "vm")
        self.wait_said_by(events, "vm              state    running")
        self.ok("rename", "vm", "other")
        self.wait_said_by(events, "renamed: it was 'vm'")
        self.ok("stop", "other")
        self.wait_said_by(events, "other           state    off: turned off")
        self.ok("delete", "other")
        self.wait_said_by(events, "other           deleted  deleted")
        # What was there before is not told, and nothing twice.
        self.assertNotIn("probe           created", self.said)
        self.assertEqual(self.said.count("off: turned off"), 1)

    def test_json(self):
        events = self.begin("--json")
        self.create("vm")
        self.ok("start", "vm")
        self.wait_said_by(events, '"running"')
        for line in self.said.splitlines():
            event = json.loads(line)
            self.assertLessEqual({"vm", "sequence", "time", "priority", "event", "message"},
                                 set(event))
        self.assertEqual(event["vm"], "vm")

    def test_one_vm(self):
        self.create("vm")
        events = self.begin("probe")
        self.ok("start", "vm")
        self.ok("set", "probe", "tags=a")
        self.wait_said_by(events, "settings changed: tags")
        self.assertNotIn("running", self.said)
        self.ok("delete", "probe")
        # That was all of it.
        self.assertEqual(events.wait(TIMEOUT), OK)
        self.wait_said_by(events, "deleted  deleted")

    def test_a_new_vmms(self):
        events = self.begin("--json")
        self.ok("start", "probe")
        self.wait_said_by(events, '"running"')
        self.kill_vmms()
        self.start_vmms()
        self.ok("stop", "probe")
        self.wait_said_by(events, "turned off")

    def test_usage(self):
        self.refused(NO_SUCH_VM, "events", "nobody")


class Rename(ServiceTest):
    def files(self):
        return sorted(path.name for path in (self.state / "vms").iterdir())

    def test_at_rest(self):
        self.create(notes="kept")
        before = self.show()
        self.assertEqual(self.ok("rename", "vm", "web"), "VM 'vm' renamed to 'web'\n")
        self.refused(NO_SUCH_VM, "show", "vm")
        after = self.show("web")
        self.assertEqual((after["uuid"], after["notes"], after["definition"]["name"]),
                         (before["uuid"], "kept", "web"))
        self.assertEqual(self.files(), ["web.json"])
        self.assertIn("renamed: it was 'vm'", self.ok("log", "web"))
        self.assertIn("created", self.ok("log", "web"))
        self.stop_vmms()
        self.start_vmms()
        self.assertEqual(self.show("web")["uuid"], before["uuid"])
        # The old name is free.
        self.create("vm")
        self.ok("start", "vm", "web")

    def test_while_it_runs(self):
        self.create()
        self.ok("start", "vm")
        self.ok("set", "vm", "memory.size=1G")
        before = self.show()
        self.ok("rename", before["uuid"], "web")
        info = self.show("web")
        self.assertEqual((info["worker_pid"], info["state"], info["pending"]),
                         (before["worker_pid"], "running", ["memory.size"]))
        self.assertEqual(json.loads((self.state / "vms/web.json").read_text())["memory"]["size"],
                         "1G")
        self.type("settled", name="web")
        # Another vmms finds it by its record.
        self.kill_vmms()
        self.start_vmms()
        info = self.wait_state("running", "web")
        self.assertEqual((info["worker_pid"], info["pending"]),
                         (before["worker_pid"], ["memory.size"]))
        self.ok("set", "web", "notes=new")
        self.ok("pause", "web")
        self.ok("resume", "web")
        self.ok("stop", "web")
        self.assertEqual(self.files(), ["web.json"])
        self.ok("start", "web")

    def test_killed_in_the_middle(self):
        """Both files are there: nothing is lost, and the worker is found."""
        self.create()
        self.ok("start", "vm")
        pid = self.show()["worker_pid"]
        definition = json.loads((self.state / "vms/vm.json").read_text())
        self.kill_vmms()
        (self.state / "vms/a.json").write_text(json.dumps({**definition, "name": "a"}))
        self.start_vmms()
        self.assertEqual(self.wait_state("running", "a")["worker_pid"], pid)
        self.assertEqual([broken["name"] for broken in self.list()["broken"]], ["vm"])
        self.ok("delete", "vm")
        self.ok("set", "a", "notes=x")
        self.assertEqual(self.files(), ["a.json"])
        self.ok("stop", "a")

    def test_order(self):
        for name in "a", "b", "c":
            self.create(name)
        self.ok("rename", "a", "d")
        for name in "b", "c", "d":
            self.assertEqual(self.show(name)["name"], name)
        self.ok("rename", "d", "a")
        self.assertEqual(self.ok("list", "--names").split(), ["a", "b", "c"])

    def test_refusals(self):
        self.create("a")
        self.create("b")
        (self.state / "vms/broken.json").write_text("{")
        self.refused(FAILED, "reload", says="broken")
        (self.state / "vms/new.json").write_text("{}")
        before = self.files()
        self.refused(FAILED, "rename", "a", "b", says="there is a VM 'b'")
        self.refused(FAILED, "rename", "a", "broken", says="broken definition")
        self.refused(FAILED, "rename", "a", "new", says="has not been read")
        for name in "", "../x", "a b", "-a", "x" * 65:
            self.refused(USAGE, "rename", "a", "--", name, says="must begin with a letter")
        self.refused(NO_SUCH_VM, "rename", "nobody", "x")
        self.ok("rename", "a", "a")
        self.assertEqual(self.files(), before)
        # What somebody has changed by hand is not replaced.
        definition = json.loads((self.state / "vms/a.json").read_text())
        (self.state / "vms/a.json").write_text(json.dumps({**definition, "notes": "precious"}))
        self.refused(FAILED, "rename", "a", "c", says="vmctl reload")
        self.assertEqual(self.files(), before)
        self.refused(USAGE, "set", "b", "name=c", says="vmctl rename")


class Delete(ServiceTest):
    def images(self):
        return sorted(path.name for path in self.folder.glob("*.raw"))

    def test_with_disks(self):
        for name in "base.raw", "real.raw":
            self.disk(name)
        (self.folder / "link.raw").symlink_to(self.folder / "real.raw")
        self.create(disks=[self.disk("own.raw"), self.disk("other.raw", lun=1),
                           {"path": str(self.folder / "base.raw"), "lun": 2, "read_only": True},
                           {"path": str(self.folder / "base.raw"), "lun": 3, "type": "dvd"},
                           {"path": str(self.folder / "link.raw"), "lun": 4},
                           {"lun": 5, "type": "dvd"}])
        result = self.vmctl("delete", "vm", "--with-disks")
        self.assertEqual(result.status, OK)
        self.assertEqual(result.out, f"VM 'vm' deleted\n'{self.folder}/own.raw' deleted\n"
                         f"'{self.folder}/other.raw' deleted\n")
        self.assertIn("link.raw' stays: it is no regular file", result.err)
        self.assertEqual(self.images(), ["base.raw", "link.raw", "real.raw"])

    def test_of_another_vm_too(self):
        disk = self.disk("shared.raw")
        os.link(disk["path"], self.folder / "same.raw")
        self.create("a", disks=[disk])
        self.create("b", disks=[{"path": str(self.folder / "same.raw"), "read_only": True}])
        self.refused(WRONG_STATE, "delete", "a", "--with-disks", says="a disk of VM 'b', too")
        self.assertEqual(len(self.list()["vms"]), 2)
        self.ok("delete", "b", "--with-disks")
        self.ok("delete", "a", "--with-disks")
        self.assertEqual(self.images(), ["same.raw"])

    def test_of_one_that_runs(self):
        self.create(disks=[self.disk("own.raw")])
        self.ok("start", "vm")
        self.refused(WRONG_STATE, "delete", "vm", "--with-disks", says="which is running")
        self.assertEqual(self.images(), ["own.raw"])

    def test_one_that_is_missing(self):
        self.create(disks=[{"path": "/nonexistent/x.raw"}])
        self.refused(FAILED, "delete", "vm", "--with-disks", says="No such file")
        self.assertEqual(self.list()["vms"], [])

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_with_the_rights_of_the_owner(self):
        """Its definition names a file that the owner could not delete."""
        private = self.folder / "private"
        private.mkdir(mode=0o700)
        (private / "root.raw").write_bytes(bytes(4096))
        self.create(owner="nobody", disks=[{"path": str(private / "root.raw")}])
        self.refused(FAILED, "delete", "vm", "--with-disks", says="Permission denied")
        self.assertTrue((private / "root.raw").exists())


class Said(ServiceTest):
    def test_what_was_done_with_a_guest(self):
        self.create()
        self.ok("start", "vm")
        for words, said in ((["backup", "freeze", "vm"], "has its file systems frozen"),
                            (["backup", "thaw", "vm"], "has its file systems thawed"),
                            (["copy", self.folder / "kernel", "vm:/srv/"], "has the file")):
            self.assertEqual(self.ok(*words), f"VM 'vm' {said}\n")


class Show(ServiceTest):
    def test_a_guest_without_acpi(self):
        self.create(append="no-vmbus acpi=off")
        self.assertNotIn("trouble", self.ok("show", "vm"))
        self.ok("start", "vm")
        self.assertIn("trouble:        its command line has 'acpi=off': without ACPI it does not "
                      "find VMBus", self.ok("show", "vm"))
        self.assertIn("acpi=off", self.show()["guest_problem"])
        self.ok("pause", "vm")
        self.assertEqual(self.show()["guest_problem"], "")

    def test_a_guest_that_is_well(self):
        self.create(append="acpi=off")
        self.create("quiet", append="no-vmbus")
        self.ok("start", "vm", "quiet")
        # One has found it all the same, and the other has not run for a minute.
        self.assertEqual((self.show()["guest_problem"], self.show("quiet")["guest_problem"]),
                         ("", ""))

    def test_forwards_and_settings_of_adapters(self):
        self.create(network_adapters=[{"forward": ["2222:22", "udp:5353:53"]},
                                      {"switch": "none", "dhcp_guard": True}])
        forwards = [text for adapter in self.show()["definition"]["network_adapters"]
                    for text in adapter.get("forward", [])]
        self.assertEqual(len(forwards), 2)
        self.assertIn(" ".join(forwards), self.ok("show", "vm"))
        text = self.ok("net", "list", "vm")
        self.assertIn("forwards " + " ".join(forwards), text)
        self.assertIn("DHCP guard", text)
        for character in '{}[]"':
            self.assertNotIn(character, text)


class Hints(ServiceTest):
    """What is missing in the guest is named."""

    def test_sockets(self):
        self.create(append="no-services")
        self.ok("start", "vm")
        for words, unit in ((["exec", "vm", "--", "true"], "vmms-guest-agent.socket"),
                            (["connect", "vm", "22"], "vmms-guest-ssh.socket"),
                            (["connect", "vm", "9"], "hv_sock")):
            self.assertIn(unit, self.refused(WRONG_STATE, *words))

    def test_an_overlay(self):
        base, top = self.folder / "base.raw", self.folder / "top.qcow2"
        base.write_bytes(bytes(1 << 20))
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, top],
                       check=True, timeout=TIMEOUT)
        error = self.refused(USAGE, "create", "--name", "vm", "--kernel", self.folder / "kernel",
                             "--disk", top)
        for text in (",format=qcow2", "on top of another file", str(base), ",format=raw",
                     "--format qcow2"):
            self.assertIn(text, error)
        self.ok("create", "--name", "vm", "--kernel", self.folder / "kernel", "--disk",
                f"{top},format=qcow2")


class Words(ServiceTest):
    def test_letters(self):
        self.assertEqual(self.ok("-h"), self.ok("--help"))
        self.assertEqual(self.ok("start", "-h"), self.ok("start", "--help"))
        for word in "-V", "--version":
            self.assertEqual(self.ok(word), self.ok("version"))
        # The one command that there is, with its options.
        for option in "--suite", "--image", "--disk-size", "--no-start":
            self.assertIn(option, self.ok("quick-create", "--help"))
            self.assertIn(option, self.ok("help", "quick-create"))

    def test_one_vm_is_one(self):
        self.create()
        self.assertTrue(self.ok("top", "--once").startswith("1 VM, 0 running"))


class Width(TerminalTest):
    def test_the_list_is_as_wide_as_the_terminal(self):
        self.create(append="error")
        self.ok("start", "vm")
        self.type("error")
        self.wait_state("crashed")
        self.assertIn("on fire", self.ok("list"))  # no terminal
        self.open_program("sh", "-c", 'stty cols 80; exec "$0" "$@"', VMCTL, "--address",
                          self.address, "list")
        self.expect("…".encode())
        self.assertEqual(self.end(), 0)
        for line in self.output.decode().splitlines():
            self.assertLessEqual(len(line), 80)


class Log(ServiceTest):
    def test_changes(self):
        self.create(network_adapters=[{"name": "nic0", "switch": "none"}])
        self.ok("start", "vm")
        disk = self.disk("disk")["path"]
        for words, said in (
                (["attach", "vm", disk], f"disk attached: controller 0, lun 0, {disk}"),
                (["attach", "vm", "--dvd"], "DVD drive attached: controller 0, lun 1"),
                (["insert", "vm", self.disk("cd")["path"], "--lun", "1"],
                 f"DVD drive inserted: controller 0, lun 1, {self.folder}/cd"),
                (["eject", "vm", "--lun", "1"], "DVD drive ejected: controller 0, lun 1"),
                (["detach", "vm", "--lun", "0"], f"disk detached: controller 0, lun 0, {disk}"),
                (["net", "add", "vm", "--switch", "none"], "adapter added: nic1, none"),
                (["net", "set", "vm", "nic1", "--dhcp-guard", "on"], "adapter changed: nic1, none"),
                (["net", "remove", "vm", "nic1"], "adapter removed: nic1, none"),
                (["set", "vm", "notes=x", "tags=a"], "settings changed: notes, tags"),
                (["set", "vm", "memory.size=1G"],
                 "settings changed: memory.size (for the next start wait: memory.size)")):
            self.ok(*words)
            self.assertEqual(self.ok("log", "vm", "--lines", "1").rstrip("\n").split(None, 3)[2:],
                             ["changed", said], words)


if __name__ == "__main__":
    main()
