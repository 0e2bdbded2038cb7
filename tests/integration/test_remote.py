#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmctl --host: all commands about the VMs of another host, which a stand-in for ssh has here.

In a network namespace of the test's own; exit status 77 where none may be made.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
import hyperv_export  # noqa: E402
from bus import SENDER, Bus  # noqa: E402
from rig import (FAILED, NO_SERVICE, NO_SUCH_VM, NOT_PERMITTED, OK, TIMED_OUT, TIMEOUT, USAGE,  # noqa: E402
                 VMCTL, WRONG_STATE, Result, arguments, as_user, main, wait_until)
from terminal import TerminalTest  # noqa: E402
from test_switch import in_own_network  # noqa: E402

AGENT = arguments.build / "bin/vmms-guest-agent"
STAND_IN = pathlib.Path(__file__).resolve().with_name("stand_in_ssh.py")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q me\n"
HOST = "admin@far.example"
PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"


class RemoteTest(TerminalTest):
    """Here nothing leads to the service; what logs in to the other host finds it as on any host."""

    host = HOST

    def setUp(self):
        super().setUp()
        self.here, self.home, self.there = [self.folder / name for name in ("here", "home", "there")]
        for folder in self.here, self.home, self.there:
            folder.mkdir()
        (self.here / "ssh").symlink_to(STAND_IN)
        (self.there / "vmctl").symlink_to(VMCTL)
        # Where systemd-stdio-bridge looks for it, in a /run of the test's own.
        self.system_bus = pathlib.Path("/run/dbus/system_bus_socket")
        self.system_bus.parent.mkdir(exist_ok=True)
        self.system_bus.unlink(missing_ok=True)
        self.system_bus.symlink_to(self.folder / "bus")
        self.stand_in = {"log": str(self.folder / "ssh.log"), "home": str(self.home),
                         "environment": {"PATH": f"{self.there}:{PROGRAMS}", "HOME": str(self.home),
                                         "VMMS_BUS_ADDRESS": self.address, "TMPDIR": str(self.home),
                                         # What nobody may heed there.
                                         "VMMS_HOST": "nowhere.example"}}
        self.change_stand_in()
        self.environment = {"PATH": f"{self.here}:{PROGRAMS}", "STAND_IN": str(self.folder / "stand-in"),
                            "HOME": str(self.here), "VMMS_BUS_ADDRESS": "unix:path=/nowhere",
                            "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere", "TERM": "dumb"}

    def change_stand_in(self, **members):
        self.stand_in.update(members)
        (self.folder / "stand-in").write_text(json.dumps(self.stand_in))

    def remote(self, *words, stdin=None, host=None, binary=False, **environment):
        return Result(subprocess.run(
            [VMCTL, *(("--host", self.host) if host is None else host), *map(str, words)], input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True, text=not binary,
            timeout=TIMEOUT, cwd=self.here, env={**self.environment, **environment}))

    def remote_in_background(self, *words, **more):
        process = subprocess.Popen([VMCTL, "--host", self.host, *map(str, words)], stdout=subprocess.PIPE,
                                   cwd=self.here, env=self.environment, **more)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def remote_ok(self, *words, **more):
        result = self.remote(*words, **more)
        self.assertEqual((result.status, result.err), (OK, b"" if more.get("binary") else ""), words)
        return result.out

    def remote_refused(self, status, *words, says="", **more):
        result = self.remote(*words, **more)
        self.assertEqual(result.status, status, f"{words}: {result.out}{result.err}")
        self.assertIn(says, result.err)
        return result.err

    def ssh_calls(self):
        log = self.folder / "ssh.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def ssh_call(self):
        """The last one."""
        return self.ssh_calls()[-1]

    def open_remote(self, *words):
        self.open_program(VMCTL, "--host", self.host, *words, **{"VMMS_BUS_ADDRESS": "", **self.environment})


