# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian as it installs itself: its own kernel and initramfs, systemd, and its daemons as its units start them."""

import base64
import hashlib
import os
import pathlib
import re
import subprocess

import lab_kvm
from harness import BIN, IMAGES, LUN, SCRATCH, Daemon, Guest, check, check_data
from harness_network import web_server
from scenarios_processors import FAULTS, SIZE, check_disk
from scenarios_services import HELD_WRITE

# Until networkd has an address.
ROUTER = """
for i in $(seq 100); do
	ip -4 route show default | grep -q via && break
	sleep 0.3
done
ip -4 route show default | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'
"""


# The sum of what a web server says; by bash alone, which every release has.
FETCHED = """
bash -c 'exec 3<>/dev/tcp/%s/%d && printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3 && LC_ALL=C sed "1,/^\\r$/d" <&3' | md5sum
"""


class Debian(Guest):
    """One of the lab's installed systems, as it boots by itself, and root's shell on its console."""

    def __init__(self, daemon, name, disks=(), append="", **members):
        images, root = IMAGES / name, SCRATCH / f"{name}-root.raw"
        check((images / "root.raw").exists(), f"the lab has no guest '{name}': see what 'scripts/lab build' says")
        subprocess.run(["cp", "--reflink=auto", images / "root.raw", root], check=True)
        members.setdefault("network_adapters", [{"host_loopback": True}])  # tests serve on the host's
        super().__init__(daemon, root=root, memory="512M", disks=disks, **members, boot={
            "kernel": str(images / "vmlinuz"), "initrd": str(images / "initrd.img"),
            "command_line": f"console=ttyS0 root=LABEL=root {append}".strip()})

    functions = LUN  # in front of every script

    def log_in(self):
        self.expect("login: ", timeout=400)
        self.type("root\n")
        # Without an editor of lines, which repeats them.
        self.expect("# $")
        self.type("dmesg -n 1; exec sh\n")
        self.expect("# $")
        self.type("stty -echo; PS1=; echo vmms-shell\n")
        self.expect("^vmms-shell\n")
        return self

    def told(self, script, timeout=120):
        """What a script prints, which ends well."""
        line = base64.b64encode((self.functions + script).encode()).decode()
        self.type(f"echo {line} | base64 -d | sh 2>&1; echo vmms-exit $?\n")
        match = self.expect(r"((?:.*\n)*?)vmms-exit (\d+)\n", timeout)
        check(match[2] == "0", f"in the guest: exit status {match[2]} of\n{script}\n{match[1]}")
        return match[1]


def data_disk():
    """A disk as a member of a definition, and what is on its first half."""
    path = SCRATCH / "data.raw"
    content = os.urandom(SIZE)
    path.write_bytes(content + bytes(SIZE))
    return {"controller": 0, "lun": 1, "path": str(path), "format": "raw"}, content


def serves(daemon, combination, image, told, vmbus, append=""):
    data, content = data_disk()
    guest = Debian(daemon, image, [data], append, **combination).start().log_in()
    works(daemon, guest, combination["vps"], data, content, told, vmbus)
    return guest


def works(daemon, guest, vps, data, content, told, vmbus):
    """What `told` matches is what it says of itself, and its disks, its network and its daemons work."""
    output = guest.told("uname -mr; dpkg --print-architecture; nproc; systemctl is-system-running --wait")
    check(re.fullmatch(rf"{told}\n{vps}\nrunning\n", output), output)
    output = guest.told(f"dmesg | grep -E 'Hyper|Vmbus|{FAULTS}'")
    check(f"Vmbus version:{vmbus}" in output and not re.search(FAULTS, output), output)
    check_disk(lambda script: guest.told(script.replace("lun 0", "lun 1")), pathlib.Path(data["path"]), content)
    router = guest.told(ROUTER).strip()
    with web_server(os.urandom(SIZE)) as server:
        output = guest.told(FETCHED % (router, server.server_port))
    check_data(output.split()[0] == server.sum, f"the guest got something else of {router}: {output}")
    daemon.wait_until(lambda: "Debian" in daemon.vmctl("show", "guest").stdout, 60, "what its daemon tells")


def shuts_down(daemon, guest):
    daemon.vmctl("shutdown", "guest")
    guest.wait_state("off", 120)


def debian_of_32_bits(daemon, combination):
    """Debian's own kernel with PAE, initramfs and i386 programs."""
    lab_kvm.have_kvm_take_accessed_tables()
    shuts_down(daemon, serves(daemon, combination, "i386", r"\S+-686-pae i686\ni386", "5.3", "mitigations=off"))


def debian_11(daemon, combination):
    """A kernel as old as those of releases that are still in use: its storage driver begins with packets of the
    form before Windows 8, and its bus has an older version."""
    guest = serves(daemon, combination, "debian-11", r"5\.10\.\S+ x86_64\namd64", "5.2")
    file_systems_freeze(daemon, guest)
    file = SCRATCH / "to-copy"
    file.write_bytes(os.urandom(300000))
    Daemon.wait_until(lambda: daemon.vmctl("copy", file, "guest:/root/", check=False).returncode == 0, 60, "the copy")
    check_data(guest.told("sha256sum </root/to-copy").split()[0] == hashlib.sha256(file.read_bytes()).hexdigest(),
               "the copy differs")
    shuts_down(daemon, guest)


