#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a guest tells of itself, and what it is asked through its integration services."""

import json
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, TIMED_OUT, USAGE, WRONG_STATE, ServiceTest,  # noqa: E402
                 main, wait_until)


class Guest(ServiceTest):
    def start(self, **more):
        self.create(**more)
        self.ok("start", "vm")

    def guest(self):
        return self.show()["guest"]

    def test_what_the_guest_tells(self):
        nothing = {"os": "", "host_name": "", "addresses": [], "file_systems": "running"}
        self.start()
        self.assertEqual(self.guest(), nothing)
        self.type("guest")
        told = wait_until(lambda: self.guest() if self.guest()["os"] else None, "the guest")
        self.assertEqual(told, {"os": "Debian GNU/Linux 12 (6.1.0 \x1b[31m)",
                                "host_name": "guest.example.org",
                                "addresses": ["192.0.2.7", "198.51.100.1", "2001:db8::7"],
                                "file_systems": "running"})
        text = self.ok("show", "vm")
        self.assertIn("guest:          Debian GNU/Linux 12 (6.1.0 \\x1b[31m)\n", text)
        self.assertIn("host name:      guest.example.org\n", text)
        self.assertIn("addresses:      192.0.2.7 198.51.100.1 2001:db8::7\n", text)
        self.ok("stop", "vm")
        self.assertEqual(self.guest(), nothing)

    def test_inspect(self):
        self.start()
        part = {"engine": "user-space", "note": "\x1b[31m"}
        first = {"vp": 0, "segments": {"cs": {"selector": "0x8", "base": "\x1b"}}}
        self.assertEqual(json.loads(self.ok("inspect", "vm", "--json")),
                         {"machine": part, "vps": [first, {"vp": 1}, {"vp": 2}],
                          "vmbus": part, "channels": [part], "gpadls": [part],
                          "devices": part, "sockets": [part]})
        self.assertEqual(self.ok("inspect", "vm", "vps"),
                         "vps:\n  [0]\n    vp: 0\n    segments:\n"
                         "      cs: selector 0x8, base \\x1b\n  [1]\n    vp: 1\n  [2]\n    vp: 2\n")
        self.assertEqual(self.ok("inspect", "vm", "vmbus"),
                         "vmbus:\n  engine: user-space\n  note: \\x1b[31m\n")
        self.refused(USAGE, "inspect", "vm", "soul", says="'soul' is none of")
        self.ok("pause", "vm")
        self.ok("inspect", "vm", "vps")
        self.ok("stop", "vm")
        self.refused(WRONG_STATE, "inspect", "vm", says="'vm' is off")
        self.refused(NO_SUCH_VM, "inspect", "nobody", says="'nobody'")

    def test_inspect_a_hostile_worker(self):
        self.start(append="hostile-inspect")
        self.refused(FAILED, "inspect", "vm", "vmbus",
                     says="'inspect' makes no sense: vmbus must be an object")
        self.refused(FAILED, "inspect", "vm", "vps", says="does not end")

    def test_values(self):
        self.start()
        self.assertEqual(self.ok("kvp", "get", "vm", "color"), "blue \\x1b[31m\n")
        self.wait_said("get_value guest color=")
        self.refused(NO_SUCH_VM, "kvp", "get", "vm", "none")
        self.ok("kvp", "set", "vm", "color", "red and blue")
        self.wait_said("set_value external color=red and blue")
        self.ok("kvp", "set", "vm", "color", "red", "--pool", "guest")
        self.wait_said("set_value guest color=red")
        self.refused(FAILED, "kvp", "delete", "vm", "color")
        self.assertRegex(self.ok("kvp", "list", "vm"), r"KEY +VALUE\ncolor +blue \\x1b\[31m\n")
        self.wait_said("list_values auto")
        self.assertEqual(json.loads(self.ok("kvp", "list", "vm", "--json")),
                         {"values": [{"key": "color", "value": "blue \x1b[31m"}],
                          "truncated": False})
        self.assertEqual(json.loads(self.ok("kvp", "get", "vm", "color", "--json")),
                         {"value": "blue \x1b[31m"})

    def test_freeze_and_thaw(self):
        self.start()
        self.ok("backup", "freeze", "vm", "--limit", "7")
        self.wait_said("freeze 7")
        self.assertEqual(self.guest()["file_systems"], "frozen")
        self.assertIn("file systems:   frozen\n", self.ok("show", "vm"))
        self.ok("backup", "thaw", "vm")
        self.assertEqual(self.guest()["file_systems"], "running")
        self.ok("backup", "freeze", "vm")
        self.wait_said("freeze 60")
        self.type("thawed")
        wait_until(lambda: self.guest()["file_systems"] == "running", "the limit")
        self.ok("backup", "freeze", "vm")
        self.ok("stop", "vm")
        self.assertEqual(self.guest()["file_systems"], "running")

    def test_copy(self):
        self.start()
        file = self.folder / "file"
        file.write_text("hello")
        self.ok("copy", file, "vm:/srv/there")
        self.wait_said("has /srv/there: hello")
        self.ok("copy", file, "vm:/srv/")
        self.wait_said("has /srv/file: hello")
        self.refused(FAILED, "copy", file, "vm:/there")
        self.ok("copy", file, "vm:/there", "--overwrite")
        self.refused(TIMED_OUT, "copy", file, "vm:/silence")
        self.ok("copy", "-", "vm:/srv/piped", stdin="by a pipe")
        self.wait_said("has /srv/piped: by a pipe")

    def test_dump(self):
        self.start()
        file = self.folder / "core"
        self.ok("dump", "vm", file)
        self.assertEqual(file.read_text(), "core\n")
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.refused(USAGE, "dump", "vm", file, says="there already")
        file.unlink()
        self.assertEqual(self.ok("dump", "vm", "-"), "core\n")
        self.refused(USAGE, "dump", "vm", "-", "--no-wait", says="--no-wait")
        self.ok("pause", "vm")
        self.ok("dump", "vm", file)
        self.ok("stop", "vm")
        file.unlink()
        self.refused(WRONG_STATE, "dump", "vm", file, says="'vm', which is off")
        self.refused(NO_SUCH_VM, "dump", "nobody", file, says="'nobody'")
        self.refused(USAGE, "dump", "vm", self.folder / "absent" / "core", says="cannot make")
        self.assertFalse(file.exists())

    def test_dump_without_room(self):
        self.start(append="no-room")
        file = self.folder / "core"
        self.refused(FAILED, "dump", "vm", file)
        self.assertFalse(file.exists())

    def test_guest_without_services(self):
        self.start(append="no-services")
        file = self.folder / "file"
        file.write_text("hello")
        for words in (["kvp", "list", "vm"], ["kvp", "set", "vm", "k", "v"],
                      ["backup", "freeze", "vm"], ["backup", "thaw", "vm"],
                      ["copy", file, "vm:/x"]):
            self.refused(WRONG_STATE, *words)

    def test_vm_that_does_not_run(self):
        self.create()
        file = self.folder / "file"
        file.write_text("hello")
        commands = (["kvp", "list", "vm"], ["backup", "freeze", "vm"], ["copy", file, "vm:/x"])
        for words in commands:
            self.refused(WRONG_STATE, *words, says="'vm' is off")
        self.ok("start", "vm")
        self.ok("pause", "vm")
        for words in commands:
            self.refused(WRONG_STATE, *words, says="'vm' is paused")
        self.refused(NO_SUCH_VM, "copy", file, "nobody:/x", says="'nobody'")

    def test_usage(self):
        self.start()
        file = self.folder / "file"
        file.write_text("hello")
        for words in (["kvp", "list"], ["kvp", "boil", "vm"], ["kvp", "get", "vm"],
                      ["kvp", "set", "vm", "k"], ["kvp", "list", "vm", "k"],
                      ["backup", "freeze"], ["backup", "boil", "vm"],
                      ["backup", "freeze", "vm", "--limit", "x"],
                      ["backup", "freeze", "vm", "--limit", "0"],
                      ["copy", file], ["copy", file, "vm"], ["copy", file, "vm:x"],
                      ["copy", self.folder / "absent", "vm:/x"]):
            self.refused(USAGE, *words)

    def test_worker_that_ends_meanwhile(self):
        self.start()
        self.type("guest")
        wait_until(lambda: self.guest()["os"], "the guest")
        self.type("garbage")
        self.wait_said("garbage sent")
        self.assertEqual(self.guest()["host_name"], "guest.example.org")
        self.assertEqual(self.show()["state"], "running")


if __name__ == "__main__":
    main()
