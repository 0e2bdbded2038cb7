/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake guest's network driver. */
#include "tests/fake/netvsc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct guid netvsc_type =
	GUID(0xf8615163, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e);

#define CALL_ID UINT64_C(0xffff888012345678)

bool netvsc_open(struct netvsc *netvsc, struct fake *fake)
{
	const struct vmbus_message_offer_channel *offer;

	*netvsc = (struct netvsc){ .fake = fake, .message_size = NVSP_MESSAGE_SIZE_6_1 };
	offer = fake_find_offer(fake, &netvsc_type, NULL, 0);
	if (!offer ||
	    fake_open(fake, offer, NETVSC_RING_PAGES, NETVSC_RING_PAGES, 0, &netvsc->channels[0]))
		return false;
	netvsc->channel_count = 1;
	return true;
}

/* ---- Packets from the host ---- */

/*
 * The table as all guests find it: Linux before 5.4 counts the offset from behind the type, and so
 * misses the first entry, and takes what follows the packet's payload for the last one.
 */
static void netvsc_take_table(struct netvsc *netvsc, const struct ring_packet *packet)
{
	uint32_t offset = netvsc->message.indirection_table.offset;
	uint32_t count = netvsc->message.indirection_table.count;

	assert(count == NVSP_SEND_TABLE_SIZE);
	assert(offset + count * 4 <= packet->payload_size);
	for (uint32_t i = 0; i <= count; i++) {
		uint32_t entry = 0;

		if (offset + i * 4 < packet->payload_size)
			memcpy(&entry, (const uint8_t *)packet->payload + offset + 4 * i, 4);
		assert(entry < netvsc->channel_count);
	}
	netvsc->tables++;
}

/* Return: whether the control message tells of offloads; it is taken then. */
static bool netvsc_take_offload(struct netvsc *netvsc)
{
	struct {
		struct rndis_header header;
		uint32_t status, length, offset;
	} PACKED message;

	memcpy(&message, netvsc->reply, sizeof(message));
	if (netvsc->lax || message.header.type != RNDIS_INDICATE_STATUS ||
	    message.status != RNDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG)
		return false;
	assert(message.header.length == netvsc->reply_size && message.offset == 12 &&
	       message.header.length == sizeof(message) + message.length &&
	       message.length <= sizeof(netvsc->offload));
	memcpy(netvsc->offload, netvsc->reply + sizeof(message), message.length);
	netvsc->offloads++;
	return true;
}

/* Return: whether the packet is one that a driver waits for. */
static bool netvsc_take_ranges(struct netvsc *netvsc, unsigned channel,
			       const struct ring_packet *packet)
{
	const struct ring_transfer_pages *header = packet->extension;

	assert(netvsc->lax || header->set_id == NVSP_RECEIVE_BUFFER_ID);
	assert(header->range_count > 0 && header->range_count <= NETVSC_RANGE_MAX);
	netvsc->channel = channel;
	netvsc->transaction_id = packet->transaction_id;
	netvsc->range_count = header->range_count;
	memcpy(netvsc->ranges, header + 1, header->range_count * sizeof(*netvsc->ranges));
	for (unsigned i = 0; i < netvsc->range_count; i++) {
		const struct ring_transfer_range *range = &netvsc->ranges[i];

		assert(range->byte_offset <= NETVSC_RECEIVE_PAGES * HV_PAGE_SIZE &&
		       range->byte_count <=
			       NETVSC_RECEIVE_PAGES * HV_PAGE_SIZE - range->byte_offset);
		assert(netvsc->lax ||
		       (range->byte_count <= netvsc->slot_size &&
			range->byte_offset % netvsc->slot_size == 0 &&
			range->byte_offset / netvsc->slot_size < netvsc->slot_count));
	}
	if (netvsc->message.rndis.channel == NVSP_CHANNEL_CONTROL) {
		netvsc->reply_size = MIN(netvsc->ranges[0].byte_count, sizeof(netvsc->reply));
		memcpy(netvsc->reply, netvsc_received(netvsc, netvsc->ranges[0].byte_offset),
		       netvsc->reply_size);
		if (netvsc_take_offload(netvsc)) {
			netvsc->reply_size = 0;
			netvsc_complete(netvsc, channel, packet->transaction_id);
			return false;
		}
	}
	if (!netvsc->keep)
		netvsc_complete(netvsc, channel, packet->transaction_id);
	return true;
}

