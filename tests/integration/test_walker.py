#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A random walk over all that the service offers on the bus, led by what it says of itself.

Objects, methods and properties are found by introspection; calls are made of good and of hostile
arguments; guests are told to misbehave, files are spoiled, the service is killed. Every few steps
it has to be as it should, and at the end all has to go away again that the walk has brought.

Each step draws from a generator of its own, made of the seed and its number: "--seed N --steps N"
repeats a walk, as far as the order of what workers do allows.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import sys
import time
import xml.etree.ElementTree

sys.dont_write_bytecode = True
import rig  # noqa: E402
from bus import Bus, Refused, split  # noqa: E402
from test_switch import SwitchTest, in_own_network  # noqa: E402
from walker_values import COMMANDS, INTERFACE, PATHS, TEXTS, Values, make_files  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
parser.add_argument("--steps", type=int, default=600)
parser.add_argument("--trace", action="store_true", help="print each step")
options, rig.unittest_arguments = parser.parse_known_args(rig.unittest_arguments)

ROOT, SERVICE, FILES = "/org/vmms1", "org.vmms1", "org.vmms1.Files"
STATES = {"off", "starting", "running", "paused", "stopping", "saving", "saved", "crashed", "kept"}
TIMEOUT = 0.25  # seconds; then the walk goes on, and the answer is waited for at its end
CHECK_EVERY = 25  # steps
KEPT = 30  # steps that are shown of a walk that failed
FDS_AT_REST = 23  # of the service, at most: with that for nftables, which stays when it was used
FDS_A_VM = 40


class Object:
    """One that was found: its path, what it is, and its members by its own word."""

    def __init__(self, path, name, text):
        self.path, self.name, self.methods, self.properties = path, name, [], []
        tree = xml.etree.ElementTree.fromstring(text)
        self.children = [child.get("name") for child in tree.findall("node")]
        for interface in tree.findall("interface"):
            for method in interface.findall("method"):
                self.methods.append((interface.get("name"), method.get("name"),
                                     [(argument.get("name"), argument.get("type"))
                                      for argument in method.findall("arg")
                                      if argument.get("direction") != "out"]))
            for member in interface.findall("property"):
                self.properties.append((interface.get("name"), member.get("name"),
                                        member.get("type")))
        self.methods.sort()
        ours = [method for method in self.methods if method[0].startswith(SERVICE)]
        self.methods += 4 * ours  # those of all objects are of the library
        self.kind = {2: "manager", 3: "node"}.get(path.count("/"), path.split("/")[-2])


