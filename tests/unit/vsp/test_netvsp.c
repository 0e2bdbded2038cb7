/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network VSP against the fake guest: negotiation, buffers, frames both ways, sub-channels. */
#include "common/base/cc.h"
#include "tests/fake/netvsc.h"
#include "tests/unit/unit.h"
#include "vsp/network.h"

#include <stdlib.h>
#include <string.h>

#define QUEUES           4
#define REMOVAL_PATIENCE UINT64_C(16000000000) /* nanoseconds */

static const uint8_t mac[] = { 0x02, 0x56, 0x4d, 0x00, 0x00, 0x01 };

static struct fixture {
	struct fake *fake;
	struct network_adapter *adapter;
	struct fake_network *network;
	struct netvsc netvsc;
	bool network_freed;
	unsigned ended;
} fixture;

static void network_is_over(void *data)
{
	fixture.ended++;
}

static int setup(void **state)
{
	struct network_options options = {
		.instance = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
		.name = "nic0",
		.channel_max = QUEUES,
		.mtu = 1500,
		.ended = network_is_over,
	};

	memset(&fixture, 0, sizeof(fixture));
	memcpy(options.mac, mac, sizeof(mac));
	fixture.fake = fake_new(QUEUES, 32 << 20);
	assert_int_equal(network_adapter_new(fixture.fake->bus, &options, &fixture.adapter), 0);
	fixture.network = fake_network_new(QUEUES);
	fixture.network->freed = &fixture.network_freed;
	fixture.network->ram = fixture.fake->ram;
	fixture.network->ram_size = fixture.fake->ram_size;
	network_adapter_connect(fixture.adapter, &fixture.network->backend);
	assert_true(fake_connect(fixture.fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(fixture.fake));
	return 0;
}

static int teardown(void **state)
{
	fake_stop(fixture.fake);
	network_adapter_free(fixture.adapter);
	fake_free(fixture.fake);
	return 0;
}

static void start(bool rsc)
{
	assert_true(netvsc_start(&fixture.netvsc, fixture.fake, NVSP_VERSION_6_1, rsc));
	fake_settle(fixture.fake);
}

static struct network_counters counters(void)
{
	struct network_counters counters;

	network_adapter_counters(fixture.adapter, &counters);
	return counters;
}

/* An Ethernet frame to the guest, of recognisable bytes. */
static void fill_frame(uint8_t *frame, size_t size)
{
	for (size_t i = 0; i < size; i++)
		frame[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(frame, mac, sizeof(mac));
	memset(frame + 6, 0x0a, 6);
	frame[12] = 0x88;
	frame[13] = 0xb5;
}

/* IPv4 and TCP headers, without checksums, and 54 bytes of them in all. */
static void fill_tcp(uint8_t *frame, size_t size, uint16_t port)
{
	static const uint8_t addresses[] = { 10, 0, 0, 1, 10, 0, 0, 2 };

	fill_frame(frame, size);
	memset(frame + 14, 0, 40);
	frame[12] = 0x08;
	frame[13] = 0x00;
	frame[14] = 0x45;
	frame[16] = (uint8_t)((size - 14) >> 8);
	frame[17] = (uint8_t)(size - 14);
	frame[22] = 64;
	frame[23] = 6;
	memcpy(frame + 26, addresses, sizeof(addresses));
	frame[34] = (uint8_t)(port >> 8);
	frame[35] = (uint8_t)port;
	frame[37] = 80;
	frame[46] = 5 << 4;
	frame[47] = 0x18;
}

/* ---- Negotiation ---- */

static void test_versions(void **state)
{
	static const uint32_t versions[] = { NVSP_VERSION_1, NVSP_VERSION_2, NVSP_VERSION_4,
					     NVSP_VERSION_5, NVSP_VERSION_6, NVSP_VERSION_6_1 };

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		assert_true(netvsc_open(&fixture.netvsc, fixture.fake));
		assert_false(netvsc_init(&fixture.netvsc, 0x70000));
		assert_int_equal(fixture.netvsc.message.type, NVSP_INIT_COMPLETE);
		assert_int_equal(fixture.netvsc.message.init_complete.status,
				 NVSP_STATUS_PROTOCOL_UNSUPPORTED);
		assert_true(netvsc_init(&fixture.netvsc, versions[i]));
		assert_int_equal(fixture.netvsc.version, versions[i]);
		/* Not twice. */
		assert_false(netvsc_init(&fixture.netvsc, versions[i]));
		assert_true(netvsc_configure(&fixture.netvsc, 1500, 0));
		assert_true(netvsc_give_buffers(&fixture.netvsc));
		assert_int_equal(fixture.netvsc.slot_size, 2048);
		assert_int_equal(fixture.netvsc.slot_count, NETVSC_RECEIVE_PAGES * 2);
		assert_int_equal(fixture.netvsc.section_size, 6144);
		assert_true(netvsc_initialize(&fixture.netvsc));
		assert_true(fake_close(&fixture.netvsc.channels[0]));
	}
}

static void test_messages_out_of_place(void **state)
{
	struct nvsp_message message = { .type = NVSP_SEND_RECEIVE_BUFFER };

	assert_true(netvsc_open(&fixture.netvsc, fixture.fake));
	assert_true(netvsc_call(&fixture.netvsc, &message));
	assert_int_equal(fixture.netvsc.message.type, NVSP_NONE);
	assert_true(netvsc_init(&fixture.netvsc, NVSP_VERSION_4));
	message.type = NVSP_SUB_CHANNEL;
	assert_true(netvsc_call(&fixture.netvsc, &message));
	assert_int_equal(fixture.netvsc.message.type, NVSP_NONE);
	message.type = NVSP_OID_QUERY_EX;
	assert_true(netvsc_call(&fixture.netvsc, &message));
	assert_int_equal(fixture.netvsc.message.type, NVSP_NONE);
	message.type = 4711;
	assert_true(netvsc_call(&fixture.netvsc, &message));
	assert_int_equal(fixture.netvsc.message.type, NVSP_NONE);
	/* No such GPADL. */
	message.type = NVSP_SEND_RECEIVE_BUFFER;
	message.buffer.gpadl = 99;
	assert_true(netvsc_call(&fixture.netvsc, &message));
	assert_int_equal(fixture.netvsc.message.receive_buffer_complete.status, NVSP_STATUS_FAIL);
	message.type = NVSP_SEND_SEND_BUFFER;
	assert_true(netvsc_call(&fixture.netvsc, &message));
	assert_int_equal(fixture.netvsc.message.send_buffer_complete.status, NVSP_STATUS_FAIL);
	message.type = NVSP_REVOKE_RECEIVE_BUFFER;
	assert_true(netvsc_call(&fixture.netvsc, &message));
	assert_true(counters().refused >= 3);
}

static void test_sizes_follow_mtu(void **state)
{
	static const struct {
		uint32_t mtu, version, slot_size;
		bool rsc;
	} cases[] = {
		{ 576, NVSP_VERSION_6_1, 2048, false },  { 1500, NVSP_VERSION_6_1, 8192, true },
		{ 1500, NVSP_VERSION_6, 2048, true },    { 9000, NVSP_VERSION_6_1, 10240, false },
		{ 9216, NVSP_VERSION_6_1, 12288, true }, { 70000, NVSP_VERSION_5, 10240, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t size = 0;
		uint32_t number;

		assert_true(netvsc_open(&fixture.netvsc, fixture.fake));
		assert_true(netvsc_init(&fixture.netvsc, cases[i].version));
		assert_true(netvsc_configure(&fixture.netvsc, cases[i].mtu,
					     cases[i].rsc ? NVSP_CAPABILITY_RSC : 0));
		assert_true(netvsc_give_buffers(&fixture.netvsc));
		assert_int_equal(fixture.netvsc.slot_size, cases[i].slot_size);
		/* Linux lowers its MTU to this. */
		assert_true(netvsc_initialize(&fixture.netvsc));
		assert_int_equal(
			netvsc_query(&fixture.netvsc, OID_GEN_MAXIMUM_FRAME_SIZE, &number, &size),
			0);
		assert_int_equal(number, MIN(cases[i].mtu, 9216u));
		assert_true(fake_close(&fixture.netvsc.channels[0]));
	}
}

static void test_buffers_are_given_back(void **state)
{
	struct nvsp_message message = { .type = NVSP_REVOKE_RECEIVE_BUFFER };
	struct vmbus_message_gpadl_torndown torndown;
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[256];
	size_t size;

	start(true);
	fixture.network->slow = true;
	assert_true(fixture.network->buffer_count[0] > 0);
	/* The network still may write there: the guest waits. */
	assert_true(netvsc_tell(netvsc, &message));
	fake_post(
		fixture.fake,
		&(struct vmbus_message_gpadl_teardown){ .header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
							.relid = netvsc->channels[0].relid,
							.gpadl = netvsc->receive_gpadl },
		sizeof(struct vmbus_message_gpadl_teardown));
	fake_settle(fixture.fake);
	assert_false(fake_has_message(fixture.fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	fake_network_return(fixture.network);
	fake_settle(fixture.fake);
	assert_true(fake_await(fixture.fake, VMBUS_MESSAGE_GPADL_TORNDOWN, &torndown,
			       sizeof(torndown)));
	assert_int_equal(torndown.gpadl, netvsc->receive_gpadl);

	/* The same for what is being sent. */
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	fixture.network->hold = true;
	assert_true(netvsc_send_section(netvsc, 0, 5, 0, packet, size));
	message.type = NVSP_REVOKE_SEND_BUFFER;
	assert_true(netvsc_tell(netvsc, &message));
	fake_settle(fixture.fake);
	assert_int_equal(fixture.network->sent_count, 1);
	assert_int_equal(counters().sending, 1);
	assert_true(netvsc_send_section(netvsc, 0, 6, 0, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 6), NVSP_STATUS_INVALID_RNDIS_PACKET);
	fake_network_release(fixture.network);
	assert_int_equal(netvsc_await_sent(netvsc, 0, 5), NVSP_STATUS_SUCCESS);
	assert_true(
		fake_gpadl_teardown(fixture.fake, netvsc->channels[0].relid, netvsc->send_gpadl));
}

/* ---- OIDs, as a driver asks for them ---- */

static void test_oids(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t value[1000];
	uint32_t number;
	size_t size = 0;

	start(true);
	assert_int_equal(netvsc_query(netvsc, OID_802_3_PERMANENT_ADDRESS, value, &size), 0);
	assert_int_equal(size, sizeof(mac));
	assert_memory_equal(value, mac, sizeof(mac));
	size = 0;
	assert_int_equal(netvsc_query(netvsc, OID_GEN_MAXIMUM_FRAME_SIZE, &number, &size), 0);
	assert_int_equal(number, 1500);
	size = 0;
	assert_int_equal(netvsc_query(netvsc, OID_GEN_MEDIA_CONNECT_STATUS, &number, &size), 0);
	assert_int_equal(number, NDIS_MEDIA_CONNECTED);
	size = 0;
	assert_int_equal(netvsc_query(netvsc, 0xff010101, value, &size),
			 RNDIS_STATUS_NOT_SUPPORTED);
	size = 18;
	memset(value, 0, sizeof(value));
	assert_int_equal(netvsc_query(netvsc, OID_GEN_RECEIVE_SCALE_CAPABILITIES, value, &size), 0);
	assert_int_equal(size, 18);
	assert_int_equal(value[0], NDIS_OBJECT_RSS_CAPABILITIES);
	assert_int_equal(value[12], QUEUES);
	assert_int_equal(value[16], NDIS_RSS_TABLE_SIZE);
	size = NDIS_OFFLOAD_SIZE_REVISION_3;
	assert_int_equal(
		netvsc_query(netvsc, (uint32_t)OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, value, &size),
		0);
	assert_int_equal(size, NDIS_OFFLOAD_SIZE_REVISION_3);
	assert_int_equal(value[1], NDIS_OFFLOAD_REVISION_3);
	assert_int_equal(value[144], 1);
	assert_int_equal(value[145], 1);
	number = 0x1;
	assert_int_equal(netvsc_set(netvsc, OID_GEN_MAXIMUM_FRAME_SIZE, &number, sizeof(number)),
			 RNDIS_STATUS_NOT_SUPPORTED);
	assert_int_equal(netvsc_set(netvsc, OID_GEN_CURRENT_PACKET_FILTER, &number, 2),
			 RNDIS_STATUS_INVALID_LENGTH);
}

/* Outside RNDIS there are none. */
static void test_oid_query_ex(void **state)
{
	struct nvsp_message message = { .type = NVSP_OID_QUERY_EX };

	start(false);
	assert_true(netvsc_call(&fixture.netvsc, &message));
	assert_int_equal(fixture.netvsc.message.type, NVSP_OID_QUERY_EX_COMPLETE);
	assert_int_equal(fixture.netvsc.message.oid_query_ex_complete.status,
			 RNDIS_STATUS_NOT_SUPPORTED);
}

/* The guest is told which are in use whenever it has set some. */
static void test_offloads_are_told(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct ndis_offload_parameters parameters = { .header = { NDIS_OBJECT_DEFAULT, 3, 26 },
						      .checksum = { 1, 1, 1, 1, 1 } };
	uint32_t number;
	size_t size = 0;

	start(true);
	assert_int_equal(netvsc_query(netvsc, OID_GEN_LINK_SPEED, &number, &size), 0);
	assert_int_equal(netvsc->offloads, 1);
	assert_int_equal(netvsc->offload[8], 0x55);
	assert_int_equal(netvsc_set(netvsc, (uint32_t)OID_TCP_OFFLOAD_PARAMETERS, &parameters, 26),
			 0);
	size = 0;
	assert_int_equal(netvsc_query(netvsc, OID_GEN_LINK_SPEED, &number, &size), 0);
	assert_int_equal(netvsc->offloads, 2);
	assert_int_equal(netvsc->offload[8], 0);
}

/* ---- Frames from the guest ---- */

static void test_send_section(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[200], packet[1000];
	size_t size = 0;

	start(false);
	fill_frame(frame, sizeof(frame));
	/* Three in one packet, padded to 8 bytes between. */
	for (unsigned i = 0; i < 3; i++) {
		frame[20] = (uint8_t)i;
		size_t one = netvsc_wrap(packet + size, frame, 100 + i, 0, NULL);
		uint32_t padded = (uint32_t)ALIGN_UP(one, 8u);

		memcpy(packet + size + 4, &padded, 4);
		size += padded;
	}
	assert_true(netvsc_send_section(netvsc, 0, 7, 3, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 7), NVSP_STATUS_SUCCESS);
	assert_int_equal(fixture.network->sent_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		frame[20] = (uint8_t)i;
		assert_int_equal(fixture.network->sent[i].size, 100 + i);
		assert_memory_equal(fixture.network->sent[i].bytes, frame, 100 + i);
	}
	assert_int_equal(counters().sent_frames, 3);
	assert_int_equal(counters().sent_bytes, 303);
	assert_int_equal(counters().sending, 0);
}

static void test_send_pages(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[9014], packet[9200];
	size_t size;

	start(false);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	assert_true(netvsc_send_pages(netvsc, 0, 8, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 8), NVSP_STATUS_SUCCESS);
	assert_int_equal(fake_network_last(fixture.network)->size, sizeof(frame));
	assert_memory_equal(fake_network_last(fixture.network)->bytes, frame, sizeof(frame));
	assert_int_equal(fake_network_last(fixture.network)->header.flags, 0);
}

/* The envelope in the send buffer, the frame in pages. */
static void test_send_split(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[2000], packet[2200];
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_DATA, 0, 44 },
	};

	start(false);
	fill_frame(frame, sizeof(frame));
	netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	memcpy(fake_memory(fixture.fake, gpa_from_pfn(netvsc->send_pfns[0]), 44), packet, 44);
	memcpy(fake_memory(fixture.fake, gpa_from_pfn(netvsc->page_pfns[0]), sizeof(frame)), frame,
	       sizeof(frame));
	assert_true(fake_send_range(&netvsc->channels[0], RING_FLAG_COMPLETION_REQUESTED, 9,
				    netvsc->page_pfns, 0, sizeof(frame), &message,
				    sizeof(message)));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 9), NVSP_STATUS_SUCCESS);
	assert_int_equal(fake_network_last(fixture.network)->size, sizeof(frame));
	assert_memory_equal(fake_network_last(fixture.network)->bytes, frame, sizeof(frame));
}

