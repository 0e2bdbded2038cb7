# SPDX-License-Identifier: LGPL-2.1-or-later
"""Core files of Linux guests: their memory by address, and the kernel's log in it.

The log is found as its own kernel describes it in VMCOREINFO (Documentation/admin-guide/kdump/
vmcoreinfo.rst, kernel/printk/printk_ringbuffer.h): a ring of descriptors beside a ring of texts.
"""

import struct

KERNEL_MAP = 0xffffffff80000000  # where x86-64 has its image
COMMITTED, FINALIZED = 1, 2      # states of a descriptor, in its topmost two bits
PRESENT, LARGE, FRAME = 1 << 0, 1 << 7, 0x000ffffffffff000
PT_LOAD, PT_NOTE, NT_PRSTATUS = 1, 4, 1


def aligned(size):
    return (size + 3) & ~3


class Core:
    def __init__(self, path):
        self.file = open(path, "rb")
        self.segments, self.notes = [], []
        offset, = struct.unpack_from("<Q", self.at(0, 64), 32)
        count, = struct.unpack_from("<H", self.at(0, 64), 56)
        for index in range(count):
            kind, _, start, _, physical, size = struct.unpack_from("<IIQQQQ", self.at(offset + index * 56, 56))
            if kind == PT_LOAD:
                self.segments.append((physical, size, start))
            elif kind == PT_NOTE:
                self.read_notes(self.at(start, size))
        text = next(text for name, _, text in self.notes if name == b"VMCOREINFO")
        self.info = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)

    def close(self):
        self.file.close()

    def at(self, offset, size):
        self.file.seek(offset)
        return self.file.read(size)

    def read_notes(self, data):
        while len(data) >= 12:
            name_size, size, kind = struct.unpack_from("<III", data)
            begin = 12 + aligned(name_size)
            self.notes.append((data[12:12 + name_size].rstrip(b"\0"), kind, data[begin:begin + size]))
            data = data[begin + aligned(size):]

    def processors(self):
        """Instruction pointers, one for each processor."""
        return [struct.unpack_from("<Q", data, 112 + 16 * 8)[0]
                for name, kind, data in self.notes if (name, kind) == (b"CORE", NT_PRSTATUS)]

    def physical(self, address, size):
        for begin, length, start in self.segments:
            if begin <= address and address + size <= begin + length:
                return self.at(start + address - begin, size)
        raise ValueError(f"physical {address:#x} is not in the file")

    def translate(self, address):
        """By the kernel's own page tables, of four or five levels."""
        table = int(self.info["SYMBOL(init_top_pgt)"], 16) - KERNEL_MAP + int(self.info["NUMBER(phys_base)"])
        five = int(self.info.get("NUMBER(pgtable_l5_enabled)", 0))
        for shift in (48, 39, 30, 21, 12) if five else (39, 30, 21, 12):
            entry, = struct.unpack("<Q", self.physical(table + (address >> shift & 511) * 8, 8))
            if not entry & PRESENT:
                raise ValueError(f"{address:#x} is not mapped")
            table = entry & FRAME
            if shift == 12 or (shift < 39 and entry & LARGE):
                return (table & ~((1 << shift) - 1)) + (address & ((1 << shift) - 1))
        return None

    def virtual(self, address, size):
        data = b""
        while len(data) < size:
            part = min(size - len(data), 4096 - address % 4096)
            data += self.physical(self.translate(address), part)
            address += part
        return data

    def number(self, address, size=8):
        return int.from_bytes(self.virtual(address, size), "little")

    def size(self, name):
        return int(self.info[f"SIZE({name})"])

    def offset(self, name):
        return int(self.info[f"OFFSET({name})"])

    def log(self):
        """The lines of the kernel's log, the oldest first."""
        ring = self.number(int(self.info["SYMBOL(prb)"], 16))
        descriptors = ring + self.offset("printk_ringbuffer.desc_ring")
        texts = ring + self.offset("printk_ringbuffer.text_data_ring")
        count = 1 << self.number(descriptors + self.offset("prb_desc_ring.count_bits"), 4)
        first = self.number(descriptors + self.offset("prb_desc_ring.tail_id"))
        last = self.number(descriptors + self.offset("prb_desc_ring.head_id"))
        bits = self.number(texts + self.offset("prb_data_ring.size_bits"), 4)
        data = self.virtual(self.number(texts + self.offset("prb_data_ring.data")), 1 << bits)
        descs = self.number(descriptors + self.offset("prb_desc_ring.descs"))
        infos = self.number(descriptors + self.offset("prb_desc_ring.infos"))
        lines = []
        for number in range(first, last + 1):
            desc = self.virtual(descs + number % count * self.size("prb_desc"), self.size("prb_desc"))
            info = self.virtual(infos + number % count * self.size("printk_info"), self.size("printk_info"))
            state, = struct.unpack_from("<Q", desc, self.offset("prb_desc.state_var"))
            if state >> 62 not in (COMMITTED, FINALIZED):
                continue
            lines.append(self.text(desc, info, data))
        return lines

    def text(self, desc, info, data):
        begin, end = struct.unpack_from("<QQ", desc, self.offset("prb_desc.text_blk_lpos"))
        if begin & 1:
            return ""
        begin, end = begin % len(data), end % len(data)
        # One that would wrap is at the beginning instead; the number of its descriptor is before it.
        begin = (0 if end and begin > end else begin) + 8
        length, = struct.unpack_from("<H", info, self.offset("printk_info.text_len"))
        return data[begin:begin + length].decode(errors="replace")
