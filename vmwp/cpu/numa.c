/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's NUMA nodes. */
#include "vmwp/cpu/numa.h"

#include "common/base/cc.h"

/* Where memory goes next: an offset into a region of RAM. */
struct numa_place {
	unsigned region;
	uint64_t offset;
};

static void numa_add_memory(struct numa *numa, unsigned node, uint64_t size,
			    const struct memory_layout *layout, struct numa_place *place)
{
	while (size > 0 && place->region < layout->ram_count) {
		const struct vid_memory_region *ram = &layout->ram[place->region];
		uint64_t part = MIN(size, ram->size - place->offset);

		numa->ranges[numa->range_count++] = (struct numa_range){
			.node = node,
			.region = { .gpa = GPA(ram->gpa.value + place->offset), .size = part },
		};
		size -= part;
		place->offset += part;
		if (place->offset == ram->size)
			*place = (struct numa_place){ .region = place->region + 1 };
	}
}

void numa_init(struct numa *numa, const struct definition *definition,
	       const struct memory_layout *layout)
{
	struct numa_place place = { 0 };

	*numa = (struct numa){ .node_count = definition->numa.count };
	if (numa->node_count == 0)
		return;
	for (unsigned vp = 0; vp < definition->processors.count; vp++)
		numa->node_of_vp[vp] = (uint8_t)definition_numa_node_of(
			&definition->numa, &definition->processors, vp);
	for (unsigned i = 0; i < numa->node_count; i++) {
		numa_add_memory(numa, i,
				definition_numa_memory(&definition->numa, &definition->memory, i),
				layout, &place);
		for (unsigned j = 0; j < numa->node_count; j++)
			numa->distances[i][j] =
				(uint8_t)definition_numa_distance(&definition->numa, i, j);
	}
}