static void test_send_vlan(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint32_t tag = rndis_8021q_from_tci(5 << 13 | 100);
	uint8_t frame[300], packet[400];
	const struct fake_network_frame *sent;
	size_t size;

	start(false);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), RNDIS_INFO_8021Q, &tag);
	assert_true(netvsc_send_section(netvsc, 0, 1, 0, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	sent = fake_network_last(fixture.network);
	assert_int_equal(sent->size, sizeof(frame) + 4);
	assert_memory_equal(sent->bytes, frame, 12);
	assert_memory_equal(sent->bytes + 12, "\x81\x00\xa0\x64", 4);
	assert_memory_equal(sent->bytes + 16, frame + 12, sizeof(frame) - 12);
}

static void test_send_offloads(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint32_t checksum = RNDIS_SEND_IPV4 | RNDIS_SEND_TCP_CHECKSUM | 34u << 16;
	uint32_t large = 1448 | 34u << 20 | RNDIS_LARGE_SEND_V2;
	static uint8_t frame[60014], packet[61000];
	const struct fake_network_frame *sent;
	size_t size;

	start(false);
	fill_tcp(frame, 1000, 1234);
	size = netvsc_wrap(packet, frame, 1000, RNDIS_INFO_CHECKSUM, &checksum);
	assert_true(netvsc_send_section(netvsc, 0, 1, 0, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	sent = fake_network_last(fixture.network);
	assert_int_equal(sent->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(sent->header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	assert_int_equal(sent->header.csum_start, 34);
	assert_int_equal(sent->header.csum_offset, 16);

	fill_tcp(frame, sizeof(frame), 1234);
	frame[16] = frame[17] = 0; /* as a guest leaves it */
	size = netvsc_wrap(packet, frame, sizeof(frame), RNDIS_INFO_LARGE_SEND, &large);
	assert_true(netvsc_send_pages(netvsc, 0, 2, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 2), NVSP_STATUS_SUCCESS);
	sent = fake_network_last(fixture.network);
	assert_int_equal(sent->size, sizeof(frame));
	assert_int_equal(sent->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(sent->header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(sent->header.gso_size, 1448);
	assert_int_equal(sent->header.hdr_len, 54);
	assert_int_equal(sent->bytes[16] << 8 | sent->bytes[17], sizeof(frame) - 14);
	assert_memory_equal(sent->bytes + 54, frame + 54, sizeof(frame) - 54);
}

/* Frames go out from where they lie; what has to be changed in front does not. */
static void test_send_from_guest_memory(void **state)
{
	static const struct {
		uint32_t info_type, info, own;
	} cases[] = {
		{ RNDIS_INFO_HASH_VALUE, 0, 0 },
		{ RNDIS_INFO_CHECKSUM, RNDIS_SEND_IPV4 | RNDIS_SEND_TCP_CHECKSUM, 54 },
		{ RNDIS_INFO_LARGE_SEND, 1448 | RNDIS_LARGE_SEND_V2, 54 },
		{ RNDIS_INFO_8021Q, 0x70, 16 },
	};
	struct netvsc *netvsc = &fixture.netvsc;
	static uint8_t frame[9000], packet[9200];
	const struct fake_network_frame *sent;

	start(false);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t size;

		fill_tcp(frame, sizeof(frame), 1234);
		size = netvsc_wrap(packet, frame, sizeof(frame), cases[i].info_type,
				   &cases[i].info);
		assert_true(netvsc_send_pages(netvsc, 0, i, packet, size));
		assert_int_equal(netvsc_await_sent(netvsc, 0, i), NVSP_STATUS_SUCCESS);
		sent = fake_network_last(fixture.network);
		assert_int_equal(sent->own, cases[i].own);
		assert_int_equal(sent->size, sizeof(frame) + (i == 3 ? 4 : 0));
		assert_memory_equal(sent->bytes + 100 + (i == 3 ? 4 : 0), frame + 100,
				    sizeof(frame) - 100);
		if (cases[i].info_type != RNDIS_INFO_CHECKSUM)
			continue;
		/* As it should be: there is nothing to change. */
		memcpy(frame, sent->bytes, 54);
		size = netvsc_wrap(packet, frame, sizeof(frame), cases[i].info_type,
				   &cases[i].info);
		assert_true(netvsc_send_pages(netvsc, 0, 100, packet, size));
		assert_int_equal(netvsc_await_sent(netvsc, 0, 100), NVSP_STATUS_SUCCESS);
		sent = fake_network_last(fixture.network);
		assert_int_equal(sent->own, 0);
		assert_int_equal(sent->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_memory_equal(sent->bytes, frame, sizeof(frame));
	}
}

/* The RNDIS message before the frame moves the headers over the end of a page. */
static void test_send_headers_over_pages(void **state)
{
	uint32_t large = 1448 | RNDIS_LARGE_SEND_V2;
	struct netvsc *netvsc = &fixture.netvsc;
	static uint8_t frame[9000], packet[9200];
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_DATA, NVSP_NO_SEND_SECTION, 0 },
	};
	uint64_t pfns[4];

	start(false);
	fixture.fake->scatter = true;
	/* Pages that follow each other for the guest only. */
	for (unsigned i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = netvsc->page_pfns[2 * i];
	for (uint32_t before = 1; before < 130; before++) {
		size_t size, done = 0;
		uint32_t offset = (uint32_t)HV_PAGE_SIZE - before;
		const struct fake_network_frame *sent;

		fill_tcp(frame, sizeof(frame), (uint16_t)before);
		frame[16] = frame[17] = 0;
		size = netvsc_wrap(packet, frame, sizeof(frame), RNDIS_INFO_LARGE_SEND, &large);
		for (unsigned i = 0; done < size; i++) {
			uint32_t at = i == 0 ? offset : 0;
			size_t part = MIN(size - done, (size_t)HV_PAGE_SIZE - at);

			memcpy((uint8_t *)fake_memory(fixture.fake, gpa_from_pfn(pfns[i]),
						      HV_PAGE_SIZE) +
				       at,
			       packet + done, part);
			done += part;
		}
		assert_true(fake_send_range(&netvsc->channels[0], RING_FLAG_COMPLETION_REQUESTED,
					    before, pfns, offset, (uint32_t)size, &message,
					    sizeof(message)));
		assert_int_equal(netvsc_await_sent(netvsc, 0, before), NVSP_STATUS_SUCCESS);
		sent = fake_network_last(fixture.network);
		assert_int_equal(sent->size, sizeof(frame));
		assert_int_equal(sent->own, 54);
		assert_int_equal(sent->header.hdr_len, 54);
		assert_int_equal(sent->bytes[16] << 8 | sent->bytes[17], sizeof(frame) - 14);
		assert_memory_equal(sent->bytes + 54, frame + 54, sizeof(frame) - 54);
	}
}

/* A guest that changes everything while its frame is under way. */
static void test_send_changed_meanwhile(void **state)
{
	static const uint32_t checksum = RNDIS_SEND_IPV4 | RNDIS_SEND_TCP_CHECKSUM;
	static const uint32_t large = 1448 | RNDIS_LARGE_SEND_V2;
	struct netvsc *netvsc = &fixture.netvsc;
	static uint8_t frame[9000], packet[9200];

	start(false);
	fixture.network->hold = true;
	for (unsigned i = 0; i < 2; i++) {
		const struct fake_network_frame *sent;
		size_t size;

		fill_tcp(frame, sizeof(frame), 1234);
		size = netvsc_wrap(packet, frame, sizeof(frame),
				   i ? RNDIS_INFO_LARGE_SEND : RNDIS_INFO_CHECKSUM,
				   i ? &large : &checksum);
		assert_true(netvsc_send_pages(netvsc, 0, i, packet, size));
		fake_settle(fixture.fake);
		assert_int_equal(counters().sending, 1);
		memset(fake_memory(fixture.fake, gpa_from_pfn(netvsc->page_pfns[0]), HV_PAGE_SIZE),
		       0xff, HV_PAGE_SIZE);
		fake_network_release(fixture.network);
		assert_int_equal(netvsc_await_sent(netvsc, 0, i), NVSP_STATUS_SUCCESS);
		sent = fake_network_last(fixture.network);
		/* What the network is told, and a large send's headers, are as they were checked.
		 */
		assert_int_equal(sent->size, sizeof(frame));
		assert_int_equal(sent->header.csum_start, 34);
		assert_int_equal(sent->header.csum_offset, 16);
		assert_memory_equal(sent->bytes, frame, 16);
		assert_int_equal(sent->bytes[16] << 8 | sent->bytes[17], sizeof(frame) - 14);
		assert_int_equal(sent->bytes[54], 0xff);
	}
	assert_int_equal(counters().sending, 0);
}

static void test_send_refuses(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint32_t large = 1448 | RNDIS_LARGE_SEND_V2;
	static uint8_t frame[20000], packet[21000];
	struct nvsp_message message = { .type = NVSP_SEND_RNDIS_PACKET };
	struct {
		uint32_t at, value;
	} cases[] = {
		{ 0, 9 },           /* not a packet */
		{ 4, 43 },          /* shorter than its header */
		{ 4, 5000 },        /* longer than what there is */
		{ 8, 0xfffffff0 },  /* data out of the message */
		{ 12, 0xfffffff0 }, /* data longer than the message */
		{ 12, 13 },         /* shorter than a frame */
		{ 28, 0xffffff00 }, /* information out of the message */
		{ 32, 11 },         /* information shorter than its header */
		{ 32, 0x1000 },     /* information too long */
	};

	start(false);
	fill_frame(frame, sizeof(frame));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t size = netvsc_wrap(packet, frame, 100, 0, NULL);

		memcpy(packet + cases[i].at, &cases[i].value, 4);
		assert_true(netvsc_send_section(netvsc, 0, i, 0, packet, size));
		assert_int_equal(netvsc_await_sent(netvsc, 0, i), NVSP_STATUS_INVALID_RNDIS_PACKET);
	}
	/* Not TCP; no such section; nothing at all; too long without segments. */
	size_t size = netvsc_wrap(packet, frame, 1000, RNDIS_INFO_LARGE_SEND, &large);
	assert_true(netvsc_send_section(netvsc, 0, 20, 0, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 20), NVSP_STATUS_INVALID_RNDIS_PACKET);
	message.rndis.send_section = 4096;
	message.rndis.send_section_size = 100;
	assert_true(fake_send(&netvsc->channels[0], RING_PACKET_INBAND,
			      RING_FLAG_COMPLETION_REQUESTED, 21, &message, sizeof(message)));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 21), NVSP_STATUS_INVALID_RNDIS_PACKET);
	message.rndis.send_section = NVSP_NO_SEND_SECTION;
	assert_true(fake_send(&netvsc->channels[0], RING_PACKET_INBAND,
			      RING_FLAG_COMPLETION_REQUESTED, 22, &message, sizeof(message)));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 22), NVSP_STATUS_INVALID_RNDIS_PACKET);
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	assert_true(netvsc_send_pages(netvsc, 0, 23, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 23), NVSP_STATUS_INVALID_RNDIS_PACKET);
	assert_int_equal(fixture.network->sent_count, 0);
	assert_int_equal(counters().refused, ARRAY_SIZE(cases) + 4);
	assert_int_equal(counters().sending, 0);
}

/* More than the adapter takes at once: the rest waits in the ring, and nothing is lost. */
static void test_send_more_than_fits(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[128];
	size_t size;
	unsigned sent = 0, done = 0;

	start(false);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	fixture.network->hold = true;
	while (sent < 400 && netvsc_send_section(netvsc, 0, 1000 + sent, 0, packet, size)) {
		sent++;
		if (sent % 64 == 0)
			fake_settle(fixture.fake);
	}
	assert_int_equal(sent, 400);
	fake_settle(fixture.fake);
	assert_in_range(counters().sending, 200, 256);
	for (unsigned i = 0; i < 20 && done < sent; i++) {
		fake_network_release(fixture.network);
		fake_settle(fixture.fake);
		while (netvsc_poll(netvsc, 0) == RING_PACKET_COMPLETION)
			done++;
	}
	assert_int_equal(done, 400);
	assert_int_equal(counters().sent_frames, 400);
}

/* Sends one frame, with an offload. Return: whether the guest is interrupted for its completion. */
static bool is_told_at_once(uint64_t id, uint32_t checksum)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint64_t sent = counters().sent_frames;
	uint8_t frame[200], packet[300];
	size_t size;

	fill_tcp(frame, sizeof(frame), 1234);
	frame[23] = checksum & RNDIS_SEND_UDP_CHECKSUM ? 17 : 6;
	size = netvsc_wrap(packet, frame, sizeof(frame), RNDIS_INFO_CHECKSUM, &checksum);
	assert_true(netvsc_send_section(netvsc, 0, id, 0, packet, size));
	while (counters().sent_frames == sent)
		assert_int_equal(loop_run_once(fixture.fake->loop, 1000000), 0);
	return fake_take_event(fixture.fake, 0, netvsc->channels[0].relid);
}