uint16_t netvsc_poll(struct netvsc *netvsc, unsigned channel)
{
	struct ring_packet packet;

	if (!fake_receive_now(&netvsc->channels[channel], &packet))
		return 0;
	memset(&netvsc->message, 0, sizeof(netvsc->message));
	memcpy(&netvsc->message, packet.payload,
	       MIN((size_t)packet.payload_size, sizeof(netvsc->message)));
	netvsc->message_id = packet.transaction_id;
	netvsc->payload_size = packet.payload_size;
	if (packet.type == RING_PACKET_TRANSFER_PAGES &&
	    !netvsc_take_ranges(netvsc, channel, &packet))
		return netvsc_poll(netvsc, channel);
	if (packet.type == RING_PACKET_INBAND &&
	    netvsc->message.type == NVSP_SEND_INDIRECTION_TABLE)
		netvsc_take_table(netvsc, &packet);
	return packet.type;
}

struct waiting {
	struct netvsc *netvsc;
	unsigned channel;
	uint16_t type;
	uint64_t id; /* of completions */
};

static bool netvsc_came(void *data)
{
	struct waiting *waiting = data;
	uint16_t type;

	while ((type = netvsc_poll(waiting->netvsc, waiting->channel)) != 0)
		if (type == waiting->type &&
		    (type != RING_PACKET_COMPLETION || waiting->netvsc->message_id == waiting->id))
			return true;
	return false;
}

static bool netvsc_wait(struct netvsc *netvsc, unsigned channel, uint16_t type, uint64_t id)
{
	struct waiting waiting = { netvsc, channel, type, id };

	return fake_run_until(netvsc->fake, netvsc_came, &waiting);
}

bool netvsc_receive(struct netvsc *netvsc, unsigned channel)
{
	return netvsc_wait(netvsc, channel, RING_PACKET_TRANSFER_PAGES, 0);
}

void netvsc_complete(struct netvsc *netvsc, unsigned channel, uint64_t id)
{
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET_COMPLETE,
		.rndis_complete.status = NVSP_STATUS_SUCCESS,
	};

	fake_send(&netvsc->channels[channel], RING_PACKET_COMPLETION, 0, id, &message, 8);
}

/* ---- Set-up ---- */

bool netvsc_tell(struct netvsc *netvsc, const struct nvsp_message *message)
{
	return fake_send(&netvsc->channels[0], RING_PACKET_INBAND, 0, CALL_ID, message,
			 (uint32_t)netvsc->message_size);
}

bool netvsc_call(struct netvsc *netvsc, const struct nvsp_message *message)
{
	return fake_send(&netvsc->channels[0], RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED,
			 CALL_ID, message, (uint32_t)netvsc->message_size) &&
	       netvsc_wait(netvsc, 0, RING_PACKET_COMPLETION, CALL_ID);
}

bool netvsc_init(struct netvsc *netvsc, uint32_t version)
{
	struct nvsp_message message = { .type = NVSP_INIT, .init = { version, version } };

	if (!netvsc_call(netvsc, &message) || netvsc->message.type != NVSP_INIT_COMPLETE ||
	    netvsc->message.init_complete.status != NVSP_STATUS_SUCCESS)
		return false;
	netvsc->version = netvsc->message.init_complete.version;
	netvsc->message_size =
		netvsc->version >= NVSP_VERSION_6_1 ? NVSP_MESSAGE_SIZE_6_1 : NVSP_MESSAGE_SIZE;
	return true;
}

bool netvsc_configure(struct netvsc *netvsc, uint32_t mtu, uint64_t capabilities)
{
	struct nvsp_message config = {
		.type = NVSP_SEND_NDIS_CONFIG,
		.ndis_config = { .frame_size = mtu + 14, .capabilities = capabilities },
	};
	struct nvsp_message version = {
		.type = NVSP_SEND_NDIS_VERSION,
		.ndis_version = { 6, netvsc->version >= NVSP_VERSION_5 ? 30 : 1 },
	};

	if (netvsc->version > NVSP_VERSION_1 && !netvsc_tell(netvsc, &config))
		return false;
	return netvsc_tell(netvsc, &version);
}

static bool netvsc_give_buffer(struct netvsc *netvsc, uint32_t type, uint64_t *pfns, uint32_t pages,
			       uint32_t *gpadl)
{
	struct nvsp_message message = { .type = type };

	if (pfns[0] == 0)
		fake_alloc(netvsc->fake, pages, pfns);
	if (fake_gpadl_create(netvsc->fake, netvsc->channels[0].relid, pfns, pages, 0, gpadl))
		return false;
	message.buffer.gpadl = *gpadl;
	message.buffer.id = type == NVSP_SEND_RECEIVE_BUFFER ? NVSP_RECEIVE_BUFFER_ID : 0;
	return netvsc_call(netvsc, &message) && netvsc->message.type == type + 1;
}

