/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of a synthetic network adapter: channels and NVSP.
 */
#include "guest-vsc/memory.h"
#include "guest-vsc/netvsc_client.h"
#include "guest-vsc/netvsc_request.h"

#define NDIS_MAJOR     6
#define NDIS_MINOR     30
#define NDIS_MINOR_OLD 1

/* ---- Messages ---- */

static int tell(struct netvsc_client *net, const struct nvsp_message *message, uint16_t flags)
{
	const struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.flags = flags,
		.transaction_id = ++net->packet_id,
		.payload = message,
		.payload_size = netvsc_message_size(net),
	};

	net->completed = !(flags & RING_FLAG_COMPLETION_REQUESTED);
	if (client_channel_send(&net->channels[0], &packet))
		return NETVSC_CLIENT_E_RING;
	client_channel_flush(&net->channels[0]);
	return 0;
}

/* Return: E_PROTOCOL: the answer is of another type. */
static int call(struct netvsc_client *net, const struct nvsp_message *message, uint32_t answer)
{
	int r = tell(net, message, RING_FLAG_COMPLETION_REQUESTED);

	if (!r)
		r = netvsc_request_await(net, &net->completed);
	return r || net->answer.type == answer ? r : NETVSC_CLIENT_E_PROTOCOL;
}

static int check_status(struct netvsc_client *net, uint32_t status)
{
	net->status = status;
	return status == NVSP_STATUS_SUCCESS ? 0 : NETVSC_CLIENT_E_REFUSED;
}

/* ---- The handshake ---- */

static int agree_on_version(struct netvsc_client *net)
{
	static const uint32_t versions[] = { NVSP_VERSION_6_1, NVSP_VERSION_6, NVSP_VERSION_5,
					     NVSP_VERSION_4,   NVSP_VERSION_2, NVSP_VERSION_1 };
	int r = NETVSC_CLIENT_E_REFUSED;

	for (size_t i = 0; i < ARRAY_SIZE(versions) && r == NETVSC_CLIENT_E_REFUSED; i++) {
		struct nvsp_message message = {
			.type = NVSP_INIT,
			.init = { versions[i], versions[i] },
		};

		if (versions[i] > net->options.newest)
			continue;
		r = call(net, &message, NVSP_INIT_COMPLETE);
		if (!r)
			r = check_status(net, net->answer.init_complete.status);
		if (!r)
			net->version = versions[i];
	}
	return r;
}

static int configure(struct netvsc_client *net)
{
	struct nvsp_message config = {
		.type = NVSP_SEND_NDIS_CONFIG,
		.ndis_config.frame_size = net->options.mtu + NDIS_ETHERNET_SIZE,
		.ndis_config.capabilities = NVSP_CAPABILITY_IEEE_8021Q,
	};
	struct nvsp_message version = {
		.type = NVSP_SEND_NDIS_VERSION,
		.ndis_version = { NDIS_MAJOR,
				  net->version >= NVSP_VERSION_5 ? NDIS_MINOR : NDIS_MINOR_OLD },
	};
	int r = 0;

	if (net->version >= NVSP_VERSION_2)
		r = tell(net, &config, 0);
	return r ? r : tell(net, &version, 0);
}

/* As Linux, it takes one section alone, which begins where the buffer does. */
static int share_receive_buffer(struct netvsc_client *net)
{
	struct nvsp_message message = { .type = NVSP_SEND_RECEIVE_BUFFER };
	int r;

	if (vmbus_client_share(net->channels[0].client, net->channels[0].relid, net->memory.receive,
			       net->memory.receive_size, &net->receive_gpadl))
		return NETVSC_CLIENT_E_BUS;
	message.buffer.gpadl = net->receive_gpadl;
	message.buffer.id = NVSP_RECEIVE_BUFFER_ID;
	r = call(net, &message, NVSP_SEND_RECEIVE_BUFFER_COMPLETE);
	if (!r)
		r = check_status(net, net->answer.receive_buffer_complete.status);
	if (!r && (net->answer.receive_buffer_complete.section_count != 1 ||
		   net->answer.receive_buffer_complete.offset != 0))
		r = NETVSC_CLIENT_E_PROTOCOL;
	return r;
}

static int share_send_buffer(struct netvsc_client *net)
{
	struct nvsp_message message = { .type = NVSP_SEND_SEND_BUFFER };
	uint32_t slots;
	int r;

	if (vmbus_client_share(net->channels[0].client, net->channels[0].relid, net->memory.send,
			       net->memory.send_size, &net->send_gpadl))
		return NETVSC_CLIENT_E_BUS;
	message.buffer.gpadl = net->send_gpadl;
	r = call(net, &message, NVSP_SEND_SEND_BUFFER_COMPLETE);
	if (!r)
		r = check_status(net, net->answer.send_buffer_complete.status);
	if (r)
		return r;
	net->section_size = net->answer.send_buffer_complete.section_size;
	if (net->section_size < sizeof(struct rndis_header) + sizeof(struct rndis_packet) ||
	    net->section_size > net->memory.send_size)
		return NETVSC_CLIENT_E_PROTOCOL;
	slots = MIN(net->memory.send_size / net->section_size, (uint32_t)NETVSC_CLIENT_SLOTS_MAX);
	for (uint16_t i = 0; i < slots; i++)
		net->free_slots[net->free_count++] = i;
	return 0;
}