static bool is_told(void *data)
{
	return fake_take_event(fixture.fake, 0, fixture.netvsc.channels[0].relid);
}

/* Who sends datagrams need not be interrupted for each; TCP, or who knows, is told at once. */
static void test_datagrams_are_told_together(void **state)
{
	static const uint32_t tcp = RNDIS_SEND_IPV4 | RNDIS_SEND_TCP_CHECKSUM;
	static const uint32_t udp = RNDIS_SEND_IPV4 | RNDIS_SEND_UDP_CHECKSUM;
	struct netvsc *netvsc = &fixture.netvsc;

	start(false);
	(void)fake_take_event(fixture.fake, 0, netvsc->channels[0].relid);
	assert_true(is_told_at_once(1, udp)); /* nobody is pacing */
	assert_int_equal(netvsc_await_sent(netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	vmbus_pace(fixture.fake->bus);
	assert_true(is_told_at_once(2, tcp));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 2), NVSP_STATUS_SUCCESS);
	assert_false(is_told_at_once(3, udp));
	assert_true(fake_run_until(fixture.fake, is_told, NULL));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 3), NVSP_STATUS_SUCCESS);
	/* That was in vain, so the next chance is passed over. */
	assert_true(is_told_at_once(4, udp));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 4), NVSP_STATUS_SUCCESS);
	assert_true(is_told_at_once(5, tcp));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 5), NVSP_STATUS_SUCCESS);
	assert_false(is_told_at_once(6, udp));
	assert_true(is_told_at_once(7, tcp));
	assert_int_equal(counters().sending, 0);
	assert_int_equal(netvsc_await_sent(netvsc, 0, 6), NVSP_STATUS_SUCCESS);
	assert_int_equal(netvsc_await_sent(netvsc, 0, 7), NVSP_STATUS_SUCCESS);
}

