/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's side of an integration service. */
#include "tests/fake/ic_guest.h"

#include <assert.h>
#include <string.h>

bool ic_guest_receive(struct fake_channel *channel, struct ic_message *ret_message)
{
	struct ring_packet packet;

	if (!fake_receive(channel, &packet))
		return false;
	assert(packet.type == RING_PACKET_INBAND && packet.flags == 0);
	assert(packet.payload_size >= 28 && packet.payload_size <= sizeof(*ret_message));
	memset(ret_message, 0, sizeof(*ret_message));
	memcpy(ret_message, packet.payload, packet.payload_size);
	assert(ret_message->pipe.type == IC_PIPE_DATA);
	assert(ret_message->pipe.size == sizeof(ret_message->header) + ret_message->header.size);
	assert(ret_message->header.flags == (IC_FLAG_TRANSACTION | IC_FLAG_REQUEST));
	return true;
}

bool ic_guest_has_request(struct fake_channel *channel)
{
	return ring_has_packets(&channel->in);
}

void ic_guest_answer(struct fake_channel *channel, struct ic_message *message, uint32_t status)
{
	bool sent;

	message->header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	message->header.status = status;
	sent = fake_send(channel, RING_PACKET_INBAND, 0, 0, message,
			 message->pipe.size + (uint32_t)sizeof(message->pipe));
	assert(sent);
	fake_settle(channel->fake);
}

void ic_guest_open(struct fake *fake, struct guid type, struct fake_channel *channel)
{
	const struct vmbus_message_offer_channel *offer = fake_find_offer(fake, &type, NULL, 0);
	uint32_t status;

	assert(offer);
	status = fake_open(fake, offer, 4, 4, 0, channel);
	assert(status == 0);
}

void ic_guest_negotiate(struct fake_channel *channel, uint16_t major, uint16_t minor)
{
	struct ic_message message;
	bool received = ic_guest_receive(channel, &message);

	assert(received && message.header.type == IC_MESSAGE_NEGOTIATE);
	message.header.size = 16;
	message.negotiate.framework_count = message.negotiate.message_count = 1;
	message.negotiate.versions[0] = (struct ic_version){ 3, 0 };
	message.negotiate.versions[1] = (struct ic_version){ major, minor };
	ic_guest_answer(channel, &message, IC_STATUS_OK);
}
