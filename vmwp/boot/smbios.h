/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SMBIOS tables: who made the machine, its UUID, processors and memory, at LAYOUT_SMBIOS, where a
 * guest that was not booted by EFI looks for their anchor. Source: DMTF DSP0134, SMBIOS 3.4.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "vid/vid.h"

#include <stddef.h>
#include <stdint.h>

struct smbios_config {
	struct guid uuid;
	unsigned sockets, cores, threads;
	uint64_t ram_size; /* bytes */
	unsigned ram_count;
	const struct vid_memory_region *ram;
};

#define SMBIOS_ANCHOR_SIZE   24u /* bytes, from the area's beginning */
#define SMBIOS_TABLES_OFFSET 32u

/*
 * The same in memory of the host's: LAYOUT_SMBIOS_SIZE bytes, zero-filled. *ret_size: of the
 * tables. Return: 0; -ENOSPC.
 */
int smbios_fill(uint8_t *bytes, const struct smbios_config *config, size_t *ret_size) MUST_CHECK;

/* Return: 0; -EINVAL or -ENOSPC if the tables do not fit their area. */
int smbios_write(struct vid_memory *memory, const struct smbios_config *config) MUST_CHECK;
