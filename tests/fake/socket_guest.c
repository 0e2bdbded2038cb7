/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's side of Hyper-V sockets. */
#include "tests/fake/socket_guest.h"

#include <assert.h>
#include <string.h>

#define DATA_MAX 16376 /* with its header, the largest packet */

void socket_guest_connect(struct fake *fake, uint32_t guest_port, uint32_t host_port)
{
	struct vmbus_message_tl_connect_request request = {
		.header.type = VMBUS_MESSAGE_TL_CONNECT_REQUEST,
		.endpoint = HV_SOCKET_SERVICE(guest_port),
		.service = HV_SOCKET_SERVICE(host_port),
	};

	fake_post(fake, &request, sizeof(request));
}

bool socket_guest_open(struct fake *fake, struct guid service, const struct guid *instance,
		       uint32_t ring_pages, struct fake_channel *channel)
{
	const struct vmbus_message_offer_channel *offer =
		fake_find_offer(fake, &service, instance, 0);

	return offer && fake_open(fake, offer, ring_pages, ring_pages, 0, channel) == 0;
}

bool socket_guest_send(struct fake_channel *channel, const void *bytes, uint32_t size)
{
	struct {
		struct hv_socket_header header;
		uint8_t bytes[DATA_MAX];
	} packet = { .header = { .type = HV_SOCKET_DATA, .size = size } };

	assert(size <= sizeof(packet.bytes));
	if (size > 0)
		memcpy(packet.bytes, bytes, size);
	return fake_send(channel, RING_PACKET_INBAND, 0, 0, &packet,
			 (uint32_t)sizeof(packet.header) + size);
}

static int take_packet(const struct ring_packet *packet, void *bytes, uint32_t size)
{
	struct hv_socket_header header;

	assert(packet->type == RING_PACKET_INBAND && packet->flags == 0);
	assert(packet->payload_size >= sizeof(header));
	memcpy(&header, packet->payload, sizeof(header));
	assert(header.type == HV_SOCKET_DATA);
	assert(header.size <= packet->payload_size - sizeof(header));
	if (MIN(size, header.size) > 0)
		memcpy(bytes, (const uint8_t *)packet->payload + sizeof(header),
		       MIN(size, header.size));
	return (int)header.size;
}

int socket_guest_receive(struct fake_channel *channel, void *bytes, uint32_t size)
{
	struct ring_packet packet;

	return fake_receive(channel, &packet) ? take_packet(&packet, bytes, size) : -1;
}

int socket_guest_receive_now(struct fake_channel *channel, void *bytes, uint32_t size)
{
	struct ring_packet packet;

	return fake_receive_now(channel, &packet) ? take_packet(&packet, bytes, size) : -1;
}

void socket_guest_close(struct fake_channel *channel)
{
	struct vmbus_message_relid released = {
		.header.type = VMBUS_MESSAGE_RELID_RELEASED,
		.relid = channel->relid,
	};

	assert(fake_close(channel));
	fake_post(channel->fake, &released, sizeof(released));
}
