#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Manuals, pages and completion name everything that there is."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from rig import FAILED, OK, TIMEOUT, USAGE, VMCTL, VMMS, ServiceTest, arguments, main  # noqa: E402

PACKAGING = arguments.source / "packaging"
FILES = "org.vmms1.Files"
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
        return re.findall(r"^  ([a-z-]+(?: [a-z]+)?)(?: |$)", text, re.M)

    def test_vmctl_manual(self):
        text = manual("vmctl.1")
        self.assertGreater(len(self.commands()), 15)
        for command in self.commands():
            self.assertRegex(text, rf'\n\.(TP\n)?\.?B[RI]? "?{command}\b', command)
            for option in options_in(self.help(*command.split())):
                self.assertIn(option, text, command)
        for status in range(8):
            self.assertIn(f".B {status}\n", text)

    def test_overview_has_a_gap_before_descriptions(self):
        lines = self.help().split("commands:\n", 1)[1].split("\n\n", 1)[0].splitlines()
        for line, following in zip(lines, [*lines[1:], ""]):
            self.assertLessEqual(len(line), 78)
            if len(line) > 26 and line[2] != " ":
                beside = line[24:26] == "  " and line[26] != " "
                self.assertTrue(beside or following[:26].isspace(), line)

    def vmms_options(self):
        """All of the table: each begins with nothing, so that the refusal of nothing lists them."""
        refused = subprocess.run([VMMS, "--="], capture_output=True, text=True, timeout=TIMEOUT,
                                 check=False)
        self.assertEqual(refused.returncode, USAGE)
        options = re.findall(r"'--([a-z-]+)'", refused.stderr)
        self.assertGreater(len(options), 20, refused.stderr)
        return options

    def test_vmms_manual_and_help(self):
        help_text = subprocess.run([VMMS, "--help"], capture_output=True, text=True, check=True).stdout
        for text in manual("vmms.8").split(".SH OPTIONS")[1].split(".SH")[0], help_text:
            self.assertEqual(set(re.findall(r"--([a-z-]+)", text)), set(self.vmms_options()))

    def test_vmms_conf_manual(self):
        rows = re.findall(r"\n\.TP\n(.*)", manual("vmms.conf.5").split(".SH SETTINGS")[1])
        settings = re.findall(r"[a-z][a-z-]+", " ".join(row.split(" ", 1)[1] for row in rows))
        only_options = {"system", "user", "address", "config", "help", "version"}
        self.assertEqual(sorted(settings), sorted(set(self.vmms_options()) - only_options))

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
                 ("network_adapters", 0, "bandwidth"), ("resources",)]
        for path in paths:
            keys = self.keys(path)
            self.assertGreater(len(keys), 0)
            for key in keys:
                self.assertRegex(text, rf"\n(\.BR?|\.SS) .*\b{key}\b", f"{path} {key}")

    def test_definition_manual_has_a_working_example(self):
        text = manual("vmms-vm.json.5").split(".EX\n")[1].split(".EE")[0]
        # Its files are not there.
        self.assertEqual(self.vmctl("create", "--from", "-", stdin=text).status, OK)

    def test_switch_manual(self):
        text = manual("vmms-vm.json.5")
        (self.state / "switches/lan.json").write_text('{"name": "lan", "type": "private", "x": 1}')
        self.refused(FAILED, "reload", says="broken: ")
        keys = re.search(r"the keys here are (.*)", self.ok("switch", "list")).group(1)
        for key in keys.strip().split(", "):
            self.assertRegex(text, rf"\n(\.BR?|\.SS) .*\b{key}\b", key)

    def test_cpu_group_manual(self):
        text = manual("vmms-vm.json.5").split(".SH CPU GROUPS")[1].split(".SH")[0]
        (self.state / "cpu-groups/gold.json").write_text('{"name": "gold", "x": 1}')
        self.ok("reload")
        keys = re.search(r"the keys here are (.*)", self.ok("cpu-group", "show", "gold")).group(1)
        for key in keys.strip().split(", "):
            self.assertRegex(text, rf"\n(\.BR?|\.SS) .*\b{key}\b", key)

    def introspect(self, path, destination="org.vmms1"):
        return subprocess.run(
            ["dbus-send", f"--bus={self.address}", "--print-reply=literal",
             f"--dest={destination}", path, "org.freedesktop.DBus.Introspectable.Introspect"],
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
                                       (path, "org.vmms1.VM"), (path, FILES),
                                       (self.switch_path(), "org.vmms1.Switch"),
                                       (self.job_path(), "org.vmms1.Job")):
            page = (PAGES / f"{interface}.md").read_text()
            destination = FILES if interface == FILES else "org.vmms1"
            text = self.introspect(object_path, destination).split(f'"{interface}"', 1)[1]
            text = text.split("</interface>", 1)[0]
            methods = re.findall(r'method name="(\w+)"', text)
            properties = re.findall(r'property name="(\w+)" type="([^"]+)"', text)
            self.assertTrue(methods and (properties or interface == FILES))
            for method in methods:
                self.assertRegex(page, rf"\n###.* {method}\(", method)
            for name, signature in properties:
                self.assertIn(f"| `{name}` | `{signature}` |", page)

    def test_errors_page(self):
        names = re.findall(r'DBUS_ERROR_PREFIX "(\w+)"',
                           (arguments.source / "common/dbus_names.h").read_text())
        self.assertGreater(len(names), 10)
        for name in names:
            self.assertIn(f"| `{name}` |", (PAGES / "errors.md").read_text())

    def test_catalog(self):
        code = (arguments.source / "vmms/vm/vm_log.c").read_text()
        kinds = dict(re.findall(r'\{ "(\w+)", "([0-9a-f]{32})" \}', code))
        self.assertGreater(len(kinds), 10)
        catalog = (PACKAGING / "catalog/vmms.catalog").read_text()
        self.assertEqual(sorted(re.findall(r"^-- ([0-9a-f]{32})$", catalog, re.M)),
                         sorted(kinds.values()))
        page = (PAGES / "org.vmms1.VM.md").read_text()
        for kind in kinds.keys() - {"deleted"}:
            self.assertIn(f"\n| `{kind}` |", page)

    def environment(self):
        """In which "vmctl" is the one that is tested, on the test's bus, for all shells."""
        wrapper = self.folder / "bin/vmctl"
        if not wrapper.exists():
            wrapper.parent.mkdir()
            wrapper.write_text(f'#!/bin/sh\nexec {VMCTL} --address "{self.address}" "$@"\n')
            wrapper.chmod(0o755)
        return {"PATH": f"{wrapper.parent}:/usr/bin:/bin", "HOME": str(self.folder),
                "TERM": "dumb", "LC_ALL": "C.UTF-8"}

    def run_shell(self, shell, *words):
        if not shutil.which(shell[0]):
            self.skipTest(f"no {shell[0]}")
        script = self.folder / shell[0]
        if not script.exists():
            script.write_text(self.ok("completion", shell[0]))
        result = subprocess.run([*shell, *words], capture_output=True, text=True,
                                timeout=TIMEOUT, cwd=self.folder, env=self.environment())
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return [line for line in result.stdout.split("\n") if line]

    def complete_all_in_bash(self, lines):
        """One shell for all: what it offers for each list of words."""
        script = ('compopt() { :; }; source ./bash; for line; do IFS=, read -ra words <<<"$line,"; '
                  'COMP_WORDS=(vmctl "${words[@]}"); COMP_CWORD=${#words[@]}; _vmctl; '
                  'echo "offered ${COMPREPLY[*]-}"; done')
        return [offered.split()[1:] for offered in
                self.run_shell(["bash", "-uc", script, "bash"], *map(",".join, lines))]

    def complete_in_bash(self, *words):
        return self.complete_all_in_bash([words])[0]

    def complete_in_fish(self, *words):
        script = "source ./fish; complete -C \"vmctl $argv\""
        lines = self.run_shell(["fish", "--no-config", "-c", script, "--"], *words)
        return [line.split("\t")[0] for line in lines]

    def complete_in_zsh(self, *words):
        """In a terminal of its own, as zsh completes nowhere else; matches are marked."""
        program = pathlib.Path(__file__).resolve().with_name("complete.zsh")
        return self.run_shell(["zsh", "-f", program], "vmctl " + " ".join(words))

    def check_completion(self, complete):
        self.create("web")
        self.create("mail")
        (self.folder / "image.raw").touch()

        def check(*words_and_result):
            *words, result = words_and_result
            self.assertEqual(sorted(complete(*words)), result, words)
        check("sh", ["show", "shutdown"])
        check("swi", ["switch"])
        check("cpu-group", "s", ["set", "show"])
        check("cpu-group", "delete", "", [])
        check("switch", "s", ["set", "show"])
        check("net", "list", "w", ["web"])
        check("start", "", ["mail", "web"])
        check("start", "web", "m", ["mail"])
        check("show", "web", "m", [])
        check("kvp", "", ["delete", "get", "list", "set"])
        check("kvp", "get", "w", ["web"])
        check("attach", "--lun", "3", "w", ["web"])
        check("attach", "--cache", "", ["buffered", "direct", "unsafe"])
        check("attach", "web", "ima", ["image.raw"])
        check("create", "--kernel", "ima", ["image.raw"])
        check("net", "add", "web", "--switch", "", [])
        check("detach", "web", "--lun", "", [])
        check("--json", "sho", ["show"])
        check("--host", "root@far", "sho", ["show"])
        check("-H", "far:22", "switch", "s", ["set", "show"])

    def check_all_words(self):
        """Every command is offered, and every option of it."""
        commands = [command.split() for command in self.commands()]
        lines = [[""]] + [line for words in commands for line in ([*words[:-1], ""], [*words, "--"])]
        first, *others = self.complete_all_in_bash(lines)
        for words, last, options in zip(commands, others[::2], others[1::2]):
            self.assertIn(words[0], first)
            self.assertIn(words[-1], last)
            self.assertLessEqual(options_in(self.help(*words)), set(options))

    def test_completion_in_bash(self):
        self.check_completion(self.complete_in_bash)
        self.check_all_words()
        self.assertEqual(self.complete_in_bash("attach", "--cache", "=", "b"), ["buffered"])
        self.assertEqual(self.complete_in_bash("attach", "--cache", "=", "direct", "w"), ["web"])

    def test_completion_in_fish(self):
        self.check_completion(self.complete_in_fish)

    def test_completion_in_zsh(self):
        self.check_completion(self.complete_in_zsh)


if __name__ == "__main__":
    main()
