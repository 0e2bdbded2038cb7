/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of a synthetic network adapter: the channel, NVSP, and frames.
 *
 * A frame's transaction id is its slot plus one; its section of the send buffer has the slot's
 * number. Whatever else is sent counts its ids on from behind those: there is one at a time, and a
 * completion that comes late or twice is not taken for the next one's.
 */
#include "guest-vsc/netvsc_client.h"
#include "guest-vsc/clock.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/netvsc_request.h"

#define HOST_TIMEOUT (10 * CLOCK_SECOND)
#define PACKET_MAX   8192u /* of the ring; with as many ranges as a host sends at once */
#define PAGE_SIZE    4096u
#define PAGES_MAX    (NETVSC_CLIENT_FRAME_MAX / PAGE_SIZE + 2)

#define NDIS_MAJOR     6
#define NDIS_MINOR     30
#define NDIS_MINOR_OLD 1
#define COMPLETION     8 /* bytes of a NVSP_SEND_RNDIS_PACKET_COMPLETE */

struct packet_header {
	struct rndis_header header;
	struct rndis_packet packet;
} PACKED;
_Static_assert(sizeof(struct packet_header) == 44, "wire format");

/* Where headers lie that are not in the send buffer; none goes across pages. */
static uint8_t headers[NETVSC_CLIENT_SLOTS_MAX][64] __attribute__((aligned(4096)));
_Static_assert(sizeof(headers[0]) >= sizeof(struct packet_header), "one header fits");

/* The extension of a GPA-direct packet: a range of one page, and one of several, or these alone. */
static uint64_t extension[1 + 2 + 1 + PAGES_MAX];

static uint32_t message_size(const struct netvsc_client *net)
{
	return net->version == 0 || net->version >= NVSP_VERSION_6_1 ? NVSP_MESSAGE_SIZE_6_1
								     : NVSP_MESSAGE_SIZE;
}

/* ---- Receiving ---- */

/* What a message in the receive buffer is, from a copy of it. */
static void take_message(struct netvsc_client *net, const uint8_t *bytes, uint32_t size)
{
	struct packet_header packet;
	struct rndis_header header;
	uint32_t body;

	memcpy(&header, bytes, sizeof(header));
	if (header.length > size || header.length < sizeof(header)) {
		net->strays++;
		return;
	}
	if (header.type != RNDIS_PACKET) {
		netvsc_request_take(net, bytes, header.length);
		return;
	}
	body = header.length - (uint32_t)sizeof(header);
	if (header.length < sizeof(packet)) {
		net->strays++;
		return;
	}
	memcpy(&packet, bytes, sizeof(packet));
	if (packet.packet.data_offset > body ||
	    packet.packet.data_length > body - packet.packet.data_offset ||
	    packet.packet.data_length < NDIS_ETHERNET_SIZE ||
	    packet.packet.data_length > NETVSC_CLIENT_FRAME_MAX) {
		net->strays++;
		return;
	}
	net->frames_received++;
	net->options.received(net->options.data, bytes + sizeof(header) + packet.packet.data_offset,
			      packet.packet.data_length);
}

static void take_range(struct netvsc_client *net, struct ring_transfer_range range)
{
	static uint8_t copy[NETVSC_CLIENT_FRAME_MAX + 512] __attribute__((aligned(8)));

	if (range.byte_offset > net->memory.receive_size ||
	    range.byte_count > net->memory.receive_size - range.byte_offset ||
	    range.byte_count > sizeof(copy) || range.byte_count < sizeof(struct rndis_header)) {
		net->strays++;
		return;
	}
	memcpy(copy, net->memory.receive + range.byte_offset, range.byte_count);
	take_message(net, copy, range.byte_count);
}

/* Waits until the ring has room: what is not given back is lost to the host. */
static int give_back(struct netvsc_client *net, uint64_t id)
{
	const struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET_COMPLETE,
		.rndis_complete.status = NVSP_STATUS_SUCCESS,
	};
	const struct ring_packet packet = {
		.type = RING_PACKET_COMPLETION,
		.transaction_id = id,
		.payload = &message,
		.payload_size = COMPLETION,
	};
	uint64_t deadline = clock_now() + HOST_TIMEOUT;
	int r;

	while ((r = client_channel_send(&net->channel, &packet)) == RING_E_FULL) {
		client_channel_flush(&net->channel);
		if (clock_now() > deadline)
			return NETVSC_CLIENT_E_TIMEOUT;
		machine_pause();
	}
	return r ? NETVSC_CLIENT_E_RING : 0;
}

