#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs that were exported from Hyper-V: their configuration, their disks, and files that are damaged."""

import json
import random
import subprocess
import sys

sys.dont_write_bytecode = True
import hyperv_export as export  # noqa: E402
from rig import FAILED, OK, USAGE, VMCTL, ServiceTest, main  # noqa: E402

GUID = "8A5A5F1E-0001-4C3B-9C55-0123456789AB"


class ImportTest(ServiceTest):
    def export(self, configuration, name="export", suffix=".vmcx", disks=("system.vhdx",)):
        """A folder as Hyper-V makes it."""
        folder = self.folder / name
        for part in "Virtual Machines", "Virtual Hard Disks", "Snapshots":
            (folder / part).mkdir(parents=True, exist_ok=True)
        data = configuration if isinstance(configuration, bytes) else export.vmcx(configuration)
        (folder / "Virtual Machines" / (GUID + suffix)).write_bytes(data)
        (folder / "Virtual Machines" / (GUID + ".vmrs")).write_bytes(b"not looked at")
        for disk in disks:
            path = folder / "Virtual Hard Disks" / disk
            if not path.exists():
                self.ok("disk", "create", path, "4M", "--format", path.suffix[1:].replace("avhd", "vhd"))
        return folder

    def planned(self, folder, *options):
        """The definition that is made, and what is said of it."""
        result = self.vmctl("import", folder, "--dry-run", *options)
        self.assertEqual(result.status, OK, result.err)
        return json.loads(result.out), result.err