static void test_send_without_network(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[128];
	size_t size;

	start(false);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	network_adapter_disconnect(fixture.adapter);
	assert_true(netvsc_send_section(netvsc, 0, 1, 0, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	assert_int_equal(counters().sent_dropped, 1);
}

/* ---- Frames to the guest ---- */

static void test_receive(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[1514], *data;
	uint32_t value;

	start(false);
	netvsc->keep = true;
	fill_frame(frame, sizeof(frame));
	/* What comes in one turn goes in one packet. */
	for (unsigned i = 0; i < 3; i++) {
		frame[20] = (uint8_t)i;
		assert_true(
			fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame) - i));
	}
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc->message.rndis.channel, NVSP_CHANNEL_DATA);
	assert_int_equal(netvsc->range_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		frame[20] = (uint8_t)i;
		assert_int_equal(netvsc_data(netvsc, i, &data), sizeof(frame) - i);
		assert_memory_equal(data, frame, sizeof(frame) - i);
		assert_false(netvsc_info(netvsc, i, RNDIS_INFO_CHECKSUM, &value));
		assert_false(netvsc_info(netvsc, i, RNDIS_INFO_ID, &value));
	}
	assert_int_equal(counters().received_frames, 3);
	assert_int_equal(counters().lent, 3);
	netvsc_complete(netvsc, 0, netvsc->transaction_id);
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 0);
}

