# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes configurations as Hyper-V exports them: .vmcx, and the XML of older versions.

A configuration is a dict whose values are dicts, texts, numbers, truth values and bytes. Run by itself it
writes inputs for fuzz_import: hyperv_export.py DIRECTORY.
"""

import pathlib
import struct
import sys
from xml.sax.saxutils import escape

HEADER, LOG, OBJECTS, KEYS = 0x01282014, 0x01110003, 0x01110001, 2
LOG_OFFSET, TABLE_OFFSET = 0x1800, 0x3000
SIGNED, UNSIGNED, DOUBLE, TEXT, BYTES, BOOLEAN, NODE = 3, 4, 5, 6, 7, 8, 9
ELSEWHERE = 1

IDE = "83f8638b-8dca-4152-9eda-2ca8b33039b4"
SCSI = "d422512d-2bf2-4752-809d-7b82b5fcb1b4"
ADAPTER = "2fc216b0-d2e2-4967-9b6d-b8a5c9ca2778"
FIRMWARE = "ac6b8dc1-3257-4a70-b1b2-a9c9215659ad"
OTHER = "2450ee40-33bf-4fbd-892e-9fb06e9214cf"


def header(sequence, version=0x400):
    return struct.pack("<IIHIQIQQI", HEADER, 0, sequence, version, 0, 0x1000, LOG_OFFSET, 0x800, 0x1000)


def value_of(value):
    """Type and bytes."""
    if isinstance(value, dict):
        return NODE, bytes(12)
    if isinstance(value, bool):
        return BOOLEAN, struct.pack("<I", value)
    if isinstance(value, float):
        return DOUBLE, struct.pack("<d", value)
    if isinstance(value, int):
        return (UNSIGNED, struct.pack("<Q", value)) if value >= 0 else (SIGNED, struct.pack("<q", value))
    kind, data = (TEXT, value.encode("utf-16-le")) if isinstance(value, str) else (BYTES, value)
    return kind, struct.pack("<I", len(data)) + data


class Writer:
    """The key tables of one file, each of at most `room` bytes; long values lie behind them."""

    def __init__(self, room=0x1000):
        self.room, self.tables, self.long = room, [b""], b""

    def add(self, name, value, parent):
        kind, data = value_of(value)
        flags = 0
        if len(data) >= 0x800:
            flags, data = ELSEWHERE, struct.pack("<IQ", len(data) - 4, len(self.long))  # moved when it is known
            self.long += value_of(value)[1][4:]
        key = name.encode() + b"\0"
        size = 21 + len(key) + len(data)
        if 10 + len(self.tables[-1]) + size > self.room:
            self.tables.append(b"")
        place = (len(self.tables), 10 + len(self.tables[-1]))
        self.tables[-1] += struct.pack("<BBIHIIIB", kind, flags, size, *parent, 0, 0, len(key)) + key + data
        if isinstance(value, dict):
            for child in value.items():
                self.add(*child, place)

    def objects(self):
        """The object table and what it names, as they lie from OBJECT_TABLE on."""
        entries, blocks = [], []
        base = TABLE_OFFSET + self.room * len(self.tables)
        for number, table in enumerate(self.tables):
            entries.append(struct.pack("<BIQIB", 2, 0, TABLE_OFFSET + number * self.room, self.room, 1))
            blocks.append((struct.pack("<HHHI", KEYS, number + 1, 1, 0) + self.relocated(table, base)).ljust(
                self.room, b"\0"))
        table = struct.pack("<II", OBJECTS, len(entries)) + b"".join(entries)
        return table.ljust(TABLE_OFFSET - 0x2000, b"\0") + b"".join(blocks) + self.long

    @staticmethod
    def relocated(table, base):
        result, at = bytearray(table), 0
        while at < len(table):
            kind, flags, size = struct.unpack_from("<BBI", table, at)
            if flags & ELSEWHERE:
                offset = at + 21 + table[at + 20] + 4
                struct.pack_into("<Q", result, offset, struct.unpack_from("<Q", table, offset)[0] + base)
            at += size
        return bytes(result)


def vmcx(configuration, room=0x1000, log_entries=0, version=0x400):
    writer = Writer(room)
    writer.add("configuration", configuration, (0, 0))
    log = struct.pack("<III", LOG, 0, log_entries)
    head = header(1, version).ljust(0x1000, b"\0") + header(2, version)
    return head.ljust(LOG_OFFSET, b"\0") + log.ljust(0x2000 - LOG_OFFSET, b"\0") + writer.objects()


def element(name, value, depth):
    space = "  " * depth
    if isinstance(value, dict):
        inner = "".join(element(*child, depth + 1) for child in value.items())
        return f"{space}<{name}>\n{inner}{space}</{name}>\n"
    if isinstance(value, bool):
        kind, text = "bool", str(value)
    elif isinstance(value, (int, float)):
        kind, text = "integer", str(value)
    elif isinstance(value, str):
        kind, text = "string", escape(value)
    else:
        kind, text = "bytes", value.hex()
    return f'{space}<{name} type="{kind}">{text}</{name}>\n'


def xml(configuration):
    text = '<?xml version="1.0" encoding="UTF-16" standalone="yes"?>\n' + element("configuration", configuration, 0)
    return b"\xff\xfe" + text.encode("utf-16-le")


def instance(number):
    return f"{number:08X}-0000-4000-8000-000000000000"


def configuration(name="web server", generation=2, drives=(), ide=(), adapters=(), **properties):
    """drives: (place, pathname, type) of one SCSI controller; adapters: (MAC, switch)."""
    manifest = {"vdev001": {"device": FIRMWARE, "instance": instance(1), "name": "Firmware"},
                "vdev002": {"device": OTHER, "instance": instance(2), "name": "Key-Value Pair Exchange"}}
    tree = {
        "properties": {"name": name, "global_id": "8A5A5F1E-0001-4C3B-9C55-0123456789AB",
                       "subtype": generation - 1, "version": 0x900, **properties},
        "settings": {"processors": {"count": 4, "limit": 100000, "reservation": 0, "weight": 200},
                     "memory": {"bank": {"size": 2048, "reservation": 512, "limit": 4096,
                                         "dynamic_memory_enabled": True, "target_memory_buffer": 25}}},
        "global_settings": {"power": {"host_startup": {"action": 2}, "host_shutdown": {"action": 1}}},
        "manifest": manifest,
        f"_{instance(1)}_": {"secure_boot_enabled": True},
    }
    for number, (kind, name_, places) in enumerate(((IDE, "IDE Controller", ide),
                                                    (SCSI, "SCSI Controller", drives)), 10):
        if not places:
            continue
        manifest[f"vdev{number:03}"] = {"device": kind, "instance": instance(number), "name": name_}
        controllers = tree[f"_{instance(number).lower()}_"] = {}
        for (controller, drive), path, type_ in places:
            controllers.setdefault(f"controller{controller}", {})[f"drive{drive}"] = {
                "pathname": path, "type": type_}
    for number, (mac, switch) in enumerate(adapters, 20):
        manifest[f"vdev{number:03}"] = {"device": ADAPTER, "instance": instance(number), "name": "Network Adapter"}
        tree[f"_{instance(number)}_"] = {
            "MacAddress": mac, "MacAddressIsStatic": False, "ChannelInstanceGuid": "{" + instance(number) + "}",
            "Connection": {"AltSwitchName": switch}, "Feature_1": bytes(range(40))}
    return tree


def everything():
    """A VM with all that is noted, and not taken over."""
    tree = configuration(name="-", generation=1, highly_available=True, notes="x" * 1100, other=-1,
                         drives=[((0, 0), r"C:\a.vhdx", "VHD")], adapters=[("00-00-00-00-00-00", "Lan")])
    tree["properties"]["global_id"] = "none"
    tree["settings"]["processors"].update(
        {"limit": 50000, "reservation": 10000, "vnuma": {}, "limit_cpuid": True, "ratio": 0.5,
         "nested_virtualization": {"enabled": True}})
    tree["global_settings"]["power"]["host_startup"]["action"] = 7
    for number in range(30, 36):
        tree["manifest"][f"vdev{number:03}"] = {"device": "{" + SCSI.upper() + "}", "name": "SCSI Controller",
                                                "instance": "{" + instance(number) + "}"}
        tree[f"_{instance(number)}_"] = {"controller0": {"drive1": {
            "pathname": "b.vhd", "type": "VHD", "persistent_reservations_supported": True}}}
    return tree


def write_corpus(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tree = configuration(drives=[((0, 0), r"C:\a.vhdx", "VHD"), ((0, 1), "", "ISO")], adapters=[("00-15-5D-01-02-03", "Lan")])
    small = {"properties": {"name": "a"}, "settings": {"processors": {"count": 1}}}
    writer = Writer(0x400)
    writer.add("configuration", small, (0, 0))
    (folder / "vmcx-small").write_bytes(b"\1" + writer.objects())
    writer = Writer(0x400)
    writer.add("configuration", {**tree, "long": "x" * 1100}, (0, 0))
    (folder / "vmcx-tables").write_bytes(b"\1" + writer.objects())
    writer = Writer(0x600)
    writer.add("configuration", everything(), (0, 0))
    (folder / "vmcx-everything").write_bytes(b"\1" + writer.objects())
    further = bytearray(writer.objects())  # its second table of objects has what was in the first
    count = struct.unpack_from("<I", further, 4)[0]
    further[0x800:0x808 + 18 * count] = further[:8 + 18 * count]
    struct.pack_into("<IIBIQIB", further, 0, OBJECTS, 1, 1, 0, 0x2800, 0x800, 1)
    (folder / "vmcx-second-table").write_bytes(b"\1" + further)
    for name, data in (("log", vmcx(small, log_entries=1)), ("version", vmcx(small, version=0x300)),
                       ("cut-off", vmcx(small)[:0x2004]), ("no-header", b"\x14\x20\x28\x01" + bytes(0x3000))):
        (folder / f"vmcx-{name}").write_bytes(b"\2" + data)
    for name, data in (("doctype", b'<!DOCTYPE a><configuration/>'), ("twice", b"<configuration><a/><a/></configuration>"),
                       ("deep", b"<a>" * 20), ("leaf", b'<configuration><a type="string"><b/></a></configuration>'),
                       ("none", b"<a/>"), ("text", b"no XML"), ("number", b'<configuration><properties><name type="string">a'
                        b'</name></properties><settings><a type="integer">1x</a></settings></configuration>')):
        (folder / f"xml-{name}").write_bytes(b"\0" + data)
    (folder / "empty").write_bytes(b"\2")
    (folder / "xml-everything").write_bytes(b"\0" + xml(everything()))
    (folder / "vmcx-whole").write_bytes(b"\2" + vmcx(small, room=0x400))
    (folder / "xml").write_bytes(b"\0" + xml(tree)[2:].decode("utf-16-le").replace("UTF-16", "UTF-8").encode())
    (folder / "xml-utf-16").write_bytes(b"\0" + xml(small))
    (folder / "xml-generation-1").write_bytes(b"\0" + xml(configuration(
        generation=1, ide=[((0, 0), r"C:\a.vhd", "VHD"), ((1, 0), r"D:\b.iso", "ISO")])))


if __name__ == "__main__":
    write_corpus(pathlib.Path(sys.argv[1]))
