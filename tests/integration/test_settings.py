#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Definitions read, changed and made: at once what can be, the rest at the next start."""

import json
import os
import resource
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, OK, USAGE, WRONG_STATE, ServiceTest, main)  # noqa: E402


class Settings(ServiceTest):
    def definition(self, name="vm"):
        """That of its next start."""
        info = self.show(name)
        return info.get("next_definition", info["definition"])

    def file(self, name="vm"):
        return json.loads((self.state / f"vms/{name}.json").read_text())

    def pending(self, name="vm"):
        return self.show(name)["pending"]

    def set(self, *settings):
        return json.loads(self.ok("set", "vm", *settings, "--json"))["pending"]

    def export(self, name="vm"):
        return self.ok("export", name, "--definition")


class Set(Settings):
    def test_at_rest(self):
        self.create()
        self.assertEqual(self.set("memory.size=1G", "processors.count=4", "notes=a b", "tags=x,y"),
                         [])
        info = self.show()
        self.assertEqual((info["memory"], info["processors"], info["notes"], info["tags"]),
                         (1 << 30, 4, "a b", ["x", "y"]))
        self.assertEqual(self.file()["memory"]["size"], "1G")
        self.ok("set", "vm", "memory.size=", "tags=")
        self.assertEqual((self.show()["memory"], self.show()["tags"]), (512 << 20, []))

    def test_while_it_runs(self):
        self.create(automatic_start={"action": "none"})
        self.ok("start", "vm")
        self.assertEqual(self.set("notes=new", "tags=t", "automatic_stop.timeout=5"), [])
        self.assertEqual(self.show()["notes"], "new")
        self.assertEqual(self.set("generation_id=6bb8cd33-4a05-4b21-9d33-7a1a3b0b9d9e"), [])
        self.assertEqual(self.file()["generation_id"], "6bb8cd33-4a05-4b21-9d33-7a1a3b0b9d9e")
        self.assertEqual(self.set("memory.size=1G", "notes=newer"), ["memory.size"])
        info = self.show()
        # It runs with what it has, and its file has what it will.
        self.assertEqual((info["memory"], info["notes"]), (512 << 20, "newer"))
        self.assertEqual((info["definition"]["memory"]["size"], self.file()["memory"]["size"],
                          info["next_definition"]["memory"]["size"]), ("512M", "1G", "1G"))
        self.assertEqual(self.set("processors.count=2"), ["processors.count", "memory.size"])
        text = self.ok("show", "vm")
        self.assertIn("next start:     processors.count, memory.size\n", text)
        self.assertIn("memory:         512M\n", text)
        self.assertEqual(self.set("--vps", "3"), ["processors.count", "memory.size"])
        self.ok("set", "vm", "--vps", "2")
        # What is set back waits no more.
        self.assertEqual(self.set("memory.size=512M"), ["processors.count"])
        self.ok("stop", "vm")
        info = self.show()
        self.assertEqual((info["processors"], info["pending"]), (2, []))
        self.ok("start", "vm")
        self.assertEqual(self.show()["processors"], 2)

    def test_what_is_printed(self):
        self.create()
        self.assertEqual(self.ok("set", "vm", "notes=x"), "changed: notes\n")
        self.assertEqual(self.ok("set", "vm", "notes=x"), "nothing has changed\n")
        self.ok("start", "vm")
        self.assertEqual(self.ok("set", "vm", "memory.size=1G", "engine=user-space"),
                         "from the next start: memory.size, engine\n")
        # What waited before is not this command's.
        waiting = "waiting for the next start since before: memory.size, engine\n"
        self.assertEqual(self.ok("set", "vm", "notes=y"), "changed: notes\n" + waiting)
        self.assertEqual(self.ok("set", "vm", "notes=y"), "nothing has changed\n" + waiting)
        self.assertEqual(self.ok("set", "vm", "processors.count=2", "tags=a"),
                         "changed: tags\nfrom the next start: processors.count\n" + waiting)
        self.assertEqual(json.loads(self.ok("set", "vm", "processors.count=1", "tags=a,b", "--json")),
                         {"changed": ["tags", "processors.count"],
                          "pending": ["memory.size", "engine"]})

    def test_actions_reach_the_worker(self):
        self.create()
        self.ok("start", "vm")
        self.assertEqual(self.set("actions.crash=restart"), [])
        self.wait_said('guest: change_actions {"actions":{"reboot":"restart",'
                       '"triple_fault":"restart","crash":"restart"')

    def test_a_worker_that_refuses(self):
        self.create(append="refuse-actions")
        self.ok("start", "vm")
        before = self.definition()
        self.refused(FAILED, "set", "vm", "actions.crash=restart", "memory.size=1G",
                     says="refuses change_actions")
        self.assertEqual((self.definition(), self.file()), (before, before))
        self.assertEqual(self.pending(), [])

    def test_refusals_change_nothing(self):
        self.create(disks=[self.disk("a")])
        for state in "off", "running":
            before = self.definition()
            for setting, says in (("memory.size=3M", "memory.size"), ("colour=red", "colour"),
                                  ("name=other", "name"), ("disks[0].path=x", "disks[0].path"),
                                  ("uuid=f8615163-df3e-46c5-913f-f2d2f965ed0e", "uuid"),
                                  ("version=3", "newer vmms"), ("disks[1].lun=1", "no such place"),
                                  ("automatic_stop.action=sleep", "turn-off"), ("notes", "KEY=VALUE"),
                                  ("network_adapters=[{\"tap\": \"t\"}]", "tap")):
                self.refused(USAGE, "set", "vm", "notes=x", setting, says=says)
            self.assertEqual((self.definition(), self.file()), (before, before))
            if state == "off":
                self.ok("start", "vm")
        # Nobody has written lines.
        self.assertNotIn("line 1", self.vmctl("set", "vm", "memory.size=3M").err)
        self.refused(NO_SUCH_VM, "set", "nobody", "notes=x")
        self.ok("shutdown", "vm")

    def test_several_at_once(self):
        """Each is made, though only one can be made to what the definition was."""
        self.create()
        for number in range(1, 9):
            settings = [f"notes={number}", f'tags=["t{number}"]', f"processors.count={number}",
                        f"automatic_start.order={number}"]
            setters = [self.vmctl_in_background("set", "vm", setting) for setting in settings]
            said = [setter.communicate(timeout=60) for setter in setters]
            self.assertEqual([(setter.returncode, error) for setter, (_, error) in zip(setters, said)],
                             [(OK, "")] * 4)
            definition = self.show()["definition"]
            self.assertEqual((definition["notes"], definition["tags"], definition["processors"]["count"],
                              definition["automatic_start"]["order"]),
                             (str(number), [f"t{number}"], number, number))

    def test_pending_changes_survive_the_daemon(self):
        self.create()
        self.ok("start", "vm")
        self.set("memory.size=1G")
        self.kill_vmms()
        self.start_vmms()
        self.assertEqual(self.pending(), ["memory.size"])
        self.ok("stop", "vm")
        self.assertEqual((self.show()["memory"], self.pending()), (1 << 30, []))

    def test_adapters_keep_their_addresses(self):
        self.create(network_adapters=[{"name": "a"}])
        mac = self.definition()["network_adapters"][0]["mac"]
        self.set('network_adapters=[{"name": "a", "mtu": 9000}, {"name": "b", "switch": "none"}]')
        adapters = self.definition()["network_adapters"]
        self.assertEqual((adapters[0]["mac"], adapters[0]["mtu"]), (mac, 9000))
        self.assertNotEqual(adapters[1]["mac"], mac)


