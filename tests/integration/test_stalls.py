#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon answers while any one of those that it deals with does not.

Each test has one of them hang, sees that it does, and then uses the service as somebody else would.
Exit status 77 without root, who alone may mount a file system for all and be several users.
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
from bus import Bus  # noqa: E402
from hostile_fs import FLUSH, LOOKUP, OPEN, READ  # noqa: E402
from rig import (FAKE_SYSTEMD, TIMEOUT, VMCTL, Console, ServiceTest, as_user, main,  # noqa: E402
                 wait_until)
from test_authorisation import OTHER, AuthorisationTest  # noqa: E402
from test_descriptors import (FILES, MIB, NOBODY, PEER, SENDER, HostileTest,  # noqa: E402
                              in_own_mounts)
from test_users import MEMBER, UsersTest  # noqa: E402

IMAGE_SERVER = "/usr/bin/qemu-storage-daemon"

# Never answers anything, nor ends when it is asked to.
DEAF = f"""#!{sys.executable}
import os, pathlib, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("{{folder}}/deaf-{{name}}").write_text(str(os.getpid()))
while True:
    signal.pause()
"""


class Stalls:
    """What every test here does, beside one of the classes that make a service."""

    def assert_others_served(self):
        """The daemon does for another VM what it would at any other time."""
        self.create("another")
        self.assertIn("another", [vm["name"] for vm in self.list()["vms"]])
        self.ok("start", "another")
        self.assertEqual(self.show("another")["state"], "running")
        self.type("hello", name="another")
        self.ok("set", "another", "notes=busy")
        self.ok("stop", "another")
        self.ok("delete", "another")
        self.ok("top", "--once")

    def stop_process(self, pid):
        """Until the end of the test."""
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(self.go_on, pid)

    @staticmethod
    def go_on(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def begin(self, *words):
        """vmctl, which may wait for whoever hangs."""
        process = self.vmctl_in_background(*map(str, words))
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def deaf_program(self, name):
        path = self.folder / name
        path.write_text(DEAF.format(folder=self.folder, name=name))
        path.chmod(0o755)
        return path

    def wait_deaf(self, name):
        path = self.folder / f"deaf-{name}"
        pid = int(wait_until(lambda: path.exists() and path.read_text(), name))

        def kill():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.addCleanup(kill)
        return pid


class FileSystems(Stalls, HostileTest):
    """Of a user's, that does not answer whoever belongs to the service."""

    def hang(self, opcode):
        self.mount({"kernel": b"kernel", "disk": bytes(MIB)}, silent=(opcode,))
        kernel = self.fs.path("kernel")
        self.create(boot={"kernel": str(kernel)}, disks=[{"path": str(self.fs.path("disk"))}])
        self.begin("start", "vm")
        self.wait_held_up()
        self.assertNotIn(self.vmms.pid, self.fs.held_up)
        self.assert_others_served()
        self.assertNotIn(self.vmms.pid, self.fs.held_up)

    def test_a_name_that_is_looked_up(self):
        self.hang(LOOKUP)

    def test_a_file_that_is_opened(self):
        self.hang(OPEN)

    def test_a_file_that_is_read(self):
        self.mount({"disk": bytes(MIB)}, silent=(READ,))
        self.create()
        self.ok("start", "vm")
        self.begin("attach", "vm", self.fs.path("disk"))
        self.begin("attach", "vm", f"{self.fs.path('disk')},format=qcow2")
        self.wait_held_up()
        self.assert_others_served()
        self.assertNotIn(self.vmms.pid, self.fs.held_up)

    def test_a_file_that_is_closed(self):
        self.hang(FLUSH)

    def test_a_file_that_is_attached(self):
        """To a message that takes none."""
        self.mount({"file": b""}, silent=(FLUSH,))
        for name in FILES, "org.vmms1":
            subprocess.run(
                as_user(NOBODY, sys.executable, "-c", SENDER, pathlib.Path(__file__).parent,
                        self.folder / "bus", name, "/org/vmms1", PEER, "Ping",
                        self.fs.path("file")),
                stdout=subprocess.DEVNULL, check=True, timeout=TIMEOUT)
        self.wait_held_up()
        self.assert_others_served()
        self.assertNotIn(self.vmms.pid, self.fs.held_up)


class Peers(Stalls, ServiceTest):
    """On the bus, in the metrics' socket and on the console."""

    def test_answers_that_nobody_reads(self):
        self.create()
        peer = Bus(self.folder / "bus", "org.vmms1")
        self.addCleanup(peer.close)
        peer.socket.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 20000:
                peer.send("/org/vmms1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
                sent += 1
        self.assertGreater(sent, 100)
        self.assert_others_served()

    def test_signals_that_nobody_reads(self):
        peer = Bus(self.folder / "bus", "org.vmms1")
        self.addCleanup(peer.close)
        peer.call("/org/vmms1", "org.vmms1.Manager", "Subscribe")
        self.create()
        self.ok("start", "vm")
        self.type("flood", "flood")
        self.assert_others_served()

    def test_a_console_that_is_not_read(self):
        self.create()
        self.ok("start", "vm")
        watcher = Console(self, "vm", "--watch")
        watcher.expect(b"begin")
        self.stop_process(watcher.process.pid)
        self.addCleanup(watcher.close)
        self.addCleanup(self.go_on, watcher.process.pid)
        for _ in range(4):
            console = Console(self)
            console.type("talk\n")
            console.expect(b"guest: talked")
            console.close()
        self.assert_others_served()

    def test_metrics_that_are_not_read(self):
        clients = []
        for _ in range(8):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(str(self.folder / "run/metrics.socket"))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" if len(clients) % 2 else b"G")
            clients.append(client)
        self.assert_others_served()

    def test_a_guests_agent(self):
        agent = self.deaf_program("agent")
        self.create(append=f"agent={agent}")
        self.ok("start", "vm")
        self.begin("exec", "vm", "--", "true")
        self.wait_deaf("agent")
        self.assert_others_served()

    def test_a_listener_that_accepts_nothing(self):
        """Of the owner's, whom the guest connects to by a Hyper-V socket."""
        self.create()
        self.ok("start", "vm")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(f"{self.show()['socket_folder']}/vsock_7000")
        listener.listen(0)
        for _ in range(4):
            self.type("connect-often")
        self.assert_others_served()


class Workers(Stalls, ServiceTest):
    def start(self, append=""):
        self.create(append=append)
        self.ok("start", "vm")
        return self.show()["worker_pid"]

    def test_one_that_is_stopped(self):
        """Its socket fills up, since it reads nothing."""
        self.stop_process(self.start())
        for _ in range(8):
            self.begin("detach", "vm", "--lun", "3")
            self.begin("inspect", "vm")
            self.begin("pause", "vm")
        bus = Bus(self.folder / "bus", "org.vmms1")
        self.addCleanup(bus.close)
        path, = bus.call("/org/vmms1", "org.vmms1.Manager", "GetVM", "s", ("vm",))
        for _ in range(500):
            bus.send(path, "org.vmms1.VM", "Inspect")
            bus.send(path, "org.vmms1.VM", "Pause")
        self.assert_others_served()
        self.assertEqual(self.show()["state"], "running")

    def test_one_that_never_starts(self):
        self.create(append="mute-configure")
        self.begin("start", "vm")
        self.wait_state("starting")
        self.assert_others_served()

    def test_one_that_never_ends(self):
        self.start("mute-stop")
        self.begin("stop", "vm")
        self.assert_others_served()

    def test_a_guest_that_never_shuts_down(self):
        self.start("slow-shutdown")
        self.begin("shutdown", "vm")
        self.assert_others_served()

    def test_one_that_says_too_much(self):
        pid = self.start()
        console = Console(self)
        console.type("flood-large\n")
        console.expect(b"the flood begins")
        console.close()
        self.assert_others_served()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Systemd(Stalls, ServiceTest):
    vmms_arguments = ("--units", "always")

    def start_bus(self):
        super().start_bus()
        self.systemd = subprocess.Popen([FAKE_SYSTEMD, "--address", self.address],
                                        stdout=subprocess.DEVNULL, stderr=self.log)
        self.addCleanup(self.systemd.wait)
        self.addCleanup(self.systemd.kill)
        wait_until(lambda: b"org.freedesktop.systemd1" in subprocess.run(
            ["busctl", "--address", self.address, "list", "--acquired"], capture_output=True,
            timeout=TIMEOUT, check=True).stdout, "systemd")

    def test_it(self):
        self.create()
        self.ok("start", "vm")
        self.stop_process(self.systemd.pid)
        self.ok("set", "vm", "resources.cpu_weight=300")
        self.ok("stop", "vm")
        self.assert_others_served()
        self.vmctl("doctor")
        self.assert_others_served()

    def test_from_the_beginning(self):
        self.stop_vmms()
        self.stop_process(self.systemd.pid)
        self.start_vmms()
        self.assert_others_served()


class Polkit(Stalls, AuthorisationTest):
    def begin_as(self, uid, *words):
        process = subprocess.Popen(
            as_user(uid, self.program(VMCTL), "--address", self.address, *words),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)

    def test_it(self):
        self.allow((OTHER, "manage", "never"), (OTHER, "view", "never"))
        self.create()
        self.begin_as(OTHER, "list")
        self.begin_as(OTHER, "start", "vm")
        wait_until(self.asked, "polkit to be asked")
        self.assert_others_served()

    def test_one_that_is_stopped(self):
        self.create()
        self.stop_process(self.polkit.pid)
        self.begin_as(OTHER, "start", "vm")
        self.assert_others_served()


class Database(Stalls, UsersTest):
    """Of users."""

    begin = UsersTest.begin

    def test_it(self):
        self.hold(MEMBER.pw_uid)
        self.hold(MEMBER.pw_name)
        self.list_as(MEMBER)
        self.wait_asked()
        self.create_from(owner=MEMBER.pw_name)
        self.assert_others_served()
        self.release(MEMBER.pw_uid)
        self.release(MEMBER.pw_name)


class Helpers(Stalls, ServiceTest):
    """Programs that the daemon starts for a VM."""

    def start_vmms(self, *extra, wait=True):
        super().start_vmms("--passt", self.deaf_program("passt"), *extra, wait=wait)

    def test_passt(self):
        self.create(network_adapters=[{}])
        self.ok("start", "vm")
        self.wait_deaf("passt")
        self.assert_others_served()
        self.begin("stop", "vm")
        self.assert_others_served()

    @unittest.skipUnless(os.access(IMAGE_SERVER, os.X_OK), f"takes {IMAGE_SERVER}")
    def test_image_server(self):
        image = self.folder / "image"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True,
                       timeout=TIMEOUT)
        self.create(disks=[{"path": str(image), "format": "qcow2"}])
        self.ok("start", "vm")
        server = wait_until(lambda: self.show()["disks"][0].get("server"), "the server")
        self.stop_process(server)
        self.assert_others_served()
        self.begin("detach", "vm", "--lun", "0")
        self.begin("stop", "vm")
        self.assert_others_served()


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root, to mount a file system that all may use")
        sys.exit(77)
    in_own_mounts()
    main()