static void test_filter(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint32_t filter = NDIS_PACKET_DIRECTED;
	uint8_t frame[64];

	start(false);
	fill_frame(frame, sizeof(frame));
	frame[5] ^= 1; /* somebody else's */
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 0);
	memset(frame, 0xff, 6);
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 1);
	assert_int_equal(netvsc_set(netvsc, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 1);
	filter = NDIS_PACKET_PROMISCUOUS;
	assert_int_equal(netvsc_set(netvsc, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	frame[0] = 0x02;
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 2);
	assert_int_equal(counters().received_dropped, 0);
}

static void test_receive_vlan_and_checksum(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct virtio_net_hdr header = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
	uint8_t frame[200], tagged[204], *data;
	uint32_t value;

	start(false);
	netvsc->keep = true;
	fill_tcp(frame, sizeof(frame), 1);
	memcpy(tagged, frame, 12);
	memcpy(tagged + 12, "\x81\x00\x60\x07", 4);
	memcpy(tagged + 16, frame + 12, sizeof(frame) - 12);
	fake_network_deliver(fixture.network, 0, &header, tagged, sizeof(tagged));
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc_data(netvsc, 0, &data), sizeof(frame));
	assert_memory_equal(data, frame, sizeof(frame));
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_8021Q, &value));
	assert_int_equal(rndis_8021q_to_tci(value), 3 << 13 | 7);
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_CHECKSUM, &value));
	assert_int_equal(value, RNDIS_RECEIVE_TCP_SUCCEEDED | RNDIS_RECEIVE_IP_SUCCEEDED);
}

