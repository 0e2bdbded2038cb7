#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checkpoints: the tree, its disks, what is merged, what is refused, and daemons that are killed.

What a guest would write is written here into the image that the VM has now, as whole blocks; what
each checkpoint has to hold is kept in a model, and read back through the chain of images.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import struct
import sys
import unittest

sys.dont_write_bytecode = True
from rig import (FAILED, NO_SUCH_VM, NOT_PERMITTED, USAGE, WRONG_STATE, ServiceTest,  # noqa: E402
                 OK, arguments, main, wait_until)
from test_access import SYSTEM_POLICY  # noqa: E402

MIB = 1 << 20
BLOCKS = 4  # of a disk, of 1 MiB each
TABLE = 3 * MIB  # where images of ours have the table of blocks
FULLY = 6
MEMBER = 1  # of Debian's users: daemon
WALK_STEPS = 60
LONGEST = 5  # seconds until a step is reached


def write_block(path, block, value):
    """As a guest does that writes all of a block."""
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        place = (end + MIB - 1) // MIB * MIB
        file.seek(place)
        file.write(bytes([value]) * MIB)
        file.seek(TABLE + block * 8)
        file.write(struct.pack("<Q", place | FULLY))


class CheckpointTest(ServiceTest):
    disks = 2

    def setUp(self):
        super().setUp()
        self.home = self.folder / "disks"
        self.home.mkdir()

    def make_vm(self, name="vm", **members):
        paths = [self.home / f"{name}{i}.vhdx" for i in range(self.disks)]
        for path in paths:
            self.ok("disk", "create", path, f"{BLOCKS}M", "--block-size", "1M")
        self.create(name, disks=[{"path": str(path), "format": "vhdx", "lun": i}
                                 for i, path in enumerate(paths)], **members)

    def paths(self, name="vm"):
        return [disk["path"] for disk in self.show(name)["definition"]["disks"]]

    def tree(self, name="vm"):
        return json.loads(self.ok("checkpoint", "list", name, "--json"))

    def make(self, name=None, vm="vm"):
        words = ["--name", name] if name else []
        return json.loads(self.ok("checkpoint", "create", vm, *words, "--json"))["checkpoint"]

    def apply(self, which, how="--discard", vm="vm"):
        self.ok("checkpoint", "apply", vm, which, how)

    def parent(self, path):
        info = json.loads(self.ok("disk", "info", path, "--json"))
        if info["type"] != "differencing":
            return None
        return os.path.join(os.path.dirname(path), info["parent"]["path"].replace("\\", "/"))

    def chain(self, path):
        found = []
        while path:
            found.append(os.path.normpath(path))
            path = self.parent(path)
        return found

    def content(self, path):
        """The value of each block."""
        values = [0] * BLOCKS
        for image in reversed(self.chain(path)):
            with open(image, "rb") as file:
                file.seek(TABLE)
                for block, entry in enumerate(struct.unpack(f"<{BLOCKS}Q", file.read(8 * BLOCKS))):
                    if entry & 7 == FULLY:
                        file.seek(entry & ~(MIB - 1))
                        values[block] = file.read(1)[0]
        return values

    def contents(self, paths):
        return [self.content(path) for path in paths]

    def stored(self):
        """The tree of the only VM that has one."""
        return json.loads(next((self.state / "checkpoints").glob("*.json")).read_text())["tree"]

    def hidden(self):
        return [point["id"] for point in self.stored()["checkpoints"] if point["hidden"]]

    def names(self):
        return {path.name for path in self.home.iterdir()}

    def run_once(self, name="vm"):
        """vmms opens the whole chain, and sees that each image is on the one that it was made on."""
        self.ok("start", name)
        self.ok("stop", name)


