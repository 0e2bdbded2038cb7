/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a host may say to the drivers of guest-vsc/.
 *
 * Input: a byte that picks the driver, then steps, each a byte and what it needs. The driver is
 * opened by an honest host, but for a network adapter's, which may begin to lie before that.
 */
#include "common/wire/dynamic_memory.h"
#include "guest-vsc/balloon_client.h"
#include "guest-vsc/client_channel.h"
#include "guest-vsc/ic_file_copy_client.h"
#include "guest-vsc/ic_kvp_client.h"
#include "guest-vsc/ic_services.h"
#include "tests/fake/client_host.h"
#include "tests/fake/ic_host.h"
#include "tests/fake/netvsp_host.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FILE_ROOM 10000u
#define PAGES     4096u /* that the guest can spare */

static struct {
	const uint8_t *bytes;
	size_t size;
} input;

static uint64_t take(unsigned bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0 && input.size > 0) {
		value = value << 8 | *input.bytes++;
		input.size--;
	}
	return value;
}

/* As many bytes as there are, of at most `size`; the rest stays as it is. */
static void take_bytes(void *to, size_t size)
{
	size = MIN(size, input.size);
	memcpy(to, input.bytes, size);
	input.bytes += size;
	input.size -= size;
}

/* A byte says how many follow. */
static uint32_t take_string(void *to, uint32_t size)
{
	uint32_t count = (uint32_t)take(1);

	count = MIN(count, size);
	take_bytes(to, count);
	return count;
}

/* Something about the packet, or the ring, that no honest host does. */
static void spoil_channel(void)
{
	uint8_t bytes[256] = { 0 };
	struct ring_packet packet = {
		.type = (uint16_t)take(1),
		.transaction_id = take(8),
		.extension = bytes,
		.extension_size = (uint32_t)take(1) & 0x78,
		.payload = bytes,
	};

	if (take(1) % 16 == 0) {
		client_host.to_guest.control->write_index = (uint32_t)take(4);
		return;
	}
	packet.payload_size = take_string(bytes, sizeof(bytes));
	(void)client_host_send(&packet);
}

static void drain(void)
{
	while (client_host_receive())
		;
}

/* ---- Integration services ---- */

static union {
	struct ic_client ic;
	struct ic_heartbeat_client heartbeat;
	struct ic_shutdown_client shutdown;
	struct ic_time_client time;
	struct ic_vss_client vss;
	struct ic_kvp_client kvp;
	struct ic_file_copy_client file_copy;
} service;

static void check_service(void)
{
	const struct ic_client_kind *kind = service.ic.kind;

	if (kind == &ic_kvp_client_kind) {
		assert(service.kvp.pair_count <= IC_KVP_CLIENT_PAIRS_MAX);
		for (unsigned i = 0; i < service.kvp.pair_count; i++)
			assert(service.kvp.pairs[i].key_size <= IC_KVP_KEY_SIZE &&
			       service.kvp.pairs[i].value_size <= IC_KVP_VALUE_SIZE);
	} else if (kind == &ic_file_copy_client_kind) {
		assert(service.file_copy.filled <= FILE_ROOM &&
		       service.file_copy.filled <= service.file_copy.size);
		(void)ic_file_copy_client_has(&service.file_copy, "/files/n");
	} else if (kind == &ic_time_client_kind) {
		(void)ic_time_client_now(&service.time);
	}
}

static void send_request(void)
{
	static uint8_t body[sizeof(((struct ic_host_message *)0)->body)];
	struct ic_host_message message;
	uint16_t type = service.ic.kind->message_type;
	size_t size, said = take(2) % (sizeof(body) + 1);

	memset(body, 0, sizeof(body));
	(void)take_string(body, sizeof(body));
	if (take(1) % 8 == 0)
		type = IC_MESSAGE_NEGOTIATE;
	size = ic_host_fill(&message, type, body, said);
	switch (take(1) % 16) {
	case 0:
		take_bytes(&message.pipe, sizeof(message.pipe));
		break;
	case 1:
		take_bytes(&message.header, sizeof(message.header));
		break;
	case 2:
		size = take(2) % size;
		break;
	}
	(void)client_host_send_inband(&message, size);
}