static void test_receive_large(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1448,
		.hdr_len = 54,
		.csum_start = 34,
		.csum_offset = 16,
	};
	static uint8_t frame[65014], whole[65014];
	uint32_t size = 0, value;

	start(true);
	assert_int_equal(fixture.network->offloads, NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_LARGE);
	netvsc->keep = true;
	fill_tcp(frame, sizeof(frame), 1);
	assert_true(fake_network_deliver(fixture.network, 0, &header, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc->range_count, 9);
	for (unsigned i = 0; i < netvsc->range_count; i++) {
		uint8_t *data;
		uint32_t part = netvsc_data(netvsc, i, &data);
		struct rndis_packet_id id;

		memcpy(whole + size, data, part);
		size += part;
		assert_true(netvsc_info(netvsc, i, RNDIS_INFO_ID, &value));
		memcpy(&id, &value, sizeof(id));
		assert_int_equal(id.version, 1);
		assert_int_equal(id.flags, RNDIS_PACKET_ID_FRAGMENT |
						   (i == 0 ? RNDIS_PACKET_ID_FIRST : 0) |
						   (i == 8 ? RNDIS_PACKET_ID_LAST : 0));
	}
	assert_int_equal(size, sizeof(frame));
	assert_memory_equal(whole, frame, sizeof(frame));
	assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_CHECKSUM, &value));
	assert_int_equal(value, RNDIS_RECEIVE_TCP_SUCCEEDED | RNDIS_RECEIVE_IP_SUCCEEDED);
	assert_int_equal(counters().lent, 9);
}

/* A frame longer than the guest's MTU is for nobody. */
static void test_receive_too_long(void **state)
{
	uint8_t frame[1519];

	start(false);
	assert_int_equal(fixture.network->offloads, 0);
	fill_frame(frame, sizeof(frame));
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 0);
	assert_int_equal(counters().received_dropped, 1);
	fake_network_deliver(fixture.network, 0, NULL, frame, 13);
	fake_settle(fixture.fake);
	assert_int_equal(counters().received_frames, 0);
}

/* A guest that gives nothing back receives no more, keeps what it has, and can still be answered.
 */
static void test_guest_that_never_completes(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint64_t ids[NETVSC_RECEIVE_PAGES * 2];
	uint8_t frame[64], *data;
	unsigned delivered = 0, packets = 0;
	uint32_t number;
	size_t size = 0;
	bool used[NETVSC_RECEIVE_PAGES * 2] = { false };

	start(false);
	netvsc->keep = true;
	fill_frame(frame, sizeof(frame));
	while (fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame))) {
		delivered++;
		assert_true(netvsc_receive(netvsc, 0));
		assert_int_equal(netvsc->range_count, 1);
		assert_false(used[netvsc->ranges[0].byte_offset / netvsc->slot_size]);
		used[netvsc->ranges[0].byte_offset / netvsc->slot_size] = true;
		assert_int_equal(netvsc_data(netvsc, 0, &data), sizeof(frame));
		memset(data, 0xee, sizeof(frame));
		ids[packets++] = netvsc->transaction_id;
	}
	assert_in_range(delivered, netvsc->slot_count / 2, netvsc->slot_count);
	netvsc->keep = false;
	assert_int_equal(netvsc_query(netvsc, OID_GEN_LINK_SPEED, &number, &size), 0);

	/* Nonsense gives nothing back, nor does the same packet twice. */
	netvsc_complete(netvsc, 0, 0);
	netvsc_complete(netvsc, 0, UINT64_MAX);
	netvsc_complete(netvsc, 0, ids[0]);
	netvsc_complete(netvsc, 0, ids[0]);
	fake_settle(fixture.fake);
	assert_int_equal(counters().refused, 3);
	assert_int_equal(counters().lent, delivered - 1);
	for (unsigned i = 1; i < packets; i++) {
		netvsc_complete(netvsc, 0, ids[i]);
		if (i % 64 == 0)
			fake_settle(fixture.fake);
	}
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 0);
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
}

