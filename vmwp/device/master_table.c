/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walk over a bus master's table. */
#include "vmwp/device/master_table.h"

#include <string.h>

#define SIZE_VALID 0xfffeu
#define SIZE_0     0x10000u
#define BASE_VALID 0xfffffffeu

static bool cursor_next(struct master_cursor *cursor, const struct vid_memory *memory)
{
	struct master_entry entry;
	gpa_t gpa = GPA((uint64_t)cursor->table + cursor->entries * sizeof(entry));
	const void *at;

	if (cursor->last || cursor->entries == MASTER_ENTRIES_MAX)
		return false;
	at = vid_memory_map(memory, gpa, sizeof(entry));
	if (!at)
		return false;
	memcpy(&entry, at, sizeof(entry));
	cursor->entries++;
	cursor->base = entry.base & BASE_VALID;
	cursor->left = entry.size & SIZE_VALID ? entry.size & SIZE_VALID : SIZE_0;
	cursor->last = entry.flags & MASTER_ENTRY_LAST;
	return true;
}

bool master_cursor_move(struct master_cursor *cursor, struct vid_memory *memory, uint8_t *bytes,
			uint32_t size, bool to_guest)
{
	while (size > 0) {
		uint32_t part;
		void *guest;

		if (cursor->left == 0 && !cursor_next(cursor, memory))
			return false;
		part = MIN(size, cursor->left);
		guest = vid_memory_map(memory, GPA(cursor->base), part);
		if (!guest)
			return false;
		memcpy(to_guest ? guest : bytes, to_guest ? bytes : guest, part);
		if (to_guest)
			vid_memory_mark_written(memory, GPA(cursor->base), part);
		cursor->base += part;
		cursor->left -= part;
		bytes += part;
		size -= part;
	}
	return true;
}
