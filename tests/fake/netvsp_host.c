/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's end of a network adapter. */
#include "tests/fake/netvsp_host.h"

#include "guest-vsc/machine.h"
#include "tests/fake/client_host.h"

#include <assert.h>
#include <string.h>

#define RING_PAGES 16

struct netvsp_host netvsp_host;

static uint8_t receive_memory[NETVSP_HOST_BUFFER] __attribute__((aligned(RING_PAGE_SIZE)));
static uint8_t send_memory[NETVSP_HOST_BUFFER] __attribute__((aligned(RING_PAGE_SIZE)));

/* ---- What the guest sees ---- */

static void received(void *data, const uint8_t *frame, uint32_t size)
{
	netvsp_host.frames++;
	netvsp_host.frame_size = size;
	for (uint32_t i = 0; i < size; i++)
		netvsp_host.sum = (uint8_t)(netvsp_host.sum + frame[i]);
}

static void sent(void *data, const uint8_t *frame, bool accepted)
{
	netvsp_host.sents++;
	netvsp_host.refusals += !accepted;
}

/* ---- What the host says ---- */

void netvsp_host_transfer(uint16_t set_id, uint32_t count, const struct ring_transfer_range *ranges,
			  unsigned given)
{
	struct {
		struct ring_transfer_pages pages;
		struct ring_transfer_range ranges[8];
	} extension = { .pages = { .set_id = set_id, .range_count = count } };
	const struct nvsp_message message = { .type = NVSP_SEND_RNDIS_PACKET };
	const struct ring_packet packet = {
		.type = RING_PACKET_TRANSFER_PAGES,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.transaction_id = 1,
		.extension = &extension,
		.extension_size = (uint32_t)(sizeof(extension.pages) + given * sizeof(*ranges)),
		.payload = &message,
		.payload_size = sizeof(message),
	};

	assert(given <= ARRAY_SIZE(extension.ranges));
	memcpy(extension.ranges, ranges, given * sizeof(*ranges));
	(void)client_host_send(&packet);
}

void netvsp_host_tell(const void *message, uint32_t size)
{
	const struct ring_transfer_range range = { size, netvsp_host.place };

	assert(netvsp_host.receive && size <= NETVSP_HOST_BUFFER - netvsp_host.place);
	memcpy(netvsp_host.receive + netvsp_host.place, message, size);
	netvsp_host.place = (netvsp_host.place + ALIGN_UP(size, 8u)) % (NETVSP_HOST_BUFFER / 2);
	netvsp_host_transfer(NVSP_RECEIVE_BUFFER_ID, 1, &range, 1);
}

static void answer_rndis(const struct netvsp_host_rndis *request)
{
	struct {
		struct netvsp_host_rndis rndis;
		uint32_t value;
	} PACKED answer = {
		.rndis.header = { request->header.type | RNDIS_COMPLETE, 0 },
		.rndis.body.query_complete.request_id = request->body.query.request_id,
	};
	union rndis_body *body = &answer.rndis.body;

	switch (request->header.type) {
	case RNDIS_INITIALIZE:
		body->initialize_complete.transfer_max = 0x4000;
		answer.rndis.header.length = sizeof(answer.rndis);
		break;
	case RNDIS_QUERY: /* whatever it is, it is a number: the link is up */
		body->query_complete.length = sizeof(answer.value);
		body->query_complete.offset = sizeof(*body);
		answer.value = NDIS_MEDIA_CONNECTED;
		answer.rndis.header.length = sizeof(answer);
		break;
	case RNDIS_SET:
		answer.rndis.header.length = sizeof(struct rndis_header) + 8;
		break;
	default:
		return;
	}
	netvsp_host_tell(&answer, answer.rndis.header.length);
}

static void take_rndis(const struct ring_packet *packet)
{
	const struct ring_gpa_direct *direct = packet->extension;
	const struct ring_gpa_range *range = (const void *)(direct + 1);
	struct netvsp_host_rndis request = { 0 };

	assert(packet->type == RING_PACKET_GPA_DIRECT && direct->range_count == 1);
	memcpy(&request, machine_address(range->pfns[0] * RING_PAGE_SIZE + range->byte_offset),
	       MIN(range->byte_count, (uint32_t)sizeof(request)));
	if (!netvsp_host.rndis_asked || !netvsp_host.rndis_asked(&request))
		answer_rndis(&request);
}

static void answer_nvsp(const struct ring_packet *packet, const struct nvsp_message *message)
{
	struct nvsp_message answer = { .type = message->type + 1 };

	switch (message->type) {
	case NVSP_INIT:
		answer.init_complete.status = NVSP_STATUS_SUCCESS;
		break;
	case NVSP_SEND_RECEIVE_BUFFER:
		answer.receive_buffer_complete.status = NVSP_STATUS_SUCCESS;
		answer.receive_buffer_complete.section_count = 1;
		break;
	case NVSP_SEND_SEND_BUFFER:
		answer.send_buffer_complete.status = NVSP_STATUS_SUCCESS;
		answer.send_buffer_complete.section_size = NETVSP_HOST_SECTION;
		break;
	case NVSP_SEND_RNDIS_PACKET:
		answer.rndis_complete.status = NVSP_STATUS_SUCCESS;
		break;
	default:
		return;
	}
	(void)client_host_complete(packet->transaction_id, &answer, sizeof(answer));
}

void netvsp_host_run(void)
{
	const struct ring_packet *packet;
	struct nvsp_message message;

	while ((packet = client_host_receive())) {
		message = (struct nvsp_message){ 0 };
		memcpy(&message, packet->payload, MIN(packet->payload_size, sizeof(message)));
		if (packet->type == RING_PACKET_COMPLETION) {
			netvsp_host.given_back++;
			continue;
		}
		if (message.type == NVSP_SEND_RECEIVE_BUFFER)
			netvsp_host.receive =
				client_host_find_gpadl(message.buffer.gpadl)->pages[0];
		if (!netvsp_host.asked || !netvsp_host.asked(packet->transaction_id, &message))
			answer_nvsp(packet, &message);
		if (message.type == NVSP_SEND_RNDIS_PACKET &&
		    message.rndis.channel == NVSP_CHANNEL_CONTROL)
			take_rndis(packet);
	}
}

void netvsp_host_start(void)
{
	static const struct guid type =
		GUID(0xf8615163, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e);

	netvsp_host = (struct netvsp_host){ 0 };
	client_host_start(&type);
	client_host.signalled = netvsp_host_run;
}

int netvsp_host_open(struct netvsc_client *net)
{
	static const struct netvsc_client_options options = {
		.newest = UINT32_MAX,
		.mtu = 1500,
		.received = received,
		.sent = sent,
	};
	const struct netvsc_client_memory memory = {
		.rings = client_host_rings(RING_PAGES),
		.receive = receive_memory,
		.receive_size = sizeof(receive_memory),
		.send = send_memory,
		.send_size = sizeof(send_memory),
	};

	return netvsc_client_open(net, &client_host.bus, &options, &memory);
}