class Disks(Settings):
    """Disks are changed at once, and in what waits for the next start."""

    def luns(self):
        return [disk["lun"] for disk in self.definition()["disks"]]

    def setUp(self):
        super().setUp()
        self.create(disks=[self.disk("a"), {"type": "dvd", "lun": 1}])
        self.ok("start", "vm")
        later = {"path": self.disk("later")["path"], "lun": 2}
        disks = [*self.definition()["disks"], later]
        self.assertEqual(self.set(f"disks={json.dumps(disks)}"), ["disks"])

    def test_attach(self):
        place = json.loads(self.ok("attach", "vm", self.disk("b")["path"], "--json"))
        self.assertEqual(place["lun"], 3)
        self.assertEqual(self.luns(), [0, 1, 2, 3])
        self.refused(FAILED, "attach", "vm", self.disk("c")["path"], "--lun", "2",
                     says="next start")
        self.ok("stop", "vm")
        self.assertEqual(self.luns(), [0, 1, 2, 3])

    def test_detach(self):
        self.ok("detach", "vm", "--lun", "0")
        self.wait_said('guest: detach {"controller":0,"lun":0}')
        self.assertEqual((self.luns(), self.pending()), ([1, 2], ["disks"]))
        # The guest has never had that one.
        self.ok("detach", "vm", "--lun", "2")
        self.assertNotIn('"lun":2}', self.console_log())
        self.assertEqual((self.luns(), self.pending()), ([1], []))
        self.refused(NO_SUCH_VM, "detach", "vm", "--lun", "2")

    def test_media(self):
        iso = self.disk("iso")["path"]
        self.ok("insert", "vm", iso, "--lun", "1")
        self.assertEqual(self.definition()["disks"][1]["path"], iso)
        self.type("eject")
        self.ok("stop", "vm")
        self.assertNotIn("path", self.definition()["disks"][1])
        self.assertNotIn("path", self.file()["disks"][1])

    def test_adapters(self):
        self.ok("net", "add", "vm", "--name", "n", "--switch", "none")
        self.assertEqual(self.pending(), ["disks"])
        self.ok("net", "set", "vm", "n", "--mac-spoofing", "on")
        self.assertEqual(self.pending(), ["disks"])
        self.assertEqual(self.set("network_adapters[0].mtu=9000"),
                         ["disks", "network_adapters"])
        self.ok("net", "remove", "vm", "n")
        self.assertEqual((self.pending(), self.definition()["network_adapters"]), (["disks"], []))
        self.refused(NO_SUCH_VM, "net", "remove", "vm", "n")


