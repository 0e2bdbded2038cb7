# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a stock guest has of a keyboard and a screen."""

import json
import pathlib

from harness import Guest, check

# What tests/lab/run has given.
MODULES = pathlib.Path("/vmms-in/modules")
INSERT = ("for module in $(cat /run/vmms/modules/modules); do insmod /run/vmms/modules/$module 2>/dev/null; done\n")


def lines_of_a_terminal(guest, count, prepare="", meanwhile=lambda: None):
    """What somebody types on the guest's own terminal, line by line."""
    guest.send(f"{prepare}exec </dev/tty1; stty sane; echo listening\n"
               f'for i in $(seq {count}); do IFS= read -r line; echo "<$line>"; done')
    guest.expect("^listening$")
    meanwhile()
    match = guest.expect(r"^((?:<.*>\n)*)vmms-test: exit 0\nvmms-test: ready$")
    return match.group(1).splitlines()


def keyboard_types(daemon, combination):
    """Text, keys by their names, and combinations arrive at the driver; so they do after a restore."""
    guest = Guest(daemon, keyboard=True, modules=MODULES, **combination).boot()
    text = "The quick brown fox, 0123456789: ~!@#$%^&*()_+ `-=[]\\;'./{}|\"<>?"

    def type_three():
        daemon.vmctl("type", "guest", text, "--enter")
        daemon.vmctl("key", "guest", "a", "b", "backspace", "shift-c", "enter")
        daemon.vmctl("type", "guest", "twice", "--enter")

    got = lines_of_a_terminal(guest, 3, INSERT, type_three)
    check(got == [f"<{text}>", "<aC>", "<twice>"], got)
    names = guest.run("grep '^N: Name=' /proc/bus/input/devices")
    check("AT Translated Set 2 keyboard" in names, names)
    daemon.vmctl("save", "guest")
    guest.wait_state("saved")
    daemon.vmctl("start", "guest")
    got = lines_of_a_terminal(guest, 1, meanwhile=lambda: daemon.vmctl("type", "guest", "again", "--enter"))
    check(got == ["<again>"], got)
    report = json.loads(daemon.vmctl("inspect", "guest", "devices", "--json").stdout)
    check(report["devices"]["keyboard"] == {"state": "ready", "waiting": 0, "sent": 12}, report)


ALL = [keyboard_types]