class Tree(CheckpointTest):
    def test_made_shown_applied(self):
        self.make_vm(notes="first")
        base = self.paths()
        write_block(base[0], 0, 1)
        self.assertEqual(self.tree(), {"checkpoints": [], "current": 0})
        self.assertEqual(self.ok("checkpoint", "list", "vm"), "")
        self.assertEqual(self.ok("checkpoint", "create", "vm", "--name", "clean", "--notes", "n"),
                         "checkpoint 1 of VM 'vm' made\n")
        now = self.paths()
        self.assertEqual([self.parent(path) for path in now],
                         [os.path.join(self.home, ".", os.path.basename(path)) for path in base])
        for path in now:
            self.assertRegex(path, r"/vm\d_[0-9a-f-]{36}\.avhdx$")
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        before = [pathlib.Path(path).read_bytes() for path in base]
        write_block(now[0], 0, 2)
        write_block(now[1], 3, 3)
        self.ok("set", "vm", "notes=second")
        self.run_once()
        generation = self.show()["definition"].get("generation_id")
        self.ok("checkpoint", "apply", "vm", "clean", "--discard")
        self.assertEqual(self.show()["definition"]["notes"], "first")
        self.assertNotIn(self.show()["definition"]["generation_id"], (None, generation))
        self.assertEqual(self.contents(self.paths()), [[1, 0, 0, 0], [0, 0, 0, 0]])
        self.assertEqual([pathlib.Path(path).read_bytes() for path in base], before)
        # What it was is gone.
        self.assertEqual(self.names(), {os.path.basename(path) for path in [*base, *self.paths()]})
        self.run_once()
        text = self.ok("checkpoint", "show", "vm", "1")
        self.assertRegex(text, r"number: +1\nname: +clean\nnotes: +n\nmade: +20.*\ntype: +off")
        self.assertIn(base[1], text)
        self.assertEqual(self.show()["definition"]["name"], "vm")

    def test_a_tree_is_drawn(self):
        self.make_vm()
        self.make("a")
        self.make("b")
        self.apply("a")
        self.make("c")
        self.apply("b", "--keep")
        drawn = re.sub(r"\(20.*\)", "()", self.ok("checkpoint", "list", "vm"))
        drawn = re.sub(r"4  20\S+ \S+", "4  TIME", drawn)
        self.assertEqual(drawn, "`- 1  a  ()\n"
                                "   |- 2  b  ()\n"
                                "   |  `- now\n"
                                "   `- 3  c  ()\n"
                                "      `- 4  TIME  ()\n")
        info = self.tree()
        self.assertEqual([(point["id"], point["parent"]) for point in info["checkpoints"]],
                         [(1, 0), (2, 1), (3, 1), (4, 3)])
        self.assertEqual(info["current"], 2)

    def test_deleted(self):
        self.make_vm()
        base = self.paths()
        write_block(base[0], 0, 1)
        self.make("a")
        first = self.paths()
        write_block(first[0], 0, 2)
        self.make("b")
        second = self.paths()
        write_block(second[0], 0, 3)
        self.make("c")
        write_block(self.paths()[0], 0, 4)
        third = self.paths()
        # Where one alone stands on it, that one's disks are brought into its own.
        self.ok("checkpoint", "delete", "vm", "b")
        self.assertEqual([(point["name"], point["parent"]) for point in self.tree()["checkpoints"]],
                         [("a", 0), ("c", 1)])
        self.assertEqual(self.chain(self.paths()[0]), [third[0], first[0], base[0]])
        self.assertFalse(os.path.exists(second[0]))
        self.assertEqual(self.content(third[0]), [4, 0, 0, 0])
        self.assertEqual(self.content(first[0]), [3, 0, 0, 0])
        self.refused(NO_SUCH_VM, "checkpoint", "apply", "vm", "b", "--discard", says="no checkpoint")
        # When nothing stands on it any more, they go.
        self.apply("a")
        self.assertTrue(os.path.exists(first[0]))
        self.ok("checkpoint", "delete", "vm", "c")
        self.assertFalse(os.path.exists(first[0]))
        self.assertEqual(self.names(), {os.path.basename(path) for path in [*base, *self.paths()]})
        self.assertEqual(self.content(self.paths()[0]), [1, 0, 0, 0])
        self.run_once()
        write_block(self.paths()[0], 2, 5)
        self.ok("checkpoint", "delete", "vm", "a", "--subtree")
        self.assertEqual(self.tree(), {"checkpoints": [], "current": 0})
        # The VM has the disks that it began with.
        self.assertEqual(self.paths(), base)
        self.assertEqual(self.names(), {os.path.basename(path) for path in base})
        self.assertEqual(self.content(base[0]), [1, 0, 5, 0])
        self.run_once()

    def test_a_subtree(self):
        self.make_vm()
        self.make("a")
        for name in "b", "c":
            self.make(name)
        self.apply("a")
        self.make("d")
        self.apply("a")
        self.ok("checkpoint", "delete", "vm", "b", "--subtree")
        self.assertEqual([point["name"] for point in self.tree()["checkpoints"]], ["a", "d"])
        self.assertEqual(len(self.names()), 2 * 3)

    def test_renamed(self):
        self.make_vm()
        self.make("a")
        self.ok("checkpoint", "rename", "vm", "1", "b", "--notes", "why")
        self.make("b")
        self.refused(USAGE, "checkpoint", "show", "vm", "b", says="several")
        self.ok("checkpoint", "rename", "vm", "2", "\u00e4")
        point = json.loads(self.ok("checkpoint", "show", "vm", "1", "--json"))
        self.assertEqual((point["name"], point["notes"]), ("b", "why"))
        for name in "7", "", "a\x1bb", "x" * 101:
            self.refused(USAGE, "checkpoint", "rename", "vm", "1", name, says="name")
        self.refused(USAGE, "checkpoint", "create", "vm", "--name", "12", says="name")

    def test_the_vm_is_renamed_and_the_daemon_ends(self):
        self.make_vm()
        self.make("a")
        self.ok("rename", "vm", "other")
        before = self.tree("other")
        self.stop_vmms()
        self.start_vmms()
        self.assertEqual(self.tree("other"), before)
        self.apply("a", vm="other")
        self.assertEqual(self.show("other")["definition"]["name"], "other")

    def test_a_vm_with_checkpoints_is_not_deleted(self):
        self.make_vm()
        self.make("a")
        self.refused(WRONG_STATE, "delete", "vm", says="1 checkpoints")
        self.ok("checkpoint", "delete", "vm", "a")
        self.ok("delete", "vm")
        self.assertEqual([path.name for path in (self.state / "checkpoints").glob("*.json")], [])

    def test_counted(self):
        self.make_vm()
        for _ in range(12):
            self.make()
        self.refused(WRONG_STATE, "checkpoint", "create", "vm", says="12 checkpoints")
        self.run_once()
        self.apply("1")
        self.make()

    def test_a_dvd_and_what_is_only_read_stay(self):
        self.disks = 1
        self.make_vm()
        for words in (["--dvd"], ["--read-only"]):
            self.ok("attach", "vm", self.disk(words[0].strip("-"))["path"], *words)
        before = self.paths()
        self.make("a")
        self.assertEqual(self.paths()[1:], before[1:])
        self.assertNotEqual(self.paths()[0], before[0])


