# SPDX-License-Identifier: LGPL-2.1-or-later
"""Core files of stock guests."""

from core import Core
from harness import SCRATCH, Guest, check


def dump(daemon):
    path = SCRATCH / "core"
    path.unlink(missing_ok=True)
    daemon.vmctl("dump", "guest", path)
    return path


def log_of(path):
    core = Core(path)
    try:
        return core.log()
    finally:
        core.close()


def memory_is_dumped(daemon, combination):
    """The log of the guest's kernel is read out of its memory: of one that runs, and of one that hangs."""
    guest = Guest(daemon, actions={"crash": "keep"}, append="panic=0", **combination).boot()
    guest.run("echo 'a word for the host' >/dev/kmsg")
    path = dump(daemon)
    lines = log_of(path)
    check(any(line.startswith("Linux version ") for line in lines), lines[:5])
    check(any("a word for the host" in line for line in lines), lines[-5:])
    core = Core(path)
    check(len(core.processors()) == combination["vps"], core.processors())
    core.close()
    check(path.stat().st_blocks * 512 < path.stat().st_size, "the file has no holes")
    # It has noticed nothing.
    release = guest.run("uname -r").strip()
    check(core.info["OSRELEASE"] == release, f"{core.info['OSRELEASE']} is not {release}")
    guest.send("echo c >/proc/sysrq-trigger")
    guest.wait_state("kept")
    lines = log_of(dump(daemon))
    check(any("Kernel panic - not syncing: sysrq triggered crash" in line for line in lines), lines[-20:])


ALL = [memory_is_dumped]
