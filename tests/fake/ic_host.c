/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's end of an integration service. */
#include "tests/fake/ic_host.h"

#include "tests/fake/client_host.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void ic_host_open(struct ic_client *client, const struct ic_client_kind *kind)
{
	client_host_start(&kind->type);
	if (ic_client_open(client, kind, &client_host.bus, IC_CLIENT_NEWEST,
			   client_host_rings(IC_CLIENT_RING_PAGES)))
		abort();
}

size_t ic_host_fill(struct ic_host_message *message, uint16_t type, const void *body, size_t size)
{
	assert(size <= sizeof(message->body));
	*message = (struct ic_host_message){
		.pipe = { IC_PIPE_DATA, (uint32_t)(sizeof(message->header) + size) },
		.header.type = type,
		.header.size = (uint16_t)size,
		.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST,
	};
	memcpy(message->body, body, size);
	return offsetof(struct ic_host_message, body) + size;
}

const struct ic_host_message *ic_host_send(struct ic_client *client,
					   const struct ic_host_message *message, size_t size)
{
	static struct ic_host_message answer;
	const struct ring_packet *packet;
	bool sent = client_host_send_inband(message, size);
	int r = ic_client_poll(client);

	assert(sent && r == 0);
	packet = client_host_receive();
	if (!packet)
		return NULL;
	assert(packet->type == RING_PACKET_INBAND && packet->payload_size <= sizeof(answer));
	memcpy(&answer, packet->payload, packet->payload_size);
	packet = client_host_receive();
	assert(!packet);
	return &answer;
}

const struct ic_host_message *ic_host_ask(struct ic_client *client, const void *body, size_t size)
{
	struct ic_host_message message;
	const struct ic_host_message *answer;

	size = ic_host_fill(&message, client->kind->message_type, body, size);
	answer = ic_host_send(client, &message, size);
	assert(answer);
	return answer;
}

bool ic_host_negotiate(struct ic_client *client, uint16_t major, uint16_t minor)
{
	const struct ic_negotiate offer = {
		.framework_count = 1,
		.message_count = 1,
		.versions = { { 3, 0 }, { major, minor } },
	};
	struct ic_host_message message;
	size_t size = ic_host_fill(&message, IC_MESSAGE_NEGOTIATE, &offer,
				   offsetof(struct ic_negotiate, versions[2]));
	const struct ic_host_message *answer = ic_host_send(client, &message, size);

	return answer && answer->header.status == IC_STATUS_OK && ic_client_is_connected(client);
}