class Walker:
    def __init__(self, test, seed):
        self.test, self.seed = test, seed
        self.recent = collections.deque(maxlen=KEPT)
        self.called = collections.Counter()
        self.errors = collections.Counter()
        self.pending = {}  # serial of a call without an answer -> what it was
        self.held = collections.deque()  # descriptors that were given to us
        self.objects, self.known = {}, {}
        self.connect()

    def connect(self):
        self.bus = Bus(self.test.folder / "bus", SERVICE)

    # ---- What there is ----

    def introspect(self, path):
        return Object(path, self.name_of(path), self.bus.call(
            path, "org.freedesktop.DBus.Introspectable", "Introspect")[0])

    def name_of(self, path):
        """By which objects are in the same order in each walk: VMs' paths are not."""
        try:
            return str(self.bus.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", (
                SERVICE + "." + {"vm": "VM", "switch": "Switch"}[path.split("/")[3]], "Name"))[0])
        except (Refused, KeyError, IndexError):
            return path

    def look(self, path=ROOT):
        """Finds all objects."""
        if path == ROOT:
            self.objects = collections.defaultdict(list)
        try:
            # What holds others is looked at each time.
            if path not in self.known or path.count("/") < 4:
                self.known[path] = self.introspect(path)
        except Refused:
            return  # gone meanwhile
        found = self.known[path]
        if found.methods:
            self.objects[found.kind].append(found)
            self.objects[found.kind].sort(key=lambda one: (one.name, one.path))
        for child in found.children:
            self.look(f"{path}/{child}")

    def choose(self, step):
        few = len(self.objects["vm"]) < 3
        kind = step.choices(["manager", "vm", "switch", "job", "node"],
                            [60 if few else 20, 60, 8, 7, 1])[0]
        return step.choice(self.objects[kind] or self.objects["manager"])

    # ---- Steps ----

    def step(self, number):
        step = random.Random(f"{self.seed}.{number}")
        self.descriptors = []
        given = [one.path for kind in sorted(self.objects) for one in self.objects[kind]]
        values = Values(step, self.test.folder, given, self.descriptors)
        act = step.choices([self.call, self.wrong_call, self.property, self.command, self.by_hand,
                            self.restart], [800, 40, 60, 90, 6, 2])[0]
        try:
            act(step, values)
        finally:
            for fd in self.descriptors:
                os.close(fd)
        while len(self.held) > 8:
            os.close(self.held.popleft())

    def say(self, *words):
        text = " ".join(map(str, words))
        self.recent.append(text if len(text) < 600 else text[:600] + "…")
        if options.trace:
            print(self.recent[-1], flush=True)

    def send(self, path, interface, member, signature="", values=()):
        """A call, whose answer need not come soon."""
        self.say(path, interface, member, signature, values)
        serial = self.bus.send(path, interface, member, signature, values,
                               destination=FILES if interface == FILES else None)
        self.called[member] += 1
        reply = self.bus.reply(serial, TIMEOUT)
        if reply is None:
            self.say("  no answer yet")
            self.pending[serial] = f"{member} {values} of {path}"
            return None
        self.say("  ", reply.error or "", reply.values)
        self.errors[reply.error] += 1
        self.held.extend(reply.fds)
        return reply

    def call(self, step, values):
        chosen = self.choose(step)
        interface, member, arguments = step.choice(chosen.methods)
        if member == "StopGuests" and values.chance(0.8):
            member = "StartGuests"
            arguments = []
        signature = "".join(type for _, type in arguments)
        self.send(chosen.path, interface, member, signature,
                  [values.argument(interface, name or "", type) for name, type in arguments])
        if member in ("CreateVM", "CreateSwitch", "DeleteVM", "Delete"):
            self.look()

    def wrong_call(self, step, values):
        """Of another object, interface, member or signature than there is."""
        chosen = self.choose(step)
        interface, member, arguments = step.choice(chosen.methods)
        signature = "".join(type for _, type in arguments)
        path = chosen.path
        wrong = step.randrange(4)
        if wrong == 0:
            path = step.choice(PATHS)
        elif wrong == 1:
            interface = step.choice([None, "org.vmms1.X", "org.freedesktop.DBus.Peer"])
        elif wrong == 2:
            member = step.choice(["X", "Start1", "a" * 255])
        else:
            signature = step.choice(["", "s", "ss", "h", "a{sv}", "v", "at", signature + "s"])
        self.send(path, interface, member, signature,
                  [values.any(type) for type in split(signature)])

    def property(self, step, values):
        chosen = self.choose(step)
        interface, name, type = step.choice(chosen.properties or [("x", "x", "s")])
        if step.random() < 0.6:
            arguments = "ssv", (interface, name, (type, values.any(type)))
            self.send(chosen.path, "org.freedesktop.DBus.Properties", "Set", *arguments)
        else:
            self.send(chosen.path, "org.freedesktop.DBus.Properties", "Get", "ss",
                      (interface, name))

    def command(self, step, values):
        """Has a guest do something."""
        machine = step.choice(self.objects["vm"] or self.objects["manager"])
        text = step.choice(COMMANDS)
        reply = self.send(machine.path, FILES, "OpenConsole", "a{sv}", [[]])
        if reply and reply.fds:
            self.say("  types", repr(text))
            with contextlib.suppress(OSError):
                os.write(reply.fds[0], text.encode("latin-1") + b"\n")

    def by_hand(self, step, values):
        """Somebody spoils a file, and mends it."""
        files = sorted(pathlib.Path(self.test.state).glob("*/*.json"))
        if not files:
            return
        file = step.choice(files)
        text = file.read_bytes()
        self.say("spoils", file)
        spoilt = step.choice([b"", b"{", text[:len(text) // 2], text.replace(b"1", b"x"),
                              b"\xff" * 100, step.choice(TEXTS).encode(), None])
        if spoilt is None:
            file.unlink()
        else:
            file.write_bytes(spoilt)
        self.send(ROOT, SERVICE + ".Manager", "Reload")
        file.write_bytes(text)
        self.send(ROOT, SERVICE + ".Manager", "Reload")
        self.look()

    def restart(self, step, values):
        self.say("kills the service")
        self.test.kill_vmms()
        self.test.start_vmms()
        self.look()

    # ---- What has to be true ----

    def fds(self):
        """What the service has open."""
        folder = f"/proc/{self.test.vmms.pid}/fd"
        return sorted(os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder))

    def children(self):
        """Processes, dead ones too, that the service has started."""
        return rig.children(self.test.vmms.pid)

    def check(self):
        test, vms = self.test, self.machines()
        test.assertIsNone(test.vmms.poll(), "vmms has ended")
        self.bus.call(ROOT, "org.freedesktop.DBus.Peer", "Ping")
        self.bus.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        names = [name for name, _, _, _ in vms]
        test.assertEqual(names, sorted(set(names)))
        for name, uuid, state, path in vms:
            test.assertIn(state, STATES)
            stored = json.loads((test.state / "vms" / f"{name}.json").read_text())
            test.assertEqual((stored["name"], stored["uuid"]), (name, uuid))
            definition = self.bus.call(path, "org.freedesktop.DBus.Properties", "Get", "ss",
                                       (SERVICE + ".VM", "Definition"))[0][1]
            test.assertEqual(json.loads(definition)["uuid"], uuid)
        test.assertLess(len(self.fds()), FDS_AT_REST + FDS_A_VM * (len(vms) + 1))
        test.assertLess(len(self.children()), 12 * (len(vms) + 1))
        self.collect()

    def machines(self):
        return self.bus.call(ROOT, SERVICE + ".Manager", "ListVMs")[0]

    def collect(self):
        """Answers that were late."""
        for serial in list(self.pending):
            reply = self.bus.reply(serial, 0)
            if reply is not None:
                reply.close()
                del self.pending[serial]

    # ---- The end ----

    def try_call(self, path, interface, member, *arguments):
        with contextlib.suppress(Refused):
            self.bus.call(path, interface, member, *arguments)

    def all_deleted(self):
        for name, _, state, path in self.machines():
            if state == "saved":
                self.try_call(path, SERVICE + ".VM", "DiscardSavedState")
            elif state not in ("off", "crashed"):
                self.bus.send(path, SERVICE + ".VM", "TurnOff")
            else:
                self.try_call(path, SERVICE + ".VM", "TurnOff")  # or it might start again
                self.try_call(path, SERVICE + ".VM", "Delete")
        return not self.machines()

    def all_answered(self):
        self.collect()
        return not self.pending

    def finish(self):
        """Nothing is left of what the walk has brought, and nobody waits for an answer."""
        wait = rig.wait_until
        wait(self.all_deleted, "all VMs to be deleted")
        for _, _, _, path in self.bus.call(ROOT, SERVICE + ".Manager", "ListSwitches")[0]:
            self.bus.call(path, SERVICE + ".Switch", "Delete")
        wait(self.all_answered, f"answers to {list(self.pending.values())}")
        while self.held:
            os.close(self.held.popleft())
        wait(lambda: len(self.fds()) <= FDS_AT_REST, f"the service to close some of {self.fds()}")
        wait(lambda: not self.children(), "the service's processes to be gone")
        for folder in "state/vms", "state/switches", "run/workers":
            self.test.assertEqual(list((self.test.folder / folder).iterdir()), [])

    def never_called(self):
        return {member for found in self.known.values() for _, member, _ in found.methods
                if not self.called[member]}

    def walk(self, steps):
        self.look()
        for number in range(steps):
            self.step(number)
            if number % 10 == 0:
                self.look()
            if number % CHECK_EVERY == 0:
                self.check()
        self.check()
        self.finish()
        self.bus.close()