bool netvsc_give_buffers(struct netvsc *netvsc)
{
	uint32_t pages = netvsc->receive_pages ? netvsc->receive_pages : NETVSC_RECEIVE_PAGES;

	if (!netvsc_give_buffer(netvsc, NVSP_SEND_RECEIVE_BUFFER, netvsc->receive_pfns, pages,
				&netvsc->receive_gpadl))
		return false;
	if (netvsc->message.receive_buffer_complete.status != NVSP_STATUS_SUCCESS ||
	    netvsc->message.receive_buffer_complete.section_count != 1 ||
	    netvsc->message.receive_buffer_complete.offset != 0)
		return false;
	netvsc->slot_size = netvsc->message.receive_buffer_complete.slot_size;
	netvsc->slot_count = netvsc->message.receive_buffer_complete.slot_count;
	if (!netvsc_give_buffer(netvsc, NVSP_SEND_SEND_BUFFER, netvsc->send_pfns, NETVSC_SEND_PAGES,
				&netvsc->send_gpadl))
		return false;
	netvsc->section_size = netvsc->message.send_buffer_complete.section_size;
	return netvsc->message.send_buffer_complete.status == NVSP_STATUS_SUCCESS;
}

bool netvsc_control(struct netvsc *netvsc, const void *message, size_t size)
{
	struct nvsp_message rndis = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_CONTROL, NVSP_NO_SEND_SECTION, 0 },
	};
	uint64_t *pfns = netvsc->page_pfns;

	if (pfns[0] == 0)
		fake_alloc(netvsc->fake, ARRAY_SIZE(netvsc->page_pfns), pfns);
	memcpy(fake_memory(netvsc->fake, gpa_from_pfn(pfns[0]), HV_PAGE_SIZE), message, size);
	netvsc->reply_size = 0;
	if (!fake_send_range(&netvsc->channels[0], RING_FLAG_COMPLETION_REQUESTED, CALL_ID, pfns, 0,
			     (uint32_t)size, &rndis, (uint32_t)netvsc->message_size) ||
	    !netvsc_wait(netvsc, 0, RING_PACKET_COMPLETION, CALL_ID) ||
	    netvsc->message.rndis_complete.status != NVSP_STATUS_SUCCESS)
		return false;
	return netvsc->reply_size > 0 || netvsc_receive(netvsc, 0);
}

bool netvsc_initialize(struct netvsc *netvsc)
{
	struct {
		struct rndis_header header;
		union rndis_body body;
	} PACKED message = {
		.header = { RNDIS_INITIALIZE, 24 },
		.body.initialize = { ++netvsc->next_request, 1, 0, 0x4000 },
	};
	uint32_t status;

	if (!netvsc_control(netvsc, &message, message.header.length))
		return false;
	memcpy(&status, netvsc->reply + 12, sizeof(status));
	return netvsc->reply_size == 52 && status == RNDIS_STATUS_SUCCESS;
}

/* Return: false: no answer. */
static bool netvsc_request(struct netvsc *netvsc, uint32_t type, uint32_t oid, const void *value,
			   size_t size)
{
	struct {
		struct rndis_header header;
		union rndis_body body;
		uint8_t value[900];
	} PACKED message = { 0 };
	uint32_t header[2], id;

	message.header.type = type;
	message.header.length = (uint32_t)(28 + size);
	message.body.set.request_id = ++netvsc->next_request;
	message.body.set.oid = oid;
	message.body.set.length = (uint32_t)size;
	message.body.set.offset = 20;
	assert(size <= sizeof(message.value));
	if (size)
		memcpy((uint8_t *)&message + 28, value, size);
	if (!netvsc_control(netvsc, &message, message.header.length))
		return false;
	memcpy(header, netvsc->reply, sizeof(header));
	memcpy(&id, netvsc->reply + 8, sizeof(id));
	return header[0] == (type | RNDIS_COMPLETE) && header[1] == netvsc->reply_size &&
	       id == netvsc->next_request;
}

uint32_t netvsc_query(struct netvsc *netvsc, uint32_t oid, void *value, size_t *size)
{
	uint32_t status, length, offset;

	if (!netvsc_request(netvsc, RNDIS_QUERY, oid, value, *size))
		return UINT32_MAX;
	memcpy(&status, netvsc->reply + 12, 4);
	memcpy(&length, netvsc->reply + 16, 4);
	memcpy(&offset, netvsc->reply + 20, 4);
	if (length)
		memcpy(value, netvsc->reply + 8 + offset, length);
	*size = length;
	return status;
}