class Walk(RemoteTest):
    """Every command of the table, with what it is to do."""

    def commands(self):
        script = self.remote_ok("completion", "bash")
        return set(re.findall(r"^\t'([a-z -]+)'\)\n\t\toptions=", script, re.M))

    def step(self, command, *words, status=OK, out="", err="", stdin=None):
        result = self.remote(*command.split(), *words, stdin=stdin)
        self.assertEqual(result.status, status, f"{command} {words}: {result.out}{result.err}")
        self.assertRegex(result.out, out or "(?s).*", command)
        self.assertRegex(result.err, err or r"\A\Z", command)
        self.walked.add(command)

    def test_all_commands(self):
        self.walked = set()
        self.walk_without_vm()
        self.walk_definition()
        self.walk_power()
        self.walk_guest()
        self.walk_devices()
        self.walk_firmware()
        self.walk_import()
        self.walk_disk_files()
        self.walk_checkpoints()
        self.walk_shared()
        self.walk_end()
        self.assertEqual(self.commands(), self.walked)

    def walk_without_vm(self):
        self.step("list", out="no VMs|NAME")
        self.step("version", out=r"vmms +0")
        self.step("host", out="kernel")
        self.step("doctor", out=r"CHECK +VERDICT")
        self.step("reload")
        self.step("help", out="usage: vmctl")
        self.step("completion", "zsh", out="#compdef vmctl")
        self.step("job list", out="JOB")
        self.step("job wait", "77", status=NO_SUCH_VM, err="no job 77")
        self.step("job cancel", "77", status=NO_SUCH_VM, err="no job 77")
        self.step("top", "--once", out="VM")

    def walk_definition(self):
        (self.here / "definition.json").write_text(json.dumps({
            "name": "vm", "keyboard": True, "video": {}, "network_adapters": [{"name": "nic0", "switch": "none"}],
            "boot": {"kernel": str(self.folder / "kernel"), "command_line": f"agent={self.program(AGENT)}"}}))
        self.step("create", "--from", "definition.json", out="VM 'vm' created")
        self.step("show", "vm", out="vm")
        self.step("set", "vm", "notes=it's a\\b \"c\" $d\n!", out="notes|^$")
        self.assertEqual(json.loads(self.remote_ok("export", "vm", "--definition"))["notes"], "it's a\\b \"c\" $d\n!")
        (self.folder / "editor").write_text("#!/bin/sh\nsed -i s/512M/1G/ \"$1\"\n")
        (self.folder / "editor").chmod(0o755)
        self.environment["EDITOR"] = str(self.folder / "editor")
        self.step("edit", "vm", out="|")
        self.step("export", "vm", "--definition", "--output", "exported.json")
        self.assertEqual(json.loads((self.here / "exported.json").read_text())["name"], "vm")
        self.step("rename", "vm", "other", out="other")
        self.step("rename", "other", "vm")
        self.step("quick-create debian", "a b", status=USAGE, err="no name for a VM")

    def walk_power(self):
        self.step("start", "vm", out="VM 'vm' started")
        self.step("wait", "vm", "--for", "running", out="VM 'vm' runs")
        self.step("pause", "vm", out="VM 'vm'")
        self.step("resume", "vm", out="VM 'vm'")
        self.step("nmi", "vm", out="VM 'vm'")
        self.step("reset", "vm", out="VM 'vm'")
        self.step("wait", "vm", "--for", "heartbeat", out="VM 'vm'")
        self.step("log", "vm", out="running")
        self.walk_saved()
        self.step("inspect", "vm", out="machine")
        self.step("events", "nobody", status=NO_SUCH_VM, err="nobody")

    def walk_saved(self):
        self.step("meter enable", "vm", out="VM 'vm' is metered")
        self.step("meter reset", "vm", out="VM 'vm' is metered from 0")
        self.step("meter show", "vm", out="vm .*on")
        self.step("meter disable", "vm", out="VM 'vm' is not metered")
        self.step("renew", "vm", status=FAILED, err="VM 'vm'")
        # There it would go on from.
        self.step("migrate", "vm", "host:", status=USAGE, err=r"'host:' is not \[USER@\]HOST")
        self.step("drain", "--to", "host:", status=USAGE, err=r"'host:' is not \[USER@\]HOST")
        self.step("cluster add", "vm", status=USAGE, err="--definition PATH is missing")
        self.step("cluster remove", "vm", status=NO_SUCH_VM, err="the cluster has no 'vm'")
        self.step("undrain", status=NO_SERVICE, err="no node of a cluster")
        self.step("receive", stdin="x\n", status=USAGE, err="no request of a 'vmctl migrate'")
        self.step("save", "vm", out="VM 'vm' saved")
        self.step("start", "vm", out="VM 'vm' started")
        self.step("save", "vm", out="VM 'vm' saved")
        self.step("discard", "vm", out="VM 'vm' has no saved state")
        self.step("start", "vm", "--discard", out="VM 'vm' started")

    def walk_guest(self):
        self.step("console", "vm", "--log", out="guest: begin")
        self.step("screenshot", "vm", "--output", "screen", out=r"\A\Z")
        self.assertIn("guest: begin", (self.here / "screen").read_text())
        self.step("screenshot", "vm", "--image", "screen.png", out=r"\A\Z")
        self.assertEqual((self.here / "screen.png").read_bytes()[:4], b"\x89PNG")
        self.step("view", "vm", "--read-only", "--socket=-", stdin="RFB 003.003\n", out=r"\ARFB 003.008\n")
        self.step("key", "vm", "ctrl-c", out="was sent the keys")
        self.step("type", "vm", "it's a \"b\"", out="was sent the text")
        self.step("kvp", "list", "vm", out="KEY")
        self.step("backup", "freeze", "vm", out="frozen")
        self.step("backup", "thaw", "vm", out="thawed")
        (self.here / "notes").write_text("for the guest")
        self.step("copy", "notes", "vm:/srv/", out="VM 'vm' has the file")
        self.step("dump", "vm", "core", out="VM 'vm' dumped")
        self.step("exec", "vm", "--", "sh", "-c", "cat; echo \"$0\" >&2; exit 7", "a 'b", stdin="there",
                  status=7, out=r"\Athere\Z", err=r"\Aa 'b\n\Z")
        self.step("connect", "vm", "7", stdin="and back", out=r"\Aand back\Z")
        self.walk_ssh()

    def walk_ssh(self):
        self.step("ssh", "someone@vm", "--", "uptime", status=42,
                  out=r"guest: port 22\n.*guest of someone@vm: uptime")

    def walk_devices(self):
        (self.home / "disk.raw").write_bytes(bytes(1 << 20))
        (self.home / "medium.iso").write_bytes(bytes(1 << 20))
        self.step("attach", "vm", self.home / "disk.raw", out="controller 0, lun 0")
        self.step("backup", "vm", "--to", self.home / "backups", out="point 1 of VM 'vm' made: full")
        self.step("restore", self.home / "backups", "--name", "again", out="VM 'again' restored from point 1")
        self.remote_ok("delete", "again", "--with-disks")
        self.step("attach", "vm", "--dvd", out="lun 1")
        self.step("insert", "vm", self.home / "medium.iso", "--lun", "1", out="inserted")
        self.step("eject", "vm", "--lun", "1", out="ejected")
        self.step("detach", "vm", "--lun", "0", out="detached")
        self.step("net list", "vm", out="nic0")
        self.step("net add", "vm", "--name", "nic1", "--switch", "none", out="nic1")
        self.step("net set", "vm", "nic1", "--dhcp-guard", "on")
        self.step("net remove", "vm", "nic1")

    def walk_import(self):
        folder = self.home / "exported"
        folder.mkdir()
        (folder / "8a5a5f1e-0001-4c3b-9c55-0123456789ab.vmcx").write_bytes(hyperv_export.vmcx(
            hyperv_export.configuration()))
        self.step("import", folder, "--name", "imported", out="VM 'imported' created", err="not as it was")
        self.remote_ok("delete", "imported")

    def walk_firmware(self):
        self.remote_ok("create", "--name", "uefi", "--generation", "2", "--no-network")
        self.step("firmware show", "uefi", out="of the package ovmf")
        self.step("firmware export", "uefi", "variables", status=NO_SUCH_VM, err="has set nothing yet")
        self.step("firmware reset", "uefi", out="VM 'uefi' forgets")
        self.step("boot-order", "uefi", "dvd", "disk", out="changed: boot_order")
        self.step("boot-order", "uefi", out=r"\Advd\ndisk\n\Z")
        self.remote_ok("delete", "uefi")

    def walk_disk_files(self):
        disk, copy = self.home / "new.vhdx", self.home / "new.raw"
        self.step("disk create", disk, "16M")
        self.assertTrue(disk.exists())
        self.step("disk info", disk, out="vhdx")
        self.step("disk map", disk)
        self.step("disk check", disk)
        self.step("disk resize", disk, "24M")
        self.step("disk compact", disk)
        self.step("disk convert", disk, copy, "--format", "raw")
        self.assertEqual(copy.stat().st_size, 24 << 20)
        child, moved = self.home / "child.vhdx", self.home / "moved.vhdx"
        self.step("disk create", child, "--parent", disk)
        disk.rename(moved)
        self.step("disk rebase", child, moved, out="rebased")
        self.step("disk merge", child, out="merged")
        self.assertFalse(child.exists())

    def walk_checkpoints(self):
        disk = self.home / "checkpoint.vhdx"
        self.step("disk create", disk, "1M")
        self.remote_ok("create", "--name", "kept", "--kernel", self.folder / "kernel", "--no-network",
                       "--disk", f"{disk},format=vhdx")
        self.step("checkpoint create", "kept", "--name", "a", out="checkpoint 1")
        self.step("checkpoint list", "kept", out="1  a")
        self.step("checkpoint show", "kept", "a", out=r"name: +a")
        self.step("checkpoint apply", "kept", "a", "--discard", out="applied")
        self.step("checkpoint export", "kept", "a", self.home, out="kept.json")
        self.step("clone", "kept", "clone", out="made")
        self.remote_ok("delete", "clone")
        self.step("checkpoint rename", "kept", "a", "b", out="renamed")
        self.step("checkpoint delete", "kept", "b", out="deleted")
        self.remote_ok("delete", "kept")

    def walk_shared(self):
        self.step("switch add", "lan", "--type", "private")
        self.step("switch list", "--names", out=r"\Alan\n\Z")
        self.step("switch show", "lan", out="private")
        self.step("switch set", "lan", "--notes", "for tests")
        self.step("cpu-group create", "few", "--quota", "50")
        self.step("cpu-group list", "--names", out=r"\Afew\n\Z")
        self.step("cpu-group set", "few", "--quota", "70")
        self.step("cpu-group show", "few", out="70")
        self.step("cpu-group delete", "few")
        self.capture()
        self.step("switch remove", "lan")

    def capture(self):
        self.step("net capture", "vm", "--adapter", "nic9", status=NO_SUCH_VM, err="nic9")
        self.remote_ok("net", "set", "vm", "nic0", "--switch", "lan")
        with self.remote_in_background("net", "capture", "vm") as process:
            self.assertEqual(process.stdout.readline(), b"vm-nic0.pcapng\n")
            file = self.here / "vm-nic0.pcapng"
            wait_until(lambda: file.stat().st_size >= 28, "the head of the capture")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIMEOUT), OK)
        self.assertEqual(file.read_bytes()[:4], b"\x0a\x0d\x0d\x0a")
        self.remote_ok("net", "set", "vm", "nic0", "--switch", "none")

    def walk_end(self):
        self.step("shutdown", "vm", out="VM 'vm' shut down")
        self.step("stop", "vm", out="off")
        self.step("delete", "vm", out="VM 'vm' deleted")


