# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a stock guest has of a keyboard, a mouse and a screen, also in viewers."""

import contextlib
import json
import pathlib
import shutil
import struct
import subprocess
import zlib

import rfb
from harness import BIN, SCRATCH, Guest, check

# What tests/lab/run has given.
MODULES = pathlib.Path("/vmms-in/modules")

# Where tests/lab/run fetches pictures, for people.
PICTURES = pathlib.Path("/vmms-out")
INSERT = ("for module in $(cat /run/vmms/modules/modules); do insmod /run/vmms/modules/$module 2>/dev/null; done\n")


def read_png(path):
    """Width, height and rows of one that vmctl has made, whose rows are not filtered."""
    data, place, packed = path.read_bytes(), 8, b""
    while place < len(data):
        size, = struct.unpack(">I", data[place:place + 4])
        kind, body = data[place + 4:place + 8], data[place + 8:place + 8 + size]
        if kind == b"IHDR":
            width, height = struct.unpack(">II", body[:8])
        packed += body if kind == b"IDAT" else b""
        place += 12 + size
    rows = memoryview(zlib.decompress(packed))
    step = 1 + 3 * width
    return width, height, [rows[start + 1:start + step] for start in range(0, height * step, step)]


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


@contextlib.contextmanager
def viewer(daemon, *encodings):
    """One at the guest's screen, by vmctl."""
    path = SCRATCH / "viewer"
    process = subprocess.Popen([BIN / "vmctl", "--address", daemon.address, "view", "guest", "--socket", path])
    try:
        daemon.wait_until(path.exists, 30, "vmctl view")
        seen = rfb.connect(path, *encodings)
        yield seen
        seen.close()
    finally:
        process.terminate()
        process.wait()


def devices(daemon):
    return json.loads(daemon.vmctl("inspect", "guest", "devices", "--json").stdout)["devices"]


def wait_until_nobody_looks(daemon):
    daemon.wait_until(lambda: not devices(daemon)["video"]["watched"], 30, "the viewer's end")


def screen_points(daemon, combination):
    """Where a viewer points, what it clicks and types is what the guest's drivers say."""
    combination = {**combination, "kernel": "6.1-amd64"}
    guest = Guest(daemon, video={}, mouse=True, keyboard=True, modules=MODULES, **combination).boot()
    guest.run(INSERT)
    event = guest.run("grep -A5 'Name=\"Microsoft Vmbus HID-compliant Mouse' /proc/bus/input/devices |"
                      " sed -n 's/.*\\(event[0-9]*\\).*/\\1/p'").strip()
    guest.run(f"(cat /dev/input/{event} >/tmp/events 2>/dev/null &); sleep 1")
    with viewer(daemon, rfb.ZRLE, rfb.EXTENDED_SIZE) as seen:
        seen.wait(lambda: (seen.width, seen.height) == (1024, 768))
        for what in (0, 0), (1023, 767), (1023, 767, 1), (1023, 767), (512, 384, 8):
            seen.point(*what)
        daemon.wait_until(lambda: devices(daemon)["mouse"]["sent"] == 5, 30, "reports of the mouse")
    told = bytes.fromhex(guest.run("sleep 1; od -An -v -tx1 /tmp/events"))
    told = [struct.unpack("<HHi", told[at + 16:at + 24]) for at in range(0, len(told), 24)]
    # ABS_X and ABS_Y, BTN_LEFT, REL_WHEEL; where the pointer was already is no event.
    check([one for one in told if one[0] in (1, 3) or one[:2] == (2, 8)] ==
          [(3, 0, 32767), (3, 1, 32767), (1, 272, 1), (1, 272, 0), (3, 0, 16399), (3, 1, 16404), (2, 8, 1)], told)
    wait_until_nobody_looks(daemon)
    check(devices(daemon)["mouse"] == {"state": "ready", "waiting": 0, "sent": 5}, devices(daemon)["mouse"])
    with viewer(daemon, rfb.ZRLE) as seen:
        def type_with_shift():
            seen.type(*b"seen, 42")
            seen.key(0xffe1, True)
            seen.type(ord("!"))
            seen.key(0xffe1, False)
            seen.type(0xff0d)

        got = lines_of_a_terminal(guest, 1, meanwhile=type_with_shift)
    check(got == ["<seen, 42!>"], got)


