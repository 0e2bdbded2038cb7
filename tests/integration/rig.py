# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the integration tests are made of: a message bus, vmms with the fake worker, and vmctl.

Every wait is bounded, and what vmms logged is shown when a test fails.
"""

import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

parser = argparse.ArgumentParser()
parser.add_argument("--build", type=pathlib.Path, required=True)
parser.add_argument("--source", type=pathlib.Path,
                    default=pathlib.Path(__file__).resolve().parents[2])
arguments, unittest_arguments = parser.parse_known_args()
arguments.build = arguments.build.resolve()

VMMS = arguments.build / "bin/vmms"
VMCTL = arguments.build / "bin/vmctl"
FAKE_WORKER = arguments.build / "tests/fake_worker"
FAKE_SYSTEMD = arguments.build / "tests/fake_systemd"
TIMEOUT = 60  # seconds; of whatever ought to take none

OK, FAILED, USAGE, NO_SUCH_VM, WRONG_STATE, NO_SERVICE, NOT_PERMITTED, TIMED_OUT = range(8)

# Everybody may do everything: who is served is then vmms's own decision.
OPEN_POLICY = """<policy context="default">
<allow send_destination="*"/><allow receive_sender="*"/><allow send_type="signal"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow receive_type="method_call"/><allow own="*"/><allow user="*"/></policy>"""

BUS_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
{policy}</busconfig>"""


def wait_until(condition, what, timeout=TIMEOUT):
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(0.01)


def children(pid):
    """Processes of a service's, but for those that serve org.vmms1.Files, one of which is always there."""
    found = []
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            if pathlib.Path(f"/proc/{child}/comm").read_text().strip() != "vmms-files":
                found.append(int(child))
    return found


def as_user(uid, *command):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *map(str, command)]


class Result:
    def __init__(self, process):
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr


class ServiceTest(unittest.TestCase):
    """A test with a bus and a vmms of its own, in a folder of its own."""

    policy = OPEN_POLICY
    vmms_launcher = ()  # what starts it, if it is to be started by something
    vmms_arguments = ()
    vmms_environment = {}
    vmms_is_leader = False  # of a session, as systemd makes it

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vmms-integration-"))
        self.folder.chmod(0o755)  # for the bus socket, which other users are to reach
        self.address = f"unix:path={self.folder}/bus"
        self.state = self.folder / "state"
        self.vmms = self.bus = None
        self.typed_lines = set()  # names of VMs, and lines
        self.log = open(self.folder / "log", "wb")
        self.addCleanup(self.clean_up)
        self.start_bus()
        self.start_vmms()
        (self.folder / "kernel").write_bytes(b"not looked at by the fake worker")

    def clean_up(self):
        for process in self.vmms, self.bus:
            if process:
                process.terminate()
                try:
                    process.wait(TIMEOUT)
                except subprocess.TimeoutExpired:
                    process.kill()
        self.kill_workers()
        self.remove_queues()
        self.log.close()
        if self.has_failed():
            sys.stderr.write((self.folder / "log").read_text(errors="replace"))
        # Whoever was killed has left it.
        sockets = self.folder / "run/sockets"
        if os.path.ismount(sockets):
            subprocess.run(["umount", "--lazy", sockets], check=True)
        shutil.rmtree(self.folder)

    def has_failed(self):
        """For what is done at the end, when unittest's own mark is that of what is being done."""
        result = self._outcome.result if self._outcome else None
        return bool(result) and any(test is self for test, _ in result.failures + result.errors)

    def kill_workers(self):
        """Those that a vmms has left running."""
        for record in (self.folder / "run/workers").glob("*.json"):
            with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
                os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)

    def remove_queues(self):
        """What a killed vmms leaves for the end of a VM: a user's queues are not many."""
        library = ctypes.CDLL(None)
        for file in (self.folder / "run/workers").glob("*.end"):
            with contextlib.suppress(OSError):
                library.mq_unlink(file.read_bytes())

    # ---- Processes ----

    def start_bus(self):
        configuration = self.folder / "bus.conf"
        configuration.write_text(
            BUS_CONFIGURATION.format(path=self.folder / "bus", policy=self.policy))
        self.bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile"],
            stderr=self.log)
        wait_until(self.bus_listens, "the message bus")

    def bus_listens(self):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.folder / "bus")) == 0

    def start_vmms(self, *extra, wait=True):
        self.vmms = subprocess.Popen(
            [*self.vmms_launcher, VMMS, "--address", self.address, "--state-dir", self.state, "--runtime-dir",
             self.folder / "run", "--worker", FAKE_WORKER, "--hypervisor", "/dev/null",
             *self.vmms_arguments, *extra], stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, env={**os.environ, **self.vmms_environment},
            start_new_session=self.vmms_is_leader)
        if wait:
            wait_until(lambda: self.vmctl("list").status == OK or self.vmms.poll() is not None,
                       "vmms")
            self.assertIsNone(self.vmms.poll(), "vmms ended at once")

    def stop_vmms(self):
        self.vmms.terminate()
        status = self.vmms.wait(TIMEOUT)
        self.vmms = None
        self.assertEqual(status, 0)

    def kill_vmms(self):
        self.vmms.kill()
        self.vmms.wait(TIMEOUT)
        self.vmms = None

    def vmctl(self, *words, stdin=None, timeout=TIMEOUT, **more):
        return Result(subprocess.run(
            [VMCTL, "--address", self.address, *map(str, words)], input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True, text=True,
            errors="backslashreplace", timeout=timeout, **more))

    def program(self, path):
        """A copy that everybody may run: the tree may be where only root has access."""
        copy = self.folder / path.name
        if not copy.exists():
            shutil.copy(path, copy)
        return copy

    def vmctl_as(self, uid, *words, stdin=None):
        return Result(subprocess.run(
            as_user(uid, self.program(VMCTL), "--address", self.address, *words), input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True, text=True,
            timeout=TIMEOUT))

    def vmctl_in_background(self, *words):
        return subprocess.Popen([VMCTL, "--address", self.address, *words],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    # ---- Shorthands ----

    def ok(self, *words, **more):
        """vmctl does it."""
        result = self.vmctl(*words, **more)
        self.assertEqual((result.status, result.err), (OK, ""), f"vmctl {words}")
        return result.out

    def refused(self, status, *words, says="", **more):
        """vmctl says that it cannot, with that exit status and something to read."""
        result = self.vmctl(*words, **more)
        self.assertEqual(result.status, status, f"vmctl {words}: {result.out}{result.err}")
        self.assertIn(says, result.err)
        self.assertTrue(result.err.strip())
        return result.err

    def create(self, name="vm", append="", disks=(), **members):
        # The daemon's end does not save it, as it would by default.
        definition = {"name": name, "disks": list(disks), "network_adapters": [],
                      "automatic_stop": {"action": "shut-down"},
                      "boot": {"kernel": str(self.folder / "kernel"), "command_line": append}}
        definition.update(members)
        definition = {key: value for key, value in definition.items() if value is not None}
        # What the definition names may be missing, which is said.
        result = self.vmctl("create", "--from", "-", stdin=json.dumps(definition))
        self.assertEqual(result.status, OK, result.err)

    def disk(self, name, size=1 << 20, **members):
        path = self.folder / name
        with open(path, "wb") as image:
            image.truncate(size)
        return {"path": str(path), **members}

    def show(self, name="vm"):
        return json.loads(self.ok("show", name, "--json"))

    def list(self):
        return json.loads(self.ok("list", "--json"))

    def wait_state(self, state, name="vm", reason=""):
        def reached():
            info = self.show(name)
            return info if info["state"] == state else None
        info = wait_until(reached, f"{name} to be {state}")
        self.assertIn(reason, info["reason"])
        return info

    def console_log(self, name="vm"):
        return self.ok("console", name, "--log")

    def wait_said(self, text, name="vm"):
        wait_until(lambda: text in self.console_log(name), f"the guest to say '{text}'")

    def type(self, *lines, name="vm"):
        """Types lines into the console of a running VM, and waits until the guest has heard."""
        # What it heard before comes first: taken for the answer, it would have the console closed too early.
        before = self.ok("console", name, "--log") if (name, lines[0]) in self.typed_lines else ""
        self.typed_lines.update((name, line) for line in lines)
        console = Console(self, name)
        for number, line in enumerate(lines):
            console.type(line + "\n")
            for _ in range(1 + (before.count(f"heard {line}\n") if number == 0 else 0)):
                console.expect(f"heard {line}\r\n".encode())
        console.close()


class Console:
    """vmctl console, as a script uses it."""

    def __init__(self, test, name="vm", *options):
        self.process = subprocess.Popen(
            [VMCTL, "--address", test.address, "console", name, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.output = b""
        self.offset = 0

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def read(self):
        try:
            chunk = os.read(self.process.stdout.fileno(), 1 << 20)
        except BlockingIOError:
            return
        self.output += chunk

    def expect(self, text):
        def found():
            self.read()
            position = self.output.find(text, self.offset)
            if position >= 0:
                self.offset = position + len(text)
            return position >= 0
        wait_until(found, f"the console to say {text!r}")

    def close(self):
        self.process.terminate()
        self.process.communicate(timeout=TIMEOUT)

    def wait(self):
        """Until it ends by itself. Returns its exit status."""
        os.set_blocking(self.process.stdout.fileno(), True)
        out, self.error = self.process.communicate(timeout=TIMEOUT)
        self.output += out
        return self.process.returncode


def main():
    unittest.main(argv=[sys.argv[0], *unittest_arguments])