class OldService(Bus):
    """A vmms that knows nothing of what it is asked."""

    def take_call(self, serial, fields):
        self.send_error(serial, fields[SENDER], "org.freedesktop.DBus.Error.UnknownMethod")

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                self.receive()
                while self.take_message():
                    pass


class Errors(RemoteTest):
    def test_exit_statuses_are_as_without_a_host(self):
        """And the words. What runs here and what runs there, of each."""
        self.create(append="no-services")
        for status, words in (
                (USAGE, ["set", "vm", "memory.size=3"]), (USAGE, ["switch", "add", "x", "--mtu", "y"]),
                (USAGE, ["start"]), (USAGE, ["attach", "vm", "/nowhere", "--format", "x"]),
                (USAGE, ["console", "vm", "--watch", "--take"]), (USAGE, ["connect", "vm", "x"]),
                (USAGE, ["net", "capture", "vm", "--snap-length", "y", "--adapter", "nic0"]),
                (NO_SUCH_VM, ["show", "nobody"]), (NO_SUCH_VM, ["console", "nobody"]),
                (NO_SUCH_VM, ["exec", "nobody"]), (NO_SUCH_VM, ["connect", "nobody", "7"]),
                (NO_SUCH_VM, ["ssh", "nobody"]), (NO_SUCH_VM, ["dump", "nobody", "file"]),
                (WRONG_STATE, ["pause", "vm"]), (WRONG_STATE, ["exec", "vm"]),
                (WRONG_STATE, ["connect", "vm", "7"]), (WRONG_STATE, ["dump", "vm", "file"]),
                (FAILED, ["attach", "vm", "/nowhere"]), (FAILED, ["delete", "--with-disks", "nobody"]),
                (TIMED_OUT, ["wait", "vm", "--timeout", "0"])):
            near = self.vmctl(*words)
            far = self.remote(*words)
            if words[0] != "delete":
                self.assertEqual(near.status, status, f"{words}: {near.err}")
            self.assertEqual((far.status, far.out, far.err), (near.status, near.out, near.err), words)
        self.assertFalse((self.here / "file").exists())

    def test_names(self):
        """What may be an option or a shell's, or is too long, never gets to ssh."""
        for name in ("-oProxyCommand=touch x", "-p", "a b", "a;b", "$(id)", "a'b", "a\nb", "user@", "@host",
                     "-l@host", "us er@host", "us$er@host", "host:", "host:0", "host:65536", "host:22x",
                     "host:-1", "[::1", "::1]", "[::1]x", "ssh://host", "é.example", "h" * 254,
                     "u" * 65 + "@host", "fe80::1%-x", "host/", "."):
            self.remote_refused(USAGE, "list", host=[f"--host={name}"], says="--host must be")
            self.remote_refused(USAGE, "console", "vm", host=["-H", name], says="--host must be")
            self.remote_refused(USAGE, "list", host=[], VMMS_HOST=name, says="VMMS_HOST must be")
        self.assertEqual(self.ssh_calls(), [])

    def test_unreachable(self):
        self.change_stand_in(unreachable=True)
        self.create()
        for words in (["list"], ["console", "vm"], ["exec", "vm"], ["ssh", "vm"], ["copy", STAND_IN, "vm:/x"],
                      ["dump", "vm", "file"], ["net", "capture", "vm"]):
            error = self.remote_refused(NO_SERVICE, *words, says="port 22: Connection refused\n")
            self.assertTrue(error.endswith(f"vmctl: {HOST} cannot be reached by ssh\n"), error)
        self.assertFalse((self.here / "file").exists())
        result = self.remote("version")
        self.assertEqual(result.status, OK)
        self.assertIn("cannot be reached", result.out)

    def test_what_is_missing(self):
        shutil.copy("/usr/bin/env", self.there / "env")
        self.stand_in["environment"]["PATH"] = str(self.there)
        (self.there / "vmctl").unlink()
        self.change_stand_in()
        self.remote_refused(NO_SERVICE, "list", says=f"{HOST} has no systemd-stdio-bridge")
        self.remote_refused(NO_SERVICE, "console", "vm",
                            says=f"{HOST} has no vmctl, which this takes there: install the package vmctl")
        self.remote_refused(NO_SERVICE, "exec", "vm", says=f"{HOST} has no vmctl")
        (self.here / "ssh").unlink()
        for words in ["list"], ["console", "vm"], ["exec", "vm"]:
            self.remote_refused(NO_SERVICE, *words, says="cannot run ssh: No such file", PATH="/nowhere")

    def test_no_bus_there(self):
        self.system_bus.unlink()
        self.remote_refused(NO_SERVICE, "list", says=f"cannot connect to the message bus of {HOST}")

    def test_no_service_there(self):
        self.stop_vmms()
        for words in ["list"], ["console", "vm"], ["connect", "vm", "7"]:
            self.remote_refused(NO_SERVICE, *words, says="vmms does not run on that bus")

    def test_older_service_there(self):
        self.stop_vmms()
        service = OldService(self.folder / "bus", "org.freedesktop.DBus")
        self.addCleanup(service.close)
        self.addCleanup(service.socket.shutdown, socket.SHUT_RDWR)
        service.call("/", "org.freedesktop.DBus", "RequestName", "su", ("org.vmms1", 0))
        threading.Thread(target=service.serve, daemon=True).start()
        for words in ["list"], ["start", "vm"], ["console", "vm"]:
            self.remote_refused(FAILED, *words, says="'vmctl version' shows which is older")

    def test_rights_are_those_there(self):
        """Of somebody who may log in, and nothing else."""
        if os.geteuid() != 0:
            self.skipTest("needs root, to be somebody else")
        self.create()
        self.program(VMCTL)
        (self.there / "vmctl").unlink()
        (self.there / "vmctl").symlink_to(self.folder / "vmctl")
        self.change_stand_in(launcher=as_user(2))
        error = self.remote_refused(NOT_PERMITTED, "start", "vm")
        self.assertIn("--host root@far.example", error)
        self.remote_refused(NOT_PERMITTED, "console", "vm")
        self.remote_refused(NOT_PERMITTED, "connect", "vm", "7")
        self.assertEqual(self.show()["state"], "off")

    def test_the_connection_is_lost(self):
        events = self.remote_in_background("events", stderr=subprocess.PIPE)
        self.addCleanup(events.stderr.close)
        ssh = int(wait_until(lambda: pathlib.Path(
            f"/proc/{events.pid}/task/{events.pid}/children").read_text(), "ssh"))
        wait_until(lambda: self.ssh_calls(), "its call")
        os.kill(ssh, signal.SIGKILL)
        self.assertEqual(events.wait(TIMEOUT), NO_SERVICE)


