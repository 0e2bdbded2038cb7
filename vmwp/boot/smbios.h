/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SMBIOS tables: who made the machine, its UUID, processors and memory, at LAYOUT_SMBIOS, where a
 * guest that was not booted by EFI looks for their anchor. Source: DMTF DSP0134, SMBIOS 3.4.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "vid/vid.h"

#include <stdint.h>

struct smbios_config {
	struct guid uuid;
	unsigned sockets, cores, threads;
	uint64_t ram_size; /* bytes */
	unsigned ram_count;
	const struct vid_memory_region *ram;
};

/* Return: 0; -EINVAL or -ENOSPC if the tables do not fit their area. */
int smbios_write(struct vid_memory *memory, const struct smbios_config *config) MUST_CHECK;