/* Nobody reads the ring: frames are dropped, and what was gathered comes when there is room. */
static void test_receive_ring_full(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64];
	unsigned received = 0;

	start(false);
	fill_frame(frame, sizeof(frame));
	for (unsigned i = 0; i < 5000; i++) {
		if (!fake_network_deliver(fixture.network, i % QUEUES, NULL, frame, sizeof(frame)))
			break;
		fake_run(fixture.fake);
	}
	while (netvsc_receive(netvsc, 0)) {
		received += netvsc->range_count;
		if (received == counters().received_frames)
			break;
	}
	assert_int_equal(received, counters().received_frames);
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 0);
}

/* ---- Sub-channels ---- */

static void test_sub_channels(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[128];
	unsigned hit[QUEUES] = { 0 };
	uint32_t value;
	size_t size;

	start(false);
	assert_int_equal(netvsc_open_sub_channels(netvsc, 63), QUEUES);
	fake_settle(fixture.fake);
	while (netvsc_poll(netvsc, 0))
		;
	assert_true(netvsc->tables > 0);
	/* Not twice. */
	assert_int_equal(netvsc_open_sub_channels(netvsc, 1), 0);
	assert_int_equal(counters().channels, QUEUES);
	assert_int_equal(netvsc_enable_rss(netvsc, QUEUES + 1), RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(netvsc_enable_rss(netvsc, QUEUES), 0);
	for (uint16_t port = 0; port < 64; port++) {
		fill_tcp(frame, sizeof(frame), port);
		assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
		fake_settle(fixture.fake);
		for (unsigned channel = 0; channel < QUEUES; channel++) {
			if (netvsc_poll(netvsc, channel) != RING_PACKET_TRANSFER_PAGES)
				continue;
			hit[channel]++;
			assert_true(netvsc_info(netvsc, 0, RNDIS_INFO_HASH_VALUE, &value));
			assert_int_equal(value % NDIS_RSS_TABLE_SIZE % QUEUES, channel);
		}
	}
	for (unsigned channel = 0; channel < QUEUES; channel++)
		assert_true(hit[channel] > 0);

	/* Each channel sends on its own queue. */
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	for (unsigned channel = 0; channel < QUEUES; channel++) {
		assert_true(netvsc_send_section(netvsc, channel, channel, channel, packet, size));
		assert_int_equal(netvsc_await_sent(netvsc, channel, channel), NVSP_STATUS_SUCCESS);
		assert_int_equal(fake_network_last(fixture.network)->queue, channel);
	}
	/* A sub-channel takes no other messages. */
	assert_true(fake_send(&netvsc->channels[1], RING_PACKET_INBAND,
			      RING_FLAG_COMPLETION_REQUESTED, 99,
			      &(struct nvsp_message){ .type = NVSP_INIT }, 40));
	assert_int_equal(netvsc_await_sent(netvsc, 1, 99), 0);
	assert_int_equal(netvsc->message.type, NVSP_NONE);
}

/* As Linux does for another MTU: closes everything, opens it again. */
static void test_reopen(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[9018];

	for (unsigned round = 0; round < 3; round++) {
		assert_true(netvsc_start(netvsc, fixture.fake, NVSP_VERSION_6_1, round & 1));
		assert_int_equal(netvsc_open_sub_channels(netvsc, 3), QUEUES);
		assert_int_equal(netvsc_enable_rss(netvsc, QUEUES), 0);
		fill_tcp(frame, 100, 1);
		assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, 100));
		fixture.network->slow = true;
		for (unsigned i = 1; i < QUEUES; i++) {
			assert_true(fake_close(&netvsc->channels[i]));
			fake_post(fixture.fake,
				  &(struct vmbus_message_relid){
					  .header.type = VMBUS_MESSAGE_RELID_RELEASED,
					  .relid = netvsc->channels[i].relid },
				  sizeof(struct vmbus_message_relid));
		}
		fake_post(fixture.fake,
			  &(struct vmbus_message_relid){ .header.type = VMBUS_MESSAGE_CLOSE_CHANNEL,
							 .relid = netvsc->channels[0].relid },
			  sizeof(struct vmbus_message_relid));
		fake_settle(fixture.fake);
		fake_network_return(fixture.network);
		fixture.network->slow = false;
		assert_true(fake_gpadl_teardown(fixture.fake, netvsc->channels[0].relid,
						netvsc->receive_gpadl));
		assert_int_equal(counters().channels, 0);
	}
}

/* The guest is reset with everything under way, and a network that takes nothing more. */
static void test_reset_under_load(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[128];
	size_t size;

	for (unsigned round = 0; round < 3; round++) {
		start(true);
		assert_int_equal(netvsc_open_sub_channels(netvsc, 3), QUEUES);
		fill_frame(frame, sizeof(frame));
		size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
		netvsc->keep = true;
		fixture.network->hold = true;
		for (unsigned i = 0; i < 50; i++) {
			assert_true(netvsc_send_section(netvsc, i % QUEUES, i, 0, packet, size));
			fake_network_deliver(fixture.network, i % QUEUES, NULL, frame,
					     sizeof(frame));
		}
		fake_settle(fixture.fake);
		assert_true(counters().lent > 0);
		assert_int_equal(counters().sending, 50);
		fake_stop(fixture.fake);
		assert_int_equal(counters().lent, 0);
		assert_int_equal(counters().sending, 0);
		assert_true(fake_connect(fixture.fake, VMBUS_VERSION_5_3));
		assert_true(fake_request_offers(fixture.fake));
	}
}

/* ---- The link, and the adapter's end ---- */

static uint32_t indicated(struct netvsc *netvsc)
{
	uint32_t type, status;

	assert_true(netvsc_receive(netvsc, 0));
	memcpy(&type, netvsc->reply, 4);
	memcpy(&status, netvsc->reply + 8, 4);
	assert_int_equal(type, RNDIS_INDICATE_STATUS);
	return status;
}

