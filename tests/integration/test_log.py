#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The event log of a VM, and its console's, over daemons that come and go."""

import json
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import (NO_SUCH_VM, OK, TIMEOUT, USAGE, VMCTL, Console, ServiceTest, main,  # noqa: E402
                 wait_until)


class Log(ServiceTest):
    def setUp(self):
        super().setUp()
        self.create()

    def events(self, *options):
        return json.loads(self.ok("log", "vm", "--json", *options))["events"]

    def messages(self, *options):
        return [(event["event"], event["message"]) for event in self.events(*options)]

    def test_life(self):
        self.ok("start", "vm")
        self.type("crash")
        self.wait_state("off")
        messages = self.messages()
        self.assertEqual(messages[:3], [("created", "created"), ("state", "starting"),
                                        ("state", "running")])
        self.assertIn("crash", dict(messages))
        self.assertTrue(dict(messages)["crash"].startswith("the guest crashed: oops"))
        self.assertEqual(messages[-1][0], "state")
        self.assertEqual([event["sequence"] for event in self.events()],
                         list(range(1, len(messages) + 1)))
        self.assertTrue(all(event["time"] > 1_600_000_000_000_000 for event in self.events()))

    def test_lines(self):
        self.ok("start", "vm")
        self.ok("stop", "vm")
        every = self.messages()
        self.assertEqual(self.messages("--lines", "2"), every[-2:])
        self.assertEqual(self.messages("--lines", "999999"), every)
        self.assertEqual(len(self.ok("log", "vm").splitlines()), len(every))
        self.assertEqual(self.ok("log", "vm").splitlines()[-1].split(maxsplit=3)[2:],
                         ["state", "off: turned off"])
        self.refused(USAGE, "log", "vm", "--lines", "x")
        self.refused(NO_SUCH_VM, "log", "nobody")

    def test_last_words_of_a_worker(self):
        self.create("bad", append="die-in-configure")
        self.vmctl("start", "bad")
        worker = [event["message"] for event in
                  json.loads(self.ok("log", "bad", "--json"))["events"]
                  if event["event"] == "worker"]
        self.assertEqual(worker[0], "fake worker: first words")
        self.assertNotIn("\x1b", self.ok("log", "bad"))

    def test_outlives_the_daemon(self):
        self.ok("start", "vm")
        before = self.messages()
        self.kill_vmms()
        self.start_vmms()
        self.assertEqual(self.messages()[:len(before)], before)
        self.ok("stop", "vm")
        sequences = [event["sequence"] for event in self.events()]
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))

    def test_follow(self):
        follower = self.vmctl_in_background("log", "vm", "--follow", "--json")
        self.assertEqual(json.loads(follower.stdout.readline())["event"], "created")
        self.ok("start", "vm")
        for message in "starting", "running":
            self.assertEqual(json.loads(follower.stdout.readline())["message"], message)
        self.kill_vmms()
        self.start_vmms()
        self.ok("stop", "vm")
        last = 3
        while True:
            event = json.loads(follower.stdout.readline())
            self.assertEqual(event["sequence"], last + 1)
            last += 1
            if event["message"] == "off: turned off":
                break
        self.ok("delete", "vm")
        out, err = follower.communicate(timeout=TIMEOUT)
        self.assertEqual((follower.returncode, out, err), (OK, "", ""))

    def test_a_worker_that_floods(self):
        self.ok("start", "vm")
        self.type("babble")
        wait_until(lambda: "lines left out" in self.ok("log", "vm"), "lines to be left out")
        wait_until(lambda: ("worker", "babble ends") in self.messages(), "the end")
        size = sum(path.stat().st_size for path in (self.state / "logs").glob("*.events*"))
        self.assertLessEqual(size, 512 * 1024)
        self.ok("stop", "vm")

    def test_deleted(self):
        self.ok("start", "vm")
        self.wait_said("begin")
        self.ok("stop", "vm")
        paths = list((self.state / "logs").iterdir())
        self.assertEqual(len(paths), 2)
        for path in paths:
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.ok("delete", "vm")
        self.assertEqual(list((self.state / "logs").iterdir()), [])
        self.create()
        self.assertEqual(self.messages(), [("created", "created")])
        self.assertEqual(self.console_log(), "")


class ConsoleLog(ServiceTest):
    def setUp(self):
        super().setUp()
        self.create()
        self.ok("start", "vm")

    def said(self):
        return subprocess.run([VMCTL, "--address", self.address, "console", "vm", "--log"],
                              capture_output=True, timeout=TIMEOUT, check=True).stdout

    def test_outlives_the_daemon(self):
        self.type("one")
        self.kill_vmms()
        self.start_vmms()
        self.wait_said("adopted")
        self.type("two")
        self.assertEqual(self.said(), b"guest: begin, 3 descriptors\r\nguest: heard one\r\n"
                                     b'guest: adopted\r\nguest: pin {"pinning":[]}\r\n'
                                     b"guest: heard two\r\n")
        self.ok("stop", "vm")
        self.stop_vmms()
        self.start_vmms()
        self.assertTrue(self.said().endswith(b"guest: heard two\r\n"))

    def test_bound(self):
        console = Console(self)
        for _ in range(7):  # more than half the bound, and no more than a guest may write at once
            console.type("talk\n")
            console.expect(b"guest: talked\r\n")  # the last of it, which no viewer loses
        console.close()
        wait_until(lambda: self.said().endswith(b"guest: talked\r\n"), "the end")
        before = self.said()
        self.stop_vmms()
        size = sum(path.stat().st_size for path in (self.state / "logs").glob("*.console*"))
        self.assertLessEqual(size, 1 << 20)
        self.assertGreater(size, 1 << 19)
        self.start_vmms()
        self.assertEqual(self.said(), before)

    def test_what_cannot_be_written_holds_up_nobody(self):
        self.ok("stop", "vm")
        self.ok("delete", "vm")
        (self.state / "logs").rmdir()
        (self.state / "logs").write_text("in the way")
        self.create()
        self.ok("start", "vm")
        self.type("one")
        self.assertIn(b"heard one", self.said())
        self.ok("stop", "vm")
        text = (self.folder / "log").read_text(errors="replace")
        self.assertIn("cannot be kept", text)
        self.assertLess(text.count("cannot be"), 10)


if __name__ == "__main__":
    main()
