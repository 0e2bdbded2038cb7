/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The attacks of guest_hostile, by what they are aimed at.
 */
#pragma once

#include "tests/guest/rig.h"

#include <stddef.h>
#include <stdint.h>

enum {
	HOSTILE_OPEN = 1,    /* begin with the disk open */
	HOSTILE_REFUSED = 2, /* none of its requests may succeed */
};

/* An attack has variants, each of which gets a connection of its own. */
struct attack {
	const char *name; /* NULL: the table's end */
	void (*run)(unsigned variant);
	unsigned variants;
	unsigned flags; /* HOSTILE_ */
};

extern const struct attack hostile_messages[], hostile_gpadls[], hostile_rings[], hostile_storage[],
	hostile_synic[], hostile_random[];

#define HOSTILE_WILD_PFN 0xfffffffffffffull /* the last page of a 64-bit address space */
#define HOSTILE_HOLE_PFN 0xd0000ull         /* where PCs have no RAM */

#define HOSTILE_BUFFER_SIZE (64u * 1024)

/* Memory that nobody else uses; page-aligned. */
extern uint8_t hostile_buffer[HOSTILE_BUFFER_SIZE];
extern uint8_t hostile_shared[RIG_RING_PAGES * RING_PAGE_SIZE];

/* The disk's channel, and the relid of its offer. */
struct client_channel *hostile_channel(void);
uint32_t hostile_relid(void);

/* Posts a message and does not care what becomes of it. */
void hostile_post(const void *message, size_t size);

/* Waits until the host has answered a contact, whatever it says. */
void hostile_await_version(void);

#define HOSTILE_POST(...) hostile_post(&(__VA_ARGS__), sizeof(__VA_ARGS__))
