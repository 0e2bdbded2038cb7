/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside dynamic memory: what its files share.
 *
 *   balloon.c        the channel, and what is taken, given and added
 *   balloon_state.c  its state as a record
 *   page_set.c       which pages are taken
 */
#pragma once

#include "common/wire/dynamic_memory.h"
#include "vsp/memory/balloon.h"
#include "vsp/memory/page_set.h"

#define BALLOON_REPORTS_BEFORE_RETRY 10

struct balloon {
	struct vmbus *bus;
	struct vmbus_channel *channel;
	const struct balloon_callbacks *callbacks;
	void *data;

	enum balloon_state state;
	uint32_t version; /* 0: not agreed on */
	uint64_t capabilities;
	uint32_t transaction_id;

	/* Pages. */
	uint64_t size, target;
	struct page_set *taken;
	uint64_t room_start, room_end; /* frames: where RAM can be added */
	uint64_t room, room_step;      /* the first that was not; how many at once, about */
	uint64_t maximum, added;
	bool grows;     /* the guest takes more RAM, as far as is known */
	uint64_t asked; /* of the step under way, and not handed over or given back yet */
	bool telling;   /* more of the step that gives pages back is to be sent */

	unsigned timeout; /* reports until a guest without pages to spare is asked again */
	bool reported;
	uint64_t demand, available;
	uint64_t failures;
	bool quiet; /* nothing is begun */
};

/* Begins what is to be done next, if nothing is under way. */
void balloon_advance(struct balloon *balloon);

bool balloon_range_is_ram(const struct balloon *balloon, uint64_t first, uint64_t count);

/* Pages: what the guest wants RAM to be added in. */
static inline uint64_t balloon_add_unit(const struct balloon *balloon)
{
	return UINT64_C(256) << DM_CAPABILITY_ALIGNMENT(balloon->capabilities);
}
