/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of an open channel.
 */
#include "guest-vsc/client_channel.h"
#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/synic.h"

static int open_channel(struct client_channel *channel, uint32_t downstream_page,
			const uint8_t *user_data)
{
	struct vmbus_message_open_channel open = {
		.header.type = VMBUS_MESSAGE_OPEN_CHANNEL,
		.relid = channel->relid,
		.open_id = channel->relid,
		.ring_gpadl = channel->gpadl,
		.target_vp = 0,
		.downstream_page = downstream_page,
	};
	struct vmbus_message_open_result result;
	int r;

	if (user_data)
		memcpy(open.user_data, user_data, sizeof(open.user_data));
	r = vmbus_client_post(channel->client, &open, sizeof(open));
	if (!r)
		r = vmbus_client_await(channel->client, VMBUS_MESSAGE_OPEN_RESULT,
				       offsetof(struct vmbus_message_open_result, relid),
				       channel->relid, &result, sizeof(result));
	if (!r && result.status != VMBUS_STATUS_SUCCESS) {
		channel->client->status = result.status;
		r = VMBUS_CLIENT_E_REFUSED;
	}
	return r;
}

static int init_rings(struct client_channel *channel, struct client_channel_memory memory)
{
	unsigned half = memory.pages / 2;

	if (half < 2 || memory.pages > CLIENT_CHANNEL_PAGES_MAX)
		return VMBUS_CLIENT_E_LIMIT;
	for (unsigned i = 0; i < memory.pages; i++)
		channel->pages[i] = (uint8_t *)memory.address + (size_t)i * RING_PAGE_SIZE;
	memset(channel->pages[0], 0, RING_PAGE_SIZE);
	memset(channel->pages[half], 0, RING_PAGE_SIZE);
	if (ring_init_writer(&channel->outgoing, channel->pages, half) ||
	    ring_init_reader(&channel->incoming, channel->pages + half, half))
		return VMBUS_CLIENT_E_LIMIT;
	ring_mask(&channel->incoming);
	return 0;
}

int client_channel_open(struct client_channel *channel, struct vmbus_client *client,
			const struct vmbus_message_offer_channel *offer,
			struct client_channel_memory memory, const uint8_t *user_data)
{
	int r;

	memset(channel, 0, sizeof(*channel));
	channel->client = client;
	channel->relid = offer->relid;
	channel->connection_id = offer->connection_id;
	r = init_rings(channel, memory);
	if (!r)
		r = vmbus_client_share(client, channel->relid, memory.address,
				       (size_t)memory.pages * RING_PAGE_SIZE, &channel->gpadl);
	if (!r)
		r = open_channel(channel, memory.pages / 2, user_data);
	if (!r)
		vmbus_client_set_open(client, channel->relid, true);
	return r;
}

int client_channel_close(struct client_channel *channel)
{
	struct vmbus_message_relid close = {
		.header.type = VMBUS_MESSAGE_CLOSE_CHANNEL,
		.relid = channel->relid,
	};
	int r;

	r = vmbus_client_post(channel->client, &close, sizeof(close));
	if (!r)
		r = vmbus_client_unshare(channel->client, channel->relid, channel->gpadl);
	vmbus_client_set_open(channel->client, channel->relid, false);
	return r;
}

int client_channel_send(struct client_channel *channel, const struct ring_packet *packet)
{
	return ring_write(&channel->outgoing, packet);
}

void client_channel_ring_doorbell(struct client_channel *channel)
{
	channel->doorbells++;
	hypercall_signal_event(channel->connection_id, 0);
}

void client_channel_flush(struct client_channel *channel)
{
	if (ring_publish_written(&channel->outgoing))
		client_channel_ring_doorbell(channel);
}

int client_channel_receive(struct client_channel *channel, void *buffer, uint32_t size,
			   struct ring_packet *ret_packet)
{
	int r;

	r = ring_read(&channel->incoming, buffer, size, ret_packet);
	if (r == RING_E_EMPTY && ring_publish_read(&channel->incoming))
		client_channel_ring_doorbell(channel);
	return r;
}

bool client_channel_unmask(struct client_channel *channel)
{
	/* The host interrupts only when it sets the flag. */
	synic_take_event(VMBUS_SINT, channel->relid);
	return ring_unmask(&channel->incoming);
}

void client_channel_mask(struct client_channel *channel)
{
	ring_mask(&channel->incoming);
}

void client_channel_wait(struct client_channel *channel)
{
	client_channel_wait_any(&channel, 1);
}

static bool unmask_all(struct client_channel *const *channels, size_t count)
{
	bool any = false;

	for (size_t i = 0; i < count; i++)
		any |= client_channel_unmask(channels[i]);
	return any;
}

void client_channel_wait_any(struct client_channel *const *channels, size_t count)
{
	uint64_t seen = machine_interrupts();

	while (!unmask_all(channels, count)) {
		machine_wait_interrupt(seen);
		seen = machine_interrupts();
	}
	for (size_t i = 0; i < count; i++)
		client_channel_mask(channels[i]);
}
