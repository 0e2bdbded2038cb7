#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmctl top: printed, for programs, and on a terminal."""

import fcntl
import json
import os
import signal
import struct
import sys
import termios

sys.dont_write_bytecode = True
from rig import NO_SERVICE, OK, USAGE, ServiceTest, main  # noqa: E402
from terminal import TerminalTest  # noqa: E402


class Printed(ServiceTest):
    def test_once(self):
        self.create("web")
        self.create("mail")
        self.ok("start", "web")
        lines = self.ok("top", "--once").splitlines()
        self.assertEqual(lines[0], "2 VMs, 1 running")
        self.assertEqual([line.split()[0] for line in lines if line.startswith("web")],
                         ["web"] * 5)
        self.assertFalse(any("mail" in line or "\x1b" in line for line in lines))

    def test_json(self):
        self.create("web")
        self.create("mail")
        self.create("mute", append="mute-statistics")
        self.ok("start", "web", "mute")
        vms = {vm["name"]: vm for vm in json.loads(self.ok("top", "--json"))["vms"]}
        self.assertEqual(vms.keys(), {"web", "mail", "mute"})
        self.assertNotIn("exits", vms["mail"])
        self.assertNotIn("exits", vms["mute"])
        web = vms["web"]
        self.assertEqual(web["cpu_percent"].keys(), {"guest", "host", "steal"})
        # The fake worker counts a thousand from answer to answer, which are a second apart.
        self.assertGreater(web["exits"]["io-port"], 10)
        self.assertLess(web["exits"]["io-port"], 1001)
        self.assertEqual(web["exits"]["mmio"], 0)
        self.assertEqual(web["vmbus"]["interrupts"], web["disk"]["reads"])
        self.assertAlmostEqual(web["latency_us"]["read"]["p50"], 24)
        self.assertEqual(web["latency_us"]["write"], {"p50": 0, "p99": 0})

    def test_cpu_groups(self):
        self.ok("cpu-group", "create", "gold")
        self.create("web", resources={"cpu_group": "gold"})
        self.create("mail")
        self.ok("start", "web", "mail")
        lines = self.ok("top", "--once").splitlines()
        self.assertTrue(lines[2].endswith(" CPU GROUP"), lines)
        self.assertEqual([line.split()[0] for line in lines if line.endswith(" gold")], ["web"])
        vms = {vm["name"]: vm for vm in json.loads(self.ok("top", "--json"))["vms"]}
        self.assertEqual((vms["web"]["cpu_group"], "cpu_group" in vms["mail"]), ("gold", False))

    def test_no_vms(self):
        self.assertEqual(self.ok("top", "--once").splitlines()[0], "0 VMs, 0 running")
        self.assertEqual(json.loads(self.ok("top", "--json")), {"vms": []})

    def test_usage(self):
        self.refused(USAGE, "top", says="--once")
        for text in "0", "x", "3601":
            self.refused(USAGE, "top", "--once", "--interval", text, says="--interval")
        self.stop_vmms()
        self.refused(NO_SERVICE, "top", "--once")


class Terminal(TerminalTest):
    def setUp(self):
        super().setUp()
        self.create("web")
        self.ok("start", "web")
        self.open("top", "--interval", "1")
        self.expect(b"\x1b[?1049h")

    def resize(self, rows, columns):
        self.output = b""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def assert_left(self):
        """The screen is given back, and the cursor."""
        self.assertIn(b"\x1b[?25h\x1b[?1049l", self.output)

    def test_keys(self):
        self.resize(40, 80)
        # The first of these may be the rest of a picture.
        self.expect(b"CPU, MEMORY")
        self.expect(b"EXITS/s")
        self.resize(5, 80)
        self.expect(b"CPU, MEMORY")
        for key, title in ((b"\t", b"DISKS"), (b"\t", b"NETWORK"), (b"4", b"EXITS/s"),
                           (b"5", b"NEEDS"), (b"1", b"CPU, MEMORY")):
            self.output = b""
            os.write(self.master, key)
            self.expect(title)
        os.write(self.master, b"q")
        self.assertEqual(self.end(), OK)
        self.assert_left()

    def test_interrupt(self):
        os.write(self.master, b"\x03")
        self.assertEqual(self.end(), OK)
        self.assert_left()

    def test_killed(self):
        os.kill(self.pid, signal.SIGTERM)
        self.assertEqual(self.end(), -signal.SIGTERM)
        self.assert_left()

    def test_service_ends(self):
        self.stop_vmms()
        self.assertEqual(self.end(), NO_SERVICE)
        self.assert_left()
        self.assertGreater(self.output.find(b"vmctl: "), self.output.find(b"\x1b[?1049l"))


if __name__ == "__main__":
    main()