int netvsc_client_open(struct netvsc_client *net, struct vmbus_client *bus,
		       const struct netvsc_client_options *options,
		       const struct netvsc_client_memory *memory)
{
	static const struct guid type =
		GUID(0xf8615163, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e);
	const struct vmbus_message_offer_channel *offer = vmbus_client_find(bus, &type, 0, 0);
	int r;

	memset(net, 0, sizeof(*net));
	net->options = *options;
	net->memory = *memory;
	net->packet_id = NETVSC_CLIENT_SLOTS_MAX;
	net->completed = true;
	if (!offer)
		return NETVSC_CLIENT_E_ABSENT;
	net->instance = offer->instance;
	if (client_channel_open(&net->channels[0], bus, offer, memory->rings, NULL))
		return NETVSC_CLIENT_E_BUS;
	net->channel_count = 1;
	r = agree_on_version(net);
	if (!r)
		r = configure(net);
	if (!r)
		r = share_receive_buffer(net);
	if (!r)
		r = share_send_buffer(net);
	return r ? r : netvsc_request_initialize(net);
}

/* ---- Sub-channels ---- */

/* Has the host choose by its hash of a frame's headers, all channels as often as the others. */
static int spread_frames(struct netvsc_client *net)
{
	/* The one of Microsoft's examples, which scatters well. */
	static const uint8_t key[NDIS_RSS_KEY_SIZE] = {
		0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
		0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
		0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
	};
	static struct {
		struct ndis_rss_parameters parameters;
		uint32_t table[NDIS_RSS_TABLE_SIZE];
		uint8_t key[NDIS_RSS_KEY_SIZE];
	} PACKED value;
	_Static_assert(sizeof(value) <= NETVSC_CLIENT_VALUE_MAX, "it can be set");

	value.parameters = (struct ndis_rss_parameters){
		.header = { NDIS_OBJECT_RSS_PARAMETERS, 2, sizeof(value.parameters) },
		.hash = NDIS_RSS_TOEPLITZ | NDIS_HASH_IPV4 | NDIS_HASH_TCP_IPV4 | NDIS_HASH_IPV6 |
			NDIS_HASH_TCP_IPV6,
		.table_size = sizeof(value.table),
		.table_offset = sizeof(value.parameters),
		.key_size = sizeof(value.key),
		.key_offset = sizeof(value.parameters) + sizeof(value.table),
	};
	for (unsigned i = 0; i < NDIS_RSS_TABLE_SIZE; i++)
		value.table[i] = i % net->channel_count;
	memcpy(value.key, key, sizeof(key));
	return netvsc_client_set(net, OID_GEN_RECEIVE_SCALE_PARAMETERS, &value, sizeof(value));
}

int netvsc_client_add_channels(struct netvsc_client *net, unsigned count,
			       const struct client_channel_memory *rings)
{
	const struct nvsp_message message = {
		.type = NVSP_SUB_CHANNEL,
		.sub_channel = { NVSP_SUB_CHANNEL_ALLOCATE, count },
	};
	const struct vmbus_message_offer_channel *offer;
	struct vmbus_client *bus = net->channels[0].client;
	uint32_t granted;
	int r;

	if (net->channel_count + count > NETVSC_CLIENT_CHANNELS_MAX)
		return NETVSC_CLIENT_E_TOO_BIG;
	r = call(net, &message, NVSP_SUB_CHANNEL);
	if (!r)
		r = check_status(net, net->answer.sub_channel_complete.status);
	if (r)
		return r;
	granted = net->answer.sub_channel_complete.count;
	if (granted > count)
		return NETVSC_CLIENT_E_PROTOCOL;
	for (uint16_t i = 0; i < granted; i++) {
		if (vmbus_client_await_offer(bus, &net->instance, i + 1, &offer) ||
		    client_channel_open(&net->channels[net->channel_count], bus, offer, rings[i],
					NULL))
			return NETVSC_CLIENT_E_BUS;
		net->channel_count++;
	}
	return granted ? spread_frames(net) : 0;
}

/* ---- The end ---- */

int netvsc_client_close(struct netvsc_client *net)
{
	struct nvsp_message receive = {
		.type = NVSP_REVOKE_RECEIVE_BUFFER,
		.revoke.id = NVSP_RECEIVE_BUFFER_ID,
	};
	struct nvsp_message send = { .type = NVSP_REVOKE_SEND_BUFFER };
	uint32_t relid = net->channels[0].relid;
	int r;

	r = netvsc_request_halt(net);
	if (!r)
		r = tell(net, &receive, 0);
	if (!r)
		r = tell(net, &send, 0);
	if (r)
		return r;
	while (net->channel_count > 1)
		if (client_channel_close(&net->channels[--net->channel_count]))
			return NETVSC_CLIENT_E_BUS;
	net->channel_count = 0;
	if (client_channel_close(&net->channels[0]) ||
	    vmbus_client_unshare(net->channels[0].client, relid, net->receive_gpadl) ||
	    vmbus_client_unshare(net->channels[0].client, relid, net->send_gpadl))
		return NETVSC_CLIENT_E_BUS;
	return 0;
}
