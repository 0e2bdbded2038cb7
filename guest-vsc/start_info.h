/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a PVH loader hands over, version 1. Source: Xen's public/arch-x86/hvm/start_info.h.
 */
#pragma once

#include <stdint.h>

#define START_INFO_MAGIC 0x336ec578

/* Addresses are guest physical; 0: not there. */
struct start_info {
	uint32_t magic, version;
	uint32_t flags;
	uint32_t module_count;
	uint64_t modules;
	uint64_t command_line; /* NUL-terminated */
	uint64_t rsdp;         /* of ACPI */
	uint64_t memory_map;
	uint32_t memory_map_count;
	uint32_t reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "boot protocol");

#define START_INFO_RAM 1

struct start_info_memory {
	uint64_t start, size; /* bytes */
	uint32_t type;        /* START_INFO_RAM */
	uint32_t reserved;
};
_Static_assert(sizeof(struct start_info_memory) == 24, "boot protocol");

/* Valid in guest_main(). */
const struct start_info *machine_boot_information(void);
