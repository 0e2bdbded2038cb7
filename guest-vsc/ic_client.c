/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of an integration service.
 *
 * An answer is the request's packet, as long as it was, with the answer written over it. What is
 * too broken to be answered is counted and left alone.
 */
#include "guest-vsc/ic_client.h"
#include "guest-vsc/memory.h"

static const struct ic_version framework_versions[] = { { 3, 0 }, { 1, 0 } };

struct ic_packet {
	struct ic_pipe_header pipe;
	struct ic_header header;
	uint8_t body[];
} PACKED;

/* One for all clients: each packet is dealt with before the next is read. */
static uint64_t packet_buffer[IC_CLIENT_PACKET_MAX / sizeof(uint64_t)];

/* ---- Versions ---- */

static int compare_versions(struct ic_version a, struct ic_version b)
{
	if (a.major != b.major)
		return a.major < b.major ? -1 : 1;
	return a.minor < b.minor ? -1 : a.minor > b.minor;
}

bool ic_client_is_connected(const struct ic_client *client)
{
	return client->version.major || client->version.minor;
}

bool ic_client_has_version(const struct ic_client *client, uint16_t major, uint16_t minor)
{
	return ic_client_is_connected(client) &&
	       compare_versions(client->version, (struct ic_version){ major, minor }) >= 0;
}

/* Return: the first of ours, up to `newest`, that is among the host's; 0.0: none is. */
static struct ic_version choose_version(const struct ic_version *ours, size_t our_count,
					struct ic_version newest, const struct ic_version *hosts,
					size_t host_count)
{
	for (size_t i = 0; i < our_count; i++)
		for (size_t j = 0; j < host_count; j++)
			if (compare_versions(ours[i], newest) <= 0 &&
			    compare_versions(ours[i], hosts[j]) == 0)
				return ours[i];
	return (struct ic_version){ 0 };
}

/* The answer has one version of each, or counts of 0, and is as short as that. */
static uint32_t negotiate(struct ic_client *client, struct ic_header *header, void *body,
			  size_t size)
{
	const struct ic_client_kind *kind = client->kind;
	struct ic_negotiate offer = { 0 };
	size_t frameworks, messages;
	bool agreed;

	memcpy(&offer, body, MIN(size, sizeof(offer)));
	frameworks = offer.framework_count;
	messages = offer.message_count;
	if (size < offsetof(struct ic_negotiate, versions[2]) ||
	    frameworks + messages > ARRAY_SIZE(offer.versions) ||
	    offsetof(struct ic_negotiate, versions) +
			    (frameworks + messages) * sizeof(struct ic_version) >
		    size)
		return IC_STATUS_FAIL;

	client->framework_version =
		choose_version(framework_versions, ARRAY_SIZE(framework_versions), IC_CLIENT_NEWEST,
			       offer.versions, frameworks);
	client->version = choose_version(kind->versions, kind->version_count, client->newest,
					 offer.versions + frameworks, messages);
	agreed = client->framework_version.major && ic_client_is_connected(client);
	if (!agreed)
		client->version = (struct ic_version){ 0 };
	offer.framework_count = offer.message_count = agreed;
	offer.versions[0] = client->framework_version;
	offer.versions[1] = client->version;
	header->size = (uint16_t)offsetof(struct ic_negotiate, versions[2]);
	memcpy(body, &offer, header->size);
	return IC_STATUS_OK;
}

/* ---- Requests ---- */

/* Return: NULL if the packet is no request that can be answered. */
static struct ic_packet *find_request(void *payload, uint32_t size)
{
	struct ic_packet *packet = payload;

	if (size < sizeof(*packet) || packet->pipe.type != IC_PIPE_DATA ||
	    packet->pipe.size > size - sizeof(packet->pipe) ||
	    packet->pipe.size < sizeof(packet->header) ||
	    packet->header.size > packet->pipe.size - sizeof(packet->header) ||
	    !(packet->header.flags & IC_FLAG_REQUEST))
		return NULL;
	return packet;
}

static uint32_t serve(struct ic_client *client, struct ic_packet *packet)
{
	struct ic_header *header = &packet->header;

	if (header->type == IC_MESSAGE_NEGOTIATE)
		return negotiate(client, header, packet->body, header->size);
	if (header->type != client->kind->message_type || !ic_client_is_connected(client))
		return IC_STATUS_FAIL;
	return client->kind->serve(client, packet->body, header->size);
}

static void answer(struct ic_client *client, struct ic_packet *packet)
{
	const struct ring_packet reply = {
		.type = RING_PACKET_INBAND,
		.payload = packet,
		.payload_size = packet->pipe.size + (uint32_t)sizeof(packet->pipe),
	};

	packet->header.status = serve(client, packet);
	packet->header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	client->requests++;
	client->failures += packet->header.status != IC_STATUS_OK;
	if (client_channel_send(&client->channel, &reply))
		client->lost++;
}

int ic_client_poll(struct ic_client *client)
{
	struct ring_packet received;
	struct ic_packet *packet;
	int r;

	while (!(r = client_channel_receive(&client->channel, packet_buffer, sizeof(packet_buffer),
					    &received))) {
		packet = received.type == RING_PACKET_INBAND
				 ? find_request((void *)received.payload, received.payload_size)
				 : NULL;
		if (packet)
			answer(client, packet);
		else
			client->strays++;
	}
	client_channel_flush(&client->channel);
	return r == RING_E_EMPTY ? 0 : IC_CLIENT_E_RING;
}

/* ---- The channel ---- */

int ic_client_open(struct ic_client *client, const struct ic_client_kind *kind,
		   struct vmbus_client *bus, struct ic_version newest,
		   struct client_channel_memory memory)
{
	const struct vmbus_message_offer_channel *offer = vmbus_client_find(bus, &kind->type, 0, 0);

	memset(client, 0, sizeof(*client));
	client->kind = kind;
	client->newest = newest;
	if (!offer)
		return IC_CLIENT_E_ABSENT;
	return client_channel_open(&client->channel, bus, offer, memory, NULL) ? IC_CLIENT_E_BUS
									       : 0;
}