class Ways(RemoteTest):
    def test_how_ssh_is_called(self):
        limits = ["-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=30"]
        self.remote_ok("list")
        self.assertEqual(self.ssh_call(), ["-x", "-T", *limits, "--", HOST, "systemd-stdio-bridge"])
        self.remote_ok("list", "--no-ask-password", host=["-H", "far:2222"])
        self.assertEqual(self.ssh_call(), ["-x", "-T", *limits, "-o", "BatchMode=yes", "-p", "2222", "--", "far",
                                           "systemd-stdio-bridge"])
        self.remote_ok("list", "--address", self.address, host=["--host=a@b@[fe80::1%eth0]:22"])
        self.assertEqual(self.ssh_call()[-5:], ["-p", "22", "--", "a@b@fe80::1%eth0",
                                                f"systemd-stdio-bridge --bus-path {self.address}"])
        self.create()
        self.remote_ok("console", "vm", "--log", "--address", self.address, host=["-H", "::1"])
        self.assertEqual(self.ssh_call()[-2:], [
            "::1", "env VMMS_HOST= VMCTL_ENDS_WITH_OUTPUT=1 vmctl --address "
                   f"{self.address} console --log -- vm"])
        self.remote_refused(USAGE, "list", "--user", "--system", says="exclude each other")
        self.remote_refused(USAGE, "console", "vm", "--user", "--system", says="exclude each other")

    def test_environment(self):
        self.create("there")
        self.assertEqual(self.remote_ok("list", "--names", host=[], VMMS_HOST="env.example"), "there\n")
        self.assertIn("env.example", self.ssh_call())
        # The option counts more; an empty one is this host.
        self.remote_ok("list", VMMS_HOST="env.example")
        self.assertIn(HOST, self.ssh_call())
        count = len(self.ssh_calls())
        self.remote_refused(NO_SERVICE, "list", host=["--host="], VMMS_HOST="env.example")
        self.assertEqual(self.remote("list", "--help", VMMS_HOST="env.example").status, OK)
        self.assertEqual(len(self.ssh_calls()), count)

    def test_words_in_any_shell(self):
        """They come as they are, whatever shell the user there has."""
        words = ["", "a b", "$HOME", "*", "'\"\\", "\\'", "é", "`id`", "=ls", "~", "!!", "%1", "{a,b}", "#", "\\n",
                 "-x", "--json", "x" * 5000]
        (self.there / "vmctl").unlink()
        (self.there / "vmctl").write_text("#!/bin/sh\nprintf '<%s>\\n' \"$@\"\n")
        (self.there / "vmctl").chmod(0o755)
        for shell in "sh", "bash", "dash", "zsh", "fish", "csh", "tcsh", "ksh":
            path = shutil.which(shell)
            if path:
                self.change_stand_in(shell=path)
                self.assertEqual(self.remote_ok("start", "--pass", "--file=a 'b\\", "--", *words).split("\n"),
                                 [f"<{word}>" for word in ["start", "--pass", "--file=a 'b\\", "--", *words]] + [""],
                                 shell)

    def test_somebody_has_to_be_asked(self):
        """For longer than a service may be silent."""
        self.change_stand_in(delay=12)
        self.remote_ok("list")

    def test_script_keeps_its_input(self):
        """ssh takes of it what the command reads, and nothing else does."""
        self.create()
        script = 'while read -r vm; do "$0" --host there show "$vm" >/dev/null; "$0" --host there set "$vm" ' \
                 'notes="$vm"; "$0" --host there console --log "$vm" </dev/null; echo "$vm"; done'
        result = subprocess.run(["sh", "-c", script, VMCTL], input="vm\nvm\nvm\n", capture_output=True,
                                text=True, timeout=TIMEOUT, env=self.environment, check=True)
        self.assertEqual(result.stdout.split("\n").count("vm"), 3)

    def test_bytes_are_bytes(self):
        self.create(append=f"agent={self.program(AGENT)}")
        self.ok("start", "vm")
        data = bytes(range(256)) * 4000
        self.assertEqual(self.remote_ok("exec", "vm", "--", "cat", stdin=data, binary=True), data)
        out = self.remote_ok("connect", "vm", "7", stdin=data, binary=True)
        self.assertEqual(out, data)

    def test_files_here_and_there(self):
        self.create()
        self.ok("start", "vm")
        self.remote_ok("dump", "vm", "core")
        core = self.here / "core"
        self.assertEqual(stat.S_IMODE(core.stat().st_mode), 0o600)
        self.assertEqual(core.read_bytes(), self.remote_ok("dump", "vm", "-", binary=True))
        self.assertGreater(core.stat().st_size, 0)
        self.remote_refused(USAGE, "dump", "vm", "core", says="there already")
        self.remote_refused(USAGE, "dump", "vm", "core2", "--no-wait", says="--no-wait")
        self.remote_refused(USAGE, "copy", "absent", "vm:/x", says="cannot open 'absent'")
        self.remote_refused(USAGE, "create", "--from", "absent", says="cannot open 'absent'")
        self.assertEqual(sorted(path.name for path in self.here.iterdir()), ["core", "ssh"])
        self.assertEqual(list(self.home.iterdir()), [])
        # Paths are of that host, and of the home there, as scp has it.
        (self.home / "kernel").write_bytes(b"a kernel")
        (self.home / "disk.qcow2").write_bytes(b"QFI\xfb" + bytes(1 << 16))
        self.remote_ok("create", "--name", "two", "--kernel", "kernel", "--no-network")
        self.assertEqual(json.loads(self.ok("export", "two", "--definition"))["boot"]["kernel"], str(self.home / "kernel"))
        self.remote_refused(USAGE, "create", "--name", "three", "--kernel", self.here / "nothing",
                            says="there is no kernel")
        self.remote_ok("delete", "--with-disks", "two")

    def test_pass(self):
        self.create(disks=[self.disk("disk.raw")])
        self.remote_ok("start", "vm", "--pass")
        self.assertIn("--pass", self.ssh_call()[-1])
        self.disk("more.raw")
        self.remote_ok("attach", "vm", self.folder / "more.raw", "--pass")
        self.assertEqual(self.show()["state"], "running")

    def test_keys_of_who_calls(self):
        """Are what a guest gets that is made there; nothing else of the files leaves this host."""
        taken = self.folder / "taken"
        (self.there / "vmctl").unlink()
        (self.there / "vmctl").write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{taken}.words\ncat >{taken}\n")
        (self.there / "vmctl").chmod(0o755)
        self.remote_ok("quick-create", "debian", "web")
        self.assertNotIn("--ssh-key", (self.folder / "taken.words").read_text())
        (self.here / ".ssh").mkdir()
        (self.here / ".ssh/id_ed25519.pub").write_text("# a comment\n" + KEY)
        self.remote_ok("quick-create", "debian", "web", "--memory", "2G")
        self.assertEqual((self.folder / "taken.words").read_text().split("\n"),
                         ["quick-create", "debian", "--memory=2G", "--ssh-key=-", "--", "web", ""])
        self.assertEqual(taken.read_text(), KEY)
        (self.here / "other.pub").write_text(KEY.replace("me", "other"))
        self.remote_ok("quick-create", "debian", "--ssh-key", "other.pub", "--ssh-key", ".ssh/id_ed25519.pub")
        self.assertEqual(taken.read_text(), KEY.replace("me", "other") + KEY)
        (self.here / "private").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n")
        taken.unlink()
        self.remote_refused(FAILED, "quick-create", "debian", "--ssh-key", "private", says="no public key")
        self.remote_refused(FAILED, "quick-create", "debian", "--ssh-key", "absent", says="cannot be read")
        self.assertFalse(taken.exists())


