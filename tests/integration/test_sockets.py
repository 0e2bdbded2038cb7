#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hyper-V sockets: the folder of a VM's sockets, whose it is, and connections both ways."""

import contextlib
import os
import pathlib
import pwd
import socket
import stat
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
from bus import Bus, Refused  # noqa: E402
from rig import (FAILED, NO_SUCH_VM, TIMEOUT, USAGE, VMCTL, WRONG_STATE, ServiceTest,  # noqa: E402
                 as_user, main, wait_until)

SSH = """#!/bin/sh
proxy=${2#ProxyCommand=} alias=$4 check=$6
shift 6
"${SHELL:-/bin/sh}" -c "exec $proxy" </dev/null
[ "$3" != fail ] || exit 42
echo "$alias $check"
printf '<%s> ' "$@"
echo
"""
OWNER = pwd.getpwuid(1)  # "daemon", wherever there is a Debian
STRANGER = 2
UUID = "11111111-2222-4333-8444-555555555555"
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
FILES = "org.vmms1.Files"


class Sockets(ServiceTest):
    listener_uid = -1  # as it is

    def setUp(self):
        super().setUp()
        os.chmod(self.folder / "kernel", 0o644)
        self.sockets = self.folder / "run/sockets" / UUID
        self.socket = self.sockets / "vsock"

    def create(self, **members):
        super().create(**{"uuid": UUID, **members})

    def start(self, **members):
        self.create(**members)
        self.ok("start", "vm")

    def listen(self, port):
        """A program of the host's that the guest can reach."""
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.settimeout(TIMEOUT)
        listener.bind(f"{self.socket}_{port}")
        os.chown(f"{self.socket}_{port}", self.listener_uid, -1)
        listener.listen()
        return listener

    def expect_hello(self, listener):
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(TIMEOUT)
            self.assertEqual(connection.recv(64), b"hello")

    # ---- The folder ----

    def test_the_folder_comes_and_goes(self):
        self.create()
        self.assertFalse(self.sockets.exists())
        for _ in range(2):
            self.ok("start", "vm")
            self.assertEqual(self.show()["socket_folder"], str(self.sockets))
            self.assertEqual(stat.S_IMODE(self.sockets.stat().st_mode), 0o700)
            self.assertEqual(stat.S_IMODE(self.socket.stat().st_mode), 0o600)
            self.assertEqual(stat.S_IMODE(self.sockets.parent.stat().st_mode), 0o711)
            self.ok("stop", "vm")
            self.assertFalse(self.sockets.exists())

    def test_what_is_listened_on_stays(self):
        self.start()
        self.listen(7000)
        self.ok("stop", "vm")
        self.assertEqual(os.listdir(self.sockets), ["vsock_7000"])
        self.ok("start", "vm")
        self.assertEqual(sorted(os.listdir(self.sockets)), ["vsock", "vsock_7000"])
        self.ok("stop", "vm")
        # However deep it is.
        deep = self.sockets / "/".join("d" * 40)
        deep.mkdir(parents=True)
        (deep / "file").touch()
        self.sockets.chmod(0o1777)
        self.ok("delete", "vm")
        self.assertEqual(os.listdir(self.sockets.parent), [])

    def test_a_vm_of_the_same_name(self):
        """It finds nothing of the one before."""
        self.start()
        self.listen(7000)
        self.ok("stop", "vm")
        (self.state / "vms/vm.json").unlink()
        self.ok("reload")
        self.create(uuid=UUID.replace("1", "9"))
        self.ok("start", "vm")
        self.assertEqual(os.listdir(self.show()["socket_folder"]), ["vsock"])

    def test_its_mode_is_set_again(self):
        self.start()
        self.listen(7000)
        self.ok("stop", "vm")
        self.sockets.chmod(0o1777)
        self.ok("start", "vm")
        self.assertEqual(stat.S_IMODE(self.sockets.stat().st_mode), 0o700)
        self.assertEqual(sorted(os.listdir(self.sockets)), ["vsock", "vsock_7000"])

    @unittest.skipUnless(os.geteuid() == 0, "root alone mounts file systems")
    def test_they_fill_nothing_else(self):
        self.start()
        status, around = os.statvfs(self.sockets), os.statvfs(self.folder)
        self.assertNotEqual(status.f_fsid, around.f_fsid)
        self.assertLessEqual(status.f_blocks * status.f_frsize, 16 << 20)
        self.assertLessEqual(status.f_files, 16384)
        # A VM whose folder cannot be made runs without.
        with open(self.sockets / "fill", "wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        with contextlib.suppress(OSError):
            for i in range(status.f_files):
                (self.sockets / f"f{i}").touch()
        super().create("other")
        self.ok("start", "other")
        self.assertIn("no room", self.ok("log", "other"))
        self.assertFalse(pathlib.Path(self.show("other")["socket_folder"]).exists())

    @unittest.skipUnless(os.geteuid() == 0, "root alone mounts file systems")
    def test_its_file_system_goes_with_the_daemon(self):
        self.start()
        self.stop_vmms()
        self.assertFalse(os.path.ismount(self.sockets.parent))
        self.start_vmms()
        self.ok("start", "vm")
        self.assertTrue(os.path.ismount(self.sockets.parent))

    def test_a_vm_without_sockets(self):
        self.start(services={"sockets": False})
        self.assertFalse(self.sockets.exists())
        self.type("connect")
        self.wait_said("request 70 is refused")

    def test_something_is_in_the_way(self):
        self.socket.mkdir(parents=True)
        self.sockets.chmod(0o700)
        os.chown(self.sockets, self.listener_uid, -1)
        self.create()
        self.refused(FAILED, "start", "vm", says="services.sockets")
        self.ok("set", "vm", "services.sockets=false")
        self.ok("start", "vm")

    def test_a_socket_that_was_left(self):
        self.sockets.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as leftover:
            leftover.bind(str(self.socket))
        self.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket))

    def test_the_daemon_is_started_again(self):
        self.vmms_arguments = ("--keep-guests",)
        self.stop_vmms()
        self.start_vmms()
        self.start()
        self.stop_vmms()
        self.assertTrue(self.socket.exists())
        self.start_vmms()
        self.test_host_connects(started=True)
        listener = self.listen(7000)
        self.type("connect")
        self.expect_hello(listener)
        self.ok("stop", "vm")
        self.assertFalse(self.socket.exists())

    def test_the_worker_dies(self):
        self.start()
        self.type("abort")
        self.wait_state("crashed")
        self.assertFalse(self.sockets.exists())

    # ---- Connections ----

    def test_host_connects(self, started=False):
        if not started:
            self.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT)
            client.connect(str(self.socket))
            client.sendall(b"CONNECT 5000\n")
            self.type("accept")
            self.assertEqual(client.recv(64), b"OK 13\n")

    def test_guest_connects(self):
        self.start()
        self.type("connect")
        self.wait_said("request 70 is refused")
        listener = self.listen(7000)
        self.type("connect")
        self.expect_hello(listener)
        self.wait_said("request 70 is connected")
        # One that does not take connections is not waited for.
        listener.close()
        os.unlink(f"{self.socket}_7000")
        pathlib.Path(f"{self.socket}_7000").write_text("no socket", encoding="utf-8")
        self.type("connect")
        wait_until(lambda: self.console_log().count("request 70 is refused") == 2, "a refusal")

    def test_a_guest_that_connects_without_end(self):
        self.start()
        self.type("connect-often")
        wait_until(lambda: all(f"request {1000 + i} is" in self.console_log()
                               for i in range(200)), "200 answers")
        self.ok("stop", "vm")

    def test_connects_of_a_guest_have_a_rate(self):
        self.start()
        self.listen(7000)
        before = time.monotonic()
        for count in range(1, 65):
            self.type("connect")
            wait_until(lambda count=count: self.console_log().count("request 70 is") == count, "an answer")
        connected = self.console_log().count(" is connected")
        self.assertGreater(connected, 0)
        self.assertLessEqual(connected, 32 + 8 * (time.monotonic() - before) + 1)

    def test_connects_of_all_guests_have_a_rate(self):
        """So many at once, and 64 in a second: each of these guests asks for 200."""
        names = [f"vm{i}" for i in range(24)]
        for name in names:
            super().create(name)
            self.ok("start", name)
            folder = self.folder / "run/sockets" / self.show(name)["uuid"]
            listener = socket.socket(socket.AF_UNIX)
            self.addCleanup(listener.close)
            listener.bind(f"{folder}/vsock_7000")
            listener.listen(200)
        before = time.monotonic()
        for name in names:
            self.type("connect-often", name=name)
        for name in names:
            wait_until(lambda name=name: self.console_log(name).count("request 1") == 200, "200 answers")
        connected = sum(self.console_log(name).count(" is connected") for name in names)
        self.assertGreaterEqual(connected, 128)
        self.assertLessEqual(connected, 128 + 64 * (time.monotonic() - before) + 1)

    def test_bus(self):
        self.start()
        bus = Bus(self.folder / "bus", "org.vmms1")
        self.addCleanup(bus.close)
        path = "/org/vmms1/vm/" + self.show()["uuid"].replace("-", "_")
        descriptor, = bus.call(path, FILES, "OpenSocket", "u", [5000], destination=FILES)
        with socket.socket(fileno=descriptor) as stream:
            stream.settimeout(TIMEOUT)
            self.assertEqual(stream.recv(64), b"guest: port 5000\n")
            self.assertEqual(stream.recv(64), b"")
        with self.assertRaises(Refused) as refused:
            bus.call(path, FILES, "OpenSocket", "u", [9], destination=FILES)
        self.assertEqual(refused.exception.name, "org.vmms1.Error.GuestRefused")
        self.ok("stop", "vm")
        with self.assertRaises(Refused) as refused:
            bus.call(path, FILES, "OpenSocket", "u", [5000], destination=FILES)
        self.assertEqual(refused.exception.name, "org.vmms1.Error.InvalidState")

    def test_vmctl_connects(self):
        self.start()
        self.assertEqual(self.ok("connect", "vm", "5000"), "guest: port 5000\n")
        # More than any buffer, and an end of each direction.
        text = "".join(f"line {i}\n" for i in range(200000))
        self.assertEqual(self.ok("connect", "vm", "7", stdin=text), text)
        self.refused(FAILED, "connect", "vm", "9")
        for port in "x", "2147483648", "5 ", "":
            self.refused(USAGE, "connect", "vm", port, says="no port")
        self.refused(NO_SUCH_VM, "connect", "nobody", "7")
        self.ok("stop", "vm")
        self.refused(WRONG_STATE, "connect", "vm", "7", says="is off")

    def test_vmctl_ends_with_its_output(self):
        """Whoever reads no more ends it, though the guest goes on."""
        self.start()
        with subprocess.Popen([VMCTL, "--address", self.address, "connect", "vm", "7"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write(b"there and back")
            process.stdin.flush()
            self.assertEqual(process.stdout.read(14), b"there and back")
            process.stdout.close()
            process.stdin.write(b"again")
            process.stdin.flush()
            self.assertEqual(process.wait(TIMEOUT), 0)

    def test_ssh(self):
        """By a program of that name, which does with the connection as ssh would."""
        self.start()
        programs = self.folder / "programs"
        programs.mkdir()
        ssh = programs / "ssh"
        ssh.write_text(SSH, encoding="utf-8")
        ssh.chmod(0o755)
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        out = self.ok("ssh", "someone@vm", "--", "cat", "a b", "-x", env=environment)
        uuid = self.show()["uuid"].replace("-", "_")
        self.assertEqual(out, f"guest: port 22\nHostKeyAlias={uuid}.vmms CheckHostIP=no\n"
                              "<--> <someone@vm> <cat> <a b> <-x> \n")
        result = self.vmctl("ssh", "vm", "--", "fail", env=environment)
        self.assertEqual(result.status, 42)
        self.refused(NO_SUCH_VM, "ssh", "someone@nobody", env=environment)
        self.refused(FAILED, "ssh", "vm", env={**os.environ, "PATH": "/nowhere"},
                     says="cannot run ssh")


@unittest.skipUnless(os.geteuid() == 0, "root alone gives VMs to others")
class Owned(Sockets):
    """The same of a VM that is another's."""

    listener_uid = OWNER.pw_uid

    def create(self, **members):
        super().create(owner=OWNER.pw_name, **members)

    def connects(self, uid):
        return subprocess.run(as_user(uid, sys.executable, "-c", CONNECT, self.socket),
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    def test_whose_they_are(self):
        self.start()
        for path in self.sockets, self.socket:
            self.assertEqual(path.stat().st_uid, OWNER.pw_uid)
        self.assertTrue(self.connects(OWNER.pw_uid))
        self.assertFalse(self.connects(STRANGER))
        # The owner opens the folder: the socket is still closed.
        self.sockets.chmod(0o777)
        self.assertFalse(self.connects(STRANGER))

    def test_a_socket_of_root(self):
        """What the owner could not connect to, the guest cannot."""
        self.start()
        listener = self.listen(7000)
        os.chown(f"{self.socket}_7000", 0, -1)
        self.type("connect")
        self.wait_said("request 70 is refused")
        os.chown(f"{self.socket}_7000", OWNER.pw_uid, -1)
        self.type("connect")
        self.expect_hello(listener)

    def test_another_owner(self):
        """Nothing of the one before is left for the next."""
        self.start()
        self.listen(7000)
        self.ok("stop", "vm")
        (self.sockets / "folder/in it").mkdir(parents=True)
        self.sockets.chmod(0o777)
        inside = os.open(self.sockets, os.O_PATH)
        self.addCleanup(os.close, inside)
        self.ok("set", "vm", f"owner={pwd.getpwuid(STRANGER).pw_name}")
        self.ok("start", "vm")
        self.assertEqual(os.listdir(self.sockets), ["vsock"])
        self.assertEqual(self.sockets.stat().st_uid, STRANGER)
        self.assertEqual(stat.S_IMODE(self.sockets.stat().st_mode), 0o700)
        self.assertFalse(self.connects(OWNER.pw_uid))
        # It is another folder, not the old one's with another owner.
        self.assertEqual(os.fstat(inside).st_nlink, 0)
        self.assertTrue(self.connects(STRANGER))


if __name__ == "__main__":
    main()