class Refused(CheckpointTest):
    disks = 1

    def test_states(self):
        self.make_vm()
        self.make("a")
        self.ok("start", "vm")
        self.refused(WRONG_STATE, "checkpoint", "apply", "vm", "a", "--discard", says="running")
        self.ok("checkpoint", "list", "vm")
        self.ok("save", "vm")
        for words in (["create", "vm"], ["delete", "vm", "a"]):
            self.refused(WRONG_STATE, "checkpoint", *words, says="saved")

    def test_formats(self):
        self.create(disks=[self.disk("raw")])
        self.refused(WRONG_STATE, "checkpoint", "create", "vm", says="vmctl disk convert")
        self.create("none")
        self.refused(WRONG_STATE, "checkpoint", "create", "none", says="no disk")
        self.refused(NO_SUCH_VM, "checkpoint", "create", "nobody")
        self.refused(NO_SUCH_VM, "checkpoint", "show", "vm", "7", says="no checkpoint '7'")
        self.assertEqual(self.tree()["checkpoints"], [])

    def test_apply_has_to_know(self):
        self.make_vm()
        self.make("a")
        self.refused(USAGE, "checkpoint", "apply", "vm", "a", says="--keep")
        self.refused(USAGE, "checkpoint", "apply", "vm", "a", "--keep", "--discard", says="--keep")

    def test_all_disks_or_none(self):
        self.disks = 2
        self.make_vm()
        paths = self.paths()
        os.rename(paths[1], paths[1] + ".away")
        before = self.names()
        self.refused(FAILED, "checkpoint", "create", "vm", says="No such file")
        self.assertEqual(self.names(), before)
        self.assertEqual((self.paths(), self.tree()["checkpoints"]), (paths, []))
        os.rename(paths[1] + ".away", paths[1])
        # Somebody uses it.
        self.create("other", disks=[{"path": paths[1], "format": "vhdx"}])
        self.ok("start", "other")
        self.refused(FAILED, "checkpoint", "create", "vm", says="in use")
        self.assertEqual(self.names(), {os.path.basename(path) for path in paths})
        self.ok("stop", "other")
        self.make("a")

    def test_a_disk_of_a_checkpoint_is_not_written(self):
        self.make_vm()
        base = self.paths()[0]
        self.make("a")
        self.create("other", disks=[{"path": base, "format": "vhdx"}])
        self.refused(FAILED, "start", "other", says="disk of a checkpoint of VM 'vm'")
        self.create("reader", disks=[{"path": base, "format": "vhdx", "read_only": True}])
        self.ok("start", "reader")
        # Who reads it keeps nobody from applying it.
        self.apply("a")

    def test_a_disk_of_a_checkpoint_is_not_changed(self):
        self.make_vm()
        base = self.paths()[0]
        self.ok("disk", "resize", base, f"{BLOCKS + 1}M")
        self.make("a")
        before = pathlib.Path(base).read_bytes()
        for words in (["resize", base, "9M"], ["compact", base], ["check", base, "--repair"]):
            self.refused(FAILED, "disk", *words, says="checkpoint of VM 'vm'")
        self.ok("disk", "check", base)
        self.ok("disk", "info", base)
        self.assertEqual(pathlib.Path(base).read_bytes(), before)
        self.ok("checkpoint", "delete", "vm", "a")
        self.ok("disk", "resize", base, "9M")

    def test_what_is_written_down_is_broken(self):
        self.make_vm()
        self.make("a")
        self.stop_vmms()
        record = next((self.state / "checkpoints").glob("*.json"))
        whole = record.read_text()
        for text in ("", "{}", whole.replace('"version"', '"versio"'), whole[:-9],
                     whole.replace('"current":1', '"current":7').replace('"current": 1', '"current": 7')):
            record.write_text(text)
            self.start_vmms()
            self.refused(FAILED, "checkpoint", "create", "vm", says="cannot be read")
            self.refused(FAILED, "delete", "vm", says="cannot be read")
            self.stop_vmms()
            self.assertEqual(record.read_text(), text)
        record.write_text(whole)
        self.start_vmms()
        self.assertEqual(len(self.tree()["checkpoints"]), 1)


