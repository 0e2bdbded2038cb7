/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake guest's storage driver. */
#include "tests/fake/storvsc.h"

#include <assert.h>
#include <string.h>

const struct guid storvsc_type =
	GUID(0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f);

static const struct guid ide_type =
	GUID(0x32412632, 0x86cb, 0x44a2, 0x9b, 0x5c, 0x50, 0xd1, 0x41, 0x73, 0x54, 0xf5);

bool storvsc_open(struct storvsc *storvsc, struct fake *fake, uint16_t sub_channel_index,
		  uint32_t ring_pages)
{
	bool ide = fake_has_offer(fake, &ide_type) && !fake_has_offer(fake, &storvsc_type);
	const struct vmbus_message_offer_channel *offer =
		fake_find_offer(fake, ide ? &ide_type : &storvsc_type, NULL, sub_channel_index);

	if (!offer)
		return false;
	memset(storvsc, 0, sizeof(*storvsc));
	storvsc->fake = fake;
	storvsc->offer = *offer;
	fake_alloc(fake, STORVSC_PAGES, storvsc->pfns);
	return fake_open(fake, &storvsc->offer, ring_pages, ring_pages, 0, &storvsc->channel) == 0;
}

bool storvsc_start(struct storvsc *storvsc, struct fake *fake)
{
	return storvsc_open(storvsc, fake, 0, 32) &&
	       storvsc_operate(storvsc, STORVSP_BEGIN_INITIALIZATION) == 0 &&
	       storvsc_query_version(storvsc, STORVSP_VERSION_WIN10) == 0 &&
	       storvsc_operate(storvsc, STORVSP_QUERY_PROPERTIES) == 0 &&
	       storvsc_operate(storvsc, STORVSP_END_INITIALIZATION) == 0;
}

bool storvsc_send(struct storvsc *storvsc, uint64_t id, const struct storvsp_packet *packet)
{
	return fake_send(&storvsc->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, id,
			 packet, sizeof(*packet));
}

static uint32_t operate(struct storvsc *storvsc, const struct storvsp_packet *packet)
{
	if (!storvsc_send(storvsc, STORVSC_INIT_ID, packet) || !storvsc_receive(storvsc))
		return UINT32_MAX;
	assert(storvsc->reply_id == STORVSC_INIT_ID);
	assert(storvsc->reply.operation == STORVSP_COMPLETE_IO);
	return storvsc->reply.status;
}

uint32_t storvsc_operate(struct storvsc *storvsc, uint32_t operation)
{
	struct storvsp_packet packet = {
		.operation = operation,
		.flags = STORVSP_REQUEST_COMPLETION,
	};

	return operate(storvsc, &packet);
}

uint32_t storvsc_query_version(struct storvsc *storvsc, uint16_t version)
{
	struct storvsp_packet packet = {
		.operation = STORVSP_QUERY_PROTOCOL_VERSION,
		.flags = STORVSP_REQUEST_COMPLETION,
		.version.version = version,
	};

	return operate(storvsc, &packet);
}

struct storvsp_packet storvsc_srb(enum storvsp_direction direction, uint32_t size, const void *cdb,
				  uint8_t cdb_length)
{
	struct storvsp_packet packet = {
		.operation = STORVSP_EXECUTE_SRB,
		.flags = STORVSP_REQUEST_COMPLETION,
		.srb = {
			.length = sizeof(packet.srb),
			.cdb_length = cdb_length,
			.sense_length = STORVSP_SENSE_SIZE,
			.data_in = (uint8_t)direction,
			.transfer_length = size,
			.timeout = 60,
		},
	};

	memcpy(packet.srb.cdb, cdb, cdb_length);
	return packet;
}

bool storvsc_submit(struct storvsc *storvsc, uint64_t id, const struct storvsp_packet *packet,
		    uint32_t offset)
{
	if (!packet->srb.transfer_length)
		return storvsc_send(storvsc, id, packet);
	return fake_send_range(&storvsc->channel, RING_FLAG_COMPLETION_REQUESTED, id,
			       storvsc->pfns + offset / HV_PAGE_SIZE, offset % HV_PAGE_SIZE,
			       packet->srb.transfer_length, packet, sizeof(*packet));
}

/* Return: whether it was a reply. */
static bool take(struct storvsc *storvsc, const struct ring_packet *packet)
{
	struct storvsp_packet payload = { 0 };

	assert(packet->payload_size >= STORVSP_PACKET_SIZE_MIN &&
	       packet->payload_size <= sizeof(payload));
	memcpy(&payload, packet->payload, packet->payload_size);
	if (packet->type == RING_PACKET_INBAND) {
		assert(packet->payload_size == sizeof(payload));
		assert(packet->transaction_id == 0);
		assert(payload.operation == STORVSP_ENUMERATE_BUS);
		storvsc->enumerates++;
		return false;
	}
	assert(packet->type == RING_PACKET_COMPLETION);
	storvsc->reply = payload;
	storvsc->reply_size = packet->payload_size;
	storvsc->reply_id = packet->transaction_id;
	return true;
}

bool storvsc_receive(struct storvsc *storvsc)
{
	struct ring_packet packet;

	do {
		if (!fake_receive(&storvsc->channel, &packet))
			return false;
	} while (!take(storvsc, &packet));
	return true;
}

bool storvsc_receive_now(struct storvsc *storvsc)
{
	struct ring_packet packet;

	do {
		if (!fake_receive_now(&storvsc->channel, &packet))
			return false;
	} while (!take(storvsc, &packet));
	return true;
}

uint8_t storvsc_execute(struct storvsc *storvsc, enum storvsp_direction direction, uint32_t size,
			const void *cdb, uint8_t cdb_length)
{
	struct storvsp_packet packet = storvsc_srb(direction, size, cdb, cdb_length);

	if (!storvsc_submit(storvsc, 1, &packet, 0) || !storvsc_receive(storvsc))
		return 0;
	assert(storvsc->reply_id == 1);
	return storvsc->reply.srb.srb_status;
}

/* Calls memcpy for each page, in the direction of `put`. */
static void copy(const struct storvsc *storvsc, uint32_t offset, uint8_t *data, uint32_t size,
		 bool put)
{
	while (size) {
		uint32_t in_page = offset % HV_PAGE_SIZE;
		uint32_t length = MIN(size, HV_PAGE_SIZE - in_page);
		uint8_t *page = fake_memory(storvsc->fake,
					    gpa_from_pfn(storvsc->pfns[offset / HV_PAGE_SIZE]),
					    HV_PAGE_SIZE);

		memcpy(put ? page + in_page : data, put ? data : page + in_page, length);
		offset += length;
		data += length;
		size -= length;
	}
}

void storvsc_put(struct storvsc *storvsc, uint32_t offset, const void *data, uint32_t size)
{
	copy(storvsc, offset, (uint8_t *)data, size, true);
}

void storvsc_get(const struct storvsc *storvsc, uint32_t offset, void *data, uint32_t size)
{
	copy(storvsc, offset, data, size, false);
}
