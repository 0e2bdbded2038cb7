/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's NUMA nodes, as its ACPI tables tell them: the definition's, laid out in its address
 * space. Memory goes to the nodes in their order, from the lowest address on; a node's is in two
 * ranges where it reaches over the hole below 4 GiB.
 */
#pragma once

#include "common/definition/definition.h"
#include "vid/vid.h"
#include "vmwp/base/memory_layout.h"

#include <stddef.h>
#include <stdint.h>

#define NUMA_RANGES_MAX (DEFINITION_NUMA_MAX + 1)

struct numa_range {
	unsigned node;
	struct vid_memory_region region;
};

struct numa {
	unsigned node_count; /* 0: the guest is told of none, and the rest says nothing */
	uint8_t node_of_vp[DEFINITION_PROCESSORS_MAX];
	size_t range_count;
	struct numa_range ranges[NUMA_RANGES_MAX]; /* in ascending order */
	uint8_t distances[DEFINITION_NUMA_MAX][DEFINITION_NUMA_MAX];
};

/* layout: of the definition's memory. */
void numa_init(struct numa *numa, const struct definition *definition,
	       const struct memory_layout *layout);