class Merge(CheckpointTest):
    """What a deletion makes of disks, where it can and where it cannot yet."""

    def test_several_that_stand_on_it(self):
        """Files stay until one is left, whichever that is."""
        for left in "bc", "cb":
            with self.subTest(left=left):
                self.make_vm(left)
                base = self.paths(left)
                for value, name in enumerate("abc", 1):
                    write_block(self.paths(left)[0], value, value)
                    self.make(name, left)
                    if name == "b":
                        self.apply("a", vm=left)
                self.ok("checkpoint", "delete", left, "a")
                self.assertEqual(self.hidden(), [1])
                self.assertEqual(self.content(base[0]), [0, 1, 0, 0])
                stays = left[1]
                if left[0] == "c":
                    self.apply("b", vm=left)
                self.ok("checkpoint", "delete", left, left[0])
                self.assertEqual(self.hidden(), [])
                self.assertEqual([point["name"] for point in self.tree(left)["checkpoints"]], [stays])
                value = "abc".index(stays) + 1
                held = [0, 1, 0, 0]
                held[value] = value
                self.assertEqual(self.content(self.paths(left)[0]), held)
                self.run_once(left)
                self.ok("checkpoint", "delete", left, stays)
                self.assertEqual(self.paths(left), base)
                self.assertEqual(self.content(base[0]), held)
                self.ok("delete", left)

    def test_who_reads_it_holds_it_up(self):
        self.make_vm()
        base = self.paths()[0]
        self.make("a")
        now = self.paths()
        write_block(now[0], 1, 7)
        self.create("reader", disks=[{"path": base, "format": "vhdx", "read_only": True}])
        self.ok("start", "reader")
        self.refused(FAILED, "checkpoint", "delete", "vm", "a", says="not merged yet")
        self.assertEqual((self.tree()["checkpoints"], self.hidden(), self.paths()), ([], [1], now))
        self.run_once()
        self.ok("stop", "reader")
        # It is done with the next, or before the VM's next start.
        self.make("b")
        self.ok("checkpoint", "delete", "vm", "b")
        self.assertEqual(self.hidden(), [])
        self.assertEqual(self.content(base), [0, 7, 0, 0])
        self.run_once()

    def test_nobody_has_to_ask_again(self):
        self.make_vm()
        base = self.paths()
        self.make("a")
        write_block(self.paths()[0], 1, 7)
        self.create("reader", disks=[{"path": base[0], "format": "vhdx", "read_only": True}])
        self.ok("start", "reader")
        self.refused(FAILED, "checkpoint", "delete", "vm", "a", says="not merged yet")
        self.ok("stop", "reader")
        self.stop_vmms()
        self.start_vmms()
        wait_until(lambda: self.paths() == base, "it is merged by the next daemon")
        self.assertEqual(self.content(base[0]), [0, 7, 0, 0])
        self.run_once()

    def test_jobs(self):
        self.make_vm()
        self.make("a")
        write_block(self.paths()[0], 1, 7)
        self.ok("checkpoint", "delete", "vm", "a")
        jobs = json.loads(self.ok("job", "list", "--json"))["jobs"]
        self.assertEqual([(job["kind"], job["state"]) for job in jobs if job["kind"] == "checkpoint-merge"],
                         [("checkpoint-merge", "done")])

    def test_a_disk_that_was_detached(self):
        """It is somebody's, and what it stands on stays."""
        self.make_vm()
        self.make("a")
        detached = self.paths()[1]
        write_block(detached, 0, 6)
        self.ok("detach", "vm", "--lun", "1")
        self.ok("checkpoint", "delete", "vm", "a")
        self.assertEqual(self.hidden(), [1])
        self.assertEqual(self.content(detached), [6, 0, 0, 0])
        self.ok("attach", "vm", detached, "--lun", "1", "--format", "vhdx")
        self.run_once()
        self.make("b")
        self.ok("checkpoint", "delete", "vm", "b")
        self.assertEqual(self.hidden(), [])
        self.assertEqual(self.content(self.paths()[1]), [6, 0, 0, 0])
        self.run_once()

    def test_trees_of_before(self):
        """Of a daemon that did not write down what stands on what: nothing is merged."""
        self.make_vm()
        self.make("a")
        now = self.paths()
        self.stop_vmms()
        record = next((self.state / "checkpoints").glob("*.json"))
        stored = json.loads(record.read_text())
        self.assertEqual([link["image"] for link in stored["tree"].pop("links")], now)
        record.write_text(json.dumps(stored))
        self.start_vmms()
        self.ok("checkpoint", "delete", "vm", "a")
        self.assertEqual(self.paths(), now)
        self.run_once()


class Clone(CheckpointTest):
    """Other VMs, of what one is, or was."""

    def make_tree(self):
        self.make_vm(network_adapters=[{"switch": "none"}])
        for value, name in enumerate("ab", 1):
            write_block(self.paths()[0], value, value)
            write_block(self.paths()[1], 0, 7)
            self.make(name)
        write_block(self.paths()[0], 0, 9)

    def check_clone(self, name, first):
        was, made = self.show()["definition"], self.show(name)["definition"]
        self.assertNotEqual(made["uuid"], was["uuid"])
        self.assertNotIn("generation_id", made)
        self.assertNotEqual(made["network_adapters"][0]["mac"], was["network_adapters"][0]["mac"])
        for key in "uuid", "generation_id", "name", "network_adapters", "disks":
            was.pop(key, None)
            made.pop(key, None)
        self.assertEqual(made, was)
        self.assertEqual([os.path.basename(path) for path in self.paths(name)],
                         [f"{name}.vhdx", f"{name}-2.vhdx"])
        self.assertIsNone(self.parent(self.paths(name)[0]))
        for path, blocks in zip(self.paths(name), (first, [7, 0, 0, 0])):
            raw = self.folder / "raw"
            self.ok("disk", "convert", path, raw, "--format", "raw")
            self.assertEqual(raw.read_bytes(), b"".join(bytes([value]) * MIB for value in blocks))
            raw.unlink()
        self.run_once(name)

    def test_of_a_vm(self):
        self.make_tree()
        self.assertEqual(self.ok("clone", "vm", "other"), "VM 'other' made, as 'vm' is\n")
        self.check_clone("other", [9, 1, 2, 0])
        self.assertEqual(self.tree("other")["checkpoints"], [])
        self.run_once()
        before = self.names()
        self.refused(FAILED, "clone", "vm", "other", says="already")
        self.assertEqual(self.names(), before)

    def test_of_a_checkpoint_of_one_that_runs(self):
        self.make_tree()
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        self.ok("start", "vm")
        self.refused(WRONG_STATE, "clone", "vm", "other", says="--checkpoint")
        self.ok("clone", "vm", "other", "--checkpoint", "a", "--to", elsewhere)
        self.assertEqual({os.path.dirname(path) for path in self.paths("other")}, {str(elsewhere)})
        self.check_clone("other", [0, 1, 0, 0])
        self.refused(NO_SUCH_VM, "clone", "vm", "third", "--checkpoint", "c", says="no checkpoint 'c'")

    def test_linked(self):
        """What stands on a checkpoint's disk keeps it, whatever becomes of the checkpoint."""
        self.make_tree()
        self.refused(USAGE, "clone", "vm", "other", "--linked", says="--checkpoint")
        self.ok("clone", "vm", "other", "--checkpoint", "b", "--linked")
        under = [self.chain(path)[1] for path in self.paths("other")]
        self.assertEqual(self.contents(self.paths("other")), [[0, 1, 2, 0], [7, 0, 0, 0]])
        write_block(self.paths("other")[0], 3, 5)
        self.run_once("other")
        # It would be merged with what the VM has on it.
        self.refused(FAILED, "checkpoint", "delete", "vm", "b", says="VM 'other'")
        self.assertEqual(self.hidden(), [2])
        self.assertEqual(self.contents(self.paths("other")), [[0, 1, 2, 5], [7, 0, 0, 0]])
        # Nothing of the VM's needs it any more.
        self.apply("a")
        self.assertTrue(all(os.path.exists(path) for path in under))
        self.run_once("other")
        self.assertEqual(self.contents(self.paths("other")), [[0, 1, 2, 5], [7, 0, 0, 0]])
        self.ok("delete", "other")
        self.make("c")
        self.ok("checkpoint", "delete", "vm", "c")
        self.assertFalse(any(os.path.exists(path) for path in under))

    def test_one_that_cannot_be_made(self):
        """The second disk's place is taken: there is no VM, and it is said what stays."""
        self.make_tree()
        (self.home / "other-2.vhdx").write_bytes(b"mine")
        result = self.vmctl("clone", "vm", "other")
        self.assertEqual(result.status, FAILED)
        self.assertIn("other.vhdx' has been made, and stays", result.err)
        self.refused(NO_SUCH_VM, "show", "other")
        self.assertEqual((self.home / "other-2.vhdx").read_bytes(), b"mine")

    def test_exported(self):
        self.make_tree()
        out = self.folder / "out"
        out.mkdir()
        self.ok("start", "vm")
        self.ok("checkpoint", "export", "vm", "b", out)
        self.assertEqual({path.name for path in out.iterdir()}, {"vm.json", "vm.vhdx", "vm-2.vhdx"})
        self.refused(FAILED, "checkpoint", "export", "vm", "b", out, says="already")
        self.ok("create", "--from", out / "vm.json", "--name", "other")
        self.assertEqual({os.path.dirname(path) for path in self.paths("other")}, {str(out)})
        self.run_once("other")
        raw = self.folder / "raw"
        self.ok("disk", "convert", self.paths("other")[0], raw, "--format", "raw")
        self.assertEqual(raw.read_bytes(), b"".join(bytes([value]) * MIB for value in [0, 1, 2, 0]))


