#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Profiles of AppArmor, with a parser that writes down what it is asked for, and a file for the kernel's."""

import contextlib
import json
import os
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
from rig import FAILED, WRONG_STATE, ServiceTest, main, wait_until  # noqa: E402

# $1: what it is to do, $3: the file. Rules come later than the order of what it has done.
PARSER = """#!/bin/sh
behaviour=$(cat {folder}/behaviour)
echo "$1 $(basename "$3") $(grep -c ^profile "$3") $(wc -l <{folder}/exec)" >>{folder}/parsed
case $behaviour:$1 in
fail:--replace) echo 'AppArmor parser error: it is not well' >&2; exit 1 ;;
hang:--replace) exec sleep 1000 ;;
esac
"""


class AppArmor(ServiceTest):
    mode = "auto"

    def start_vmms(self, *extra, wait=True):
        parser = self.folder / "parser"
        if not parser.exists():
            (self.folder / "exec").touch()
            self.behave("work")
            parser.write_text(PARSER.format(folder=self.folder))
            parser.chmod(0o755)
        self.vmms_environment = {"VMMS_APPARMOR_FILE": str(self.folder / "exec")}
        super().start_vmms("--apparmor", self.mode, "--apparmor-parser", parser, "--open-timeout", "4", *extra,
                           wait=wait)

    def clean_up(self):
        """Parsers that write down what they are asked for end before their folder goes."""
        if self.vmms:
            self.stop_vmms()
        wait_until(lambda: not self.parsers(), "the parsers to end")
        super().clean_up()

    def parsers(self):
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.folder / "parser").encode() in (process / "cmdline").read_bytes().split(b"\0"):
                    found.append(process)
        return [process for process in found if self.vmms is None or int(process.name) != self.vmms.pid]

    def behave(self, how):
        (self.folder / "behaviour").write_text(how)

    def parsed(self):
        """What the parser was asked for: what, which profile, how many in it, and programs run before."""
        path = self.folder / "parsed"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def background(self, *words):
        process = self.vmctl_in_background(*words)
        self.addCleanup(process.communicate)
        return process

    def texts(self):
        folder = self.folder / "run/apparmor"
        return sorted(os.listdir(folder)) if folder.exists() else []

    def orders(self):
        return (self.folder / "exec").read_text()

    def wait_removed(self, name):
        wait_until(lambda: ["--remove", name] in [words[:2] for words in self.parsed()], "the removal")
        wait_until(lambda: name not in self.texts(), "the text to go")


@unittest.skipUnless(os.geteuid() == 0, "profiles are root's")
class Auto(AppArmor):
    def test_a_run_has_a_profile_from_before_its_start_until_after_its_end(self):
        self.create()
        self.ok("start", "vm")
        profile = self.show()["profile"]
        self.assertTrue(profile.startswith(f"vmms-{self.show()['uuid']}-"), profile)
        self.assertEqual(self.parsed(), [["--replace", profile, "1", "0"]])
        self.assertEqual(self.orders(), f"exec {profile}")
        self.assertEqual(self.texts(), [profile])
        self.assertIn(profile, self.ok("show", "vm"))
        self.ok("stop", "vm")
        self.wait_removed(profile)
        self.assertEqual(self.show()["profile"], "")

    def test_each_run_has_another(self):
        self.create()
        names = []
        for _ in range(2):
            self.ok("start", "vm")
            names.append(self.show()["profile"])
            self.ok("stop", "vm")
        self.assertLess(names[0], names[1])
        for name in names:
            self.wait_removed(name)

    def test_the_next_daemon_keeps_what_is_used_and_removes_the_rest(self):
        for name in "a", "b":
            self.create(name)
            self.ok("start", name)
        used, unused = self.show("a")["profile"], self.show("b")["profile"]
        self.kill_vmms()
        record = next(path for path in (self.folder / "run/workers").glob("*.json") if unused in path.read_text())
        os.kill(json.loads(record.read_text())["pid"], 9)
        (self.folder / "run/apparmor/another").touch()
        self.start_vmms()
        self.wait_removed(unused)
        self.assertEqual(self.texts(), ["another", used])
        self.assertEqual(self.show("a")["profile"], used)
        self.ok("stop", "a")
        self.wait_removed(used)

    def test_without_it_a_vm_starts_and_says_so(self):
        self.create()
        for behaviour, words in ("fail", "it is not well"), ("hang", "within 4 seconds"):
            self.behave(behaviour)
            self.ok("start", "vm")
            self.assertEqual(self.show()["profile"], "")
            self.assertEqual(self.orders(), "")
            log = self.ok("log", "vm")
            self.assertIn("not confined by AppArmor", log)
            self.assertIn(words, log)
            self.ok("stop", "vm")
        wait_until(lambda: not self.texts(), "the texts to go")

    def test_a_parser_that_hangs_holds_up_nobody(self):
        self.create("hangs")
        self.create("vm")
        self.behave("hang")
        start = self.background("start", "hangs")
        wait_until(self.parsed, "the parser")
        self.assertEqual(self.show("hangs")["state"], "starting")
        self.behave("work")
        self.ok("start", "vm")
        self.assertEqual(start.wait(60), 0)
        self.assertEqual(self.show("hangs")["state"], "running")

    def test_a_vm_is_turned_off_while_its_profile_is_loaded(self):
        self.create()
        self.behave("hang")
        start = self.background("start", "vm")
        wait_until(self.parsed, "the parser")
        self.ok("stop", "vm")
        self.assertEqual(start.wait(60), WRONG_STATE)
        self.wait_state("off")
        self.assertEqual(self.orders(), "")


@unittest.skipUnless(os.geteuid() == 0, "profiles are root's")
class Required(AppArmor):
    mode = "require"

    def test_without_it_no_vm_starts(self):
        self.create()
        for behaviour, words in ("fail", "it is not well"), ("hang", "within 4 seconds"):
            self.behave(behaviour)
            said = self.refused(FAILED, "start", "vm", says=words)
            self.assertIn("cannot be confined by AppArmor", said)
            self.wait_state("off")
        self.assertEqual(self.orders(), "")
        self.behave("work")
        self.ok("start", "vm")
        self.assertEqual(self.orders(), f"exec {self.show()['profile']}")

    def test_without_a_parser_no_vm_starts(self):
        self.create()
        pathlib.Path(self.folder / "parser").unlink()
        self.refused(FAILED, "start", "vm", says="install the package apparmor")


@unittest.skipUnless(os.geteuid() == 0, "profiles are root's")
class Off(AppArmor):
    mode = "off"

    def test_nothing_is_asked_for(self):
        self.create()
        self.ok("start", "vm")
        self.assertEqual((self.parsed(), self.orders(), self.show()["profile"]), ([], "", ""))


if __name__ == "__main__":
    main()
