/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The smallest VSP. */
#include "tests/fake/echo.h"

#include "common/wire/ring.h"

#include <assert.h>
#include <string.h>

const struct guid echo_type = { "echo of a packet" };

struct guid echo_instance(uint8_t instance)
{
	return (struct guid){ { 'e', 'c', 'h', 'o', instance } };
}

static void echo_fill(struct echo *echo, const struct vmbus_packet *packet)
{
	const struct vsp_host *host = vmbus_host(echo->bus);
	struct vmbus_extent extents[VMBUS_RANGE_PAGE_MAX];
	struct iovec iov[VMBUS_RANGE_PAGE_MAX];
	uint32_t at = 0;

	if (vmbus_packet_map(echo->channel, packet, iov, extents, packet->page_count,
			     &echo->iov_count)) {
		echo->ranges_invalid++;
		return;
	}
	for (unsigned i = 0; i < echo->iov_count; i++)
		for (size_t j = 0; j < iov[i].iov_len; j++)
			((uint8_t *)iov[i].iov_base)[j] = packet->payload[at++ % packet->size];
	assert(at == packet->range_size);
	for (unsigned i = 0; i < echo->iov_count && !echo->forgets; i++)
		host->ops->mark_written(host->host, extents[i].gpa, extents[i].size);
}

/* Return: whether the ring had room. */
static bool echo_answer(struct echo *echo, uint64_t transaction_id, const void *payload,
			uint32_t size)
{
	int r = echo->quiet ? vmbus_channel_complete_without_interrupt(
				      echo->channel, transaction_id, payload, size, echo->quiet)
			    : vmbus_channel_complete(echo->channel, transaction_id, payload, size);

	if (r != VMBUS_E_FULL)
		return true;
	echo->pending = true;
	echo->pending_transaction = transaction_id;
	echo->pending_size = size;
	memmove(echo->pending_payload, payload, size);
	return false;
}

void echo_receive(struct echo *echo)
{
	struct vmbus_packet packet;
	int r;

	while (!echo->pending && (r = vmbus_channel_receive(echo->channel, &packet)) == 0) {
		echo->packets++;
		if (packet.range_count > 0 && packet.size > 0)
			echo_fill(echo, &packet);
		if (packet.completion_requested && !echo->silent)
			echo_answer(echo, packet.transaction_id, packet.payload, packet.size);
	}
	if (echo->pending)
		return;
	echo->receive_result = r;
	if (r == VMBUS_E_EMPTY && echo->drained)
		echo->drained(echo->data);
}

static int echo_open(void *device, struct vmbus_channel *channel, const uint8_t *user_data)
{
	struct echo *echo = device;

	if (echo->open_result < 0)
		return echo->open_result;
	assert(echo->opens == echo->closes);
	echo->opens++;
	echo->pending = false;
	memcpy(echo->user_data, user_data, sizeof(echo->user_data));
	return 0;
}

static void echo_close(void *device, struct vmbus_channel *channel)
{
	struct echo *echo = device;

	echo->closes++;
	if (echo->sub && echo->sub->channel)
		vmbus_channel_rescind(echo->sub->channel);
	echo->held = echo->hold_close;
	if (!echo->hold_close)
		vmbus_channel_closed(channel);
}

static void echo_readable(void *device, struct vmbus_channel *channel)
{
	struct echo *echo = device;

	echo->readables++;
	if (!echo->busy)
		echo_receive(echo);
}

static void echo_writable(void *device, struct vmbus_channel *channel)
{
	struct echo *echo = device;

	echo->writables++;
	if (!echo->pending)
		return;
	echo->pending = false;
	if (echo_answer(echo, echo->pending_transaction, echo->pending_payload, echo->pending_size))
		echo_receive(echo);
}

static void echo_released(void *device, struct vmbus_channel *channel)
{
	struct echo *echo = device;

	echo->releases++;
	echo->channel = NULL;
	echo->rescinding = false;
}

const struct vmbus_channel_ops echo_channel_ops = {
	.open = echo_open,
	.close = echo_close,
	.readable = echo_readable,
	.writable = echo_writable,
	.released = echo_released,
};

void echo_offer(struct echo *echo, struct vmbus *bus, uint8_t instance, uint16_t sub_channel_index)
{
	struct vmbus_offer offer = {
		.type = echo_type,
		.instance = echo_instance(instance),
		.flags = VMBUS_OFFER_ENUMERATE,
		.sub_channel_index = sub_channel_index,
	};
	int r = vmbus_channel_offer(bus, &offer, &echo_channel_ops, echo, &echo->channel);

	echo->bus = bus;
	assert(r == 0);
}