class Edit(Settings):
    def edit(self, script, answers="", status=0, **environment):
        """vmctl edit, with a shell command for an editor, whose $1 is the file."""
        editor = self.folder / "editor"
        editor.write_text(f"#!/bin/sh\necho x >>{self.folder}/edited\n{script}\n")
        editor.chmod(0o755)
        variables = {**os.environ, "TMPDIR": str(self.folder), "VISUAL": str(editor),
                     **environment}
        result = self.vmctl("edit", "vm", stdin=answers, env=variables)
        self.assertEqual(result.status, status, result.err)
        return result

    def edited(self):
        return len((self.folder / "edited").read_text().split())

    def left(self):
        return list(self.folder.glob("vm-*.json"))

    def test_a_change(self):
        self.create()
        result = self.edit("""sed -i 's/"512M"/"1G"/' "$1" """)
        self.assertEqual((result.out, result.err), ("changed: memory.size\n", ""))
        self.assertEqual((self.show()["memory"], self.left()), (1 << 30, []))
        self.ok("start", "vm")
        result = self.edit("""sed -i 's/"1G"/"2G"/' "$1" """)
        self.assertEqual(result.out, "from the next start: memory.size\n")

    def test_no_change(self):
        self.create()
        before = (self.state / "vms/vm.json").stat().st_ino
        self.assertIn("nothing has been changed", self.edit("true").err)
        self.assertEqual((self.state / "vms/vm.json").stat().st_ino, before)
        self.assertEqual(self.left(), [])

    def test_editors(self):
        self.create()
        self.edit("false", VISUAL="", EDITOR="sed -i s/512M/1G/")
        self.assertEqual(self.show()["memory"], 1 << 30)
        result = self.edit("exit 3", status=FAILED)
        self.assertIn("the editor", result.err)
        self.edit("", VISUAL="/nonexistent/editor", status=FAILED)

    def test_an_error_is_offered_again(self):
        self.create()
        script = """if grep -q '"x"' "$1"; then sed -i 's/"x"/"1G"/' "$1"
            else sed -i 's/"512M"/"x"/' "$1"; fi"""
        result = self.edit(script, answers="\n")
        self.assertIn("memory.size", result.err)
        self.assertRegex(result.err, r"line \d+: ")
        self.assertIn("edit it again?", result.err)
        self.assertEqual((self.edited(), self.show()["memory"], self.left()), (2, 1 << 30, []))

    def test_what_only_vmms_knows_is_offered_again_too(self):
        """The text makes sense, but there is no such CPU group."""
        self.create()
        self.ok("set", "vm", "resources.tasks_max=200")
        script = """if grep -q none-such "$1"; then sed -i 's/"cpu_group":"none-such",//' "$1"
            else sed -i 's/"tasks_max"/"cpu_group":"none-such","tasks_max"/; s/"512M"/"1G"/' "$1"
            fi"""
        result = self.edit(script, answers="y\n")
        self.assertIn("none-such", result.err)
        self.assertEqual((self.edited(), self.show()["memory"]), (2, 1 << 30))

    def test_an_error_can_be_left(self):
        self.create()
        for answers in "n\n", "":
            result = self.edit("echo '{' >\"$1\"", answers=answers, status=USAGE)
            left, = self.left()
            self.assertIn(f"what you wrote is in {left}", result.err)
            self.assertEqual(left.read_text(), "{\n")
            self.assertEqual(left.stat().st_mode & 0o777, 0o600)
            left.unlink()
        self.assertEqual(self.show()["memory"], 512 << 20)

    def test_somebody_else_was_faster(self):
        self.create()
        other = f"{self.vmctl_path()} set vm notes=theirs"
        result = self.edit(f"""{other}; sed -i 's/"512M"/"1G"/' "$1" """, status=FAILED)
        self.assertIn("somebody else", result.err)
        self.assertEqual((self.show()["notes"], self.show()["memory"]), ("theirs", 512 << 20))
        self.assertEqual(len(self.left()), 1)

    def vmctl_path(self):
        from rig import VMCTL
        return f"{VMCTL} --address {self.address}"