def debian_13(daemon, combination):
    """A kernel after 6.10, whose file copy is a driver in user space, with the daemons of its own release."""
    guest = Debian(daemon, "debian-13", **combination).start().log_in()
    output = guest.told("uname -r; cat /etc/debian_version; systemctl is-system-running --wait")
    check(re.fullmatch(r"6\.12\.\S+\n13\.\d+\nrunning\n", output), output)
    output = guest.told(f"dmesg | grep -E 'Vmbus|{FAULTS}'")
    check(re.search(r"Vmbus version:5\.3", output) and not re.search(FAULTS, output), output)
    check(daemon.show("guest")["heartbeat"] == "ok", daemon.show("guest"))
    values_pass(daemon, guest)
    file_systems_freeze(daemon, guest)
    files_are_copied(daemon, guest)
    shuts_down(daemon, guest)


def values_pass(daemon, guest):
    system = "Debian GNU/Linux 13 (" + guest.told("uname -r").strip() + ")"
    Daemon.wait_until(lambda: daemon.show("guest")["guest"]["os"] == system, 120, "the guest's system")
    daemon.vmctl("kvp", "set", "guest", "key", "v\u00e4lue")
    check(daemon.vmctl("kvp", "get", "guest", "key", "--pool", "external").stdout == "v\u00e4lue\n", "the value")
    # A key has 512 bytes, and after its end whatever the daemon has had there.
    pool = guest.told("for text in 1 513; do"
                      " tail -c +$text /var/lib/hyperv/.kvp_pool_0 | tr '\\0' '\\n' | head -n 1; done")
    check(pool == "key\nv\u00e4lue\n", f"the guest's own file of it: {pool!r}")


def file_systems_freeze(daemon, guest):
    daemon.vmctl("backup", "freeze", "guest")
    check("passed" not in guest.told(HELD_WRITE), "a frozen file system was written to")
    daemon.vmctl("backup", "thaw", "guest")
    guest.expect("the write has passed", 60)


# The daemon's unit looks for the device at a boot, when the lab's slow guests have not found it yet.
COPYING = """
for i in $(seq 100); do
	[ -e /sys/bus/vmbus/drivers/uio_hv_generic/eb765408-105f-49b6-b4aa-c123b64d17d4/uio ] && break
	sleep 0.3
done
systemctl restart hv-fcopy-uio-daemon && systemctl is-active hv-fcopy-uio-daemon
"""


def files_are_copied(daemon, guest):
    file = SCRATCH / "to-copy"
    file.write_bytes(os.urandom(300000))
    content = hashlib.sha256(file.read_bytes()).hexdigest()

    def copy(*arguments):
        return daemon.vmctl("copy", file, *arguments, check=False)

    check(copy("guest:/root/copied").returncode, "copied before there is a daemon for it")
    guest.told(COPYING)
    Daemon.wait_until(lambda: copy("guest:/root/copied").returncode == 0, 60, "the copy")
    refused = copy("guest:/root/copied")
    check(refused.returncode == 1 and "has such a file" in refused.stderr, refused)
    check(copy("guest:/root/copied", "--overwrite").returncode == 0, "not overwritten")
    check(copy("guest:/root/new/folder/", "--create-path").returncode == 0, "no folder made")
    sums = guest.told("sha256sum </root/copied; sha256sum </root/new/folder/to-copy").split()
    check_data(sums[0] == sums[2] == content, f"the copies differ: {sums}")
    # This daemon does not remove what it has when it is told to, so it is said that there may be something.
    guest.told("mkdir /small && mount -t tmpfs -o size=64k tmpfs /small")
    refused = copy("guest:/small/file")
    check(refused.returncode == 1 and "may be left" in refused.stderr, refused)
    copies_are_verified(daemon, guest, file)
    copying_stops(daemon, guest)


# As systemd's socket unit of the package starts it.
AGENT = """
modprobe hv_sock
systemd-run --quiet systemd-socket-activate --accept --inetd --listen=vsock::1021 /root/agent
"""


def copies_are_verified(daemon, guest, file):
    refused = daemon.vmctl("copy", BIN / "vmms-guest-agent", "guest:/root/agent", "--verify", check=False)
    check(refused.returncode == 1 and "could not be verified" in refused.stderr, refused)
    guest.told(AGENT)
    Daemon.wait_until(lambda: daemon.vmctl("exec", "guest", "--", "true", check=False).returncode == 0, 60, "the agent")
    verified = daemon.vmctl("copy", file, "guest:/root/copied", "--overwrite", "--verify", check=False)
    check(verified.stdout.endswith(f"verified: SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()}\n"), verified)


def copying_stops(daemon, guest):
    """The daemon ends in the middle of a file, and with it the driver; another one takes the file."""
    file = SCRATCH / "large"
    file.write_bytes(os.urandom(1 << 20) * 48)
    guest.told("mount -t tmpfs -o size=100m tmpfs /mnt")
    command = [BIN / "vmctl", "--address", daemon.address, "copy", str(file), "guest:/mnt/"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as copy:
        guest.told("for i in $(seq 600); do [ -s /mnt/large ] && break; sleep 0.1; done; "
                   "systemctl stop hv-fcopy-uio-daemon")
        _, said = copy.communicate(timeout=120)
    check(copy.returncode and "may be left" in said, f"{copy.returncode}: {said}")
    guest.told(COPYING)
    Daemon.wait_until(lambda: daemon.vmctl("copy", file, "guest:/mnt/", "--overwrite", check=False)
                      .returncode == 0, 120, "the copy")
    check_data(guest.told("sha256sum </mnt/large").split()[0] == hashlib.sha256(file.read_bytes()).hexdigest(),
               "the copy differs")


ALL = [debian_of_32_bits]
MORE = [debian_13, debian_11]
