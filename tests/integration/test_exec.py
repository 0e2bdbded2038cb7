#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmctl exec, with the agent of the package vmms-guest in a guest that is this host."""

import contextlib
import fcntl
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import termios
import unittest

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, TIMEOUT, USAGE, VMCTL, WRONG_STATE, arguments, main,  # noqa: E402
                 wait_until)
from terminal import TerminalTest  # noqa: E402

AGENT = arguments.build / "bin/vmms-guest-agent"


def frame(kind, payload=b""):
    return struct.pack("<BBH", kind, 0, len(payload)) + payload


OPEN = frame(1, struct.pack("<HHHH", 1, 0, 24, 80))


class Exec(TerminalTest):
    def setUp(self):
        super().setUp()
        self.create(append=f"agent={self.program(AGENT)}")
        self.ok("start", "vm")

    def run_in(self, *words, **more):
        return self.vmctl("exec", "vm", "--", *words, **more)

    def background(self, *words):
        return subprocess.Popen([VMCTL, "--address", self.address, "exec", "vm", "--", *words],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def test_output_and_status(self):
        result = self.run_in("sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((result.status, result.out, result.err), (7, "out\n", "err\n"))
        self.assertEqual(self.run_in("sh", "-c", "kill -9 $$").status, 128 + 9)
        self.assertEqual(self.run_in("true").status, 0)

    def test_words_are_as_they_were_given(self):
        words = ["", "a b", "$HOME", "*", "'\"\\", "--json", "é", "x" * 5000]
        result = self.run_in("printf", "<%s>\n", *words)
        self.assertEqual(result.out, "".join(f"<{word}>\n" for word in words))

    def test_environment(self):
        result = self.run_in("sh", "-c", "echo $PATH; pwd; [ -z \"$TERM\" ] && ! tty")
        self.assertEqual(result.status, 0, result.out + result.err)
        self.assertIn("/usr/bin", result.out)

    def test_what_cannot_be_run(self):
        result = self.run_in("/nowhere/to/be/found")
        self.assertEqual(result.status, 127)
        self.assertIn("cannot run '/nowhere/to/be/found': No such file", result.err)
        self.assertEqual(self.run_in("/").status, 126)

    def test_copies_are_verified(self):
        """The fake copies nothing: the file that is here already is the guest's."""
        ours, theirs = self.folder / "ours", self.folder / "-the guest's\n\\"
        ours.write_text("content")
        theirs.write_text("content")
        result = self.ok("copy", ours, f"vm:{theirs}", "--overwrite", "--verify")
        self.assertRegex(result, "^VM 'vm' has the file\nverified: SHA-256 [0-9a-f]{64}\n$")
        told = json.loads(self.ok("copy", ours, f"vm:{theirs}", "--overwrite", "--verify", "--json"))
        self.assertEqual(told, {"sha256": result.split()[-1]})
        theirs.write_text("other")
        self.refused(FAILED, "copy", ours, f"vm:{theirs}", "--overwrite", "--verify", says="is another")
        theirs.unlink()
        self.refused(FAILED, "copy", ours, f"vm:{theirs}", "--overwrite", "--verify",
                     says="could not be verified")
        self.refused(USAGE, "copy", ours, f"vm:{theirs}", "--verify", "--no-wait", says="wait for the end")

    def test_input(self):
        text = "".join(f"line {i}\n" for i in range(100000))
        result = self.run_in("cat", stdin=text)
        self.assertEqual((result.status, result.out), (0, text))
        # A program that takes less than it gets, and a shell.
        self.assertEqual(self.run_in("head", "-n1", stdin=text).out, "line 0\n")
        self.assertEqual(self.vmctl("exec", "vm", stdin="echo here; exit 3\n").status, 3)

    def test_what_is_left_running(self):
        """Its output is not waited for."""
        result = self.run_in("sh", "-c", "sleep 1000 & echo $!")
        self.assertEqual(result.status, 0)
        os.kill(int(result.out), signal.SIGKILL)

    def test_signals(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            with self.background("sh", "-c", "echo $$; exec sleep 1000") as process:
                process.stdout.readline()
                process.send_signal(number)
                self.assertEqual(process.wait(TIMEOUT), 128 + number)

    def test_a_program_that_stops(self):
        """It has not ended: what the client sends still reaches it."""
        with self.background("sh", "-c", "echo $$; kill -STOP $$") as process:
            pid = int(process.stdout.readline())
            status = pathlib.Path(f"/proc/{pid}/status")
            wait_until(lambda: "State:\tT" in status.read_text(), "the stop")
            process.send_signal(signal.SIGINT)
            wait_until(lambda: "ShdPnd:\t0000000000000002" in status.read_text(), "the signal")
            os.kill(pid, signal.SIGCONT)
            self.assertEqual(process.wait(TIMEOUT), 128 + signal.SIGINT)

    def test_a_program_that_does_not_end(self):
        with self.background("sh", "-c", "trap 'echo no' TERM; echo yes; "
                             "while :; do sleep 0.01; done") as process:
            self.assertEqual(process.stdout.readline(), b"yes\n")
            for _ in range(3):
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.stdout.readline(), b"no\n")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(TIMEOUT), 128 + signal.SIGTERM)

    def test_vmctl_is_killed(self):
        with self.background("sh", "-c", "echo $$; exec sleep 1000") as process:
            pid = int(process.stdout.readline())
            process.kill()
            wait_until(lambda: is_over(pid), "the end of the program")
        # Also while the program takes no input.
        with self.background("sh", "-c", "echo $$; exec sleep 1000") as process:
            pid = int(process.stdout.readline())
            os.set_blocking(process.stdin.fileno(), False)
            wait_until(lambda: process.stdin.raw.write(b"x" * 65536) is None, "full pipes")
            process.kill()
            wait_until(lambda: is_over(pid), "the end of the program")
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()

    def test_terminal(self):
        self.open("exec", "vm", "--", "sh", "-c",
                  "trap 'echo size $(stty size)' WINCH; tty; echo $TERM; "
                  "until read x && [ -n \"$x\" ]; do :; done; echo got $x; read y; exit 5")
        self.expect(b"/dev/pts/")
        self.expect(os.environ.get("TERM", "").encode())
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        self.expect(b"size 33 77")
        os.write(self.master, b"word\r")
        self.expect(b"got word")
        os.write(self.master, b"\r")
        self.assertEqual(self.end(), 5)

    def test_interrupt_on_a_terminal(self):
        """^C is the program's, and vmctl goes on."""
        self.open("exec", "vm", "--", "sh", "-c", "trap 'exit 9' INT; echo ready; "
                  "while :; do sleep 0.1; done")
        self.expect(b"ready")
        os.write(self.master, b"\x03")
        self.assertEqual(self.end(), 9)

    def test_no_agent(self):
        self.ok("stop", "vm")
        self.refused(WRONG_STATE, "exec", "vm", "--", "true", says="is off")
        self.refused(NO_SUCH_VM, "exec", "nobody", "--", "true")
        self.create("other")
        self.ok("start", "other")
        # Somebody is there who talks otherwise.
        self.refused(FAILED, "exec", "other", "--", "true", says="agent")


class Agent(unittest.TestCase):
    """The agent and clients that are none."""

    def talk(self, data):
        left, right = socket.socketpair()
        with left, subprocess.Popen([AGENT], stdin=right) as process:
            right.close()
            left.settimeout(TIMEOUT)
            left.sendall(data)
            left.shutdown(1)
            received = b""
            while chunk := left.recv(65536):
                received += chunk
            return process.wait(TIMEOUT), received

    def test_another_version(self):
        status, said = self.talk(frame(1, struct.pack("<HHHH", 2, 0, 0, 0)) + frame(4))
        self.assertEqual(status, 1)
        self.assertEqual(said[0], 20)
        self.assertIn(b"version", said)

    def test_nonsense(self):
        for data in (b"", b"\0", b"CONNECT 5\n", frame(4), frame(2, b"x"), OPEN + OPEN,
                     OPEN + frame(2, b"a\0b"), OPEN + frame(3, b"a b"), OPEN + frame(3, b"x" * 64),
                     OPEN + frame(4, b"x"), OPEN + frame(5, b"x"), OPEN + frame(99),
                     OPEN + b"\4\1\0\0", OPEN + b"\5\0\xff\xff", OPEN + frame(2, b"x" * 8192) * 8,
                     OPEN + frame(2, b"x") * 257):
            self.assertEqual(self.talk(data), (1, b""), data[:40])

    def test_nonsense_while_a_program_runs(self):
        run = OPEN + frame(2, b"sleep") + frame(2, b"1000") + frame(4)
        for data in frame(4), frame(6, b"x"), frame(7), frame(99), b"\5\0\xff\xff":
            self.assertEqual(self.talk(run + data), (1, b""), data)

    def test_other_peers(self):
        """Who is neither the host nor the one who has started it."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            with socket.create_connection(server.getsockname()) as client:
                peer, _ = server.accept()
                with peer:
                    status = subprocess.run([AGENT], stdin=peer, check=False).returncode
                client.settimeout(TIMEOUT)
                self.assertEqual(status, 1)
                self.assertIn(b"the host alone", client.recv(4096))


def is_over(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


if __name__ == "__main__":
    main()