class Export(Settings):
    def test_there_and_back(self):
        self.create(notes="\x1b[31m\u202e", tags=["t"], disks=[self.disk("a")],
                    network_adapters=[{}])
        text = self.export()
        for byte in "\x1b", "\u202e":
            self.assertNotIn(byte, text)
        self.assertEqual(json.loads(text), self.definition())
        self.refused(FAILED, "create", "--from", "-", stdin=text, says="already")
        self.ok("create", "--from", "-", "--name", "copy", stdin=text)
        copy, original = self.definition("copy"), self.definition()
        self.assertNotEqual(copy.pop("uuid"), original.pop("uuid"))
        self.assertNotEqual(copy["network_adapters"][0].pop("mac"),
                            original["network_adapters"][0].pop("mac"))
        self.assertEqual({**copy, "name": "vm"}, original)
        self.ok("delete", "vm")
        self.ok("create", "--from", "-", stdin=text)
        self.assertEqual(self.export(), text)

    def test_to_a_file(self):
        self.create()
        path = self.folder / "exported.json"
        self.ok("export", "vm", "--definition", "--output", path)
        self.assertEqual(path.read_text(), self.export())
        self.refused(FAILED, "export", "vm", "--definition", "--output", path, says="exists")
        self.refused(USAGE, "export", "vm", says="--definition")

    def test_nothing_is_left_of_a_file_that_does_not_fit(self):
        self.create()
        path = self.folder / "exported.json"
        self.refused(FAILED, "export", "vm", "--definition", "--output", path, says="too large",
                     restore_signals=False,
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16)))
        self.assertFalse(path.exists())

    def test_from_goes_with_a_name_alone(self):
        self.refused(USAGE, "create", "--from", "-", "--memory", "1G", says="--name alone")
        self.refused(FAILED, "create", "--from", "/nonexistent", says="/nonexistent")
        self.refused(USAGE, "create", "--from", "-", "--name", "x", stdin="{", says="JSON")


class Tags(Settings):
    def test_list(self):
        self.create("a", tags=["web", "prod"])
        self.create("b", tags=["web"])
        self.create("c")
        names = lambda *words: self.ok("list", "--names", *words).split()  # noqa: E731
        self.assertEqual(names("--tag", "web"), ["a", "b"])
        self.assertEqual(names("--tag", "prod"), ["a"])
        self.assertEqual(names("--tag", "none"), [])
        self.assertIn("tags:           web, prod\n", self.ok("show", "a"))


class Versions(Settings):
    UUID = "f8615163-df3e-46c5-913f-f2d2f965ed0e"

    def write(self, version, **more):
        (self.state / "vms/vm.json").write_text(json.dumps(
            {"version": version, "name": "vm", "uuid": self.UUID,
             "boot": {"kernel": str(self.folder / "kernel")}, **more}))

    def test_an_old_one_is_upgraded_when_it_is_changed(self):
        self.write(1, notes="old")
        self.ok("reload")
        self.assertEqual(self.definition()["version"], 2)
        self.assertEqual(self.file()["version"], 1)
        self.ok("set", "vm", "tags=new")
        self.assertEqual((self.file()["version"], self.file()["notes"]), (2, "old"))

    def test_a_newer_one_is_refused_by_name(self):
        self.write(3, colour="red")
        self.refused(FAILED, "reload", says="is 3, of a newer vmms")
        broken, = self.list()["broken"]
        self.assertEqual((broken["name"], broken["key"]), ("vm", "version"))
        self.assertIn("is 3, of a newer vmms", broken["message"])

    def test_a_reload_changes_a_running_vm_as_far_as_can_be(self):
        self.write(2)
        self.ok("reload")
        self.ok("start", "vm")
        self.write(2, notes="by hand", memory={"size": "1G"})
        self.ok("reload")
        self.assertEqual((self.show()["notes"], self.pending()), ("by hand", ["memory.size"]))
        self.write(2, uuid=self.UUID.replace("f", "e"))
        self.ok("reload")
        self.assertEqual(self.show()["uuid"], self.UUID)
        self.refused(WRONG_STATE, "delete", "vm")


if __name__ == "__main__":
    main()
