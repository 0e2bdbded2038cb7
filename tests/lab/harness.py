# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the lab's tests are made of: a daemon on a private bus, and guests driven by their console.

A guest of a test boots a stock kernel with the lab's small root image and /sbin/vmms-test-init,
which says `vmms-test: ready` on the serial console and then runs what it is sent. Guest.run() sends
a script, and returns its output and exit status.

Every wait is bounded. When one runs out, Timeout carries the last lines of the guest's console.
"""

import base64
import codecs
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("VMMS_BIN", TREE / "build/release/bin"))
IMAGES = pathlib.Path(os.environ.get("VMMS_LAB_IMAGES", "/lab"))
SCRATCH = pathlib.Path(os.environ.get("VMMS_LAB_SCRATCH", "/scratch"))

BOOT_TIMEOUT = 150      # seconds, emulated: a boot takes some ten
SHUTDOWN_TIMEOUT = 5    # seconds that vmms gives guests at its own end: their tests are over
COMMAND_LINE = "console=ttyS0 quiet root=LABEL=root ro init=/sbin/vmms-test-init panic=-1 nokaslr mitigations=off"


# For the guest's scripts: the device of a LUN. Names like sdb go by the order of discovery.
LUN = 'lun() { echo /dev/"$(ls /sys/bus/scsi/devices/0:0:0:"$1"/block 2>/dev/null)"; }\n'


class Failure(Exception):
    """The product did not do what it should."""


class DataFailure(Failure):
    """Data are not what was written. A row that finds this is never run again."""


class Timeout(Failure):
    """Nothing happened within the time allowed."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_data(condition, message):
    if not condition:
        raise DataFailure(message)


class Daemon:
    """vmms on a private message bus, with a state directory of its own."""

    apparmor = "off"  # what it includes in profiles is not installed

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="vmms-test-"))
        self.address = f"unix:path={self.directory}/bus"
        self.bus = self.vmms = None

    def __enter__(self):
        self.bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--nopidfile",
                                     f"--address={self.address}"])
        self.wait_until(lambda: (self.directory / "bus").exists(), 20, "the message bus")
        self.start()
        return self

    def start(self):
        self.vmms = subprocess.Popen(
            [BIN / "vmms", "--address", self.address, "--state-dir", self.directory / "state",
             "--runtime-dir", self.directory / "run",
             "--shutdown-timeout", str(SHUTDOWN_TIMEOUT), "--apparmor", self.apparmor])
        self.wait_until(lambda: self.vmctl("list", check=False).returncode == 0, 30, "vmms")

    def __exit__(self, *_):
        for process in (self.vmms, self.bus):
            if process:
                process.terminate()
                try:
                    process.wait(SHUTDOWN_TIMEOUT + 30)
                except subprocess.TimeoutExpired:
                    process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def wait_until(condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Timeout(f"waited {seconds} s for {what}")
            time.sleep(0.05)

    def vmctl(self, *words, check=True, timeout=120):
        result = subprocess.run([BIN / "vmctl", "--address", self.address, *map(str, words)],
                                capture_output=True, text=True, timeout=timeout)
        if check and result.returncode:
            raise Failure(f"vmctl {' '.join(map(str, words))}: exit status {result.returncode}: "
                          f"{result.stderr.strip()}")
        return result

    def show(self, name):
        return json.loads(self.vmctl("show", name, "--json").stdout)


class Console:
    """The console of a VM: what it says, and what is typed there."""

    def __init__(self, daemon, name, show=None):
        self.daemon, self.name, self.show = daemon, name, show
        self.text, self.offset = "", 0
        self.changed = threading.Condition()
        self.process = None

    def attach(self):
        self.spawn([BIN / "vmctl", "--address", self.daemon.address, "console", self.name],
                   stderr=subprocess.DEVNULL)

    def spawn(self, command, **options):
        """Starts a process whose standard input and output are the console."""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        **options)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            text = decoder.decode(chunk).replace("\r", "")
            if self.show:
                self.show(text)
            with self.changed:
                self.text += text
                self.changed.notify_all()

    def expect(self, pattern, timeout=BOOT_TIMEOUT):
        """Waits for a pattern in what the console said since the last match; returns the match."""
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                match = re.compile(pattern, re.M).search(self.text, self.offset)
                if match:
                    self.offset = match.end()
                    return match
                left = end - time.monotonic()
                if left <= 0 or not self.changed.wait(left):
                    raise Timeout(f"{self.name}: waited {timeout} s for {pattern!r}; last lines "
                                  f"of its console:\n{self.last_lines()}")

    def last_lines(self, count=40):
        return "\n".join("    " + line for line in self.text.splitlines()[-count:])

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def run(self, script, timeout=120, expect_status=0, meanwhile=lambda: None):
        """Runs a shell script in the guest; returns what it printed."""
        self.send(script)
        meanwhile()
        match = self.expect(r"^vmms-test: begin\n((?:.*\n)*?)vmms-test: exit (\d+)\nvmms-test: ready$",
                            timeout)
        output, status = match.group(1), int(match.group(2))
        if expect_status is not None:
            check(status == expect_status,
                  f"in the guest: exit status {status} of\n{script}\n{output}")
        return output

    def send(self, script):
        """Sends a script without waiting for it."""
        line = base64.b64encode((LUN + script).encode()).decode()
        # In pieces that a terminal's line buffer takes.
        for start in range(0, len(line), 1000):
            self.type(line[start:start + 1000] + "\n")
        self.type(".\n")


