# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the walker calls with: plausible values by the names of arguments, and hostile ones by type.

Everything is drawn from the random.Random of a step, so that a step can be repeated.
"""

import json
import os
import socket

from bus import split

VMS = ["a", "b", "c", "vm-d"]
SWITCHES = ["lan", "dmz", "wan"]
ADAPTERS = ["nic0", "nic1", "x"]
INTERFACE = "walk0"  # of the host, for switches to take
# What the fake worker does then; see tests/fake/fake_worker.c.
FAULTS = ["refuse-configure", "refuse-start", "die-in-configure", "mute-configure", "mute-start",
          "mute-stop", "no-shutdown", "slow-shutdown", "no-services", "slow-copy", "refuse-disks",
          "slow-detach", "eject-meanwhile", "refuse-adapters", "refuse-actions", "refuse-adopt",
          "mute-adopt", "mute-statistics", "hostile-statistics", "hostile-processors",
          "mute-inspect", "hostile-inspect"]
COMMANDS = ["shutdown", "reboot", "crash", "keep", "error", "exit", "leave", "garbage",
            "addresses", "flood", "talk", "hang-up", "eject", "guest", "hostile", "thawed",
            "settled", "connect", "connect-often", "\x00\x1b[31m\xff"]

TEXTS = ["", " ", "a", "vm", "..", "../../etc/passwd", "/", "//", "a/b", "%s%n%x", "\x01\x1b[2J",
         "\u202eevil", "\U0001f427", "\ufeff", "a\nb", "'\"\\", "{}", "[]", "null", "-1", "a" * 65,
         "a" * 256, "x" * 5000, "\\u0000"]
NUMBERS = [0, 1, 2, 3, 4, 63, 64, 65, 255, 256, 1 << 15, (1 << 15) - 1, (1 << 16) - 1, 1 << 31,
           (1 << 31) - 1, (1 << 32) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
BITS = {"y": 8, "q": 16, "u": 32, "t": 64, "n": 16, "i": 32, "x": 64}
PATHS = ["/", "/org", "/org/vmms1", "/org/vmms1/vm", "/org/vmms1/vm/x", "/org/vmms1/job/0",
         "/org/vmms1/job/4294967296", "/org/vmms1/switch/" + "_" * 36, "/a" * 500]
SIGNATURES = ["", "s", "a{sv}", "(" * 32 + "y" + ")" * 32, "a" * 32 + "y", "h", "v"]
GENERATION_IDS = ["6bb8cd33-4a05-4b21-9d33-7a1a3b0b9d9e", "7" * 36, "00000000-0000-0000-0000-000000000000"]
DISKS = ["disk0", "disk1", "disk2", "empty", "none", ".", "kernel", "fifo", "socket", "loop"]

VALUES = [None, True, -1, 0, 1, 1.5, 1e300, 1 << 70, "", "64M", "9" * 30, [], {}, [[]], [None],
          {"": {}}, {"a": [{}]}, "\x00", "\ud800"]


def make_files(folder):
    for name in "disk0", "disk1", "disk2", "empty":
        with open(folder / name, "wb") as image:
            image.truncate(0 if name == "empty" else 1 << 20)
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))


class Values:
    def __init__(self, random, folder, given, descriptors):
        """given: paths of objects that there are. descriptors: a list, of what is to be closed
        when the call has been sent."""
        self.random, self.folder, self.given, self.descriptors = random, folder, given, descriptors
        self.named = {
            "definition": self.definition, "disk": self.disk_text, "adapter": self.adapter_text,
            "name": self.name, "path": self.path, "controller": lambda: self.below(4),
            "lun": lambda: self.below(3), "pool": lambda: self.pick(["guest", "host", "external"]),
            "key": lambda: self.pick(["color", "taste"]), "value": lambda: self.pick(TEXTS),
            "limit": lambda: self.pick([1, 5, 86400]), "count": lambda: self.pick([0, 1, 100]),
            "part": lambda: self.pick(["machine", "vps", "vmbus", "channels", "gpadls", "devices", "sockets"]),
            "first": lambda: self.pick([0, 1, 32]), "port": lambda: self.pick([0, 9, 22, 5000]),
            "id": lambda: self.below(30), "options": self.options, "file": self.descriptor, "files": self.files,
            "interface_name": self.interface, "property_name": self.property}

    def pick(self, choices):
        return self.random.choice(choices)

    def below(self, number):
        return self.random.randrange(number)

    def chance(self, probability):
        return self.random.random() < probability

    # ---- By the name of an argument ----

    def argument(self, interface, name, type):
        self.is_switch = interface.endswith("Switch")
        made = self.named[name]() if name in self.named and self.chance(0.85) else None
        fits = {"s": str, "u": int, "h": int, "a{sv}": list, "a{sh}": list}.get(type)
        return made if made is not None and fits and isinstance(made, fits) else self.any(type)

    def file(self):
        return str(self.folder / self.pick(DISKS))

    def path(self):
        return self.file() if self.chance(0.8) else self.pick(["/tmp/file", "/there", "/silence",
                                                              "relative", "/x" * 3000])

    def name(self):
        return self.pick(VMS + SWITCHES + ADAPTERS)

    def files(self):
        names = ["kernel", "initrd", "disk:0:0", "disk:0:1", "disk:3:2", "serial"]
        return [(self.pick(names), self.descriptor()) for _ in range(self.pick([0, 1, 1, 2]))]

    def interface(self):
        return self.pick(["org.vmms1.VM", "org.vmms1.Manager", "org.vmms1.Job", "org.vmms1.Switch",
                          "org.freedesktop.DBus.Properties", "", "x", "a." * 100 + "b"])

    def property(self):
        return self.pick(["Name", "State", "Definition", "Notes", "BrokenDefinitions", "Done", "",
                          "x" * 300])

    def options(self):
        good = [("force", "b"), ("reboot", "b"), ("hibernate", "b"), ("timeout", "u"), ("base", "s"), ("watch", "b"),
                ("take", "b"), ("log", "b"), ("until-off", "b"), ("overwrite", "b"),
                ("create-path", "b"), ("snap-length", "u")]
        options = []
        for _ in range(self.pick([0, 0, 0, 1, 1, 2])):
            name, type = self.pick(good)
            if self.chance(0.1):
                name, type = self.pick(TEXTS), self.pick(["s", "u", "v", "as", "h", "(ii)"])
            options.append((name, (type, self.any(type))))
        return options

    # ---- Definitions ----

    def text(self, tree):
        """As JSON, and at times as what nearly is."""
        if self.chance(0.15):
            self.spoil(tree)
        text = json.dumps(tree, indent=self.pick([None, 1]))
        if self.chance(0.05):
            cut = self.below(len(text) + 1)
            text = text[:cut] + self.pick(["", "{", "\\", '"', "\x7f"]) + \
                text[cut + self.below(3):]
        if self.chance(0.03):
            text = self.pick(["[" * 5000, '{"a":' * 5000, "[" * 30 + "]" * 30, "[1]" * 2, text * 2,
                              '{"name":"a","name":"a"}', '"' + "x" * (1 << 20) + '"', "{" + " " *
                              100000 + "}", text.replace(":", ": /*x*/")])
        return text

    def spoil(self, tree):
        """Puts a value of another kind somewhere into it."""
        while isinstance(tree, (dict, list)) and tree:
            keys = list(tree) if isinstance(tree, dict) else range(len(tree))
            key = self.pick(keys)
            if self.chance(0.5) or not isinstance(tree[key], (dict, list)) or not tree[key]:
                tree[key] = self.pick(VALUES)
                return
            tree = tree[key]

    def definition(self):
        return self.text(self.switch() if self.is_switch or self.chance(0.15) else self.vm())

    def switch(self):
        tree = {"name": self.pick(SWITCHES),
                "type": self.pick(["private", "internal", "internal", "external"])}
        if tree["type"] == "external":
            tree["interface"] = INTERFACE
        if tree["type"] == "internal" and self.chance(0.5):
            tree["addresses"] = [self.pick(["192.0.2.1/24", "198.51.100.1/24", "2001:db8::1/64"])]
        if self.chance(0.3):
            tree["mtu"] = self.pick([1500, 9000, 1])
        return tree

    def vm(self):
        faults = self.random.sample(FAULTS, self.pick([0, 0, 0, 1, 2]))
        tree = {"name": self.pick(VMS),
                "boot": {"kernel": str(self.folder / "kernel"), "command_line": " ".join(faults)}}
        members = {
            "disks": lambda: [self.disk() for _ in range(self.below(4))],
            "network_adapters": lambda: [self.adapter() for _ in range(self.below(3))],
            "notes": lambda: self.pick(TEXTS), "generation_id": lambda: self.pick(GENERATION_IDS),
            "tags": lambda: self.pick([[], ["a"], ["a", "b"]]),
            "processors": lambda: {"count": self.pick([1, 2, 240, 1 << 20]),
                                   "model": self.pick(["host", "baseline"])},
            "numa": lambda: self.pick([[], [{}], [{}, {}], [{"processors": "0", "memory": "64M"}]]),
            "hyper_v": lambda: {self.pick(["ipi", "apic_msrs"]): self.pick([True, False])},
            "memory": lambda: {"size": self.pick(["64M", 1 << 30, "1M"])},
            "engine": lambda: self.pick(["auto", "in-kernel"]),
            "checkpoints": lambda: self.pick(["production", "standard", "disabled"]),
            "owner": lambda: self.pick(["root", "nobody", "none-such"]),
            "actions": lambda: {"crash": self.pick(["restart", "stop", "keep"]),
                                "worker_failure": self.pick(["stop", "restart"])},
            "automatic_start": lambda: {"action": "start", "delay": self.below(2)},
            "automatic_stop": lambda: {"action": self.pick(["save", "shut-down", "turn-off"]),
                                       "timeout": 1},
            "resources": lambda: self.pick([
                {"cpu_weight": 1}, {"cpu_weight": 10000}, {"cpus": "0"}, {"cpus": "0,1023"},
                {"pinning": [{"vps": "0", "cpus": "0"}]}]),
            "cluster": lambda: self.pick([True, False]), "version": lambda: self.pick([1, 2, 3]),
        }
        for key in self.random.sample(sorted(members), self.pick([0, 1, 2, 4, 8])):
            tree[key] = members[key]()
        # One that says nothing of adapters has one.
        if self.chance(0.5):
            tree.setdefault("network_adapters", [])
        return tree

    def disk(self):
        disk = {"path": self.file()}
        if self.chance(0.5):
            disk["lun"] = self.below(4)
        if self.chance(0.3):
            disk["type"] = "dvd"
            if self.chance(0.5):
                del disk["path"]
        if self.chance(0.2):
            disk["read_only"] = True
        return disk

    def disk_text(self):
        return self.text(self.disk())

    def adapter(self):
        adapter = {"switch": self.pick(["default", "none"] + SWITCHES)}
        if self.chance(0.6):
            adapter["name"] = self.pick(ADAPTERS)
        if self.chance(0.2):
            adapter["mac"] = self.pick(["02:56:4d:01:02:03", "ff:ff:ff:ff:ff:ff"])
        if self.chance(0.2):
            adapter[self.pick(["vlan", "mtu", "queues", "forward", "tap", "x"])] = self.pick(VALUES)
        return adapter

    def adapter_text(self):
        return self.text(self.adapter())

    # ---- By type ----

    def any(self, type, depth=0):
        code = type[0]
        if code in BITS:
            bits, signed = BITS[code], code in "nix"
            value = self.pick(NUMBERS) & ((1 << bits) - 1)
            return value - (1 << bits) if signed and value >= 1 << (bits - 1) else value
        if code == "b":
            return self.below(2)
        if code == "d":
            return self.pick([0.0, -1.5, 1e308, float("inf"), float("nan")])
        if code == "s":
            return self.pick(TEXTS) if self.chance(0.98) else "x" * (1 << 20)
        if code == "o":
            return self.pick(PATHS + self.given)
        if code == "g":
            return self.pick(SIGNATURES)
        if code == "h":
            return self.descriptor()
        if code == "v":
            inner = self.pick(["s", "u", "b", "as", "a{sv}", "t", "o", "h", "(su)"])
            inner = inner if depth < 3 else "s"
            return inner, self.any(inner, depth + 1)
        if code == "a":
            # A bus passes 16 descriptors with a message, and hangs up on whoever has more.
            counts = [0, 1, 2] if "h" in type else [0, 1, 2, 40]
            return [self.any(type[1:], depth + 1) for _ in range(self.pick(counts))]
        return tuple(self.any(inner, depth + 1) for inner in split(type[1:-1]))

    def descriptor(self):
        """Of a file that may be read, or of something else."""
        kind = self.pick(["file", "file", "both", "both", "write", "folder", "pipe", "socket", "null",
                          "path", "event"])
        flags = {"both": os.O_RDWR, "write": os.O_WRONLY, "folder": os.O_DIRECTORY, "path": os.O_PATH}.get(kind, 0)
        if kind == "pipe":
            fd, other = os.pipe()
            os.close(other)
        elif kind == "socket":
            one, other = socket.socketpair()
            fd = one.detach()
            other.close()
        elif kind == "event":
            fd = os.eventfd(0)
        else:
            name = {"folder": self.folder, "null": "/dev/null"}.get(kind, self.folder / "disk0")
            fd = os.open(name, flags)
        self.descriptors.append(fd)
        return fd