class Live(CheckpointTest):
    """Of a VM that runs: the worker, which is asked to go on with children, is one that runs no guest."""

    def make_running(self, fault=""):
        self.make_vm(append=fault)
        for i, path in enumerate(self.paths()):
            write_block(path, 0, i + 1)
        self.ok("start", "vm")
        return self.paths()

    def check_made(self, before, kind):
        point = self.tree()["checkpoints"][-1]
        self.assertEqual(point["type"], kind)
        self.assertEqual([disk["path"] for disk in point["definition"]["disks"]], before)
        self.assertEqual(self.contents(before), [[1, 0, 0, 0], [2, 0, 0, 0]])
        self.assertEqual([self.chain(path)[1] for path in self.paths()],
                         [os.path.normpath(path) for path in before])
        self.assertEqual(self.names(), {os.path.basename(path) for path in before + self.paths()})

    def check_not_made(self, before):
        self.assertEqual((self.tree()["checkpoints"], self.paths()), ([], before))
        wait_until(lambda: self.names() == {os.path.basename(path) for path in before},
                   "what was made is removed")

    def ends(self):
        wait_until(lambda: self.show()["state"] in ("off", "crashed"), "the VM ends")

    def test_made(self):
        before = self.make_running()
        self.make("a")
        self.check_made(before, "production")
        self.assertRegex(self.console_log(), r"(?s)prepare_fork of 2 disks.*freeze.*fork of 2 disks.*thaw")
        # The worker has the children, alone; and what they stand on, with whoever reads.
        for path in self.paths():
            self.refused(FAILED, "disk", "check", path, "--repair", says="in use")
        self.create("reader", disks=[{"path": before[0], "format": "vhdx", "read_only": True}])
        self.ok("start", "reader")
        self.assertRegex(self.ok("checkpoint", "show", "vm", "a"), r"type: +production\n")
        now = self.paths()
        self.make("b")
        self.assertEqual([self.chain(path)[1] for path in self.paths()],
                         [os.path.normpath(path) for path in now])
        self.ok("stop", "vm")
        self.run_once()
        self.apply("a")
        self.assertEqual(self.contents(self.paths()), [[1, 0, 0, 0], [2, 0, 0, 0]])

    def test_deleted(self):
        """At once; its disks are merged when the VM is off, whether the daemon that deleted it is there or not."""
        for killed in False, True:
            with self.subTest(killed=killed):
                before = self.make_running()
                self.make("a")
                now = self.paths()
                self.make("b")
                self.ok("checkpoint", "delete", "vm", "a")
                self.assertEqual([point["name"] for point in self.tree()["checkpoints"]], ["b"])
                self.ok("checkpoint", "delete", "vm", "b")
                self.assertEqual((self.tree()["checkpoints"], self.hidden()), ([], [1, 2]))
                self.assertEqual(self.chain(self.paths()[0])[1:], [now[0], before[0]])
                self.assertEqual(self.show()["state"], "running")
                if killed:
                    self.kill_vmms()
                    self.kill_workers()
                    self.start_vmms()
                else:
                    self.ok("stop", "vm")
                wait_until(lambda: self.paths() == before, "the VM has the disks that it began with")
                wait_until(lambda: self.names() == {os.path.basename(path) for path in before},
                           "what was copied is removed")
                self.assertEqual(self.contents(before), [[1, 0, 0, 0], [2, 0, 0, 0]])
                self.run_once()
                self.ok("delete", "vm")
                for path in before:
                    os.unlink(path)

    def test_what_waits_for_the_next_start_has_them_too(self):
        before = self.make_running()
        self.ok("set", "vm", "processors.count=2")
        self.make("a")
        self.check_made(before, "production")
        self.ok("stop", "vm")
        self.assertEqual(self.show()["definition"]["processors"]["count"], 2)
        self.check_made(before, "production")
        self.run_once()

    def test_a_guest_that_does_not_freeze(self):
        before = self.make_running("no-services")
        self.refused(WRONG_STATE, "checkpoint", "create", "vm", "--type", "production-only", says="freeze")
        self.check_not_made(before)
        self.refused(USAGE, "checkpoint", "create", "vm", "--type", "standart", says="production")
        self.make("a")
        self.check_made(before, "crash-consistent")
        self.assertIn("as after a loss of power", self.ok("log", "vm"))

    def states(self):
        return sorted(path.name for path in (self.state / "saved").glob("*.state"))

    def test_with_memory(self):
        before = self.make_running()
        uuid = self.show()["definition"]["uuid"]
        self.ok("checkpoint", "create", "vm", "--name", "a", "--type", "standard")
        self.check_made(before, "standard")
        self.assertEqual(self.show()["state"], "running")
        self.assertEqual(self.states(), [f"{uuid}.checkpoint-1.state"])
        self.assertNotIn("freeze", self.console_log())
        self.ok("stop", "vm")
        self.run_once()
        # Applied, it goes on from there, as often as that is wanted; another VM to its guest.
        for _ in range(2):
            generation = self.show()["definition"].get("generation_id")
            self.apply("a")
            self.assertEqual(self.show()["state"], "saved")
            self.assertNotEqual(self.show()["definition"]["generation_id"], generation)
            self.assertEqual(self.contents(self.paths()), [[1, 0, 0, 0], [2, 0, 0, 0]])
            self.stop_vmms()
            self.start_vmms()
            self.assertEqual(self.show()["state"], "saved")
            self.refused(WRONG_STATE, "checkpoint", "delete", "vm", "a", says="saved")
            self.ok("start", "vm")
            self.wait_said("guest: restored")
            self.ok("stop", "vm")
            self.assertEqual(self.states(), [f"{uuid}.checkpoint-1.state"])
        self.apply("a")
        self.ok("discard", "vm")
        self.run_once()
        self.ok("checkpoint", "delete", "vm", "a")
        wait_until(lambda: self.states() == [], "its memory is removed")
        self.run_once()

    def test_by_definition(self):
        before = self.make_running()
        self.ok("set", "vm", "checkpoints=standard")
        self.make("a")
        self.check_made(before, "standard")
        self.ok("checkpoint", "create", "vm", "--type", "production-only")
        self.assertEqual(self.tree()["checkpoints"][-1]["type"], "production")
        self.ok("set", "vm", "checkpoints=disabled")
        for words in (), ("--type", "production"):
            self.refused(WRONG_STATE, "checkpoint", "create", "vm", *words, says="checkpoints=production")
        self.refused(USAGE, "checkpoint", "create", "vm", "--type", "disabled")
        self.ok("stop", "vm")
        self.refused(WRONG_STATE, "checkpoint", "create", "vm", says="checkpoints=production")
        # As it was then, that is applied, too.
        self.apply("a")
        self.assertEqual(self.show()["definition"]["checkpoints"], "standard")

    def test_with_memory_that_cannot_be_had(self):
        for fault in "refuse-save", "refuse-fork":
            with self.subTest(fault=fault):
                before = self.make_running(fault)
                self.assertNotEqual(self.vmctl("checkpoint", "create", "vm", "--type", "standard").status, OK)
                self.check_not_made(before)
                self.wait_state("running")
                wait_until(lambda: self.states() == [], "its memory is removed")
                self.ok("pause", "vm")
                self.refused(WRONG_STATE, "checkpoint", "create", "vm", "--type", "standard", says="resume it")
                self.ok("stop", "vm")
                self.run_once()
                self.ok("delete", "vm")
                for path in before:
                    os.unlink(path)

    def test_a_paused_vm(self):
        before = self.make_running()
        self.ok("pause", "vm")
        self.make("a")
        self.check_made(before, "crash-consistent")
        self.assertEqual(self.show()["state"], "paused")

    def test_a_worker_that_refuses(self):
        for fault in "refuse-prepare", "refuse-fork":
            with self.subTest(fault=fault):
                before = self.make_running(fault)
                self.assertNotEqual(self.vmctl("checkpoint", "create", "vm").status, OK)
                self.check_not_made(before)
                self.assertEqual(self.show()["state"], "running")
                self.ok("stop", "vm")
                self.run_once()
                self.ok("delete", "vm")
                for path in before:
                    os.unlink(path)

    def test_a_worker_that_ends(self):
        """Before or after it came to it: the VM goes on with the children, and nothing is lost."""
        for fault in "die-before-fork", "die-after-fork":
            with self.subTest(fault=fault):
                before = self.make_running(fault)
                self.assertNotEqual(self.vmctl("checkpoint", "create", "vm").status, OK)
                self.ends()
                self.check_made(before, "crash-consistent")
                self.ok("set", "vm", "boot.command_line=")
                self.run_once()
                self.ok("checkpoint", "delete", "vm", "1")
                self.ok("delete", "vm")
                for path in self.home.iterdir():
                    path.unlink()

    def test_turned_off_meanwhile(self):
        for fault in "mute-prepare", "mute-fork":
            with self.subTest(fault=fault):
                before = self.make_running(fault)
                with self.vmctl_in_background("checkpoint", "create", "vm") as asked:
                    self.wait_said("prepare_fork" if fault == "mute-prepare" else "guest: fork")
                    self.ok("stop", "vm")
                    self.assertNotEqual(asked.wait(), OK)
                    asked.communicate()
                if fault == "mute-fork":
                    self.check_made(before, "crash-consistent")
                    break
                self.check_not_made(before)
                self.ok("delete", "vm")
                for path in self.home.iterdir():
                    path.unlink()


