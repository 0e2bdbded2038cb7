/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of an open channel: two rings and a doorbell.
 *
 * Packets that are sent are staged until client_channel_flush(), which rings the host's doorbell
 * once for all of them, and only if the host waits for it. The host interrupts only while
 * interrupts are unmasked; else the ring is polled.
 *
 * Errors: 0, or a RING_E_ code (common/wire/ring.h), or a VMBUS_CLIENT_E_ code, as each says.
 */
#pragma once

#include "common/base/cc.h"
#include "common/wire/ring.h"
#include "guest-vsc/vmbus_client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_CHANNEL_PAGES_MAX 128 /* both rings, with their control pages */

struct client_channel {
	struct vmbus_client *client;
	uint32_t relid, connection_id, gpadl;
	struct ring outgoing, incoming;
	uint8_t *pages[CLIENT_CHANNEL_PAGES_MAX];
	uint64_t doorbells; /* how often the host's was rung */
};

/* Page-aligned memory that becomes the rings: `pages` of them, half for each direction. */
struct client_channel_memory {
	void *address;
	unsigned pages;
};

/*
 * Opens an offered channel, with interrupts masked. user_data: what the VSP is told,
 * VMBUS_USER_DATA_SIZE bytes, or NULL. The memory must live until the channel is closed.
 * Return: a VMBUS_CLIENT_E_ code.
 */
int client_channel_open(struct client_channel *channel, struct vmbus_client *client,
			const struct vmbus_message_offer_channel *offer,
			struct client_channel_memory memory, const uint8_t *user_data) MUST_CHECK;

/* Return: a VMBUS_CLIENT_E_ code. */
int client_channel_close(struct client_channel *channel) MUST_CHECK;

/* Stages a packet. Return: RING_E_FULL, RING_E_TOO_BIG, RING_E_CORRUPT. */
int client_channel_send(struct client_channel *channel,
			const struct ring_packet *packet) MUST_CHECK;
void client_channel_flush(struct client_channel *channel);

/* Rings the doorbell, needed or not. */
void client_channel_ring_doorbell(struct client_channel *channel);

/*
 * Copies the next packet to `buffer`, 8-aligned. When there are none left, the host is given back
 * the room of those read. Return: RING_E_EMPTY, RING_E_TOO_BIG, RING_E_CORRUPT.
 */
int client_channel_receive(struct client_channel *channel, void *buffer, uint32_t size,
			   struct ring_packet *ret_packet) MUST_CHECK;

/*
 * Lets the host interrupt for what comes next. Return: true if something is there already, for
 * which it may not have.
 */
bool client_channel_unmask(struct client_channel *channel) MUST_CHECK;
void client_channel_mask(struct client_channel *channel);

/* Halts the vp until there is something to receive, unmasking interrupts meanwhile. */
void client_channel_wait(struct client_channel *channel);

/* The same for any of several channels. */
void client_channel_wait_any(struct client_channel *const *channels, size_t count);
