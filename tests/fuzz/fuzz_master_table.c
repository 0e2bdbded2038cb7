/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of an IDE bus master: whatever the guest has there, a walk ends, and nothing but guest
 * memory and the buffer is touched.
 *
 * An input is the address of the table, the sizes of what is moved, and the guest's memory.
 */
#include "vmwp/device/master_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define REGION      0x10000u
#define SECOND_AT   0x40000u
#define BUFFER_SIZE 65536u

struct head {
	uint32_t table;
	uint16_t sizes[4]; /* the lowest bit: to the guest */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Two regions with a hole between them; made once, since that takes system calls. */
static struct vid_memory *memory_get(void)
{
	static struct vid_memory *memory;

	if (!memory && (vid_memory_new(&memory) < 0 ||
			vid_memory_add(memory, (struct vid_memory_region){ GPA(0), REGION },
				       VID_MEMORY_SMALL, false) < 0 ||
			vid_memory_add(memory, (struct vid_memory_region){ GPA(SECOND_AT), REGION },
				       VID_MEMORY_SMALL, false) < 0))
		abort();
	return memory;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buffer[BUFFER_SIZE];
	struct vid_memory *memory = memory_get();
	uint8_t *ram = vid_memory_map(memory, GPA(0), REGION);
	struct master_cursor cursor;
	struct head head;

	if (size < sizeof(head))
		return 0;
	memcpy(&head, data, sizeof(head));
	size = MIN(size - sizeof(head), (size_t)REGION);
	memset(ram, 0, REGION);
	memcpy(ram, data + sizeof(head), size);
	cursor = master_cursor_at(head.table);
	for (size_t i = 0; i < ARRAY_SIZE(head.sizes); i++) {
		unsigned before = cursor.entries;
		uint32_t wanted = head.sizes[i];
		bool moved = master_cursor_move(&cursor, memory, buffer, wanted, wanted & 1);

		assert(cursor.entries >= before && cursor.entries <= MASTER_ENTRIES_MAX);
		assert(!moved || wanted == 0 || cursor.entries > 0);
		assert(cursor.left <= 0x10000u);
	}
	return 0;
}