# Lives as long as the other end of its descriptor 3; its folder is there to be found by.
FAKE_PASST = """#!/bin/sh
exec {python} -c 'import os, sys; os.read(int(sys.argv[1]), 1)' 3 {folder}
"""


class Walk(SwitchTest if os.geteuid() == 0 else rig.ServiceTest):
    vmms_arguments = ("--shutdown-timeout", "1", "--answer-timeout", "2")

    def start_vmms(self, *extra, wait=True):
        passt = self.folder / "fake-passt"
        if not passt.exists():
            passt.write_text(FAKE_PASST.format(folder=self.folder, python=sys.executable))
            passt.chmod(0o755)
        super().start_vmms("--passt", passt, *extra, wait=wait)

    def passt_processes(self):
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_bytes().endswith(b"\x003\0" + bytes(self.folder) + b"\0"):
                    found.append(path)
        return found

    def test_walk(self):
        print(f"--seed {options.seed} --steps {options.steps}", file=sys.stderr, flush=True)
        make_files(self.folder)
        if os.geteuid() == 0:
            self.interface(INTERFACE)
        began = time.monotonic()
        walker = Walker(self, options.seed)
        try:
            walker.walk(options.steps)
        except BaseException:
            print(*walker.recent, f"--seed {options.seed}", sep="\n", file=sys.stderr)
            raise
        if options.steps >= 5000:
            self.assertEqual(walker.never_called(), set())
        self.stop_vmms()
        rig.wait_until(lambda: not self.passt_processes(), "each passt to be gone")
        print(f"{sum(walker.called.values())} calls in {time.monotonic() - began:.0f} s; errors:",
              *walker.errors.most_common(), sep="\n  ", file=sys.stderr)


if __name__ == "__main__":
    if os.geteuid() == 0:
        in_own_network()
    rig.main()