class Guest(Console):
    """One VM of the daemon that boots a stock kernel into the tests' init."""

    def __init__(self, daemon, name="guest", kernel="6.1-cloud", engine="auto", vps=1,
                 memory="256M", disks=(), append="", root=None, modules=(), command_line=COMMAND_LINE,
                 **members):
        super().__init__(daemon, name)
        self.root = root or self.copy_root()
        definition = {
            "version": 1, "name": name,
            "processors": {"count": vps}, "memory": memory if isinstance(memory, dict) else {"size": memory}, "engine": engine,
            "boot": {"kernel": str(IMAGES / f"vmlinuz-{kernel}"),
                     "initrd": str(self.initrd(kernel, modules)),
                     "command_line": f"{command_line} {append}".strip()},
            "disks": [{"controller": 0, "lun": 0, "path": str(self.root), "format": "raw"},
                      *disks],
        }
        definition.update(members)
        definition = {key: value for key, value in definition.items() if value is not None}
        path = daemon.directory / f"{name}.json"
        path.write_text(json.dumps(definition))
        daemon.vmctl("create", "--from", path)

    def initrd(self, kernel, modules):
        """The kernel's initramfs; with these of its modules in /run/vmms/modules in the guest, for
        insmod: the root image has but its own kernel's. Or with those of a directory."""
        plain = IMAGES / f"initrd-{kernel}"
        if not modules:
            return plain
        path = SCRATCH / f"{self.name}-initrd"
        content = plain.read_bytes()
        with tempfile.TemporaryDirectory() as directory:
            if isinstance(modules, pathlib.Path):
                shutil.copytree(modules, pathlib.Path(directory) / "vmms/modules")
            else:
                archive = subprocess.run(["gzip", "-dc", plain], stdout=subprocess.PIPE, check=True)
                subprocess.run(["cpio", "--quiet", "-id", *(f"lib/modules/{m}.ko" for m in modules)],
                               cwd=directory, input=archive.stdout, check=True)
                (pathlib.Path(directory) / "lib").rename(pathlib.Path(directory) / "vmms")
            more = subprocess.run("find vmms | cpio --quiet -o -H newc", shell=True, cwd=directory,
                                  stdout=subprocess.PIPE, check=True)
        # An archive that is not compressed begins at a multiple of four.
        path.write_bytes(content + bytes(-len(content) % 4) + more.stdout)
        return path

    def copy_root(self):
        path = SCRATCH / f"{self.name}-root.raw"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", IMAGES / "root.raw", path],
                       check=True)
        return path

    def start(self):
        if not self.process:
            self.attach()
        self.daemon.vmctl("start", self.name)
        return self

    def boot(self):
        self.start()
        return self.ready()

    def ready(self, timeout=BOOT_TIMEOUT):
        self.expect(r"^vmms-test: ready", timeout)
        return self

    def state(self):
        return self.daemon.show(self.name)["state"]

    def wait_state(self, state, timeout=60):
        try:
            Daemon.wait_until(lambda: self.state() == state, timeout, f"state {state}")
        except Timeout:
            raise Timeout(f"{self.name} is {self.state()}, not {state}, after {timeout} s; last "
                          f"lines of its console:\n{self.last_lines()}") from None

    def worker_pid(self):
        return int(self.daemon.show(self.name)["worker_pid"])

    def kill_worker(self):
        os.kill(self.worker_pid(), signal.SIGKILL)
