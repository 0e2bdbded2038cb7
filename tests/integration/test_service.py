#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What vmms does with VMs, their workers and their ends."""

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest
import zlib

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SERVICE, NO_SUCH_VM, OK, TIMED_OUT, TIMEOUT, USAGE,  # noqa: E402
                 VMMS, WRONG_STATE, ServiceTest, as_user, main, wait_until)


def is_running(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


class Life(ServiceTest):
    def test_a_vm_from_creation_to_deletion(self):
        self.create()
        self.assertEqual(self.show()["state"], "off")
        self.ok("start", "vm")
        info = self.show()
        self.assertEqual((info["state"], info["engine"], info["heartbeat"]),
                         ("running", "user-space", "ok"))
        self.assertTrue(is_running(info["worker_pid"]))
        self.assertEqual(info["vmbus_version"], "5.3")
        self.assertGreater(info["started_at"], 1_600_000_000_000_000)
        self.ok("pause", "vm")
        self.assertEqual(self.show()["state"], "paused")
        self.ok("resume", "vm")
        self.assertEqual(self.show()["state"], "running")
        self.ok("reset", "vm")
        wait_until(lambda: self.show()["resets"] == 1, "the reset to be counted")
        self.ok("nmi", "vm")
        self.assertEqual(self.show()["state"], "running")
        self.wait_said("guest: an NMI")
        self.ok("shutdown", "vm")
        info = self.show()
        self.assertEqual((info["state"], info["reason"]), ("off", "the guest shut down"))
        self.assertEqual((info["worker_pid"], info["heartbeat"]), (0, "unknown"))
        self.ok("delete", "vm")
        self.refused(NO_SUCH_VM, "show", "vm", says="there is no VM 'vm'")
        self.assertEqual(list((self.state / "vms").iterdir()), [])

    @unittest.skipUnless(os.geteuid() == 0, "root alone has users for workers")
    def test_a_worker_user_that_lives(self):
        """A user who has a process, of whatever origin, becomes no other worker's."""
        self.stop_vmms()
        self.vmms_arguments = ("--worker-users", "2147287200-2147287202")
        self.start_vmms()
        stray = subprocess.Popen(as_user(2147287200, "sleep", "1000"))
        self.addCleanup(stray.wait)
        self.addCleanup(stray.kill)
        wait_until(lambda: os.stat(f"/proc/{stray.pid}").st_uid == 2147287200, "the process")
        users = []
        for name in "a", "b":
            self.create(name)
            self.ok("start", name)
            record = self.folder / "run/workers" / (self.show(name)["uuid"] + ".json")
            users.append(json.loads(record.read_text())["user"])
        self.assertEqual(users, [2147287201, 2147287202])
        self.create("c")
        self.refused(FAILED, "start", "c", says="are in use")
        stray.kill()
        stray.wait()
        self.ok("start", "c")

    def test_worker_users(self):
        """By the command line; what becomes of them is in test_confinement.py."""
        for text in "0-5", "5", "all", "9-8":
            refused = subprocess.run([VMMS, "--worker-users", text], capture_output=True,
                                     text=True, timeout=TIMEOUT, check=False)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("--worker-users must be a range", refused.stderr)

    def test_turning_off(self):
        self.create()
        self.ok("start", "vm")
        pid = self.show()["worker_pid"]
        self.ok("stop", "vm")
        self.assertEqual(self.show()["reason"], "turned off")
        self.assertFalse(is_running(pid))
        self.ok("start", "vm")
        self.assertEqual(self.show()["state"], "running")

    def test_stop_all(self):
        for name in "a", "b", "c":
            self.create(name)
        self.ok("start", "a", "c")
        self.ok("stop", "--all")
        self.assertEqual({vm["state"] for vm in self.list()["vms"]}, {"off"})

    def test_several_vms_and_the_first_failure(self):
        self.create("a")
        self.create("b")
        self.refused(NO_SUCH_VM, "start", "a", "nobody", "b", says="'nobody'")
        self.assertEqual([vm["state"] for vm in self.list()["vms"]], ["running", "running"])

    def test_what_each_state_refuses(self):
        self.create()
        for command in "reset", "nmi", "pause", "resume":
            self.refused(WRONG_STATE, command, "vm")
        for option in "--reboot", "--hibernate":
            self.refused(WRONG_STATE, "shutdown", "vm", option)
        self.ok("start", "vm")
        self.refused(WRONG_STATE, "delete", "vm")
        self.ok("pause", "vm")
        for command in "start", "nmi", "shutdown", "delete":
            self.refused(WRONG_STATE, command, "vm")
        self.assertIn("resume it first", self.refused(WRONG_STATE, "shutdown", "vm"))

    def test_what_is_so_already_is_no_failure(self):
        self.create()
        already = "VM 'vm' is {} already: nothing to do\n"
        for state, commands in (("off", ("stop", "shutdown")), ("running", ("start", "resume")),
                                ("paused", ("pause",))):
            for command in commands:
                self.assertEqual(self.ok(command, "vm"), already.format(state))
                self.assertEqual(self.ok(command, "vm", "--json"), "")
            if state == "off":
                self.ok("start", "vm")
            elif state == "running":
                self.ok("pause", "vm")
        # To others on the bus it is an error of its own.
        self.ok("resume", "vm")
        path = json.loads(self.ok("create", "--name", "x", "--kernel", self.folder / "kernel",
                                  "--json"))["path"]
        call = subprocess.run(["busctl", f"--address={self.address}", "call", "org.vmms1", path,
                               "org.vmms1.VM", "TurnOff"], capture_output=True, text=True,
                              timeout=TIMEOUT, check=False)
        self.assertIn("is off already", call.stderr)
        self.assertNotEqual(call.returncode, 0)

    def test_what_was_done_is_said(self):
        kernel, disk = self.folder / "kernel", self.disk("disk")["path"]
        self.assertEqual(self.ok("create", "--name", "vm", "--kernel", kernel, "--no-network"),
                         "VM 'vm' created; 'vmctl start vm' starts it\n")
        for words, said in (
                (["cpu-group", "create", "g", "--weight", "200"], "CPU group 'g' created"),
                (["cpu-group", "set", "g", "--weight", "100"], "CPU group 'g' changed"),
                (["cpu-group", "delete", "g"], "CPU group 'g' deleted"),
                (["start", "vm"], "VM 'vm' started"), (["pause", "vm"], "VM 'vm' paused"),
                (["resume", "vm"], "VM 'vm' resumed"), (["reset", "vm"], "VM 'vm' reset"),
                (["kvp", "set", "vm", "color", "blue"], "value 'color' of VM 'vm' set"),
                (["attach", "vm", disk], f"'{disk}' attached to VM 'vm': controller 0, lun 0"),
                (["attach", "vm", "--dvd"],
                 "empty DVD drive attached to VM 'vm': controller 0, lun 1"),
                (["insert", "vm", self.disk("medium")["path"], "--lun", "1"], "controller 0, lun 1 of VM 'vm': inserted"),
                (["eject", "vm", "--lun", "1"], "controller 0, lun 1 of VM 'vm': ejected"),
                (["detach", "vm", "--lun", "1"], "controller 0, lun 1 of VM 'vm': detached"),
                (["shutdown", "vm"], "VM 'vm' shut down"), (["start", "vm"], "VM 'vm' started"),
                (["stop", "--all"], "VM 'vm' turned off"),
                (["delete", "vm"], "VM 'vm' deleted; its disk images stay")):
            self.assertEqual(self.ok(*words), said + "\n", words)

    def test_keys(self):
        """They come to the guest's keyboard, if it has one, as scan codes."""
        self.create("vm", keyboard=True)
        self.create("mute")
        self.ok("start", "vm", "mute")
        self.assertEqual(self.ok("key", "vm", "ctrl-c", "enter"), "VM 'vm' was sent the keys\n")
        self.assertEqual(self.ok("type", "vm", "aB", "--enter"), "VM 'vm' was sent the text\n")
        for keys in "[29,46,131118,131101]", "[28,131100]", "[30,131102,42,48,131120,131114]":
            self.wait_said(f"guest: keys {keys}")
        self.assertEqual(self.ok("log", "vm").count("root types on the keyboard"), 1)
        self.refused(FAILED, "key", "mute", "a", says="refuses press_keys")
        self.refused(USAGE, "key", "vm", "a", "ctrl-nothing", says="no keys 'ctrl-nothing'")
        self.refused(USAGE, "type", "vm", "\u00e4", says="US keyboard")

    def test_pictures(self):
        """What the screen shows, if there is one, as PNG; and who looked is in the log."""
        self.create("vm", video={})
        self.create("blind")
        self.create("liar", video={}, append="fault=hostile-screen")
        self.ok("start", "vm", "blind", "liar")
        file = self.folder / "shot.png"
        self.assertEqual(self.ok("screenshot", "vm", "--image", str(file)), "")
        data = file.read_bytes()
        self.assertEqual(data[:16], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
        self.assertEqual(struct.unpack(">IIBBBBB", data[16:29]), (2, 1, 8, 2, 0, 0, 0))
        place, chunks = 8, []
        while place < len(data):
            size, = struct.unpack(">I", data[place:place + 4])
            kind, body = data[place + 4:place + 8], data[place + 8:place + 8 + size]
            self.assertEqual(struct.unpack(">I", data[place + 8 + size:place + 12 + size])[0], zlib.crc32(kind + body))
            chunks.append((kind, body))
            place += 12 + size
        self.assertEqual([kind for kind, _ in chunks], [b"IHDR", b"IDAT", b"IEND"])
        self.assertEqual(zlib.decompress(chunks[1][1]), b"\0\0\0\xff\xff\0\0")
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertIn("root looks at the screen", self.ok("log", "vm"))
        self.refused(FAILED, "screenshot", "vm", "--image", str(file), says="File exists")
        self.refused(FAILED, "screenshot", "blind", "--image", str(file), says="refuses take_picture")
        self.refused(FAILED, "screenshot", "liar", "--image", str(self.folder / "no"), says="there cannot be")
        self.refused(USAGE, "screenshot", "vm", "--image", "-", "--json", says="no other option")

    def test_what_is_missing_is_said_at_once(self):
        """By options it keeps the VM from being made; a definition may come before its files."""
        kernel = self.folder / "kernel"
        for words, says in (
                (["--kernel", "/nonexistent"], "there is no kernel '/nonexistent'"),
                (["--kernel", kernel, "--initrd", "/no-initrd"], "no initrd '/no-initrd'"),
                (["--kernel", kernel, "--disk", "/no-disk"], "no disk image '/no-disk'"),
                (["--kernel", kernel, "--dvd", "/no-dvd"], "no disk image '/no-dvd'"),
                (["--kernel", kernel, "--switch", "lan"], "no virtual switch 'lan'")):
            self.assertIn("no VM has been created",
                          self.refused(USAGE, "create", "--name", "x", *words, says=says))
        self.assertEqual(self.list()["vms"], [])
        result = self.vmctl("create", "--from", "-", stdin=json.dumps(
            {"name": "x", "boot": {"kernel": "/nonexistent"},
             "network_adapters": [{"switch": "lan"}]}))
        self.assertEqual(result.status, OK)
        for text in "no kernel '/nonexistent'", "no virtual switch 'lan'", "before that is there":
            self.assertIn(text, result.err)
        self.assertEqual(len(self.list()["vms"]), 1)

    def test_by_uuid(self):
        self.create()
        self.create("other")
        uuid = self.show()["uuid"]
        self.assertEqual(self.show(uuid.upper())["name"], "vm")
        self.ok("start", uuid)
        self.assertEqual(self.show()["state"], "running")
        # Nobody knows which of two is meant.
        self.create(uuid)
        self.refused(NO_SUCH_VM, "stop", uuid, says="the name of one VM and the uuid of another")
        self.ok("stop", "vm")
        self.ok("delete", self.show(self.show("other")["uuid"])["uuid"])
        self.assertEqual(sorted(vm["name"] for vm in self.list()["vms"]), sorted(["vm", uuid]))

    def test_order_of_the_list(self):
        for name in "web10", "web9", "db", "web1":
            self.create(name)
        self.assertEqual(self.ok("list", "--names").split(), ["db", "web1", "web9", "web10"])
        self.assertEqual([vm["name"] for vm in self.list()["vms"]], ["db", "web1", "web9", "web10"])

    def test_a_number_without_a_unit(self):
        kernel = self.folder / "kernel"
        self.refused(USAGE, "create", "--name", "x", "--kernel", kernel, "--memory", "500",
                     says="memory.size: must be from 16M to 8T; 500M?")
        self.create()
        self.refused(USAGE, "set", "vm", "--memory", "4", says="from 16M to 8T; 4G?")
        self.refused(USAGE, "quick-create", "debian", "--memory", "500", says="500M?")
        self.refused(USAGE, "quick-create", "debian", "--disk-size", "8", says="8G?")

    def test_names(self):
        self.create()
        kernel = self.folder / "kernel"
        self.refused(FAILED, "create", "--name", "vm", "--kernel", kernel, says="already")
        self.refused(USAGE, "create", "--name", "../x", "--kernel", kernel, says="name")
        self.refused(USAGE, "create", "--name", "", "--kernel", kernel)
        self.refused(USAGE, "create", "--name", "x" * 65, "--kernel", kernel)
        self.ok("create", "--name", "x" * 64, "--kernel", kernel)
        self.assertEqual(len(self.list()["vms"]), 2)

    def test_uuids_are_unique(self):
        uuid = "f8615163-df3e-46c5-913f-f2d2f965ed0e"
        self.create("a", uuid=uuid)
        self.refused(FAILED, "create", "--from", "-", says="uuid",
                     stdin=json.dumps({"name": "b", "uuid": uuid, "boot": {"kernel": "/k"}}))

    def test_a_refused_definition_names_line_and_key(self):
        text = '{"name": "x",\n "boot": {"kernel": "/k"},\n "memory": {"size": "x"}}'
        error = self.refused(USAGE, "create", "--from", "-", stdin=text)
        self.assertIn("line 3: memory.size", error)

    def test_host(self):
        self.assertIn("a fake host", self.ok("host"))
        self.assertEqual(json.loads(self.ok("host", "--json"))["implementation"], "fake")

    def test_without_vmms(self):
        self.stop_vmms()
        self.refused(NO_SERVICE, "list", says="systemctl enable --now vmms")
        self.refused(NO_SERVICE, "--address", "unix:path=/nonexistent", "list")


class Ends(ServiceTest):
    """A worker's end is its VM's, with its reason, and nothing else happens."""

    def setUp(self):
        super().setUp()
        self.create("vm")
        self.create("other")
        self.ok("start", "vm", "other")
        self.other_pid = self.show("other")["worker_pid"]

    def tearDown(self):
        other = self.show("other")
        self.assertEqual((other["state"], other["worker_pid"]), ("running", self.other_pid))

    def test_killed(self):
        os.kill(self.show()["worker_pid"], signal.SIGKILL)
        self.wait_state("crashed", reason="killed by signal 9 (SIGKILL)")
        self.ok("start", "vm")
        self.assertEqual(self.show()["state"], "running")

    def test_killed_by_its_sandbox(self):
        os.kill(self.show()["worker_pid"], signal.SIGSYS)
        self.wait_state("crashed", reason="a system call that its sandbox does not allow")

    def test_terminated_is_orderly(self):
        os.kill(self.show()["worker_pid"], signal.SIGTERM)
        self.wait_state("off", reason="turned off")

    def test_guest_shut_down(self):
        self.type("shutdown")
        self.wait_state("off", reason="the guest shut down")

    def test_guest_crashed(self):
        self.type("crash")
        info = self.wait_state("off", reason="the guest crashed")
        self.assertEqual(info["crash"]["parameters"], ["0x11", "0x22", "0x33", "0x44", "0x55"])
        self.assertIn("oops", info["crash"]["text"])
        # No byte that a terminal would obey, in tables, JSON or the log.
        for text in (self.ok("show", "vm"), self.ok("list"), self.ok("show", "vm", "--json"),
                     (self.folder / "log").read_text()):
            for byte in "\x1b", "\x9b", "\u202e":
                self.assertNotIn(byte, text)

    def test_guest_kept_after_its_crash(self):
        self.type("keep")
        self.wait_state("kept", reason="oops")
        self.refused(WRONG_STATE, "start", "vm")
        self.ok("reset", "vm")
        self.assertEqual(self.show()["state"], "running")
        self.type("keep")
        self.wait_state("kept")
        self.ok("stop", "vm")

    def test_worker_gave_up(self):
        self.type("error")
        self.wait_state("crashed", reason="the worker gave up: the disk is on fire")

    def test_worker_exited(self):
        self.type("exit")
        self.wait_state("crashed", reason="exited with status 4: fake worker: something is wrong")

    def test_worker_aborted(self):
        self.type("abort")
        self.wait_state("crashed", reason="signal 6 (SIGABRT)")

    def test_worker_left_without_a_word(self):
        self.type("leave")
        self.wait_state("off", reason="the worker ended")

    def test_hostile_worker(self):
        self.type("garbage")
        self.wait_said("garbage sent")
        self.assertEqual(self.show()["state"], "running")
        self.type("flood")
        self.ok("list")
        self.wait_said("flood sent")
        self.assertNotIn("\x1b", (self.folder / "log").read_text(errors="replace"))
        self.ok("stop", "vm")

    def test_events_that_are_too_large(self):
        self.type("large")
        wait_until(lambda: "too large a one; dropped" in self.ok("log", "vm"), "a word about it")

    def processor_time(self):
        fields = pathlib.Path(f"/proc/{self.vmms.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_a_flood_costs_so_much_time(self):
        """Of the processor, whatever the host is busy with."""
        self.type("flood-large")
        self.wait_said("the flood begins")
        wall, processor = time.monotonic(), self.processor_time()
        time.sleep(3)
        processor, wall = self.processor_time() - processor, time.monotonic() - wall
        self.assertGreater(processor, 0)
        self.assertLess(processor, wall / 2)
        os.kill(self.show()["worker_pid"], signal.SIGKILL)
        self.wait_state("crashed")

    def test_worker_hung_up(self):
        self.type("hang-up")
        self.refused(FAILED, "pause", "vm")
        self.ok("stop", "vm")
        self.assertEqual(self.show()["state"], "off")

    def test_guest_reboots(self):
        self.type("reboot", "reboot")
        wait_until(lambda: self.show()["resets"] == 2, "two resets")


class Faults(ServiceTest):
    """What can go wrong while a VM starts and stops."""

    def start_fails(self, status=FAILED, **definition):
        self.create(**definition)
        error = self.refused(status, "start", "vm")
        self.assertEqual(self.show()["state"], "off")
        self.assertEqual(self.show()["worker_pid"], 0)
        return error

    def test_worker_refuses(self):
        self.assertIn("refuses configure", self.start_fails(append="refuse-configure"))
        self.assertIn("refuses configure", self.show()["reason"])

    def test_worker_refuses_to_start(self):
        self.assertIn("refuses start", self.start_fails(append="refuse-start"))

    def test_worker_dies(self):
        error = self.start_fails(append="die-in-configure")
        self.assertIn("exited with status 3: fake worker: first words; fake worker: last words",
                      error)
        self.assertNotIn("\x1b", error)

    def test_no_kernel(self):
        error = self.start_fails(boot={"kernel": "/nonexistent"})
        self.assertIn("'/nonexistent': No such file", error)

    def test_kernel_is_a_folder(self):
        self.assertIn("not a file", self.start_fails(boot={"kernel": str(self.folder)}))

    def test_no_initrd(self):
        boot = {"kernel": str(self.folder / "kernel"), "initrd": "/nonexistent"}
        self.assertIn("initrd", self.start_fails(boot=boot))

    def test_no_disk(self):
        self.assertIn("/nonexistent", self.start_fails(disks=[{"path": "/nonexistent"}]))

    def test_disk_of_another_vm(self):
        disk = self.disk("disk")
        self.create("first", disks=[disk])
        self.ok("start", "first")
        error = self.start_fails(disks=[disk])
        self.assertIn("in use by VM 'first'; stop that VM first", error)
        self.ok("stop", "first")
        self.ok("start", "vm")

    def test_disk_of_another_vm_by_another_name(self):
        disk = self.disk("disk")
        link = self.folder / "link"
        link.symlink_to(disk["path"])
        self.create("first", disks=[disk])
        self.ok("start", "first")
        self.assertIn("VM 'first'", self.start_fails(disks=[{"path": str(link)}]))

    def test_readers_share_a_disk(self):
        disk = self.disk("disk", read_only=True)
        self.create("first", disks=[disk])
        self.create("second", disks=[disk])
        self.ok("start", "first", "second")

    def test_the_lock_goes_with_a_killed_worker(self):
        self.create(disks=[self.disk("disk")])
        for _ in range(3):
            self.ok("start", "vm")
            os.kill(self.show()["worker_pid"], signal.SIGKILL)
            self.wait_state("crashed")

    def test_twice_the_same_disk(self):
        disk = self.disk("disk")
        self.start_fails(disks=[disk, {**disk, "lun": 1}])

    def test_all_disks(self):
        self.create(disks=[self.disk(f"disk-{controller}-{lun}-" + "x" * 60, 1 << 16,
                                     controller=controller, lun=lun)
                           for controller in range(4) for lun in range(64)])
        self.ok("start", "vm")
        self.wait_said("begin, 259 descriptors")

    def test_turning_off_what_will_not_start(self):
        self.create(append="mute-start")
        start = self.vmctl_in_background("start", "vm")
        self.wait_state("starting")
        self.refused(WRONG_STATE, "pause", "vm")
        self.ok("stop", "vm")
        out, error = start.communicate(timeout=60)
        self.assertEqual(start.returncode, WRONG_STATE)
        self.assertIn("turned off before", error)
        self.assertEqual(self.show()["state"], "off")

    def test_worker_that_will_not_stop_is_killed(self):
        self.create(append="mute-stop")
        self.ok("start", "vm")
        self.ok("stop", "vm")
        info = self.show()
        self.assertEqual(info["state"], "off")
        self.assertIn("was killed", info["reason"])

    def test_guest_without_shutdown_service(self):
        self.create(append="no-shutdown")
        self.ok("start", "vm")
        self.refused(WRONG_STATE, "shutdown", "vm", says="hv_utils")
        self.assertEqual(self.show()["state"], "running")

    def test_guest_that_does_not_shut_down(self):
        self.create(append="slow-shutdown")
        self.ok("start", "vm")
        self.refused(TIMED_OUT, "shutdown", "vm", "--timeout", "1", says="still runs")
        self.assertEqual(self.show()["state"], "running")
        job = self.ok("shutdown", "vm", "--no-wait", "--timeout", "0").strip()
        self.wait_state("stopping")
        self.type("shutdown")
        self.wait_state("off", reason="the guest shut down")
        self.ok("job", "wait", job)

    def test_turning_off_ends_a_shutdown(self):
        self.create(append="slow-shutdown")
        self.ok("start", "vm")
        shutdown = self.vmctl_in_background("shutdown", "vm", "--timeout", "0")
        self.wait_state("stopping")
        self.ok("stop", "vm")
        shutdown.communicate(timeout=60)
        self.assertEqual(shutdown.returncode, WRONG_STATE)

    def test_one_operation_at_a_time(self):
        self.create(append="slow-shutdown")
        self.ok("start", "vm")
        shutdown = self.vmctl_in_background("shutdown", "vm", "--timeout", "0")
        self.wait_state("stopping")
        self.refused(WRONG_STATE, "shutdown", "vm")
        self.type("shutdown")
        shutdown.communicate(timeout=60)
        self.assertEqual(shutdown.returncode, OK)

    def test_reboot_by_shutdown(self):
        self.create()
        self.ok("start", "vm")
        self.ok("shutdown", "vm", "--reboot")
        self.assertEqual(self.show()["state"], "running")
        self.assertEqual(self.show()["resets"], 1)

    def test_hibernation_by_shutdown(self):
        self.create(services={"hibernation": True})
        self.ok("start", "vm")
        self.refused(USAGE, "shutdown", "vm", "--reboot", "--hibernate")
        self.ok("shutdown", "vm", "--hibernate")
        info = self.show()
        self.assertEqual((info["state"], info["reason"]), ("off", "the guest hibernated"))

    def test_no_worker_program(self):
        self.stop_vmms()
        self.start_vmms("--worker", "/nonexistent/vmwp")
        error = self.start_fails()
        self.assertIn("/nonexistent/vmwp: No such file", error)
        self.refused(FAILED, "host", says="/nonexistent/vmwp")

    def test_no_hypervisor(self):
        self.stop_vmms()
        self.start_vmms("--hypervisor", "/nonexistent")
        self.assertIn("kvm_intel", self.start_fails())


class Disks(ServiceTest):
    def place(self, *words):
        return json.loads(self.ok("attach", "vm", "--json", *words))

    def disks(self):
        return [(disk["controller"], disk["lun"], disk["type"], disk.get("path"))
                for disk in self.show()["definition"]["disks"]]

    def test_at_rest(self):
        self.create(disks=[self.disk("a")])
        b, c = self.disk("b")["path"], self.disk("c")["path"]
        self.assertEqual(self.place(b), {"controller": 0, "lun": 1})
        self.assertEqual(self.place(c, "--controller", "3", "--lun", "63", "--read-only"),
                         {"controller": 3, "lun": 63})
        self.assertEqual(self.disks()[1:], [(0, 1, "disk", b), (3, 63, "disk", c)])
        self.ok("detach", "vm", "--lun", "0")
        self.assertEqual(self.place("--dvd"), {"controller": 0, "lun": 0})
        self.stop_vmms()
        self.start_vmms()
        self.assertEqual(len(self.disks()), 3)

    def test_while_running(self):
        self.create(disks=[self.disk("a")])
        b = self.disk("b")["path"]
        self.ok("start", "vm")
        self.assertEqual(self.place(b, "--serial", "B1"), {"controller": 0, "lun": 1})
        self.wait_said('guest: attach {"disk":{"controller":0,"lun":1')
        self.wait_said("1 descriptors")
        self.ok("detach", "vm", "--lun", "1")
        self.wait_said('guest: detach {"controller":0,"lun":1}, 0 descriptors')
        self.assertEqual(len(self.disks()), 1)

    def begin_slow_detach(self):
        """The worker has taken the disk away at once, and answers when the disk's I/O is over."""
        self.stop_vmms()
        self.start_vmms("--answer-timeout", "1")
        self.create(append="slow-detach", disks=[self.disk("a")])
        self.ok("start", "vm")
        detach = self.vmctl_in_background("detach", "vm", "--lun", "0")
        self.wait_said("guest: detach")
        with self.assertRaises(subprocess.TimeoutExpired):
            detach.wait(2)
        self.refused(WRONG_STATE, "pause", "vm")
        return detach

    def test_slow_detach(self):
        detach = self.begin_slow_detach()
        self.type("settled")
        self.assertEqual(detach.communicate(timeout=TIMEOUT),
                         ("controller 0, lun 0 of VM 'vm': detached\n", ""))
        self.assertEqual(detach.returncode, OK)
        self.assertEqual(self.disks(), [])
        self.assertEqual(self.file_disks(), [])

    def test_turned_off_during_a_slow_detach(self):
        detach = self.begin_slow_detach()
        self.ok("stop", "vm")
        self.assertIn("turned off", detach.communicate(timeout=TIMEOUT)[1])
        self.assertEqual(detach.returncode, WRONG_STATE)
        self.assertEqual(len(self.disks()), 1)

    def test_media(self):
        iso = self.disk("iso")["path"]
        self.create(disks=[{"type": "dvd"}, self.disk("a", lun=1)])
        self.ok("start", "vm")
        self.ok("insert", "vm", iso, "--lun", "0")
        self.wait_said("guest: insert")
        self.refused(FAILED, "insert", "vm", iso, "--lun", "0", says="eject that first")
        self.refused(USAGE, "insert", "vm", iso, "--lun", "1", says="no DVD drive")
        self.assertEqual(self.disks()[0], (0, 0, "dvd", iso))
        self.ok("eject", "vm", "--lun", "0", "--force")
        self.wait_said('"force":true}')
        self.refused(WRONG_STATE, "eject", "vm", "--lun", "0", says="empty already")
        self.assertEqual(self.disks()[0], (0, 0, "dvd", None))

    def file_disks(self):
        return json.loads((self.state / "vms/vm.json").read_text())["disks"]

    def test_guest_ejects(self):
        iso = self.disk("iso")["path"]
        self.create(disks=[self.disk("a"), {"type": "dvd", "path": iso, "lun": 1},
                           {"type": "dvd", "controller": 3, "lun": 63}])
        self.ok("start", "vm")
        self.type("eject")
        wait_until(lambda: self.disks()[1] == (0, 1, "dvd", None), "the tray to be empty")
        self.assertNotIn("path", self.file_disks()[1])
        self.assertNotIn(iso, self.ok("show", "vm"))
        self.refused(WRONG_STATE, "eject", "vm", "--lun", "1", says="empty already")
        self.ok("insert", "vm", iso, "--lun", "1")
        self.assertEqual(self.file_disks()[1]["path"], iso)
        self.type("eject")
        wait_until(lambda: "path" not in self.file_disks()[1], "the definition to be saved")
        self.ok("stop", "vm")
        self.assertEqual(self.disks(), [(0, 0, "disk", str(self.folder / "a")),
                                        (0, 1, "dvd", None), (3, 63, "dvd", None)])

    def test_guest_ejects_while_its_disks_are_changed(self):
        iso = self.disk("iso")["path"]
        self.create(append="eject-meanwhile", disks=[{"type": "dvd", "path": iso}])
        self.ok("start", "vm")
        self.ok("attach", "vm", self.disk("a")["path"])
        self.assertEqual(self.disks()[0], (0, 0, "dvd", None))
        self.assertEqual([disk.get("path") for disk in self.file_disks()],
                         [None, str(self.folder / "a")])
        self.assertEqual([path.name for path in (self.state / "vms").iterdir()], ["vm.json"])

    def test_guest_ejects_while_a_change_is_refused(self):
        iso = self.disk("iso")["path"]
        self.create(append="eject-meanwhile refuse-disks", disks=[{"type": "dvd", "path": iso}])
        self.ok("start", "vm")
        self.refused(WRONG_STATE, "attach", "vm", self.disk("a")["path"], says="refuses attach")
        self.assertEqual(self.disks(), [(0, 0, "dvd", None)])
        self.assertEqual([disk.get("path") for disk in self.file_disks()], [None])
        self.assertEqual([path.name for path in (self.state / "vms").iterdir()], ["vm.json"])

    def test_refusals_change_nothing(self):
        self.create(disks=[self.disk("a")])
        before = self.show()["definition"]
        path = self.disk("b")["path"]
        self.refused(FAILED, "attach", "vm", path, "--lun", "0", says="already")
        self.refused(USAGE, "attach", "vm", path, "--lun", "64")
        self.refused(USAGE, "attach", "vm", path, "--sector-size", "1000")
        self.refused(USAGE, "attach", "vm", says="path")
        self.refused(USAGE, "detach", "vm", says="--lun")
        self.refused(NO_SUCH_VM, "detach", "vm", "--lun", "5")
        self.ok("start", "vm")
        self.refused(FAILED, "attach", "vm", "/nonexistent")
        self.refused(FAILED, "attach", "vm", self.folder / "a", says="VM 'vm'")
        self.assertEqual(self.show()["definition"], before)

    def test_worker_refuses(self):
        self.create(append="refuse-disks", disks=[self.disk("a")])
        self.ok("start", "vm")
        before = self.show()["definition"]
        path = self.disk("b")["path"]
        self.refused(WRONG_STATE, "attach", "vm", path, says="refuses attach")
        self.refused(WRONG_STATE, "detach", "vm", "--lun", "0", says="refuses detach")
        self.assertEqual(self.show()["definition"], before)
        self.assertEqual([path.name for path in (self.state / "vms").iterdir()], ["vm.json"])


class Daemon(ServiceTest):
    def test_guests_are_shut_down_at_its_end(self):
        self.create()
        self.ok("start", "vm")
        pid = self.show()["worker_pid"]
        self.stop_vmms()
        self.assertFalse(is_running(pid))
        self.assertIn("the guest shut down", (self.folder / "log").read_text())

    def test_guests_that_will_not_are_turned_off(self):
        self.vmms_arguments = ("--shutdown-timeout", "1")
        self.stop_vmms()
        self.start_vmms()
        self.create("a", append="no-shutdown")
        self.create("b", append="slow-shutdown")
        self.create("c")
        self.ok("start", "a", "b", "c")
        self.stop_vmms()

    def test_a_second_signal_does_not_wait(self):
        self.stop_vmms()
        self.start_vmms("--shutdown-timeout", "3600")
        self.create(append="slow-shutdown")
        self.ok("start", "vm")
        self.vmms.terminate()
        self.wait_state("stopping")
        self.stop_vmms()

    def test_a_second_daemon_is_refused(self):
        first, self.vmms = self.vmms, None
        self.start_vmms(wait=False)
        self.assertEqual(self.vmms.wait(60), 1)
        self.vmms = first
        self.assertIn("another vmms uses", (self.folder / "log").read_text())

    def test_the_bus_comes_and_goes(self):
        self.create()
        self.ok("start", "vm")
        pid = self.show()["worker_pid"]
        self.bus.kill()
        self.bus.wait(60)
        (self.folder / "bus").unlink()
        self.start_bus()
        wait_until(lambda: self.vmctl("list").status == OK, "vmms to be back on the bus")
        self.assertEqual(self.show()["worker_pid"], pid)
        self.ok("stop", "vm")

    def test_usage(self):
        self.stop_vmms()
        for words in ["--nonsense"], ["word"], ["--shutdown-timeout", "x"]:
            self.start_vmms(*words, wait=False)
            self.assertEqual(self.vmms.wait(60), 2)
            self.vmms = None


class ServiceManager(ServiceTest):
    """What it tells systemd, or whoever started it."""

    def setUp(self):
        name = f"vmms-integration-{os.getpid()}"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind("\0" + name)
        self.manager.settimeout(TIMEOUT)
        self.vmms_environment = {"NOTIFY_SOCKET": "@" + name, "WATCHDOG_USEC": "100000"}
        super().setUp()

    def hear(self, *words):
        """It says these, in this order, among other things."""
        for word in words:
            while word not in self.manager.recv(4096).decode().split("\n"):
                pass

    def test_life(self):
        self.hear("READY=1", "STATUS=0 VMs, 0 with a worker", "WATCHDOG=1", "WATCHDOG=1")
        self.vmms.send_signal(signal.SIGHUP)
        self.hear("RELOADING=1", "READY=1", "WATCHDOG=1")
        self.vmms.terminate()
        self.hear("STOPPING=1")


if __name__ == "__main__":
    main()