/* A file whose names are in order, unless a unit of them is spoilt. */
static void send_start(void)
{
	struct ic_file_copy_start start = { .header.operation = IC_FILE_COPY_START };
	struct ic_host_message message;
	size_t size;

	for (size_t i = 0; i < 7; i++)
		start.folder[i] = (uint8_t) "/files/"[i];
	start.name[0] = 'n';
	start.flags = (uint32_t)take(1);
	start.size = take(take(1) % 2 ? 8 : 2);
	if (take(1) % 8 == 0)
		start.name[take(2) % IC_FILE_COPY_NAME_MAX] = (uint16_t)take(2);
	if (take(1) % 8 == 0)
		start.folder[take(2) % IC_FILE_COPY_NAME_MAX] = (uint16_t)take(2);
	size = ic_host_fill(&message, IC_MESSAGE_FILE_COPY, &start, sizeof(start));
	(void)client_host_send_inband(&message, size);
}

static void run_service(const struct ic_client_kind *kind)
{
	memset(&service, 0, sizeof(service));
	ic_host_open(&service.ic, kind);
	if (kind == &ic_file_copy_client_kind) {
		service.file_copy.memory = malloc(FILE_ROOM);
		service.file_copy.room = FILE_ROOM;
		service.file_copy.folder = "/files/";
	}
	(void)ic_host_negotiate(&service.ic, kind->versions[0].major, kind->versions[0].minor);
	while (input.size > 0) {
		switch (take(1) % 8) {
		case 0:
			spoil_channel();
			break;
		case 1:
			send_start();
			break;
		default:
			send_request();
		}
		if (ic_client_poll(&service.ic))
			break;
		drain();
		check_service();
	}
	if (kind == &ic_file_copy_client_kind)
		free(service.file_copy.memory);
}

/* ---- Dynamic memory ---- */

static struct balloon_client balloon;
static uint64_t spared;

static uint64_t take_pages(void *data, uint64_t wanted, uint64_t *ret_first)
{
	uint64_t count = MIN(wanted, PAGES - spared);

	*ret_first = spared;
	spared += count;
	return count;
}

static void give_pages(void *data, uint64_t first, uint64_t count)
{
	assert(count > 0 && first < spared && count <= spared - first);
}

static uint64_t add_pages(void *data, uint64_t first, uint64_t count)
{
	assert(first + count <= BALLOON_CLIENT_FRAMES_MAX);
	return count;
}

static struct balloon_client_needs page_needs(void *data)
{
	return (struct balloon_client_needs){ .free = PAGES - spared };
}

/* A byte for each of the two says yes, no, or something else. */
static void answer_balloon(void)
{
	const struct ring_packet *packet;
	struct dm_acceptance answer = { .flags = DM_ACCEPTED };
	struct dm_header header;

	while ((packet = client_host_receive())) {
		memcpy(&header, packet->payload, sizeof(header));
		answer.header = (struct dm_header){ header.type + 1, sizeof(answer), 0 };
		if (header.type != DM_VERSION_REQUEST && header.type != DM_CAPABILITIES_REPORT)
			continue;
		if (take(1) % 8 == 0)
			take_bytes(&answer, sizeof(answer));
		(void)client_host_send_inband(&answer, sizeof(answer));
	}
}

static void send_balloon_message(void)
{
	uint8_t message[512] = { 0 };
	struct dm_header header = { .type = (uint16_t)take(1) % 16 };
	uint32_t size = take_string(message + sizeof(header), sizeof(message) - sizeof(header));

	size += (uint32_t)sizeof(header);
	header.size = (uint16_t)(take(1) % 8 == 0 ? take(2) : size);
	memcpy(message, &header, sizeof(header));
	(void)client_host_send_inband(message, size);
}