uint32_t netvsc_set(struct netvsc *netvsc, uint32_t oid, const void *value, size_t size)
{
	uint32_t status;

	if (!netvsc_request(netvsc, RNDIS_SET, oid, value, size))
		return UINT32_MAX;
	memcpy(&status, netvsc->reply + 12, 4);
	return status;
}

static bool netvsc_set_offloads(struct netvsc *netvsc, bool rsc)
{
	struct ndis_offload_parameters parameters = {
		.header = { NDIS_OBJECT_DEFAULT, 3, 26 },
		.rsc_ipv4 = rsc ? NDIS_OFFLOAD_ENABLED : NDIS_OFFLOAD_DISABLED,
		.rsc_ipv6 = rsc ? NDIS_OFFLOAD_ENABLED : NDIS_OFFLOAD_DISABLED,
	};

	return netvsc_set(netvsc, (uint32_t)OID_TCP_OFFLOAD_PARAMETERS, &parameters, 26) == 0;
}

bool netvsc_start(struct netvsc *netvsc, struct fake *fake, uint32_t version, bool rsc)
{
	uint32_t filter = NDIS_PACKET_DIRECTED | NDIS_PACKET_ALL_MULTICAST | NDIS_PACKET_BROADCAST;

	return netvsc_open(netvsc, fake) && netvsc_init(netvsc, version) &&
	       netvsc_configure(netvsc, 1500,
				NVSP_CAPABILITY_IEEE_8021Q | (rsc ? NVSP_CAPABILITY_RSC : 0)) &&
	       netvsc_give_buffers(netvsc) && netvsc_initialize(netvsc) &&
	       netvsc_set_offloads(netvsc, rsc) &&
	       netvsc_set(netvsc, OID_GEN_CURRENT_PACKET_FILTER, &filter, sizeof(filter)) == 0;
}

unsigned netvsc_open_sub_channels(struct netvsc *netvsc, unsigned count)
{
	struct nvsp_message message = {
		.type = NVSP_SUB_CHANNEL,
		.sub_channel = { NVSP_SUB_CHANNEL_ALLOCATE, count },
	};
	unsigned granted;

	if (!netvsc_call(netvsc, &message) ||
	    netvsc->message.sub_channel_complete.status != NVSP_STATUS_SUCCESS)
		return 0;
	granted = netvsc->message.sub_channel_complete.count;
	for (unsigned i = 1; i <= granted; i++) {
		const struct vmbus_message_offer_channel *offer =
			fake_find_offer(netvsc->fake, &netvsc_type, NULL, (uint16_t)i);

		if (!offer || fake_open(netvsc->fake, offer, NETVSC_RING_PAGES, NETVSC_RING_PAGES,
					i % netvsc->fake->host.vp_count, &netvsc->channels[i]))
			return 0;
		netvsc->channel_count++;
	}
	return netvsc->channel_count;
}

uint32_t netvsc_enable_rss(struct netvsc *netvsc, unsigned channels)
{
	static const uint8_t key[NDIS_RSS_KEY_SIZE] = {
		0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
		0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
		0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
	};
	struct {
		struct ndis_rss_parameters parameters;
		uint32_t table[NDIS_RSS_TABLE_SIZE];
		uint8_t key[NDIS_RSS_KEY_SIZE];
	} PACKED value = {
		.parameters = {
			.header = { NDIS_OBJECT_RSS_PARAMETERS, 2, sizeof(value.parameters) },
			.hash = NDIS_RSS_TOEPLITZ | NDIS_HASH_IPV4 | NDIS_HASH_TCP_IPV4 |
				NDIS_HASH_IPV6 | NDIS_HASH_TCP_IPV6,
			.table_size = sizeof(value.table),
			.table_offset = sizeof(value.parameters),
			.key_size = sizeof(value.key),
			.key_offset = sizeof(value.parameters) + sizeof(value.table),
		},
	};

	for (unsigned i = 0; i < NDIS_RSS_TABLE_SIZE; i++)
		value.table[i] = i % channels;
	memcpy(value.key, key, sizeof(key));
	return netvsc_set(netvsc, OID_GEN_RECEIVE_SCALE_PARAMETERS, &value, sizeof(value));
}

/* ---- Frames to the host ---- */