class Killed(CheckpointTest):
    """The daemon, after each step: it has happened, or it has not, and it can be done."""

    def start_vmms(self, *extra, wait=True):
        self.fault = self.folder / "fault"
        self.vmms_environment = {"VMMS_FAULT_FILE": str(self.fault)}
        super().start_vmms(*extra, wait=wait)

    def arm(self, number):
        self.fault.write_text(f"{number}\n")

    def disarm(self):
        steps = self.fault.read_text().split("\n")[1:-1]
        self.fault.unlink()
        return steps

    def reset(self):
        """z, a on it, and c on that, with b beside."""
        with contextlib.suppress(AssertionError):
            for point in self.tree()["checkpoints"]:
                self.ok("checkpoint", "delete", "vm", point["id"])
            self.ok("delete", "vm")
        for path in self.home.iterdir():
            path.unlink()
        self.make_vm()
        for value, name in enumerate("zabc", 1):
            write_block(self.paths()[0], 0, value)
            write_block(self.paths()[1], value - 1, value)
            self.make(name)
            if name == "b":
                self.apply("a")
        write_block(self.paths()[1], 1, 9)

    def seen(self):
        """All that there is, but for names of files, which differ."""
        tree = self.tree()
        points = [(point["id"], point["parent"], point["name"], self.contents(
            disk["path"] for disk in point["definition"]["disks"])) for point in tree["checkpoints"]]
        return points, tree["current"], self.contents(self.paths())

    def seen_while_merging(self):
        """Files may go between looking at the tree and at them."""
        def look():
            with contextlib.suppress(FileNotFoundError, AssertionError):
                return self.seen()
        return wait_until(look, "files that stay")

    def needed(self):
        """Names of all files that the VM and its checkpoints stand on."""
        paths = self.paths() + [disk["path"] for point in self.tree()["checkpoints"]
                                for disk in point["definition"]["disks"]]
        return {os.path.basename(image) for path in paths for image in self.chain(path)}

    def are_needed(self):
        with contextlib.suppress(FileNotFoundError, AssertionError):
            return self.names() == self.needed()

    def check_files(self):
        wait_until(self.are_needed, "no file but those that are needed")
        self.run_once()

    def try_each_step(self, *words):
        self.reset()
        before = self.seen()
        self.arm(0)
        self.ok("checkpoint", *words)
        steps = self.disarm()
        after, hidden = self.seen(), self.hidden()
        self.check_files()
        self.assertNotEqual(before, after)
        for number, step in enumerate(steps, 1):
            # What is between the steps of a file is tried with the first one.
            if step in ("FOLDER_OPENED_STAGED", "FOLDER_WROTE_STAGED") and number > 3:
                continue
            with self.subTest(words=words, number=number, step=step):
                self.reset()
                self.arm(number)
                self.vmctl("checkpoint", *words)
                self.vmms.wait(LONGEST)
                self.disarm()
                self.vmms = None
                self.start_vmms()
                now = self.seen_while_merging()
                self.assertIn(now, (before, after))
                self.check_files()
                if now == before:
                    self.ok("checkpoint", *words)
                    self.assertEqual(self.seen(), after)
                    self.check_files()
                wait_until(lambda: self.hidden() == hidden, "what can be merged is")
                wait_until(self.are_needed, "what was copied is removed")
                self.assertEqual(self.seen(), after)
        return set(steps)

    def try_each_live_step(self, kind):
        """Of a VM that runs, whose worker ends as well in every other round."""
        self.tried = []
        self.reset()
        self.ok("start", "vm")
        before = self.seen()
        self.arm(0)
        self.ok("checkpoint", "create", "vm", "--name", "d", "--type", kind)
        steps = self.disarm()
        after = self.seen()
        for number, step in [*enumerate(steps, 1), *enumerate(steps, 1)]:
            ends = (number, step) in self.tried
            self.tried.append((number, step))
            with self.subTest(live=True, number=number, step=step, ends=ends):
                self.ok("stop", "vm")
                self.reset()
                self.ok("start", "vm")
                self.arm(number)
                self.vmctl("checkpoint", "create", "vm", "--name", "d", "--type", kind)
                self.vmms.wait(LONGEST)
                self.disarm()
                self.vmms = None
                if ends:
                    self.kill_workers()
                self.start_vmms()
                wait_until(lambda: self.show()["state"] == ("crashed" if ends else "running"),
                           "it is known how the VM is")
                wait_until(lambda: self.seen() in (before, after), "it is known what became of it")
                wait_until(lambda: self.names() == self.needed(), "no file but those that are needed")
                if ends:
                    self.ok("start", "vm")
                if self.seen() == before:
                    self.ok("checkpoint", "create", "vm", "--name", "d", "--type", kind)
                    self.assertEqual(self.seen(), after)
        self.ok("stop", "vm")
        return set(steps)

    def test_each_step(self):
        reached = set()
        for words in (["create", "vm", "--name", "d"], ["apply", "vm", "b", "--discard"],
                      ["delete", "vm", "b"], ["delete", "vm", "a"], ["delete", "vm", "c"],
                      ["delete", "vm", "z"]):
            reached |= self.try_each_step(*words)
        for kind in "production", "standard":
            reached |= self.try_each_live_step(kind)
        steps = set(re.findall(r"STEP\((CHECKPOINT_[A-Z_]+)\)",
                               (arguments.source / "vmms/base/fault.h").read_text()))
        self.assertEqual(steps - reached, set(), "never reached")