static void run_balloon(void)
{
	static const struct guid type = DM_TYPE;
	static const struct balloon_client_memory memory = { take_pages, give_pages, add_pages,
							     page_needs };
	const struct balloon_client_options options = {
		.memory = &memory,
		.newest = UINT32_MAX,
		.capabilities = DM_CAPABILITY_BALLOON | DM_CAPABILITY_HOT_ADD,
	};
	int r;

	spared = 0;
	client_host_start(&type);
	client_host.signalled = answer_balloon;
	r = balloon_client_open(&balloon, &client_host.bus, &options,
				client_host_rings(BALLOON_CLIENT_RING_PAGES));
	while (!r && input.size > 0) {
		if (take(1) % 8 == 0)
			spoil_channel();
		else
			send_balloon_message();
		r = balloon_client_poll(&balloon);
		drain();
		assert(balloon.ballooned <= spared);
	}
}

/* ---- Network ---- */

static struct netvsc_client net;

static bool lie_to_request(uint64_t transaction_id, const struct nvsp_message *message)
{
	struct nvsp_message answer = { .type = message->type + 1 };

	if (take(1) % 8 != 1)
		return false;
	take_bytes(answer.bytes, sizeof(answer.bytes));
	(void)client_host_complete(transaction_id, &answer, take(1) % (sizeof(answer) + 1));
	return true;
}

static bool lie_to_rndis(const struct netvsp_host_rndis *request)
{
	struct netvsp_host_rndis reply = {
		.header = { request->header.type | RNDIS_COMPLETE, sizeof(reply) },
		.body.query_complete.request_id = request->body.query.request_id,
	};

	if (take(1) % 8 != 1 || !netvsp_host.receive)
		return false;
	if (take(1) % 2)
		reply.header.length = (uint32_t)take(1);
	take_bytes((uint8_t *)&reply.body + 4, sizeof(reply.body) - 4);
	netvsp_host_tell(&reply, sizeof(reply));
	return true;
}

static void send_frame(void)
{
	struct {
		struct rndis_header header;
		struct rndis_packet packet;
		uint8_t bytes[256];
	} PACKED frame = {
		.header = { RNDIS_PACKET, 0 },
		.packet.data_offset = sizeof(struct rndis_packet),
	};

	frame.packet.data_length = take_string(frame.bytes, sizeof(frame.bytes));
	frame.header.length =
		(uint32_t)(sizeof(frame) - sizeof(frame.bytes)) + frame.packet.data_length;
	switch (take(1) % 8) {
	case 0:
		take_bytes(&frame.header, sizeof(frame.header));
		break;
	case 1:
		take_bytes(&frame.packet, sizeof(frame.packet));
		break;
	}
	netvsp_host_tell(&frame, sizeof(frame));
}

static void send_transfer(void)
{
	struct ring_transfer_range ranges[4] = { 0 };
	unsigned given = (unsigned)take(1) % 5;

	take_bytes(ranges, sizeof(ranges));
	netvsp_host_transfer(NVSP_RECEIVE_BUFFER_ID, take(1) % 8 ? given : (uint32_t)take(4),
			     ranges, given);
}

static int use_adapter(void)
{
	static const uint8_t frame[3000] __attribute__((aligned(4096)));
	uint8_t value[64];
	const struct client_channel_memory none = { 0 };
	uint32_t size = sizeof(value);

	switch (take(1) % 4) {
	case 0:
		return netvsc_client_query(&net, OID_GEN_STATISTICS, value, &size);
	case 1:
		return netvsc_client_set(&net, OID_GEN_CURRENT_PACKET_FILTER, value, 4);
	case 2:
		return netvsc_client_add_channels(&net, 1, &none);
	default:
		return netvsc_client_send(&net, frame, 1 + (uint32_t)take(2) % sizeof(frame),
					  take(1) % NETVSC_CLIENT_WAYS);
	}
}

