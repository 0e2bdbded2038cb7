#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Manuals, pages and completion name everything that there is."""

import json
import re
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import TIMEOUT, VMCTL, VMMS, ServiceTest, arguments, main  # noqa: E402

PACKAGING = arguments.source / "packaging"
PAGES = arguments.source / "docs/dbus"


def options_in(text):
    return set(re.findall(r"^  (--[a-z-]+)", text, re.M))


def manual(name):
    return (PACKAGING / "man" / name).read_text().replace("\\-", "-").replace("\\~", " ")


class Documents(ServiceTest):
    def help(self, *words):
        return subprocess.run([VMCTL, *words, "--help"], capture_output=True, text=True,
                              check=True).stdout

    def commands(self):
        text = self.help().split("commands:\n", 1)[1].split("\n\n", 1)[0]
        return re.findall(r"^  ([a-z]+(?: [a-z]+)?)(?: |$)", text, re.M)

    def test_vmctl_manual(self):
        text = manual("vmctl.1")
        self.assertGreater(len(self.commands()), 15)
        for command in self.commands():
            self.assertRegex(text, rf'\n\.(TP\n)?\.?B[RI]? "?{command}\b', command)
            for option in options_in(self.help(*command.split())):
                self.assertIn(option, text, command)
        for status in range(8):
            self.assertIn(f".B {status}\n", text)

    def test_vmms_manual(self):
        text = manual("vmms.8")
        options = options_in(subprocess.run([VMMS, "--help"], capture_output=True, text=True,
                                            check=True).stdout)
        self.assertGreater(len(options), 8)
        for option in options:
            self.assertIn(option, text)

    def keys(self, path):
        """The keys that are known there, as a refusal lists them."""
        definition = {"name": "vm", "boot": {"kernel": "/k"}, "disks": [{"path": "/x"}],
                      "network_adapters": [{}]}
        inner = definition
        for step in path:
            inner = inner.setdefault(step, {}) if isinstance(inner, dict) else inner[step]
        inner["nonsense"] = 1
        error = self.vmctl("create", "--from", "-", stdin=json.dumps(definition)).err
        return re.search(r"the keys here are (.*)", error).group(1).strip().split(", ")

    def test_definition_manual(self):
        text = manual("vmms-vm.json.5")
        paths = [(), ("hyper_v",), ("processors",), ("memory",), ("boot",), ("disks", 0), ("services",),
                 ("actions",), ("network_adapters", 0), ("network_adapters", 0, "vlan"),
                 ("network_adapters", 0, "bandwidth")]
        for path in paths:
            keys = self.keys(path)
            self.assertGreater(len(keys), 0)
            for key in keys:
                self.assertRegex(text, rf"\n(\.BR?|\.SS) .*\b{key}\b", f"{path} {key}")

    def test_definition_manual_has_a_working_example(self):
        text = manual("vmms-vm.json.5").split(".EX\n")[1].split(".EE")[0]
        self.ok("create", "--from", "-", stdin=text)

    def test_switch_manual(self):
        text = manual("vmms-vm.json.5")
        (self.state / "switches/lan.json").write_text('{"name": "lan", "type": "private", "x": 1}')
        self.ok("reload")
        keys = re.search(r"the keys here are (.*)", self.ok("switch", "list")).group(1)
        for key in keys.strip().split(", "):
            self.assertRegex(text, rf"\n(\.BR?|\.SS) .*\b{key}\b", key)

    def introspect(self, path):
        return subprocess.run(
            ["dbus-send", f"--bus={self.address}", "--print-reply=literal",
             "--dest=org.vmms1", path, "org.freedesktop.DBus.Introspectable.Introspect"],
            capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout

    def switch_path(self):
        """Of a switch that is down, for which no privilege is needed."""
        uuid = "f8615163-df3e-46c5-913f-f2d2f965ed0e"
        (self.state / "switches/lan.json").write_text(json.dumps(
            {"name": "lan", "uuid": uuid, "type": "external", "bridge": "not-there"}))
        self.ok("reload")
        return "/org/vmms1/switch/" + uuid.replace("-", "_")

    def job_path(self):
        self.ok("start", "vm")
        return json.loads(self.ok("backup", "thaw", "vm", "--no-wait", "--json"))["jobs"][0]["path"]

    def test_dbus_pages(self):
        self.create()
        path = "/org/vmms1/vm/" + self.show()["uuid"].replace("-", "_")
        for object_path, interface in (("/org/vmms1", "org.vmms1.Manager"),
                                       (path, "org.vmms1.VM"),
                                       (self.switch_path(), "org.vmms1.Switch"),
                                       (self.job_path(), "org.vmms1.Job")):
            page = (PAGES / f"{interface}.md").read_text()
            text = self.introspect(object_path).split(f'"{interface}"', 1)[1]
            text = text.split("</interface>", 1)[0]
            methods = re.findall(r'method name="(\w+)"', text)
            properties = re.findall(r'property name="(\w+)" type="([^"]+)"', text)
            self.assertTrue(methods and properties)
            for method in methods:
                self.assertRegex(page, rf"\n###.* {method}\(", method)
            for name, signature in properties:
                self.assertIn(f"| `{name}` | `{signature}` |", page)

    def test_errors_page(self):
        names = re.findall(r'DBUS_ERROR_PREFIX "(\w+)"',
                           (arguments.source / "vmms/dbus_names.h").read_text())
        self.assertGreater(len(names), 10)
        for name in names:
            self.assertIn(f"| `{name}` |", (PAGES / "errors.md").read_text())

    def complete(self, *words):
        script = ('vmctl() { "$VMCTL" --address "$ADDRESS" "$@"; }; compopt() { :; }; '
                  'source <("$VMCTL" completion bash); COMP_WORDS=(vmctl "$@"); COMP_CWORD=$#; '
                  '_vmctl; echo "${COMPREPLY[*]}"')
        result = subprocess.run(["bash", "-uc", script, "bash", *words], capture_output=True,
                                text=True, timeout=TIMEOUT,
                                env={"VMCTL": str(VMCTL), "ADDRESS": self.address,
                                     "PATH": "/usr/bin:/bin"})
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout.split()

    def test_completion(self):
        self.create("web")
        self.create("mail")
        self.assertEqual(self.complete("sh"), ["show", "shutdown"])
        self.assertEqual(self.complete("swi"), ["switch"])
        self.assertEqual(self.complete("switch", "s"), ["set", "show"])
        self.assertEqual(self.complete("net", "list", "w"), ["web"])
        self.assertEqual(self.complete("start", "w"), ["web"])
        self.assertEqual(self.complete("start", "web", "m"), ["mail"])
        self.assertEqual(self.complete("show", "web", "m"), [])
        self.assertEqual(self.complete("attach", "--lun", "3", "w"), ["web"])
        self.assertEqual(self.complete("detach", "web", "--l"), ["--lun"])
        self.assertEqual(self.complete("detach", "web", "--lun", ""), [])
        self.assertEqual(self.complete("create", "--kernel", "/dev/nul"), ["/dev/null"])
        for command in self.commands():
            words = command.split()
            self.assertIn(words[0], self.complete(""))
            self.assertIn(words[-1], self.complete(*words[:-1], ""))
            self.assertLessEqual(options_in(self.help(*words)),
                                 set(self.complete(*words, "--")))


if __name__ == "__main__":
    main()