class Left(RemoteTest):
    """What is left there when vmctl has gone here: nothing."""

    def viewers_there(self):
        """Processes of vmctl that the stand-in has started."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"TMPDIR={self.home}".encode() in path.read_bytes().split(b"\0") and \
                        (path.parent / "comm").read_text() == "vmctl\n":
                    found.append(int(path.parent.name))
            except OSError:
                pass
        return found

    def test_nothing_is_left_there(self):
        self.create(append="slow-copy")
        self.ok("start", "vm")
        file = self.here / "file"
        file.write_text("to copy")
        for words in ["console", "vm", "--watch"], ["copy", "file", "vm:/x"], ["connect", "vm", "7"]:
            for number in signal.SIGTERM, signal.SIGKILL, signal.SIGINT:
                process = self.remote_in_background(*words, stdin=subprocess.PIPE)
                self.addCleanup(process.stdin.close)
                wait_until(self.viewers_there, "vmctl there")
                if words[0] == "copy":
                    wait_until(lambda: '"running"' in self.ok("job", "list", "--json"), "the copy")
                process.send_signal(number)
                process.wait(TIMEOUT)
                wait_until(lambda: not self.viewers_there(), f"the end of {words} there")


class Terminal(RemoteTest):
    def check_how_ssh_is_called(self, terminal):
        self.assertEqual("-t" in self.ssh_call(), terminal)
        self.assertEqual("none" in self.ssh_call(), terminal)  # of escapes

    def test_console(self):
        self.create()
        self.open_remote("start", "vm", "--console")
        self.expect(b"guest: begin")
        os.write(self.master, b"hello\r")
        self.expect(b"heard hello")
        os.write(self.master, b"\x1d")
        self.assertEqual(self.end(), OK)
        self.assertIn(b"left the console of VM vm", self.output)
        self.check_how_ssh_is_called(terminal=True)

    def test_exec(self):
        self.create(append=f"agent={self.program(AGENT)}")
        self.ok("start", "vm")
        self.open_remote("exec", "vm", "--", "sh", "-c", "tty && read line && echo \"<$line>\"; exit 3")
        self.expect(b"/dev/pts/")
        os.write(self.master, b"typed\r")
        self.expect(b"<typed>")
        self.assertEqual(self.end(), 3)
        self.check_how_ssh_is_called(terminal=False)

    def test_progress(self):
        """Is shown on the terminal, though there is none there."""
        self.create(append="slow-copy")
        self.ok("start", "vm")
        (self.here / "file").write_text("to copy")
        self.open_remote("copy", self.here / "file", "vm:/x")
        self.expect(b"\rvm: ")
        os.write(self.master, b"\x03")
        self.assertNotEqual(self.end(), OK)

    def test_top(self):
        self.create()
        self.open_remote("top")
        self.expect(b"\x1b[?1049h")
        os.write(self.master, b"q")
        self.assertEqual(self.end(), OK)


if __name__ == "__main__":
    in_own_network()
    main()
