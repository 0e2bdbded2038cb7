# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtual machines that are compared: ours on both engines, and QEMU's.

Of one comparison all boot the same kernel, initramfs and root image, with the same vps and memory, and
speak on their standard streams as the guest's serial port. Host memory is anonymous, huge pages where the host
has them; disks are opened O_DIRECT and served by io_uring. QEMU serves its disks in an iothread,
with as many queues as it chooses.
"""

import contextlib
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TREE, "tests/lab"))

from harness import BIN, COMMAND_LINE, IMAGES, SCRATCH, Console, Timeout  # noqa: E402

KERNEL = "6.1-cloud"
VPS = 1
MEMORY_MIB = 256
KERNEL_COMMAND_LINE = COMMAND_LINE.replace("root=/dev/sda", "root=LABEL=root")
MARK = "bench: first process"
READY = "^vmms-test: ready"
COPIES_LIBRARY = BIN.parent / "tests/libcopies.so"

# The peer is QEMU of a newer Debian than the host's; where the lab has it.
PEER = "/opt/qemu"


def peer(root):
    """QEMU below that directory, run through its own loader, as the lab's qemu-system-x86_64 does
    it without that one's shell: the arguments that all its machines share, and what to add to the
    environment.
    """
    libraries = f"{root}/usr/lib/x86_64-linux-gnu"
    return [
        f"{root}/lib64/ld-linux-x86-64.so.2", "--library-path", libraries,
        f"{root}/usr/bin/qemu-system-x86_64",
        "-L", f"{root}/usr/share/qemu", "-L", f"{root}/usr/share/seabios",
        "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-accel", "kvm",
        "-object", "iothread,id=io",
    ], {"QEMU_MODULE_DIR": f"{libraries}/qemu"}


def peer_drive(name, path):
    """The host's side of a disk of QEMU's."""
    return ["-drive", f"if=none,id={name},file={path},format=raw,cache=none,aio=io_uring"]


def make_initrd(files=(), kernel=KERNEL):
    """The tests' initramfs of a kernel, whose init says MARK before all else. Guests find the files
    in /run/vmms."""
    path = SCRATCH / f"bench-initrd-{kernel}"
    stage = SCRATCH / "bench-initrd.d"
    stage.mkdir(exist_ok=True)
    with open(f"{TREE}/scripts/lab.d/guest/initramfs/init", encoding="utf-8") as file:
        interpreter, rest = file.read().split("\n", 1)
    init = stage / "init"
    init.write_text(f"{interpreter}\necho '{MARK}'\n{rest}")
    init.chmod(0o755)
    names = ["init"]
    for file in files:
        (stage / "vmms").mkdir(exist_ok=True)
        shutil.copy(file, stage / "vmms")
        names += ["vmms", f"vmms/{file.name}"]
    archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=stage,
                             input="\n".join(names).encode(), capture_output=True,
                             check=True).stdout
    # A later archive's files replace those of an earlier one, and it begins at a multiple of four.
    plain = (IMAGES / f"initrd-{kernel}").read_bytes()
    path.write_bytes(plain + bytes(-len(plain) % 4) + archive)
    return path


class Kind:
    """A way to run the guest. command(): its arguments, and what to add to the environment.

    loaded: by default compared under load too, not only as it starts. network: what the guest has
    of it, if anything: adapter() describes it to us, and arguments() to QEMU, which inherits the
    first of its sockets.
    """

    # What its guest is; image: the kernel's file, a compressed one or (vmlinux) an ELF file that is
    # entered by its PVH note.
    kernel, vps, memory, image = KERNEL, VPS, MEMORY_MIB, "vmlinuz"

    def __init__(self, name, ours, loaded=True):
        self.name, self.ours, self.loaded = name, ours, loaded

    def shaped(self, **members):
        """The same with these members: kernel, vps, memory, image, name."""
        other = copy.copy(self)
        vars(other).update(members)
        return other

    def kernel_path(self):
        return str(IMAGES / f"{self.image}-{self.kernel}")


class Worker(Kind):
    """members: what else its definition has, such as {"hyper_v": {"ipi": False}}."""

    def __init__(self, engine, members=None, name=None):
        super().__init__(name or f"vmwp {engine}", True)
        self.engine, self.members = engine, members or {}

    def command(self, initrd, disks, network=None):
        definition = {
            "version": 1, "name": "bench", "engine": self.engine,
            "processors": {"count": self.vps}, "memory": {"size": f"{self.memory}M"},
            "boot": {"kernel": self.kernel_path(), "initrd": str(initrd),
                     "command_line": KERNEL_COMMAND_LINE},
            "disks": [{"controller": 0, "lun": lun, "path": str(path), "format": "raw"}
                      for lun, path in enumerate(disks)],
            "network_adapters": [network.adapter()] if network else [],
            **self.members,
        }
        path = SCRATCH / f"bench-{self.engine}.json"
        path.write_text(json.dumps(definition))
        return [str(BIN / "vmwp"), "--definition", str(path), "--serial", "stdio"], {}


class Qemu(Kind):
    """cpu: QEMU's -cpu."""

    cpu = "host"

    def __init__(self, machine, controller, loaded=True):
        super().__init__(f"QEMU {machine} {controller}", False, loaded)
        self.machine, self.controller = machine, controller
        self.bus = "device" if machine == "microvm" else "pci"

    def command(self, initrd, disks, network=None):
        arguments, environment = peer(PEER)
        arguments += [
            "-M", self.machine, "-cpu", self.cpu, "-smp", str(self.vps), "-m", f"{self.memory}M",
            "-kernel", self.kernel_path(), "-initrd", str(initrd),
            "-append", KERNEL_COMMAND_LINE,
        ]
        if self.controller == "scsi":
            arguments += ["-device", f"virtio-scsi-{self.bus},id=scsi,iothread=io"]
        for lun, path in enumerate(disks):
            arguments += peer_drive(f"disk{lun}", path)
            if self.controller == "scsi":
                arguments += ["-device", f"scsi-hd,bus=scsi.0,drive=disk{lun},lun={lun}"]
            else:
                arguments += ["-device", f"virtio-blk-{self.bus},drive=disk{lun},iothread=io"]
        return arguments + (network.arguments() if network else []), environment