class Walk(CheckpointTest):
    """By a seed, the same each time unless VMMS_WALK_SEED says another, with a model of what each checkpoint's disks hold."""

    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("VMMS_WALK_SEED", 1))
        self.chance = random.Random(self.seed)
        self.points = {}  # id: what its disks hold
        self.under = {}  # id: the one it stands on, among those that are there or hidden
        self.current = 0
        self.now = [[0] * BLOCKS for _ in range(self.disks)]

    def step_write(self):
        disk, block = self.chance.randrange(self.disks), self.chance.randrange(BLOCKS)
        value = self.chance.randrange(1, 256)
        write_block(self.paths()[disk], block, value)
        self.now[disk][block] = value

    def step_create(self):
        # What was deleted is merged, and stands below no more.
        if max(len(list(self.chain(path))) for path in self.paths()) == 1 + 12:
            self.refused(WRONG_STATE, "checkpoint", "create", "vm", says="stand on each other")
            return
        point = self.make()
        self.points[point] = [list(values) for values in self.now]
        self.under[point] = self.current
        self.current = point

    def step_apply(self):
        if self.points:
            point = self.chance.choice(list(self.points))
            self.apply(point)
            self.now = [list(values) for values in self.points[point]]
            self.current = point

    def stands_on(self, point, other):
        while point and point != other:
            point = self.under[point]
        return point == other

    def step_delete(self):
        if self.points:
            point = self.chance.choice(list(self.points))
            subtree = self.chance.random() < 0.3
            self.ok("checkpoint", "delete", "vm", point, *(["--subtree"] if subtree else []))
            for other in list(self.points):
                if other == point or (subtree and self.stands_on(other, point)):
                    del self.points[other]

    def step_restart(self):
        self.kill_vmms()
        self.start_vmms()

    def check(self):
        tree = self.tree()
        found = {point["id"]: self.contents(disk["path"] for disk in point["definition"]["disks"])
                 for point in tree["checkpoints"]}
        self.assertEqual(found, self.points)
        self.assertEqual(self.contents(self.paths()), self.now)
        for point in tree["checkpoints"]:
            self.assertTrue(point["parent"] == 0 or self.stands_on(point["id"], point["parent"]))
        paths = self.paths() + [disk["path"] for point in tree["checkpoints"]
                                for disk in point["definition"]["disks"]]
        self.assertEqual(self.names(), {os.path.basename(image) for path in paths
                                        for image in self.chain(path)})

    def test_walk(self):
        self.make_vm()
        steps = [self.step_write] * 4 + [self.step_create] * 4 + [self.step_apply] * 2 + [
            self.step_delete, self.step_restart]
        done = []
        try:
            for _ in range(WALK_STEPS):
                step = self.chance.choice(steps)
                done.append(step.__name__)
                step()
                if step != self.step_write:
                    self.check()
            self.run_once()
        except AssertionError as error:
            raise AssertionError(f"VMMS_WALK_SEED={self.seed}, after {done}: {error}") from error