static void test_link(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64];
	uint32_t number;
	size_t size = 0;

	start(true);
	network_adapter_disconnect(fixture.adapter);
	assert_true(fixture.network_freed);
	assert_string_equal(network_adapter_backend(fixture.adapter), "none");
	assert_int_equal(indicated(netvsc), RNDIS_STATUS_MEDIA_DISCONNECT);
	assert_int_equal(netvsc_query(netvsc, OID_GEN_MEDIA_CONNECT_STATUS, &number, &size), 0);
	assert_int_equal(number, NDIS_MEDIA_DISCONNECTED);
	fixture.network = fake_network_new(1);
	network_adapter_connect(fixture.adapter, &fixture.network->backend);
	assert_int_equal(fixture.network->offloads, NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_LARGE);
	assert_int_equal(indicated(netvsc), RNDIS_STATUS_MEDIA_CONNECT);
	fill_frame(frame, sizeof(frame));
	fake_settle(fixture.fake);
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));

	/* From one network to another. */
	fixture.network = fake_network_new(2);
	network_adapter_connect(fixture.adapter, &fixture.network->backend);
	assert_int_equal(indicated(netvsc), RNDIS_STATUS_MEDIA_DISCONNECT);
	assert_int_equal(indicated(netvsc), RNDIS_STATUS_MEDIA_CONNECT);
	fake_settle(fixture.fake);
	assert_true(fake_network_deliver(fixture.network, 1, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));

	/* The network ends by itself. */
	fixture.network->backend.ended(fixture.network->backend.data);
	assert_int_equal(indicated(netvsc), RNDIS_STATUS_MEDIA_DISCONNECT);
	assert_int_equal(fixture.ended, 1);
}

static void removed(void *data)
{
	*(bool *)data = true;
}

/* A guest with a frame under way in each direction. */
static void start_with_traffic(void)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[128];

	start(true);
	assert_int_equal(netvsc_open_sub_channels(netvsc, 3), QUEUES);
	fill_frame(frame, sizeof(frame));
	fixture.network->hold = true;
	netvsc->keep = true;
	assert_true(netvsc_send_section(netvsc, 0, 1, 0, packet,
					netvsc_wrap(packet, frame, sizeof(frame), 0, NULL)));
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
}

static void post_relid(enum vmbus_message_type type, uint32_t relid)
{
	struct vmbus_message_relid message = { .header.type = type, .relid = relid };

	fake_post(fixture.fake, &message, sizeof(message));
}

static bool has_let_go(void *data)
{
	return *(bool *)data;
}

/* As Linux: told when it is quiet, it closes and releases; what it sends late is completed. */
static void test_remove(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct vmbus_message_relid rescission;
	uint8_t frame[64], packet[128];
	bool gone = false;
	size_t size;

	start_with_traffic();
	network_adapter_remove(fixture.adapter, REMOVAL_PATIENCE, removed, &gone);
	fake_settle(fixture.fake);
	assert_true(fixture.network_freed);
	assert_false(fake_has_message(fixture.fake, VMBUS_MESSAGE_RESCIND_OFFER));
	netvsc->keep = false; /* from here on it gives back what it receives */
	assert_int_equal(netvsc_await_sent(netvsc, 0, 1), NVSP_STATUS_SUCCESS);
	assert_int_equal(indicated(netvsc), RNDIS_STATUS_MEDIA_DISCONNECT);
	for (unsigned i = 0; i < QUEUES; i++)
		assert_true(fake_await(fixture.fake, VMBUS_MESSAGE_RESCIND_OFFER, &rescission,
				       sizeof(rescission)));
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_true(netvsc_send_section(netvsc, i, 100 + i, 0, packet, size));
		assert_int_equal(netvsc_await_sent(netvsc, i, 100 + i), NVSP_STATUS_SUCCESS);
	}
	assert_false(gone);
	for (unsigned i = QUEUES; i-- > 0;) {
		post_relid(VMBUS_MESSAGE_CLOSE_CHANNEL, netvsc->channels[i].relid);
		post_relid(VMBUS_MESSAGE_RELID_RELEASED, netvsc->channels[i].relid);
	}
	assert_true(fake_run_until(fixture.fake, has_let_go, &gone));
	fixture.adapter = NULL;
}

/* One that neither gives back what it has nor lets go. */
static void test_remove_by_force(void **state)
{
	bool gone = false;

	start_with_traffic();
	network_adapter_remove(fixture.adapter, 1000000, removed, &gone);
	assert_true(fake_run_until(fixture.fake, has_let_go, &gone));
	assert_true(fixture.network_freed);
	assert_true(fake_has_message(fixture.fake, VMBUS_MESSAGE_RESCIND_OFFER));
	fixture.adapter = NULL;
}

/* One that goes while it is being asked, or before. */
static void test_remove_and_reset(void **state)
{
	bool gone = false;

	start_with_traffic();
	network_adapter_remove(fixture.adapter, REMOVAL_PATIENCE, removed, &gone);
	fake_settle(fixture.fake);
	assert_false(gone);
	fake_stop(fixture.fake);
	assert_true(fake_run_until(fixture.fake, has_let_go, &gone));
	fixture.adapter = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_versions),
		TEST(test_messages_out_of_place),
		TEST(test_sizes_follow_mtu),
		TEST(test_buffers_are_given_back),
		TEST(test_oids),
		TEST(test_oid_query_ex),
		TEST(test_offloads_are_told),
		TEST(test_send_section),
		TEST(test_send_pages),
		TEST(test_send_split),
		TEST(test_send_vlan),
		TEST(test_send_offloads),
		TEST(test_send_from_guest_memory),
		TEST(test_send_headers_over_pages),
		TEST(test_send_changed_meanwhile),
		TEST(test_send_refuses),
		TEST(test_send_more_than_fits),
		TEST(test_datagrams_are_told_together),
		TEST(test_send_without_network),
		TEST(test_receive),
		TEST(test_filter),
		TEST(test_receive_vlan_and_checksum),
		TEST(test_receive_large),
		TEST(test_receive_too_long),
		TEST(test_guest_that_never_completes),
		TEST(test_receive_ring_full),
		TEST(test_sub_channels),
		TEST(test_reopen),
		TEST(test_reset_under_load),
		TEST(test_link),
		TEST(test_remove),
		TEST(test_remove_by_force),
		TEST(test_remove_and_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