static int take_ranges(struct netvsc_client *net, const struct ring_packet *packet)
{
	const struct ring_transfer_pages *pages = packet->extension;
	const struct ring_transfer_range *ranges = (const void *)(pages + 1);

	if (packet->extension_size < sizeof(*pages) || pages->set_id != NVSP_RECEIVE_BUFFER_ID ||
	    pages->range_count > (packet->extension_size - sizeof(*pages)) / sizeof(*ranges))
		return NETVSC_CLIENT_E_PROTOCOL;
	for (uint32_t i = 0; i < pages->range_count; i++)
		take_range(net, ranges[i]);
	return give_back(net, packet->transaction_id);
}

static void complete_frame(struct netvsc_client *net, uint64_t slot,
			   const struct nvsp_message *message)
{
	const uint8_t *frame = slot < NETVSC_CLIENT_SLOTS_MAX ? net->frames[slot] : NULL;
	bool accepted = message->type == NVSP_SEND_RNDIS_PACKET_COMPLETE &&
			message->rndis_complete.status == NVSP_STATUS_SUCCESS;

	if (!frame) {
		net->strays++;
		return;
	}
	net->frames[slot] = NULL;
	net->free_slots[net->free_count++] = (uint16_t)slot;
	net->frames_sent++;
	net->frames_refused += !accepted;
	net->options.sent(net->options.data, frame, accepted);
}

static int take_packet(struct netvsc_client *net, const struct ring_packet *packet)
{
	struct nvsp_message message = { 0 };

	if (packet->type == RING_PACKET_TRANSFER_PAGES)
		return take_ranges(net, packet);
	/* Which channel leads to which queue, and other functions than the adapter's own. */
	if (packet->type != RING_PACKET_COMPLETION)
		return 0;
	memcpy(&message, packet->payload, MIN(packet->payload_size, sizeof(message)));
	if (net->completed || packet->transaction_id != net->packet_id) {
		complete_frame(net, packet->transaction_id - 1, &message);
	} else {
		net->answer = message;
		net->completed = true;
	}
	return 0;
}

int netvsc_client_poll(struct netvsc_client *net)
{
	static uint64_t buffer[PACKET_MAX / sizeof(uint64_t)];
	struct ring_packet packet;
	int r, result = 0;

	while (!result &&
	       !(r = client_channel_receive(&net->channel, buffer, sizeof(buffer), &packet)))
		result = take_packet(net, &packet);
	client_channel_flush(&net->channel);
	if (result)
		return result;
	return r == RING_E_EMPTY ? 0 : NETVSC_CLIENT_E_RING;
}

/* ---- Sending ---- */

static uint64_t *add_range(uint64_t *at, const uint8_t *bytes, uint32_t size)
{
	uint64_t start = machine_gpa(bytes);
	const struct ring_gpa_range range = {
		.byte_count = size,
		.byte_offset = (uint32_t)(start % PAGE_SIZE),
	};

	memcpy(at++, &range, sizeof(range));
	for (uint64_t page = start / PAGE_SIZE; page <= (start + size - 1) / PAGE_SIZE; page++)
		*at++ = page;
	return at;
}

/* A packet with what lies in pages: the header, if it does, and the frame. */
static void describe_pages(struct ring_packet *packet, const uint8_t *header, const uint8_t *frame,
			   uint32_t size)
{
	const struct ring_gpa_direct direct = { .range_count = header ? 2 : 1 };
	uint64_t *at = extension;

	memcpy(at++, &direct, sizeof(direct));
	if (header)
		at = add_range(at, header, sizeof(struct packet_header));
	at = add_range(at, frame, size);
	packet->type = RING_PACKET_GPA_DIRECT;
	packet->extension = extension;
	packet->extension_size = (uint32_t)((uintptr_t)at - (uintptr_t)extension);
}

static struct packet_header header_of(uint32_t size)
{
	return (struct packet_header){
		.header = { RNDIS_PACKET, (uint32_t)sizeof(struct packet_header) + size },
		.packet.data_offset = sizeof(struct rndis_packet),
		.packet.data_length = size,
	};
}

