/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages that wait for the guest's message slot.
 *
 * Replies lie ready; offers and rescissions are made when their turn comes, from the channels
 * linked here. So the outbox is bounded whatever the guest does: a channel is linked once, and a
 * message from the guest is handled only if a place for its reply could be reserved.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"
#include "common/wire/vmbus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTBOX_REPLY_MAX 4096 /* more than a guest that reads its messages ever has waiting */

struct outbox_reply {
	uint32_t size;
	uint8_t bytes[sizeof(struct vmbus_message_tl_connect_result)]; /* the longest reply */
};

struct outbox {
	struct outbox_reply *replies; /* a circle of `capacity` */
	unsigned capacity, first, count;
	unsigned reserved;    /* places promised, beyond `count` */
	struct list channels; /* to offer or rescind: struct vmbus_channel.announced */
	bool all_offers;      /* ALL_OFFERS_DELIVERED follows the channels */
};

void outbox_init(struct outbox *outbox);
void outbox_destroy(struct outbox *outbox);

/* Forgets replies and reservations. The channels are the caller's to unlink. */
void outbox_clear(struct outbox *outbox);

/* Promises a place for one reply. Return: false if there is none. */
bool outbox_reserve(struct outbox *outbox) MUST_CHECK;

/* A reservation is not needed after all. */
void outbox_unreserve(struct outbox *outbox);

/* Fills a reserved place. */
void outbox_put(struct outbox *outbox, const void *message, size_t size);

/* The oldest reply, or NULL. */
const struct outbox_reply *outbox_first(const struct outbox *outbox);
void outbox_remove_first(struct outbox *outbox);