@unittest.skipIf(os.geteuid(), "not root, whose daemon alone has users")
class Users(CheckpointTest):
    policy = SYSTEM_POLICY.format(policy=arguments.source / "packaging/dbus/org.vmms1.conf")
    vmms_arguments = ("--group", "daemon")
    disks = 1

    def test_files_are_made_as_the_owner(self):
        os.chown(self.home, MEMBER, MEMBER)
        self.make_vm(owner="daemon")
        self.make("a")
        self.assertEqual(os.stat(self.paths()[0]).st_uid, MEMBER)
        result = self.vmctl_as(MEMBER, "checkpoint", "create", "vm")
        self.assertEqual((result.status, result.err), (OK, ""))
        self.assertEqual(self.vmctl_as(2, "checkpoint", "list", "vm").status, NOT_PERMITTED)
        self.home.chmod(0o500)
        os.chown(self.home, 0, 0)
        self.refused(FAILED, "checkpoint", "create", "vm", says="Permission denied")
        self.assertEqual(len(self.tree()["checkpoints"]), 2)

    def test_what_was_made_before_a_failure_goes(self):
        """The first disk can have a child, the second cannot."""
        self.disks = 2
        os.chown(self.home, MEMBER, MEMBER)
        self.make_vm()
        paths = self.paths()
        self.ok("delete", "vm")
        closed = self.folder / "closed"
        closed.mkdir()
        os.rename(paths[1], closed / "b.vhdx")
        self.create(owner="daemon", disks=[
            {"path": path, "format": "vhdx", "lun": lun}
            for lun, path in enumerate([paths[0], str(closed / "b.vhdx")])])
        self.refused(FAILED, "checkpoint", "create", "vm", says="Permission denied")
        self.assertEqual(self.names(), {os.path.basename(paths[0])})
        self.assertEqual(self.tree()["checkpoints"], [])
        self.run_once()


if __name__ == "__main__":
    main()
