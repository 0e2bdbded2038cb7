#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Descriptors of users: whatever they lead to, the daemon goes on.

They are of a file system whose owner never answers when a process of the service's closes one.
Exit status 77 without root, who alone may mount it for all.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
from bus import Bus, Refused  # noqa: E402
from hostile_fs import HostileFileSystem, runs  # noqa: E402
from rig import TIMEOUT, VMMS, Console, ServiceTest, as_user, main, wait_until  # noqa: E402

INSIDE = "VMMS_TEST_MOUNTS"
libc = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20


def in_own_mounts():
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                              *sys.argv])


class HostileTest(ServiceTest):
    victims = (VMMS,)

    def setUp(self):
        super().setUp()
        self.mountpoint = self.folder / "hostile"
        self.mountpoint.mkdir()

    def mount(self, files, **more):
        try:
            self.fs = HostileFileSystem(self.mountpoint, files,
                                        lambda pid: runs(pid, self.victims), **more)
        except OSError as error:
            self.skipTest(f"no FUSE may be mounted: {error}")
        self.addCleanup(self.fs.hang_up)
        # Else cleaning up would wait for a daemon that does not end.
        self.addCleanup(self.let_go)

    def let_go(self):
        self.fs.silent.clear()

    def assert_daemon_answers(self):
        self.assertNotIn(self.vmms.pid, self.fs.held_up)
        self.create("another")
        self.ok("start", "another")
        self.ok("stop", "another")
        self.ok("delete", "another")
        self.assertNotIn(self.vmms.pid, self.fs.held_up)

    def wait_held_up(self):
        """Whoever closes the file waits: that it is not the daemon is not for want of hostility."""
        wait_until(lambda: self.fs.held_up, "a process to be held up")


class Images(HostileTest):
    """Files that a definition names."""

    def test_a_start(self):
        self.mount({"kernel": b"kernel", "disk": bytes(MIB)})
        self.create(disks=[{"path": str(self.fs.path("disk"))}],
                    boot={"kernel": str(self.fs.path("kernel"))})
        self.ok("start", "vm")
        self.wait_held_up()
        self.assert_daemon_answers()

    def test_a_disk_that_comes(self):
        self.mount({"disk": bytes(MIB)})
        self.create(disks=[{"type": "dvd"}])
        self.ok("start", "vm")
        self.ok("attach", "vm", self.fs.path("disk"))
        self.wait_held_up()
        self.assert_daemon_answers()

    def test_a_start_that_fails(self):
        self.mount({"disk": bytes(MIB)})
        os.unlink(self.folder / "kernel")
        self.create(disks=[{"path": str(self.fs.path("disk"))}])
        (self.folder / "kernel").write_bytes(b"")
        self.stop_vmms()
        self.start_vmms("--hypervisor", "/nonexistent")
        self.assertNotEqual(self.vmctl("start", "vm").status, 0)
        self.wait_held_up()
        self.assertNotIn(self.vmms.pid, self.fs.held_up)
        self.assertEqual(self.show()["state"], "off")

    def test_an_image_that_a_process_of_before_has(self):
        """One that was killed ends when it can: until then the image is in use."""
        self.mount({"kernel": b"kernel"})
        self.create(disks=[self.disk("disk")], boot={"kernel": str(self.fs.path("kernel"))})
        self.ok("start", "vm")
        self.wait_held_up()
        self.let_go()  # but for those that wait
        self.ok("stop", "vm")
        self.ok("set", "vm", f"boot.kernel={self.folder / 'kernel'}")
        release = threading.Timer(0.5, self.fs.hang_up)
        release.start()
        self.ok("start", "vm")
        release.join()

    def test_an_image_server(self):
        image = self.folder / "image.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True,
                       timeout=TIMEOUT)
        self.mount({"disk": image.read_bytes()})
        self.create(disks=[{"path": str(self.fs.path("disk")), "format": "qcow2"}])
        self.ok("start", "vm")
        self.wait_held_up()
        self.assert_daemon_answers()


