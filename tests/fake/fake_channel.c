/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake guest's side of an open channel. */
#include "tests/fake/fake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

/* ---- Opening and closing ---- */

uint32_t fake_open_rings(struct fake_channel *channel, uint32_t downstream_page,
			 const uint8_t user_data[VMBUS_USER_DATA_SIZE])
{
	struct vmbus_message_open_channel message = {
		.header.type = VMBUS_MESSAGE_OPEN_CHANNEL,
		.relid = channel->relid,
		.open_id = channel->relid,
		.ring_gpadl = channel->gpadl,
		.target_vp = channel->target_vp,
		.downstream_page = downstream_page,
	};
	struct vmbus_message_open_result reply;

	if (user_data)
		memcpy(message.user_data, user_data, sizeof(message.user_data));
	fake_post(channel->fake, &message, sizeof(message));
	if (!fake_await(channel->fake, VMBUS_MESSAGE_OPEN_RESULT, &reply, sizeof(reply)))
		return UINT32_MAX;
	assert(reply.relid == channel->relid && reply.open_id == channel->relid);
	return reply.status;
}

/* As Linux does: the GPADL first, then the rings are initialised, then the channel is opened. */
uint32_t fake_open(struct fake *fake, const struct vmbus_message_offer_channel *offer,
		   uint32_t out_pages, uint32_t in_pages, uint32_t target_vp,
		   struct fake_channel *channel)
{
	uint32_t status;
	int r;

	assert(out_pages >= 2 && in_pages >= 2 && out_pages + in_pages <= FAKE_RING_PAGE_MAX);
	channel->fake = fake;
	channel->relid = offer->relid;
	channel->connection_id = offer->connection_id;
	channel->target_vp = target_vp;
	channel->out_pages = out_pages;
	channel->page_count = out_pages + in_pages;
	fake_alloc(fake, channel->page_count, channel->pfns);
	for (uint32_t i = 0; i < channel->page_count; i++)
		channel->pages[i] = fake_memory(fake, gpa_from_pfn(channel->pfns[i]), HV_PAGE_SIZE);

	status = fake_gpadl_create(fake, channel->relid, channel->pfns, channel->page_count, 0,
				   &channel->gpadl);
	if (status)
		return status;
	r = ring_init_writer(&channel->out, channel->pages, out_pages);
	assert(r == 0);
	r = ring_init_reader(&channel->in, channel->pages + out_pages, in_pages);
	assert(r == 0);
	return fake_open_rings(channel, out_pages, NULL);
}

bool fake_close(struct fake_channel *channel)
{
	struct vmbus_message_relid message = {
		.header.type = VMBUS_MESSAGE_CLOSE_CHANNEL,
		.relid = channel->relid,
	};

	fake_post(channel->fake, &message, sizeof(message));
	return fake_gpadl_teardown(channel->fake, channel->relid, channel->gpadl);
}

/* ---- Packets ---- */

void fake_signal(struct fake_channel *channel)
{
	const struct fake *fake = channel->fake;

	for (unsigned i = 0; i < fake->connection_count; i++)
		if (fake->connections[i].id == channel->connection_id)
			eventfd_write(fake->connections[i].event_fd, 1);
}

bool fake_stage(struct fake_channel *channel, const struct ring_packet *packet)
{
	int r = ring_write(&channel->out, packet);

	assert(r == 0 || r == RING_E_FULL);
	return r == 0;
}

void fake_publish(struct fake_channel *channel)
{
	if (ring_publish_written(&channel->out))
		fake_signal(channel);
}

bool fake_send(struct fake_channel *channel, uint16_t type, uint16_t flags, uint64_t transaction_id,
	       const void *payload, uint32_t size)
{
	struct ring_packet packet = {
		.type = type,
		.flags = flags,
		.transaction_id = transaction_id,
		.payload = payload,
		.payload_size = size,
	};

	if (!fake_stage(channel, &packet))
		return false;
	fake_publish(channel);
	return true;
}

bool fake_send_ranges(struct fake_channel *channel, uint16_t flags, uint64_t transaction_id,
		      const void *extension, uint32_t extension_size, const void *payload,
		      uint32_t size)
{
	struct ring_packet packet = {
		.type = RING_PACKET_GPA_DIRECT,
		.flags = flags,
		.transaction_id = transaction_id,
		.extension = extension,
		.extension_size = extension_size,
		.payload = payload,
		.payload_size = size,
	};

	if (!fake_stage(channel, &packet))
		return false;
	fake_publish(channel);
	return true;
}

bool fake_send_range(struct fake_channel *channel, uint16_t flags, uint64_t transaction_id,
		     const uint64_t *pfns, uint32_t offset, uint32_t range_size,
		     const void *payload, uint32_t size)
{
	uint32_t page_count = (offset + range_size + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE;
	struct ring_gpa_direct direct = { .range_count = 1 };
	struct ring_gpa_range range = { .byte_count = range_size, .byte_offset = offset };
	uint32_t extension_size =
		(uint32_t)(sizeof(direct) + sizeof(range)) + page_count * (uint32_t)sizeof(*pfns);
	uint8_t *extension = malloc(extension_size);
	bool sent;

	assert(extension);
	memcpy(extension, &direct, sizeof(direct));
	memcpy(extension + sizeof(direct), &range, sizeof(range));
	memcpy(extension + sizeof(direct) + sizeof(range), pfns, page_count * sizeof(*pfns));
	sent = fake_send_ranges(channel, flags, transaction_id, extension, extension_size, payload,
				size);
	free(extension);
	return sent;
}

bool fake_receive_now(struct fake_channel *channel, struct ring_packet *ret_packet)
{
	int r = ring_read(&channel->in, channel->buffer, sizeof(channel->buffer), ret_packet);

	assert(r == 0 || r == RING_E_EMPTY);
	if (ring_publish_read(&channel->in))
		fake_signal(channel);
	return r == 0;
}

static bool packet_is_there(void *data)
{
	const struct fake_channel *channel = data;

	return ring_has_packets(&channel->in);
}

bool fake_receive(struct fake_channel *channel, struct ring_packet *ret_packet)
{
	return fake_run_until(channel->fake, packet_is_there, channel) &&
	       fake_receive_now(channel, ret_packet);
}