# All of QEMU's enlightenments that are for a guest without nested virtualisation; and not KVM's own
# beside them, which Linux would prefer.
HYPER_V_CPU = "host,kvm=off," + ",".join(f"hv-{name}" for name in (
    "relaxed", "vpindex", "runtime", "crash", "time", "synic", "stimer", "stimer-direct", "tlbflush",
    "ipi", "frequencies", "reset", "vapic", "apicv", "spinlocks=0x1fff", "xmm-input"))

# QEMU's pc and q35 differ in how they start, not in how they serve disks.
KINDS = [
    Worker("in-kernel"), Worker("user-space"),
    Qemu("pc", "blk", loaded=False), Qemu("pc", "scsi", loaded=False),
    Qemu("q35", "blk"), Qemu("q35", "scsi"),
    Qemu("microvm", "blk"), Qemu("microvm", "scsi", loaded=False),
]


class Vm(Console):
    """One run of a kind, until it is killed: the guest's disks stay as they are."""

    def __init__(self, kind, initrd, disks, environment=None, network=None):
        super().__init__(None, kind.name, show=self.hear)
        self.kind, self.heard = kind, []
        command, variables = kind.command(initrd, disks, network)
        self.errors = open(SCRATCH / "bench-errors", "w+b")
        self.started = time.monotonic()
        self.spawn(command, stderr=self.errors,
                   pass_fds=[end.fileno() for end in network.sockets[:1]] if network else [],
                   env=dict(os.environ, **variables, **(environment or {})))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.errors.close()

    @contextlib.contextmanager
    def turn(self):
        """Lets it run for a while; outside of its turns it is stopped."""
        self.process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGSTOP)

    def hear(self, text):
        self.heard.append((time.monotonic(), len(text)))

    def wait(self, pattern, timeout=120):
        """Seconds from the start of the process until the pattern had been heard."""
        try:
            end = self.expect(pattern, timeout).end()
        except Timeout as timeout_error:
            self.errors.seek(0)
            raise Timeout(f"{timeout_error}\nits standard error:\n"
                          f"{self.errors.read().decode(errors='replace')}") from None
        position = 0
        for moment, length in self.heard:
            position += length
            if position >= end:
                return moment - self.started
        raise AssertionError("matched what was not heard")