size_t netvsc_wrap(uint8_t *out, const void *frame, size_t size, uint32_t info_type,
		   const uint32_t *info)
{
	uint32_t info_size = info ? 16 : 0;
	struct {
		struct rndis_header header;
		struct rndis_packet packet;
	} PACKED message = {
		.header = { RNDIS_PACKET, (uint32_t)(sizeof(message) + info_size + size) },
		.packet = {
			.data_offset = (uint32_t)sizeof(message.packet) + info_size,
			.data_length = (uint32_t)size,
			.info_offset = info ? (uint32_t)sizeof(message.packet) : 0,
			.info_length = info_size,
		},
	};
	struct rndis_packet_info header = { 16, info_type, 12 };

	memcpy(out, &message, sizeof(message));
	if (info) {
		memcpy(out + sizeof(message), &header, sizeof(header));
		memcpy(out + sizeof(message) + sizeof(header), info, 4);
	}
	memcpy(out + sizeof(message) + info_size, frame, size);
	return message.header.length;
}

bool netvsc_send_section(struct netvsc *netvsc, unsigned channel, uint64_t id, uint32_t section,
			 const void *bytes, size_t size)
{
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_DATA, section, (uint32_t)size },
	};
	const uint8_t *from = bytes;

	for (size_t done = 0; done < size; done++) {
		size_t at = section * netvsc->section_size + done;
		uint8_t *page = fake_memory(netvsc->fake,
					    gpa_from_pfn(netvsc->send_pfns[at / HV_PAGE_SIZE]),
					    HV_PAGE_SIZE);

		page[at % HV_PAGE_SIZE] = from[done];
	}
	return fake_send(&netvsc->channels[channel], RING_PACKET_INBAND,
			 RING_FLAG_COMPLETION_REQUESTED, id, &message,
			 (uint32_t)netvsc->message_size);
}

bool netvsc_send_pages(struct netvsc *netvsc, unsigned channel, uint64_t id, const void *bytes,
		       size_t size)
{
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_DATA, NVSP_NO_SEND_SECTION, 0 },
	};
	uint64_t *pfns = netvsc->page_pfns;

	if (pfns[0] == 0)
		fake_alloc(netvsc->fake, ARRAY_SIZE(netvsc->page_pfns), pfns);
	for (size_t done = 0; done < size; done += HV_PAGE_SIZE)
		memcpy(fake_memory(netvsc->fake, gpa_from_pfn(pfns[done / HV_PAGE_SIZE]),
				   HV_PAGE_SIZE),
		       (const uint8_t *)bytes + done, MIN(size - done, (size_t)HV_PAGE_SIZE));
	return fake_send_range(&netvsc->channels[channel], RING_FLAG_COMPLETION_REQUESTED, id, pfns,
			       0, (uint32_t)size, &message, (uint32_t)netvsc->message_size);
}

uint32_t netvsc_await_sent(struct netvsc *netvsc, unsigned channel, uint64_t id)
{
	if (!netvsc_wait(netvsc, channel, RING_PACKET_COMPLETION, id) ||
	    netvsc->message.type != NVSP_SEND_RNDIS_PACKET_COMPLETE)
		return 0;
	return netvsc->message.rndis_complete.status;
}

/* ---- Frames from the host ---- */

uint8_t *netvsc_received(struct netvsc *netvsc, uint32_t offset)
{
	uint64_t pfn = netvsc->receive_pfns[offset / HV_PAGE_SIZE];

	/* Memory is one piece here; the pages of the buffer are, unless they were scattered. */
	return (uint8_t *)fake_memory(netvsc->fake, gpa_from_pfn(pfn), HV_PAGE_SIZE) +
	       offset % HV_PAGE_SIZE;
}

uint32_t netvsc_data(struct netvsc *netvsc, unsigned index, uint8_t **ret_data)
{
	uint8_t *message = netvsc_received(netvsc, netvsc->ranges[index].byte_offset);
	struct rndis_packet packet;

	memcpy(&packet, message + 8, sizeof(packet));
	assert(8 + packet.data_offset + packet.data_length <= netvsc->ranges[index].byte_count);
	*ret_data = message + 8 + packet.data_offset;
	return packet.data_length;
}

bool netvsc_info(struct netvsc *netvsc, unsigned index, uint32_t type, uint32_t *ret_value)
{
	uint8_t *message = netvsc_received(netvsc, netvsc->ranges[index].byte_offset);
	struct rndis_packet packet;
	uint32_t done = 0;

	memcpy(&packet, message + 8, sizeof(packet));
	while (done < packet.info_length) {
		struct rndis_packet_info info;

		memcpy(&info, message + 8 + packet.info_offset + done, sizeof(info));
		assert(info.size >= sizeof(info) && info.size <= packet.info_length - done);
		if (info.type == type) {
			memcpy(ret_value, message + 8 + packet.info_offset + done + info.offset, 4);
			return true;
		}
		done += info.size;
	}
	return false;
}
