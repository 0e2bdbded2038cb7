/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's physical address space. */
#include "vmwp/base/memory_layout.h"

#include "common/base/cc.h"

#define HIGH_WINDOW_SIZE (64ull << 30)
#define ROOM_ALIGNMENT   (1ull << 30)
#define ROOM_MORE        (4ull << 30) /* guests align what is added, Linux to 2 GiB at most */

static struct vid_memory_region layout_room(uint64_t end, uint64_t growth, unsigned address_bits)
{
	struct vid_memory_region room = { .gpa = GPA(ALIGN_UP(end, ROOM_ALIGNMENT)) };

	if (growth > 0)
		room.size = growth + ROOM_MORE;
	if (address_bits < 64 && room.gpa.value + room.size > UINT64_C(1) << address_bits)
		room.size = 0;
	return room;
}

void memory_layout_init(struct memory_layout *layout, uint64_t ram_size, uint64_t growth,
			unsigned address_bits)
{
	uint64_t low = MIN(ram_size, LAYOUT_HOLE), high = ram_size - low;
	struct vid_memory_region room = layout_room(LAYOUT_4GIB + high, growth, address_bits);
	uint64_t end = room.size ? room.gpa.value + room.size : LAYOUT_4GIB + high;
	uint64_t window = ALIGN_UP(end, HIGH_WINDOW_SIZE);

	*layout = (struct memory_layout){
		.ram_count = high ? 2 : 1,
		.ram = { { .gpa = GPA(0), .size = low },
			 { .gpa = GPA(LAYOUT_4GIB), .size = high } },
		.mmio_low = { .gpa = GPA(LAYOUT_HOLE), .size = LAYOUT_IOAPIC - LAYOUT_HOLE },
		.room = room,
	};
	if (address_bits < 64 && window + HIGH_WINDOW_SIZE <= UINT64_C(1) << address_bits)
		layout->mmio_high =
			(struct vid_memory_region){ .gpa = GPA(window), .size = HIGH_WINDOW_SIZE };
}

uint64_t memory_layout_end(const struct memory_layout *layout)
{
	const struct vid_memory_region *last = &layout->ram[layout->ram_count - 1];

	return last->gpa.value + last->size;
}

size_t memory_layout_map(const struct memory_layout *layout,
			 struct memory_map_entry ret_entries[MEMORY_MAP_MAX])
{
	size_t n = 0;

	ret_entries[n++] =
		(struct memory_map_entry){ .size = LAYOUT_LOW_RAM_END, .type = MEMORY_MAP_RAM };
	ret_entries[n++] = (struct memory_map_entry){ .base = LAYOUT_LOW_RAM_END,
						      .size = LAYOUT_1MIB - LAYOUT_LOW_RAM_END,
						      .type = MEMORY_MAP_RESERVED };
	ret_entries[n++] = (struct memory_map_entry){ .base = LAYOUT_1MIB,
						      .size = layout->ram[0].size - LAYOUT_1MIB,
						      .type = MEMORY_MAP_RAM };
	if (layout->ram_count > 1)
		ret_entries[n++] = (struct memory_map_entry){ .base = layout->ram[1].gpa.value,
							      .size = layout->ram[1].size,
							      .type = MEMORY_MAP_RAM };
	return n;
}
