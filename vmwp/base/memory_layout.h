/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's physical address space.
 *
 *	0x00000000 - 0x0009fbff  RAM; the boot loader's data lie below 0x30000
 *	0x0009fc00 - 0x000fffff  reserved: ACPI tables from 0xe0000, SMBIOS from 0xf0000
 *	0x00100000 - 0xbfffffff  RAM
 *	0xc0000000 - 0xffffffff  MMIO: VMBus low window, then IOAPIC and local APIC
 *	0x100000000 -            the rest of the RAM
 *	next multiple of 1 GiB   room for RAM that is added while the guest runs, if any is to be
 *	next multiple of 64 GiB  VMBus high window, if the vps can address it
 *
 * What is called reserved below 1 MiB is RAM too; it is only told to the guest otherwise.
 */
#pragma once

#include "common/base/gpa.h"
#include "vid/vid.h"

#include <stddef.h>
#include <stdint.h>

#define LAYOUT_MINIMUM_RAM (2u << 20)
#define LAYOUT_1MIB        0x100000ull
#define LAYOUT_4GIB        0x100000000ull

/* Boot data, used until the guest's kernel has taken over. */
#define LAYOUT_GDT          0x1000ull
#define LAYOUT_PVH_INFO     0x2000ull
#define LAYOUT_BOOT_PARAMS  0x7000ull
#define LAYOUT_PAGE_TABLES  0x9000ull /* 6 pages */
#define LAYOUT_COMMAND_LINE 0x20000ull
#define LAYOUT_LOW_RAM_END  0x9fc00ull

/* Firmware tables, used as long as the guest runs. */
#define LAYOUT_ACPI        0xe0000ull
#define LAYOUT_ACPI_SIZE   0x10000u
#define LAYOUT_SMBIOS      0xf0000ull
#define LAYOUT_SMBIOS_SIZE 0x10000u

#define LAYOUT_HOLE       0xc0000000ull /* RAM leaves room from here to 4 GiB */
#define LAYOUT_IOAPIC     0xfec00000ull
#define LAYOUT_LOCAL_APIC 0xfee00000ull

struct memory_layout {
	unsigned ram_count; /* 1 or 2 */
	struct vid_memory_region ram[2];
	struct vid_memory_region mmio_low;
	struct vid_memory_region mmio_high; /* size 0: there is none */
	struct vid_memory_region room;      /* likewise */
};

/*
 * ram_size: bytes, at least LAYOUT_MINIMUM_RAM. growth: bytes of RAM that may be added later.
 * address_bits: what the vps can address; where that is too little for the growth, there is no
 * room.
 */
void memory_layout_init(struct memory_layout *layout, uint64_t ram_size, uint64_t growth,
			unsigned address_bits);

/* Where RAM ends. */
uint64_t memory_layout_end(const struct memory_layout *layout);

/* What boot protocols call the e820 map. The types are those of ACPI 6.4, 15. */
enum memory_map_type { MEMORY_MAP_RAM = 1, MEMORY_MAP_RESERVED = 2 };

struct memory_map_entry {
	uint64_t base, size; /* bytes */
	enum memory_map_type type;
};

#define MEMORY_MAP_MAX 4

/* Return: the number of entries, in ascending order. */
size_t memory_layout_map(const struct memory_layout *layout,
			 struct memory_map_entry ret_entries[MEMORY_MAP_MAX]);