SENDER = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from bus import Bus
bus = Bus(sys.argv[2], sys.argv[3])
file = open(sys.argv[7], "rb")
serial = bus.send(sys.argv[4], sys.argv[5], sys.argv[6], "h", [file.fileno()])
reply = bus.reply(serial, 60)
print(reply and reply.error)
"""
NOBODY = 65534
FILES = "org.vmms1.Files"
PEER = "org.freedesktop.DBus.Peer"


class Messages(HostileTest):
    """Files that are attached to a message, by anybody."""

    def setUp(self):
        super().setUp()
        self.mount({"file": b""})
        self.create()
        self.ok("start", "vm")
        self.path = "/org/vmms1/vm/" + self.show()["uuid"].replace("-", "_")

    def attach(self, destination, path, interface, member, user=NOBODY):
        """Return: the name of the error, or None."""
        return subprocess.run(
            as_user(user, sys.executable, "-c", SENDER, pathlib.Path(__file__).parent,
                    self.folder / "bus", destination, path, interface, member,
                    self.fs.path("file")),
            stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT).stdout.strip()

    def assert_files_answer(self):
        """Those that are passed, and come, of whoever is not hostile."""
        bus = Bus(self.folder / "bus", FILES)
        try:
            with open(self.folder / "kernel", "rb") as file, self.assertRaises(Refused) as refused:
                bus.call(self.path, FILES, "StartWithFiles", "a{sh}", [[("kernel", file.fileno())]])
            self.assertEqual(refused.exception.name, "org.vmms1.Error.AlreadyInState")
            stream, _ = bus.call(self.path, FILES, "OpenConsole", "a{sv}", [[]])
            os.close(stream)
        finally:
            bus.close()

    def test_the_daemon_takes_none(self):
        for user in NOBODY, 0:
            error = self.attach("org.vmms1", "/org/vmms1", PEER, "Ping", user)
            self.assertEqual(error, "org.freedesktop.DBus.Error.NotSupported")
        self.assertEqual(self.fs.held_up, set())
        self.assert_daemon_answers()

    def test_any_message(self):
        for interface, member in (PEER, "Ping"), ("x.y", "Z"), (FILES, "DumpMemory"):
            self.attach(FILES, self.path, interface, member)
        self.wait_held_up()
        self.assert_daemon_answers()
        self.assert_files_answer()

    def test_calls_that_take_files(self):
        for member in "DumpMemory", "OpenConsole":
            self.attach(FILES, self.path, FILES, member, 0)
        self.wait_held_up()
        self.assert_daemon_answers()
        self.assert_files_answer()

    def processes(self):
        path = pathlib.Path(f"/proc/{self.vmms.pid}/task/{self.vmms.pid}/children")
        return len(path.read_text().split())

    def test_processes_that_wait_are_bounded(self):
        before = self.processes()
        for _ in range(14):
            self.attach(FILES, self.path, PEER, "Ping")
            self.assert_daemon_answers()
        self.assertLessEqual(self.processes(), before + 8 + 2)
        self.assertGreaterEqual(len(self.fs.held_up), 8)
        self.assert_files_answer()


def lingering_socket():
    """One that waits ten minutes, in whichever process closes it last: nobody reads from it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    near.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            near.send(bytes(1 << 16))
    return near, far


class Streams(ServiceTest):
    """What is attached to the bytes of a stream that the daemon reads."""

    refused = True

    def setUp(self):
        super().setUp()
        self.create()
        self.ok("start", "vm")

    def open_console(self):
        bus = Bus(self.folder / "bus", FILES)
        try:
            path = "/org/vmms1/vm/" + self.show()["uuid"].replace("-", "_")
            stream, _ = bus.call(path, FILES, "OpenConsole", "a{sv}", [[]])
        finally:
            bus.close()
        return socket.socket(fileno=stream)

    def attach(self, stream, flags=0):
        near, far = lingering_socket()
        self.addCleanup(far.close)
        refused = False
        os.kill(self.vmms.pid, signal.SIGSTOP)  # so that the test is not the last to close it
        with near:
            try:
                socket.send_fds(stream, [b"x"], [near.fileno()], flags)
            except PermissionError:
                refused = True
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        os.kill(self.vmms.pid, signal.SIGCONT)
        self.assertEqual(refused, self.refused)

    def assert_daemon_answers(self):
        self.create("another")
        self.ok("start", "another")
        self.type("hello", name="another")
        self.ok("stop", "another")
        self.ok("delete", "another")

    def test_to_a_console(self):
        with self.open_console() as stream:
            self.attach(stream)
            self.assert_daemon_answers()

    def test_out_of_band(self):
        with self.open_console() as stream:
            self.attach(stream, socket.MSG_OOB)
            with contextlib.suppress(BrokenPipeError):
                stream.send(b"x")
            self.assert_daemon_answers()

    def test_to_a_console_that_is_closed(self):
        """What nobody has read yet goes with the socket."""
        with self.open_console() as stream:
            stream.sendall(b"a" * 4096)
            self.attach(stream)
            self.ok("stop", "vm")
            self.ok("delete", "vm")
            self.assert_daemon_answers()

    def test_to_the_metrics(self):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(self.folder / "run/metrics.socket"))
            self.attach(stream)
            self.assert_daemon_answers()

    def worker_attaches(self, line):
        console = Console(self)
        console.type(line + "\n")
        if self.refused:
            console.expect(b"guest: refused")
        self.assert_daemon_answers()
        console.close()

    def test_to_the_console_of_a_worker(self):
        self.worker_attaches("attach-to-console")
        self.assertEqual(self.show()["state"], "running")

    def test_to_the_control_socket(self):
        pid = self.show()["worker_pid"]
        self.worker_attaches("attach-to-control")
        if not self.refused:
            wait_until(lambda: "sent descriptors" in (self.folder / "log").read_text(),
                       "the daemon to notice")
            wait_until(lambda: self.show().get("worker_pid") != pid, "the worker to be killed")


class StreamsOfAnOldKernel(Streams):
    """One that does not know how to refuse what is attached."""

    refused = False
    vmms_launcher = (sys.executable, pathlib.Path(__file__).parent / "old_kernel.py")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root, to mount a file system that all may use")
        sys.exit(77)
    in_own_mounts()
    main()
