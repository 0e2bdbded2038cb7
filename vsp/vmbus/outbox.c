/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages that wait for the guest's message slot. */
#include "vsp/vmbus/outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void outbox_init(struct outbox *outbox)
{
	*outbox = (struct outbox){ 0 };
	list_init(&outbox->channels);
}

void outbox_destroy(struct outbox *outbox)
{
	free(outbox->replies);
	outbox->replies = NULL;
}

void outbox_clear(struct outbox *outbox)
{
	outbox->first = outbox->count = outbox->reserved = 0;
	outbox->all_offers = false;
}

/* Doubles the circle, straightening it. */
static bool outbox_grow(struct outbox *outbox)
{
	unsigned capacity = outbox->capacity ? outbox->capacity * 2 : 16;
	struct outbox_reply *replies = calloc(capacity, sizeof(*replies));

	assert(outbox->count <= outbox->capacity);
	if (!replies)
		return false;
	for (unsigned i = 0; i < outbox->count; i++)
		replies[i] = outbox->replies[(outbox->first + i) % outbox->capacity];
	free(outbox->replies);
	outbox->replies = replies;
	outbox->capacity = capacity;
	outbox->first = 0;
	return true;
}

bool outbox_reserve(struct outbox *outbox)
{
	unsigned taken = outbox->count + outbox->reserved;

	if (taken >= OUTBOX_REPLY_MAX)
		return false;
	if (taken == outbox->capacity && !outbox_grow(outbox))
		return false;
	outbox->reserved++;
	return true;
}

void outbox_unreserve(struct outbox *outbox)
{
	outbox->reserved--;
}

void outbox_put(struct outbox *outbox, const void *message, size_t size)
{
	struct outbox_reply *reply =
		&outbox->replies[(outbox->first + outbox->count) % outbox->capacity];

	reply->size = (uint32_t)size;
	memcpy(reply->bytes, message, size);
	outbox->reserved--;
	outbox->count++;
}

const struct outbox_reply *outbox_first(const struct outbox *outbox)
{
	return outbox->count ? &outbox->replies[outbox->first] : NULL;
}

void outbox_remove_first(struct outbox *outbox)
{
	outbox->first = (outbox->first + 1) % outbox->capacity;
	outbox->count--;
}
