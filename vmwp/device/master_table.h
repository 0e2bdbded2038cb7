/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of an IDE bus master, in guest memory: where the data of a DMA command are there.
 *
 * A walk remembers where it is, and moves as many bytes as it is asked to. An entry is copied before
 * it is looked at. The guest can make the walk fail, or have it move the same bytes twice; a walk
 * reads no more than MASTER_ENTRIES_MAX entries. Source: SFF-8038i, 1.2.
 */
#pragma once

#include "vid/vid.h"

#include <stdbool.h>
#include <stdint.h>

/* An entry of the table. Wire format. */
struct master_entry {
	uint32_t base;
	uint16_t size, flags; /* size: bytes; 0: 64 KiB */
};
_Static_assert(sizeof(struct master_entry) == 8, "SFF-8038i");

#define MASTER_ENTRY_LAST  0x8000u
#define MASTER_ENTRIES_MAX 8192u /* a table is at most 64 KiB */

/* Where the next byte in guest memory is. */
struct master_cursor {
	uint32_t table;   /* its guest-physical address */
	unsigned entries; /* read so far */
	bool last;        /* there is no other after this one */
	uint64_t base;
	uint32_t left; /* bytes of the entry */
};

static inline struct master_cursor master_cursor_at(uint32_t table)
{
	return (struct master_cursor){ .table = table };
}

/* Moves the next bytes. Return: whether all of them were moved; else some may have been. */
bool master_cursor_move(struct master_cursor *cursor, struct vid_memory *memory, uint8_t *bytes,
			uint32_t size, bool to_guest) MUST_CHECK;
