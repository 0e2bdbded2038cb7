#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a hostile guest says of itself reaches no terminal, program or log as it is.

The guest's names, versions, addresses and crash text, and what its worker passes on, hold controls of
terminals, line ends, quotes, direction controls and bytes that are not UTF-8. The journal's fields are
in tests/unit/vmms/vm/test_vm_log.c, the console in test_console.py: that alone is the guest's own.
"""

import json
import sys

sys.dont_write_bytecode = True
from rig import main, wait_until  # noqa: E402
from test_metrics import MetricsTest  # noqa: E402

CONTROLS = {chr(c) for c in range(32)} - {"\n"} | {chr(c) for c in range(0x7f, 0xa0)}
DIRECTIONS = {"\u202e", "\u202d", "\u2066", "\u2067", "\u2028"}


class Hostile(MetricsTest):
    def setUp(self):
        super().setUp()
        self.create(network_adapters=[{"name": "nic0", "switch": "none"}])
        self.ok("start", "vm")
        self.type("hostile")
        self.wait_said("guest: hostile")
        wait_until(lambda: "thawed" in self.ok("log", "vm") or "not frozen" in
                   self.ok("log", "vm"), "the last of what it says")

    def assert_harmless(self, text, what):
        self.assertFalse(CONTROLS & set(text), what)
        self.assertFalse(DIRECTIONS & set(text), what)
        self.assertNotIn("\ufffd", text)
        text.encode()

    def test_it_was_heard(self):
        info = self.show()
        self.assertTrue(info["guest"]["os"].startswith("\x1b[2J"))
        self.assertGreater(len(info["guest"]["host_name"]), 500)
        self.assertTrue(info["crash"]["text"].startswith("\x1b[2J"))

    def test_tables(self):
        for words in (("list",), ("show", "vm"), ("net", "list", "vm"), ("kvp", "list", "vm"),
                      ("log", "vm"), ("job", "list")):
            out = self.ok(*words)
            self.assert_harmless(out, words)
            self.assertLess(len(out), 100_000, words)
        self.assertEqual(len(self.ok("list").splitlines()), 2)

    def test_json(self):
        for words in (("list",), ("show", "vm"), ("net", "list", "vm"), ("kvp", "list", "vm"),
                      ("log", "vm")):
            out = self.ok(*words, "--json")
            self.assert_harmless(out, words)
            json.loads(out)

    def test_log_of_the_service(self):
        self.stop_vmms()
        text = (self.folder / "log").read_bytes().decode()  # which has to be UTF-8
        self.assert_harmless(text, "the log")
        self.assertIn("the guest crashed", text)

    def test_metrics(self):
        _, _, body = self.exchange(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assert_harmless(body, "metrics")
        labels = self.metrics()["vmms_vm"].samples[0].labels
        self.assertTrue(labels["guest_os"].startswith(r"\x1b[2J"))
        self.assertNotIn("\n", labels["guest_host_name"])

    def test_statistics(self):
        self.assertEqual(self.statistics()["name"], "vm")

    def test_names_of_vms(self):
        """Which are an administrator's, but bounded all the same."""
        for name in "a\nb", "\x1b[2J", "a\u202eb", "a b", '"', "a/b", "\udcff", ".", "x" * 65:
            definition = json.dumps({"name": name, "boot": {"kernel": "/k"}})
            result = self.vmctl("create", "--from", "-", stdin=definition)
            self.assertNotEqual(result.status, 0, ascii(name))
            self.assert_harmless(result.err, ascii(name))


if __name__ == "__main__":
    main()
