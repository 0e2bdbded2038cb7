#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The serial console: before, during and between runs; clients, scripts, terminals; pictures."""

import json
import os
import re
import resource
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, OK, TIMEOUT, USAGE, VMCTL, Console,  # noqa: E402
                 ServiceTest, main, wait_until)
from terminal import TerminalTest  # noqa: E402


class Script(ServiceTest):
    """vmctl console without a terminal."""

    def setUp(self):
        super().setUp()
        self.create()

    def test_before_during_and_after(self):
        console = Console(self)
        self.ok("start", "vm")
        console.expect(b"guest: begin")
        console.type("hello\n")
        console.expect(b"guest: heard hello\r\n")
        self.ok("stop", "vm")
        self.ok("start", "vm")
        console.expect(b"guest: begin")
        console.type("again\n")
        console.expect(b"guest: heard again\r\n")
        console.close()

    def test_scroll_back(self):
        self.ok("start", "vm")
        self.type("one", "two")
        self.ok("stop", "vm")
        log = self.console_log()
        self.assertEqual(log, "guest: begin, 3 descriptors\nguest: heard one\nguest: heard two\n")
        self.assertEqual(self.console_log(), log)

    def test_scroll_back_is_bounded(self):
        self.ok("start", "vm")
        console = Console(self)
        console.type("talk\n")
        console.expect(b"guest: talked")
        console.close()
        log = subprocess.run([VMCTL, "--address", self.address, "console", "vm", "--log"],
                             capture_output=True, timeout=TIMEOUT, check=True).stdout
        self.assertEqual(len(log), 64 * 1024)
        self.assertTrue(log.endswith(b"guest: line 02999 of what nobody may want\r\n"
                                     b"guest: talked\r\n"))

    def test_no_wait_gets_everything(self):
        self.ok("start", "vm")
        console = Console(self, "vm", "--no-wait")
        console.expect(b"begin")
        console.type("talk\nshutdown\n")
        self.assertEqual(console.wait(), OK)
        self.assertTrue(console.output.endswith(b"guest: heard shutdown\r\n"))
        # On a busy host it may be too slow for what the guest says; then it is told what it lost.
        lines = b"".join(b"guest: line %05d of what nobody may want\r\n" % i for i in range(3000))
        lost = sum(map(int, re.findall(rb"\[(\d+) bytes lost\]", console.output)))
        heard = re.sub(rb"\r\n\[\d+ bytes lost\]\r\n", b"", console.output)
        begin, end = heard.split(b"\r\n")[0] + b"\r\n", b"guest: talked\r\nguest: heard shutdown\r\n"
        self.assertEqual(len(heard) + lost, len(begin + b"guest: heard talk\r\n" + lines + end))
        self.assertTrue(lost or lines in heard)
        # Off already: what there is, at once.
        console = Console(self, "vm", "--no-wait")
        self.assertEqual(console.wait(), OK)
        self.assertEqual(len(console.output), 64 * 1024)

    def test_output_goes_on_after_the_end_of_input(self):
        self.ok("start", "vm")
        result = self.vmctl("console", "vm", "--no-wait", stdin="one\nshutdown\n")
        self.assertEqual(result.status, OK)
        self.assertIn("heard shutdown", result.out)

    def test_one_types_all_watch(self):
        self.ok("start", "vm")
        first = Console(self)
        first.type("a\n")
        first.expect(b"heard a")
        second = Console(self)
        second.expect(b"heard a")
        second.type("b\n")
        first.type("c\n")
        second.expect(b"heard c")
        self.assertNotIn("heard b", self.console_log())
        third = Console(self, "vm", "--take")
        third.expect(b"heard c")
        third.type("d\n")
        for console in first, second, third:
            console.expect(b"heard d")
        first.type("e\n")
        third.close()
        fourth = Console(self)
        fourth.expect(b"heard d")
        fourth.type("f\n")
        fourth.expect(b"heard f")
        self.assertNotIn("heard e", self.console_log())
        for console in first, second, fourth:
            console.close()

    def test_slow_client_holds_up_nobody(self):
        self.ok("start", "vm")
        slow = Console(self, "vm", "--watch")
        slow.expect(b"begin")
        os.kill(slow.process.pid, 19)  # SIGSTOP
        for _ in range(8):
            console = Console(self)
            console.type("talk\n")
            console.expect(b"guest: talked")
            console.close()
        os.kill(slow.process.pid, 18)  # SIGCONT
        slow.expect(b"bytes lost]")
        slow.expect(b"guest: talked")
        slow.close()

    def test_many_clients(self):
        consoles = [Console(self) for _ in range(16)]
        self.ok("start", "vm")
        for console in consoles:
            console.expect(b"begin")
        self.refused(4, "console", "vm", says="close one of them")
        consoles[0].close()
        wait_until(lambda: self.vmctl("console", "vm", "--log").status == OK, "a free place")
        for console in consoles[1:]:
            console.close()

    def test_typing_to_a_vm_that_is_off(self):
        console = Console(self)
        console.type("x" * 100000)
        self.ok("start", "vm")
        console.expect(b"begin")
        console.close()

    def test_much_typing(self):
        self.ok("start", "vm")
        console = Console(self)
        console.type("".join(f"line {i}\n" for i in range(2000)))
        console.expect(b"heard line 1999\r\n")
        for i in range(2000):
            self.assertIn(b"heard line %d\r\n" % i, console.output)
        console.close()

    def test_vm_is_deleted(self):
        console = Console(self)
        self.ok("start", "vm")
        console.expect(b"begin")
        self.ok("stop", "vm")
        self.ok("delete", "vm")
        self.assertEqual(console.wait(), OK)

    def test_start_with_console(self):
        process = subprocess.Popen(
            [VMCTL, "--address", self.address, "start", "vm", "--console"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertTrue(process.stdout.readline().startswith(b"guest: begin"))
        process.terminate()
        process.communicate()

    def test_start_with_console_fails(self):
        self.create("bad", append="refuse-start")
        self.refused(FAILED, "start", "bad", "--console", says="refuses start")

    def test_usage(self):
        self.refused(USAGE, "console", "vm", "--escape", "x")
        self.refused(USAGE, "console", "vm", "--watch", "--take")
        self.refused(USAGE, "start", "vm", "vm", "--console")


class Screenshot(ServiceTest):
    """vmctl screenshot: what a terminal would show."""

    def setUp(self):
        super().setUp()
        self.create()

    def shot(self, *words):
        return self.ok("screenshot", "vm", *words)

    def test_before_during_and_after(self):
        self.assertEqual(self.shot(), "\n")
        self.ok("start", "vm")
        self.wait_said("descriptors")
        self.assertEqual(self.shot(), "guest: begin, 3 descriptors\n")
        self.type("one")
        seen = "guest: begin, 3 descriptors\nguest: heard one\n"
        self.assertEqual(self.shot(), seen)
        self.ok("stop", "vm")
        self.assertEqual(self.shot(), seen)

    def test_sequences_are_obeyed(self):
        self.ok("start", "vm")
        self.type("\x1b[2J\x1b[3;5Hhere \x1b[1;31mand\x1b[0m\x1b]0;title\x07 there\x1b[3;70H")
        self.assertEqual(self.shot(), "\n\n    here and there\n")
        # On another terminal the same column may be beyond the edge.
        self.assertEqual(self.shot("--size", "20x5"), "\n\n    here and there\n")

    def test_size(self):
        self.ok("start", "vm")
        self.type("talk")
        self.wait_said("talked\n")
        lines = [f"guest: line {i:05d} of what nobody may want" for i in range(3000)]
        lines += ["guest: talked"]
        self.assertEqual(self.shot().splitlines(), lines[-24:])
        self.assertEqual(self.shot("--size", "500x200").splitlines(), lines[-199:])
        self.assertEqual(self.shot("--size=20x5").splitlines(),
                         ["guest: line 02999 of", " what nobody may wan", "t", "guest: talked"])

    def test_json(self):
        self.ok("start", "vm")
        self.type("\x1b[2J\x1b[Hone\x1b[2;1Htwo\x1b[4;3Hthree\x1b[4;7H")
        document = json.loads(self.shot("--json", "--size", "40x6"))
        self.assertEqual(document, {"size": {"columns": 40, "rows": 6},
                                    "cursor": {"column": 0, "row": 4},
                                    "rows": ["one", "two", "", "  three", "", ""]})

    def test_output(self):
        self.ok("start", "vm")
        self.wait_said("descriptors")
        file = self.folder / "shot"
        self.assertEqual(self.shot("--output", str(file)), "")
        self.assertEqual(file.read_text(), "guest: begin, 3 descriptors\n")
        self.refused(FAILED, "screenshot", "vm", "--output", str(file), says="File exists")
        self.assertEqual(self.shot("--output", "-"), file.read_text())
        file.unlink()
        self.shot("--json", "--output", str(file))
        self.assertEqual(json.loads(file.read_text())["rows"][0], "guest: begin, 3 descriptors")

    def test_output_fails(self):
        file = self.folder / "shot"
        self.refused(FAILED, "screenshot", "vm", "--output", str(file), says="too large",
                     restore_signals=False,
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
        self.assertFalse(file.exists())
        self.refused(FAILED, "screenshot", "vm", "--output", str(file / "x"), says="No such file")

    def test_nobody_is_disturbed(self):
        self.ok("start", "vm")
        console = Console(self)
        console.expect(b"begin")
        self.shot()
        console.type("one\n")
        console.expect(b"heard one\r\n")
        console.close()

    def test_usage(self):
        for size in "80", "x", "80x", "x25", "19x25", "80x4", "501x25", "80x201", "80x25x1", "-80x25":
            self.refused(USAGE, "screenshot", "vm", f"--size={size}", says="from 20x5 to 500x200")
        self.refused(NO_SUCH_VM, "screenshot", "nobody")


class Terminal(TerminalTest):
    """vmctl console on a terminal."""

    def setUp(self):
        super().setUp()
        self.create()

    def test_session(self):
        self.open("console", "vm")
        self.expect(b"which is off: waiting for its start; leave with ^]")
        self.ok("start", "vm")
        self.expect(b"guest: begin")
        self.expect(b"VM vm is running")
        os.write(self.master, b"hel\x03lo\r")  # ^C is the guest's
        self.expect(b"guest: heard hel\x03lo\r\n")
        os.write(self.master, b"\x1d")
        self.assertEqual(self.end(), OK)
        self.assertIn(b"left the console", self.output)

    def test_other_escape(self):
        self.ok("start", "vm")
        self.open("console", "vm", "--escape", "^T")
        self.expect(b"leave with ^T")
        os.write(self.master, b"a\x1d\r")
        self.expect(b"guest: heard a\x1d\r\n")
        os.write(self.master, b"\x14")
        self.assertEqual(self.end(), OK)

    def test_terminal_is_put_back(self):
        import termios
        self.open("console", "vm")
        before = termios.tcgetattr(self.master)
        self.expect(b"leave with")
        wait_until(lambda: termios.tcgetattr(self.master) != before, "a raw terminal")
        os.kill(self.pid, 15)
        wait_until(lambda: termios.tcgetattr(self.master) == before, "the terminal as it was")
        self.assertEqual(self.end(), -15)


if __name__ == "__main__":
    main()
