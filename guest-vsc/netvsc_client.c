/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of a synthetic network adapter: frames.
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

#define COMPLETION 8 /* bytes of a NVSP_SEND_RNDIS_PACKET_COMPLETE */

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

/* ---- Receiving ---- */

/* What a message in the receive buffer is, from a copy of it. */
static void take_message(struct netvsc_client *net, unsigned index, const uint8_t *bytes,
			 uint32_t size)
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
	net->received_by[index]++;
	net->options.received(net->options.data, bytes + sizeof(header) + packet.packet.data_offset,
			      packet.packet.data_length);
}

static void take_range(struct netvsc_client *net, unsigned index, struct ring_transfer_range range)
{
	static uint8_t copy[NETVSC_CLIENT_FRAME_MAX + 512] __attribute__((aligned(8)));

	if (range.byte_offset > net->memory.receive_size ||
	    range.byte_count > net->memory.receive_size - range.byte_offset ||
	    range.byte_count > sizeof(copy) || range.byte_count < sizeof(struct rndis_header)) {
		net->strays++;
		return;
	}
	memcpy(copy, net->memory.receive + range.byte_offset, range.byte_count);
	take_message(net, index, copy, range.byte_count);
}

/* Waits until the ring has room: what is not given back is lost to the host. */
static int give_back(struct client_channel *channel, uint64_t id)
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

	while ((r = client_channel_send(channel, &packet)) == RING_E_FULL) {
		client_channel_flush(channel);
		if (clock_now() > deadline)
			return NETVSC_CLIENT_E_TIMEOUT;
		machine_pause();
	}
	return r ? NETVSC_CLIENT_E_RING : 0;
}

static int take_ranges(struct netvsc_client *net, unsigned index, const struct ring_packet *packet)
{
	const struct ring_transfer_pages *pages = packet->extension;
	const struct ring_transfer_range *ranges = (const void *)(pages + 1);

	if (packet->extension_size < sizeof(*pages) || pages->set_id != NVSP_RECEIVE_BUFFER_ID ||
	    pages->range_count > (packet->extension_size - sizeof(*pages)) / sizeof(*ranges))
		return NETVSC_CLIENT_E_PROTOCOL;
	for (uint32_t i = 0; i < pages->range_count; i++)
		take_range(net, index, ranges[i]);
	return give_back(&net->channels[index], packet->transaction_id);
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

static int take_packet(struct netvsc_client *net, unsigned index, const struct ring_packet *packet)
{
	struct nvsp_message message = { 0 };

	if (packet->type == RING_PACKET_TRANSFER_PAGES)
		return take_ranges(net, index, packet);
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

/* index: of the channel. */
static int poll_channel(struct netvsc_client *net, unsigned index)
{
	static uint64_t buffer[PACKET_MAX / sizeof(uint64_t)];
	struct client_channel *channel = &net->channels[index];
	struct ring_packet packet;
	int r, result = 0;

	while (!result && !(r = client_channel_receive(channel, buffer, sizeof(buffer), &packet)))
		result = take_packet(net, index, &packet);
	client_channel_flush(channel);
	if (result)
		return result;
	return r == RING_E_EMPTY ? 0 : NETVSC_CLIENT_E_RING;
}

int netvsc_client_poll(struct netvsc_client *net)
{
	int r = 0;

	for (unsigned i = 0; i < net->channel_count && !r; i++)
		r = poll_channel(net, i);
	return r;
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
		.payload_size = netvsc_message_size(net),
	};
	unsigned index = net->next_channel % net->channel_count;
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
	r = client_channel_send(&net->channels[index], &packet);
	if (r)
		return r == RING_E_FULL ? NETVSC_CLIENT_E_FULL : NETVSC_CLIENT_E_RING;
	net->free_count--;
	net->frames[slot] = frame;
	net->sent_by[index]++;
	net->next_channel = index + 1;
	return 0;
}

void netvsc_client_flush(struct netvsc_client *net)
{
	for (unsigned i = 0; i < net->channel_count; i++)
		client_channel_flush(&net->channels[i]);
}