static void check_adapter(void)
{
	unsigned under_way = 0;

	for (unsigned i = 0; i < NETVSC_CLIENT_SLOTS_MAX; i++)
		under_way += net.frames[i] != NULL;
	assert(net.free_count + under_way <= NETVSC_CLIENT_SLOTS_MAX);
	assert(net.reply_size <= sizeof(net.reply));
}

static void run_adapter(void)
{
	int r;

	netvsp_host_start();
	netvsp_host.asked = lie_to_request;
	netvsp_host.rndis_asked = lie_to_rndis;
	r = netvsp_host_open(&net);
	check_adapter();
	while (!r && input.size > 0) {
		switch (take(1) % 8) {
		case 0:
			spoil_channel();
			break;
		case 1:
		case 2:
			send_frame();
			break;
		case 3:
			send_transfer();
			break;
		default:
			(void)!use_adapter();
		}
		r = netvsc_client_poll(&net);
		netvsp_host_run();
		check_adapter();
	}
}

/* ---- The bus ---- */

static bool lie_to_message(const void *message, size_t size)
{
	uint8_t answer[HV_MESSAGE_PAYLOAD_SIZE] = { 0 };
	uint32_t length;

	if (take(1) % 8 != 1 || client_host.message_count + 8 > CLIENT_HOST_MESSAGES)
		return false;
	length = take_string(answer, sizeof(answer));
	client_host_post(answer, length);
	return true;
}

static void send_message(void)
{
	struct hv_message message = { .type = take(1) % 8 ? VMBUS_HV_MESSAGE_TYPE : 0x80000010u };
	uint32_t type = (uint32_t)take(1) % 32;

	message.payload_size = (uint8_t)take(1);
	take_bytes(message.payload, message.payload_size % sizeof(message.payload));
	memcpy(message.payload, &type, sizeof(type));
	client_host_deliver(&message);
}

static void send_offer(void)
{
	client_host_offer(&client_host.offered, (uint32_t)take(take(1) % 4 ? 2 : 4));
}

/* The last offer's: its number is the host's choice. */
static void use_bus(void)
{
	static struct client_channel channel;
	const struct vmbus_message_offer_channel *offer =
		vmbus_client_find(&client_host.bus, &client_host.offered, 0, (unsigned)take(1) % 8);

	if (!offer || client_host.open)
		return;
	if (client_channel_open(&channel, &client_host.bus, offer, client_host_rings(4), NULL) == 0)
		(void)client_channel_unmask(&channel);
	(void)!client_channel_close(&channel);
	client_host.open = false;
	memset(client_host.gpadls, 0, sizeof(client_host.gpadls));
}

static void run_bus(void)
{
	static const struct guid type = DM_TYPE;

	client_host_start(&type);
	client_host.posted = lie_to_message;
	while (input.size > 0) {
		switch (take(1) % 4) {
		case 0:
		case 1:
			send_message();
			break;
		case 2:
			send_offer();
			break;
		case 3:
			use_bus();
			break;
		}
		vmbus_client_poll(&client_host.bus);
		assert(client_host.bus.answer_count <= VMBUS_CLIENT_ANSWERS_MAX);
		for (unsigned i = 0; i < VMBUS_CLIENT_OFFERS_MAX; i++)
			assert(client_host.bus.offers[i].message.relid < HV_EVENT_FLAG_COUNT);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ic_client_kind *const kinds[] = {
		&ic_heartbeat_client_kind, &ic_shutdown_client_kind, &ic_time_client_kind,
		&ic_vss_client_kind,       &ic_kvp_client_kind,      &ic_file_copy_client_kind,
	};
	unsigned which;

	input.bytes = data;
	input.size = size;
	which = (unsigned)take(1) % (ARRAY_SIZE(kinds) + 3);
	if (which < ARRAY_SIZE(kinds))
		run_service(kinds[which]);
	else if (which == ARRAY_SIZE(kinds))
		run_balloon();
	else if (which == ARRAY_SIZE(kinds) + 1)
		run_adapter();
	else
		run_bus();
	return 0;
}
