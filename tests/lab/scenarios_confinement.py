# SPDX-License-Identifier: LGPL-2.1-or-later
"""What AppArmor keeps the processes of a VM from, and what it does not get in the way of."""

import os
import pathlib
import shutil
import subprocess
import sys

from harness import BIN, SCRATCH, TREE, Guest, check, check_data
from harness_network import DHCP, NIC, guest_reads, mac, web_server
from scenarios_screen import viewer

ABSTRACTIONS = TREE / "packaging/apparmor/abstractions"
ATTEMPT = """
import sys
with open("/proc/self/attr/apparmor/exec", "w") as file:
    file.write("exec " + sys.argv[1])
import os
os.execv(sys.argv[2], sys.argv[2:])
"""


def label(pid):
    return pathlib.Path(f"/proc/{pid}/attr/apparmor/current").read_text().strip()


def pids(program):
    return [int(pid) for pid in subprocess.run(["pidof", *program], capture_output=True, text=True).stdout.split()]


def log_marker(text):
    pathlib.Path("/dev/kmsg").write_text(f"{text}\n")


def denials(since):
    log = subprocess.run(["dmesg"], check=True, capture_output=True, text=True).stdout
    return [line for line in log[log.rindex(since):].splitlines() if 'apparmor="DENIED"' in line]


def loaded():
    profiles = pathlib.Path("/sys/kernel/security/apparmor/profiles").read_text()
    return [line for line in profiles.splitlines() if line.startswith("vmms-")]


def attempt(profile, *command):
    """Runs a program under a VM's profile: what a worker could do that a guest has taken over."""
    return subprocess.run([sys.executable, "-c", ATTEMPT, profile, *map(str, command)],
                          capture_output=True, text=True, errors="replace", timeout=60)


def confined_by_apparmor(daemon, combination):
    shutil.copytree(ABSTRACTIONS, "/etc/apparmor.d/abstractions", dirs_exist_ok=True)
    daemon.vmms.terminate()
    daemon.vmms.wait(60)
    daemon.apparmor = "require"
    daemon.start()
    image = SCRATCH / "confined.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "64M"], check=True)
    log_marker("vmms-confined: begin")
    guest = Guest(daemon, **combination, video={}, disks=[
        {"controller": 0, "lun": 1, "path": str(image), "format": "qcow2"}],
        network_adapters=[{"host_loopback": True}]).boot()
    profile = daemon.show("guest")["profile"]
    with viewer(daemon) as seen:
        seen.update(incremental=False)
        processes_are_confined(daemon, profile)
        use_everything(daemon, guest, image)
        seen.update(incremental=False)
    found = denials("vmms-confined: begin")
    check(not found, "ordinary use is refused:\n" + "\n".join(found))
    profile_refuses(profile, image, guest.root)
    daemon.vmctl("stop", "guest")
    daemon.wait_until(lambda: not loaded(), 60, "the profile to be removed")


def processes_are_confined(daemon, profile):
    uuid = daemon.show("guest")["uuid"]
    check(profile.startswith(f"vmms-{uuid}-"), f"the profile is called {profile}")
    expected = {"": [daemon.show("guest")["worker_pid"]],
                "//screen": pids(["vmms-screen"]), "//image-server": pids(["qemu-storage-daemon"]), "//network": pids(["passt.avx2", "passt"])}
    for kind, processes in expected.items():
        check(processes, f"there is no process of {kind or 'the worker'}")
        for pid in processes:
            check(label(pid) == f"{profile}{kind} (enforce)", f"{pid} runs as {label(pid)}")


def use_everything(daemon, guest, image):
    check_data("64+0 records" in guest.run(
        "dd if=/dev/zero of=$(lun 1) bs=1M count=64 oflag=direct 2>&1"), "the disk is not written")
    router = guest.run(NIC + DHCP % mac(daemon)).split()[-1]
    with web_server() as server:
        guest_reads(guest, server, router)
    for words in ("inspect", "guest"), ("pause", "guest"), ("resume", "guest"):
        daemon.vmctl(*words)
    daemon.vmctl("detach", "guest", "--controller", 0, "--lun", 1)
    daemon.vmctl("attach", "guest", image, "--format", "qcow2", "--controller", 0, "--lun", 1)
    for pid in pids(["passt.avx2", "passt"]):
        os.kill(pid, 9)  # and another one is started
    daemon.wait_until(lambda: pids(["passt.avx2", "passt"]), 60, "passt to be started again")
    processes_are_confined(daemon, daemon.show("guest")["profile"])


def profile_refuses(profile, *images):
    """busybox is one file, as the rules of a profile want it: the programs of the VM are all that it may run."""
    program = shutil.which("busybox")
    for kind in "", "//image-server", "//network", "//screen":
        control = attempt(profile + kind, program, "cat", "/etc/ld.so.cache")
        check(control.returncode == 0, f"{profile}{kind}: not even what is allowed: {control.stderr}")
        for path in "/etc/shadow", *images, BIN / "vmms", "/etc/machine-id":
            result = attempt(profile + kind, program, "cat", path)
            check(result.returncode and "Permission denied" in result.stderr,
                  f"{profile}{kind} reads {path}: {result}")
        result = attempt(profile + kind, program, "sh", "-c", "echo >/scratch/written")
        check(result.returncode and not pathlib.Path("/scratch/written").exists(), f"{profile}{kind} writes: {result}")
        result = attempt(profile + kind, program, "kill", "-0", "1")
        check(result.returncode, f"{profile}{kind} sends signals to others")


ALL = [confined_by_apparmor]