def screen_shows(daemon, combination):
    """hyperv_drm takes the screen up in the mode that it is advised, also after a reset and a restore."""
    combination = {**combination, "kernel": "6.1-amd64"}  # the lab has the driver of that one alone
    guest = Guest(daemon, video={"width": 800, "height": 600}, modules=MODULES, **combination).boot()

    def check_screen():
        told = guest.run(INSERT + "cat /sys/class/graphics/fb0/virtual_size; dmesg | grep -c 'ERROR.*drm\\|drm.*ERROR'",
                         expect_status=None).split()
        check(told == ["800,600", "0"], told)
        report = devices(daemon)["video"]
        check(report["state"] == "ready" and report["version_minor"] == 5 and report["refused"] == 0
              and report["mode"] == {"active": True, "width": 800, "height": 600, "pitch": 3200, "offset": 0}, report)
        return report["rectangles"]

    # One viewer stays while the driver comes, goes with a reset, and comes again.
    with viewer(daemon, rfb.ZRLE, rfb.DESKTOP_SIZE) as seen:
        check((seen.width, seen.height) == (640, 480), (seen.width, seen.height))
        check_screen()
        seen.wait(lambda: seen.sizes == [(800, 600)] and any(map(any, seen.pixels)))
        daemon.vmctl("reset", "guest")
        guest.ready()
        seen.wait(lambda: not any(map(any, seen.pixels)))
        check_screen()
        seen.wait(lambda: any(map(any, seen.pixels)))
        check(check_screen() > 0, "the guest tells nothing of what it draws, and somebody looks")
    wait_until_nobody_looks(daemon)
    daemon.vmctl("save", "guest")
    guest.wait_state("saved")
    daemon.vmctl("start", "guest")
    guest.run("dmesg >/dev/tty1; sleep 1")
    check(check_screen() == 0, "the guest tells somebody what it draws, and nobody looks")
    # Of what the console shows, and of what a program paints: bars of these colours, on the whole screen.
    picture = SCRATCH / "console.png"
    daemon.vmctl("screenshot", "guest", "--image", picture)
    width, height, rows = read_png(picture)
    check((width, height) == (800, 600) and len({bytes(row) for row in rows}) > 50, "there is no text on the console")
    guest.run("for colour in '\\377\\0\\0\\0' '\\0\\377\\0\\0' '\\0\\0\\377\\0' '\\100\\200\\300\\0';"
              " do printf \"$colour%.0s\" $(seq 200); done >/tmp/row;"
              " for row in $(seq 600); do cat /tmp/row; done >/tmp/picture; cat /tmp/picture >/dev/fb0; sleep 2")
    # The same by RFB.
    line = [0xff] * 200 + [0xff00] * 200 + [0xff0000] * 200 + [0xc08040] * 200
    for encodings in [rfb.ZRLE], [rfb.RAW]:
        with viewer(daemon, *encodings) as seen:
            seen.wait(lambda: sum(row != line for row in seen.pixels) < 32)
            guest.run("head -c 320000 /dev/zero >/dev/fb0")
            seen.wait(lambda: not any(seen.pixels[50]))
            guest.run("cat /tmp/picture >/dev/fb0")
            seen.wait(lambda: seen.pixels[50] == line)
    wait_until_nobody_looks(daemon)
    picture = SCRATCH / "bars.png"
    daemon.vmctl("screenshot", "guest", "--image", picture)
    bars = b"\0\0\xff" * 200 + b"\0\xff\0" * 200 + b"\xff\0\0" * 200 + b"\xc0\x80\x40" * 200
    width, height, rows = read_png(picture)
    wrong = [number for number, row in enumerate(rows) if bytes(row) != bars]
    # The console's cursor may blink in its row.
    check(len(wrong) < 32, f"{len(wrong)} rows are not as they were painted: {wrong[:5]}")
    PICTURES.mkdir(exist_ok=True)
    for name in "console", "bars":
        shutil.copy(SCRATCH / f"{name}.png", PICTURES)


ALL = [keyboard_types, screen_points, screen_shows]
