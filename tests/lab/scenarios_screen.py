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


def screen_shows(daemon, combination):
    """hyperv_drm takes the screen up in the mode that it is advised, also after a reset and a restore."""
    combination = {**combination, "kernel": "6.1-amd64"}  # the lab has the driver of that one alone
    guest = Guest(daemon, video={"width": 800, "height": 600}, modules=MODULES, **combination).boot()

    def check_screen():
        told = guest.run(INSERT + "cat /sys/class/graphics/fb0/virtual_size; dmesg | grep -c 'ERROR.*drm\\|drm.*ERROR'",
                         expect_status=None).split()
        check(told == ["800,600", "0"], told)
        report = json.loads(daemon.vmctl("inspect", "guest", "devices", "--json").stdout)["devices"]["video"]
        check(report["state"] == "ready" and report["version_minor"] == 5 and report["refused"] == 0
              and report["mode"] == {"active": True, "width": 800, "height": 600, "pitch": 3200, "offset": 0}, report)
        return report["rectangles"]

    check_screen()
    daemon.vmctl("reset", "guest")
    guest.ready()
    check_screen()
    daemon.vmctl("save", "guest")
    guest.wait_state("saved")
    daemon.vmctl("start", "guest")
    guest.run("for i in $(seq 40); do echo a line of text >/dev/tty1; done; sleep 1")
    check(check_screen() == 0, "the guest tells nobody what it draws")


ALL = [keyboard_types, screen_shows]