class Configurations(ImportTest):
    TREE = export.configuration(
        drives=[((0, 0), r"C:\ClusterStorage\web\System.VHDX", "VHD"), ((0, 1), "", "ISO"),
                ((0, 2), "", "NONE"), ((0, 5), r"D:\data.vhdx", "VHD")],
        adapters=[("00-15-5D-01-02-03", "Lan of ours"), ("00155D010204", "")], notes="first\nsecond")

    def test_generation_2(self):
        folder = self.export(self.TREE, disks=("system.vhdx", "data.vhdx"))
        tree, said = self.planned(folder, "--switch", "Lan of ours=lan")
        disks = folder / "Virtual Hard Disks"
        self.assertEqual(tree, {
            "version": 2, "name": "web-server", "uuid": GUID.lower(), "generation": 2, "notes": "first\nsecond",
            "processors": {"count": 4}, "resources": {"cpu_weight": 200},
            "memory": {"size": "2048M", "dynamic": {"minimum": "512M", "maximum": "4096M", "buffer": 25}},
            "disks": [{"controller": 0, "lun": 0, "path": str(disks / "system.vhdx"), "format": "vhdx"},
                      {"controller": 0, "lun": 1, "type": "dvd"},
                      {"controller": 0, "lun": 5, "path": str(disks / "data.vhdx"), "format": "vhdx"}],
            "network_adapters": [
                {"mac": "00:15:5D:01:02:03", "instance": export.instance(20).lower(), "switch": "lan"},
                {"mac": "00:15:5D:01:02:04", "instance": export.instance(21).lower()}],
            "automatic_start": {"action": "start"}, "automatic_stop": {"action": "save"}})
        self.assertEqual(said.splitlines(), [
            "vmctl: not as it was: its name was 'web server'",
            "vmctl: not as it was: secure boot was on",
            "vmctl: not as it was: device 'Key-Value Pair Exchange'"])

    def test_generation_1(self):
        tree = export.configuration(
            name="old", generation=1, ide=[((0, 0), r"C:\boot.vhd", "VHD"), ((1, 0), r"C:\tools.iso", "ISO")],
            drives=[((0, 3), r"C:\more.vhdx", "VHD")], adapters=[("00-00-00-00-00-00", "Lan")])
        folder = self.export(tree, disks=("boot.vhd", "more.vhdx"))
        planned, said = self.planned(folder)
        self.assertEqual(planned["generation"], 1)
        self.assertEqual([(disk["controller"], disk["lun"], disk.get("format"), disk.get("type"))
                          for disk in planned["disks"]],
                         [(0, 0, "vhd", None), (0, 2, None, "dvd"), (1, 3, "vhdx", None)])
        self.assertEqual(planned["network_adapters"], [{"instance": export.instance(20).lower()}])
        self.assertIn(r"the medium of a DVD drive: 'C:\\tools.iso'", said)
        self.assertIn("was connected to the switch 'Lan'", said)

    def test_xml_is_the_same(self):
        self.export(self.TREE, disks=("system.vhdx", "data.vhdx"))
        folder = self.export(export.xml(self.TREE), name="older", suffix=".xml", disks=("system.vhdx", "data.vhdx"))
        older, said = self.planned(folder)
        newer, said_too = self.planned(self.folder / "export")
        self.assertEqual(said, said_too)
        self.assertEqual(json.dumps(older).replace("/older/", "/export/"), json.dumps(newer))

    def test_several_tables_and_long_values(self):
        tree = export.configuration(notes="ä" * 3000, name="straße 1", drives=[((0, 0), r"C:\system.vhdx", "VHD")])
        folder = self.export(export.vmcx(tree, room=0x200))
        planned, _ = self.planned(folder)
        self.assertEqual((planned["notes"], planned["name"]), ("ä" * 3000, "stra-e-1"))

    def test_import(self):
        folder = self.export(self.TREE, disks=("system.vhdx", "data.vhdx"))
        (folder / "Snapshots" / (GUID[::-1].replace("E1F", "111") + ".vmcx")).write_bytes(b"a checkpoint")
        result = self.vmctl("import", folder / "Virtual Machines" / (GUID + ".vmcx"))
        self.assertEqual(result.status, OK, result.err)
        self.assertIn("VM 'web-server' created", result.out)
        vm = self.show("web-server")
        self.assertEqual((vm["uuid"], len(vm["disks"])), (GUID.lower(), 3))
        self.assertIn("uuid", self.refused(FAILED, "import", folder, "--name", "again"))
        self.assertEqual(self.vmctl("import", folder, "--copy", "--name", "copy").status, OK)
        copy = self.show("copy")
        self.assertNotEqual(copy["uuid"], GUID.lower())
        adapters = [json.loads(self.ok("export", name, "--definition"))["network_adapters"][0]
                    for name in ("web-server", "copy")]
        self.assertEqual(adapters[0]["instance"], export.instance(20).lower())
        self.assertNotEqual(adapters[0]["mac"], adapters[1]["mac"])

    def refused(self, status, *words, **more):
        result = self.vmctl(*words)
        self.assertEqual(result.status, status, result.err)
        return result.err

    def test_what_is_no_export(self):
        (self.folder / "empty").mkdir()
        self.assertIn("no VM exported from Hyper-V", self.refused(FAILED, "import", self.folder / "empty"))
        self.assertIn("No such file", self.refused(FAILED, "import", self.folder / "none"))
        self.assertIn("THEIRS=HERE", self.refused(USAGE, "import", self.folder, "--switch", "lan"))
        folder = self.export(self.TREE, disks=())
        self.assertIn("no such disk in the folder", self.refused(FAILED, "import", folder))
        second = folder / "Virtual Machines" / (export.instance(7) + ".vmcx")
        second.write_bytes(b"")
        self.assertIn("there are several VMs", self.refused(FAILED, "import", folder))
        self.assertIn("it is empty", self.refused(FAILED, "import", second))
        # Nothing outside of the folder, by whatever name.
        (self.folder / "outside.vhdx").write_bytes(b"")
        (folder / "Virtual Hard Disks/link.vhdx").symlink_to(self.folder / "outside.vhdx")
        second.unlink()
        for path in "link.vhdx", r"..\..\outside.vhdx":
            self.export(export.configuration(drives=[((0, 0), path, "VHD")]), disks=())
            self.assertIn("no such disk in the folder", self.refused(FAILED, "import", folder))

    def test_damaged(self):
        good = export.vmcx(self.TREE)
        for says, data in (
                ("changes in its log", export.vmcx(self.TREE, log_entries=1)),
                ("of version 0x300", export.vmcx(self.TREE, version=0x300)),
                ("cut off", good[:0x2004]), ("is no XML", b"nothing of the kind"),
                ("document type", b'<!DOCTYPE a [<!ENTITY b "c">]><configuration/>'),
                ("no 'configuration'", b"<properties></properties>"),
                ("no name or no settings", b"<configuration></configuration>"),
                ("keys of its own", b'<configuration><a type="string"><b/></a></configuration>'),
                ("nested deeper", b"<configuration>" + b"<a>" * 20 + b"</a>" * 20 + b"</configuration>"),
                ("there twice", b"<configuration><a></a><a></a></configuration>"),
                ("over 16384 keys", b"<configuration>" + b"".join(
                    b'<a%d type="bool">x</a%d>' % (i, i) for i in range(20000)) + b"</configuration>")):
            folder = self.export(data, disks=())
            self.assertIn(says, self.refused(FAILED, "import", folder))

    def test_any_byte(self):
        """Whatever is wrong, vmctl ends by itself and says so."""
        good = export.vmcx(self.TREE)
        generator = random.Random(7)
        folder = self.export(good)
        path = folder / "Virtual Machines" / (GUID + ".vmcx")
        for _ in range(100):
            data = bytearray(good)
            for _ in range(generator.randrange(1, 4)):
                data[generator.choice((generator.randrange(0x2000, 0x2040), generator.randrange(0x3000, 0x3800),
                                       generator.randrange(len(data))))] = generator.randrange(256)
            path.write_bytes(data[:generator.choice((len(data), generator.randrange(len(data))))])
            result = subprocess.run([VMCTL, "--address", self.address, "import", folder, "--dry-run"],
                                    capture_output=True, timeout=60)
            self.assertIn(result.returncode, (OK, FAILED), result.stderr)


main()