int netvsc_client_send(struct netvsc_client *net, const uint8_t *frame, uint32_t size,
		       enum netvsc_client_way way)
{
	const struct packet_header header = header_of(size);
	uint32_t copied = way == NETVSC_CLIENT_BY_SECTION ? (uint32_t)sizeof(header) + size
							  : (uint32_t)sizeof(header);
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_DATA, NVSP_NO_SEND_SECTION, 0 },
	};
	struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.payload = &message,
		.payload_size = message_size(net),
	};
	uint8_t *section;
	uint16_t slot;
	int r;

	if (size == 0 || size > NETVSC_CLIENT_FRAME_MAX ||
	    (way == NETVSC_CLIENT_BY_SECTION && copied > net->section_size))
		return NETVSC_CLIENT_E_TOO_BIG;
	if (!net->free_count)
		return NETVSC_CLIENT_E_FULL;
	slot = net->free_slots[net->free_count - 1];
	section = way == NETVSC_CLIENT_BY_PAGES
			  ? headers[slot]
			  : net->memory.send + (size_t)slot * net->section_size;
	memcpy(section, &header, sizeof(header));
	if (way == NETVSC_CLIENT_BY_SECTION)
		memcpy(section + sizeof(header), frame, size);
	else
		describe_pages(&packet, way == NETVSC_CLIENT_BY_PAGES ? section : NULL, frame,
			       size);
	if (way != NETVSC_CLIENT_BY_PAGES) {
		message.rndis.send_section = slot;
		message.rndis.send_section_size = copied;
	}
	packet.transaction_id = slot + 1u;
	r = client_channel_send(&net->channel, &packet);
	if (r)
		return r == RING_E_FULL ? NETVSC_CLIENT_E_FULL : NETVSC_CLIENT_E_RING;
	net->free_count--;
	net->frames[slot] = frame;
	return 0;
}

/* ---- Set-up ---- */

static int tell(struct netvsc_client *net, const struct nvsp_message *message, uint16_t flags)
{
	const struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.flags = flags,
		.transaction_id = ++net->packet_id,
		.payload = message,
		.payload_size = message_size(net),
	};

	net->completed = !(flags & RING_FLAG_COMPLETION_REQUESTED);
	if (client_channel_send(&net->channel, &packet))
		return NETVSC_CLIENT_E_RING;
	client_channel_flush(&net->channel);
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

	if (vmbus_client_share(net->channel.client, net->channel.relid, net->memory.receive,
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

	if (vmbus_client_share(net->channel.client, net->channel.relid, net->memory.send,
			       net->memory.send_size, &net->send_gpadl))
		return NETVSC_CLIENT_E_BUS;
	message.buffer.gpadl = net->send_gpadl;
	r = call(net, &message, NVSP_SEND_SEND_BUFFER_COMPLETE);
	if (!r)
		r = check_status(net, net->answer.send_buffer_complete.status);
	if (r)
		return r;
	net->section_size = net->answer.send_buffer_complete.section_size;
	if (net->section_size < sizeof(struct packet_header) ||
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
	if (client_channel_open(&net->channel, bus, offer, memory->rings, NULL))
		return NETVSC_CLIENT_E_BUS;
	r = agree_on_version(net);
	if (!r)
		r = configure(net);
	if (!r)
		r = share_receive_buffer(net);
	if (!r)
		r = share_send_buffer(net);
	return r ? r : netvsc_request_initialize(net);
}

int netvsc_client_close(struct netvsc_client *net)
{
	struct nvsp_message receive = {
		.type = NVSP_REVOKE_RECEIVE_BUFFER,
		.revoke.id = NVSP_RECEIVE_BUFFER_ID,
	};
	struct nvsp_message send = { .type = NVSP_REVOKE_SEND_BUFFER };
	uint32_t relid = net->channel.relid;
	int r;

	r = netvsc_request_halt(net);
	if (!r)
		r = tell(net, &receive, 0);
	if (!r)
		r = tell(net, &send, 0);
	if (r)
		return r;
	if (client_channel_close(&net->channel) ||
	    vmbus_client_unshare(net->channel.client, relid, net->receive_gpadl) ||
	    vmbus_client_unshare(net->channel.client, relid, net->send_gpadl))
		return NETVSC_CLIENT_E_BUS;
	return 0;
}
