/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The network VSP against what drivers other than the present Linux' do, and against guests that do
 * things in an order of their own: FreeBSD hn(4), OpenBSD and NetBSD hvn(4), old Linux.
 */
#include "tests/unit/vsp/network/netvsp_fixture.h"

/* ---- Completions ---- */

/* OpenBSD and NetBSD ask for a completion of these, and find the one before in an empty one. */
static void test_messages_without_answer(void **state)
{
	static const struct {
		uint32_t type, version;
	} rows[] = {
		{ NVSP_SEND_NDIS_CONFIG, NVSP_VERSION_2 },
		{ NVSP_SEND_NDIS_VERSION, NVSP_VERSION_1 },
		{ NVSP_REVOKE_RECEIVE_BUFFER, NVSP_VERSION_1 },
		{ NVSP_REVOKE_SEND_BUFFER, NVSP_VERSION_1 },
		{ NVSP_SWITCH_DATA_PATH, NVSP_VERSION_6_1 },
		{ 4711, NVSP_VERSION_6_1 },
	};
	struct netvsc *netvsc = &fixture.netvsc;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct nvsp_message message = { .type = rows[i].type };

		assert_true(netvsc_open(netvsc, fixture.fake));
		assert_true(netvsc_init(netvsc, rows[i].version));
		assert_int_equal(netvsc->payload_size,
				 rows[i].version == NVSP_VERSION_6_1 ? 40 : 32);
		assert_true(netvsc_call(netvsc, &message));
		assert_int_equal(netvsc->payload_size, 0);
		assert_true(fake_close(&netvsc->channels[0]));
	}
}

/* Frames come until the ring is full, and one more waits. */
static void fill_ring(void)
{
	uint8_t frame[64];
	unsigned lent;

	fill_frame(frame, sizeof(frame));
	do {
		lent = counters().lent;
		assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
		fake_run(fixture.fake);
	} while (counters().lent > lent);
}

/* Frames fill the ring that an answer has to come by: it comes when there is room. */
static void test_answer_waits_for_room(void **state)
{
	struct nvsp_message message = {
		.type = NVSP_SUB_CHANNEL,
		.sub_channel = { NVSP_SUB_CHANNEL_ALLOCATE, 2 },
	};
	struct netvsc *netvsc = &fixture.netvsc;
	unsigned answers = 0;
	uint16_t type;

	start(false);
	netvsc->keep = true;
	fill_ring();
	assert_true(fake_send(&netvsc->channels[0], RING_PACKET_INBAND,
			      RING_FLAG_COMPLETION_REQUESTED, 77, &message, sizeof(message)));
	fake_settle(fixture.fake);
	assert_int_equal(counters().sending, 1);
	for (unsigned i = 0; i < 10; i++) {
		while ((type = netvsc_poll(netvsc, 0)) != 0) {
			if (type != RING_PACKET_COMPLETION || netvsc->message_id != 77)
				continue;
			answers++;
			assert_int_equal(netvsc->message.type, NVSP_SUB_CHANNEL);
			assert_int_equal(netvsc->message.sub_channel_complete.status,
					 NVSP_STATUS_SUCCESS);
			assert_int_equal(netvsc->message.sub_channel_complete.count, 2);
		}
		fake_settle(fixture.fake);
	}
	assert_int_equal(answers, 1);
	assert_int_equal(counters().sending, 0);
}

/* A control message that is not waited for. */
static bool send_query(uint64_t id)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct {
		struct rndis_header header;
		union rndis_body body;
	} PACKED query = {
		.header = { RNDIS_QUERY, 28 },
		.body.query = { .request_id = (uint32_t)id, .oid = OID_GEN_LINK_SPEED },
	};
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_CONTROL, NVSP_NO_SEND_SECTION, 0 },
	};

	memcpy(fake_memory(fixture.fake, gpa_from_pfn(netvsc->page_pfns[0]), HV_PAGE_SIZE), &query,
	       sizeof(query));
	return fake_send_range(&netvsc->channels[0], RING_FLAG_COMPLETION_REQUESTED, id,
			       netvsc->page_pfns, 0, query.header.length, &message,
			       sizeof(message));
}

/* A guest that asks and asks and gives nothing back is told no, and afterwards how things are. */
static void test_too_many_questions(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint64_t ids[NETVSC_RECEIVE_PAGES * 2];
	unsigned packets = 0, accepted = 0, refused = 0, ups = 0, downs = 0;
	uint8_t frame[64];

	start(false);
	netvsc->keep = true;
	fill_frame(frame, sizeof(frame));
	while (fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame))) {
		assert_true(netvsc_receive(netvsc, 0));
		ids[packets++] = netvsc->transaction_id;
	}
	for (unsigned i = 0; i < 200; i++) {
		uint16_t type;

		assert_true(send_query(1000 + i));
		fake_settle(fixture.fake);
		while ((type = netvsc_poll(netvsc, 0)) != 0) {
			if (type == RING_PACKET_TRANSFER_PAGES)
				ids[packets++] = netvsc->transaction_id;
			else if (netvsc->message.rndis_complete.status == NVSP_STATUS_SUCCESS)
				accepted++;
			else
				refused++;
		}
	}
	assert_int_equal(accepted + refused, 200);
	assert_in_range(accepted, 32, 150);
	assert_true(refused > 0);
	/* Up, down and up again in the meantime. */
	network_adapter_disconnect(fixture.adapter);
	fixture.network = fake_network_new(1);
	network_adapter_connect(fixture.adapter, &fixture.network->backend);
	network_adapter_disconnect(fixture.adapter);
	netvsc->keep = false;
	for (unsigned i = 0; i < packets; i++)
		netvsc_complete(netvsc, 0, ids[i]);
	fake_settle(fixture.fake);
	for (unsigned i = 0; i < 10; i++) {
		while (netvsc_poll(netvsc, 0)) {
			uint32_t header[3];

			memcpy(header, netvsc->reply, sizeof(header));
			if (netvsc->message.rndis.channel != NVSP_CHANNEL_CONTROL ||
			    header[0] != RNDIS_INDICATE_STATUS)
				continue;
			ups += header[2] == RNDIS_STATUS_MEDIA_CONNECT;
			downs += header[2] == RNDIS_STATUS_MEDIA_DISCONNECT;
		}
		fake_settle(fixture.fake);
	}
	assert_int_equal(ups, 0);
	assert_int_equal(downs, 1);
	assert_int_equal(counters().lent, 0);
}

/* ---- Buffers ---- */

/* What was gathered for a buffer is not told of once the guest has revoked it. */
static void test_revoked_before_told(void **state)
{
	struct nvsp_message message = { .type = NVSP_REVOKE_RECEIVE_BUFFER };
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64];
	unsigned lent, received = 0;

	start(false);
	netvsc->keep = true;
	fill_ring();
	lent = counters().lent;
	fixture.network->slow = true; /* so that the buffer is not let go of at once */
	assert_true(netvsc_tell(netvsc, &message));
	fake_settle(fixture.fake);
	assert_true(fixture.network->withdrawn);
	for (unsigned i = 0; i < 10; i++) {
		while (netvsc_poll(netvsc, 0))
			received++;
		fake_settle(fixture.fake);
	}
	assert_int_equal(received, lent);
	/* What comes now is for nobody. */
	fill_frame(frame, sizeof(frame));
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	fake_settle(fixture.fake);
	assert_int_equal(netvsc_poll(netvsc, 0), 0);
	fake_network_return(fixture.network);
	assert_true(fake_gpadl_teardown(fixture.fake, netvsc->channels[0].relid,
					netvsc->receive_gpadl));
	assert_int_equal(counters().lent, 0);
}

/* A guest that takes its buffer away without a word, while packets are on loan to it. */
static void test_torn_down_before_revoked(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct vmbus_message_gpadl_teardown teardown = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
	};
	struct vmbus_message_gpadl_torndown torndown;
	uint8_t frame[64];

	start(false);
	netvsc->keep = true;
	fill_frame(frame, sizeof(frame));
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
	teardown.relid = netvsc->channels[0].relid;
	teardown.gpadl = netvsc->receive_gpadl;
	fake_post(fixture.fake, &teardown, sizeof(teardown));
	teardown.gpadl = netvsc->send_gpadl;
	fake_post(fixture.fake, &teardown, sizeof(teardown));
	fake_settle(fixture.fake);
	/* The host still may write there. */
	assert_false(fake_has_message(fixture.fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	assert_int_equal(counters().lent, 1);
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
	fake_post(fixture.fake,
		  &(struct vmbus_message_relid){ .header.type = VMBUS_MESSAGE_CLOSE_CHANNEL,
						 .relid = netvsc->channels[0].relid },
		  sizeof(struct vmbus_message_relid));
	for (unsigned i = 0; i < 2; i++)
		assert_true(fake_await(fixture.fake, VMBUS_MESSAGE_GPADL_TORNDOWN, &torndown,
				       sizeof(torndown)));
	assert_int_equal(counters().lent, 0);
}

/* As ethtool(8) lets one set it: ten slots, of which frames and answers find some. */
static void test_least_receive_buffer(void **state)
{
	static const struct {
		uint32_t pages;
		uint64_t capabilities;
		bool enough;
	} rows[] = { { 5, 0, true }, { 20, NVSP_CAPABILITY_RSC, true }, { 3, 0, false } };
	struct netvsc *netvsc = &fixture.netvsc;
	struct ndis_offload_parameters parameters = {
		.header = { NDIS_OBJECT_DEFAULT, 3, 26 },
		.rsc_ipv4 = NDIS_OFFLOAD_ENABLED,
		.rsc_ipv6 = NDIS_OFFLOAD_ENABLED,
	};
	uint32_t filter = NDIS_PACKET_DIRECTED;
	uint8_t frame[1514];

	fill_frame(frame, sizeof(frame));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_true(netvsc_open(netvsc, fixture.fake));
		netvsc->receive_pages = rows[i].pages;
		assert_true(netvsc_init(netvsc, NVSP_VERSION_6_1));
		assert_true(netvsc_configure(netvsc, 1500, rows[i].capabilities));
		assert_true(netvsc_give_buffers(netvsc) == rows[i].enough);
		if (!rows[i].enough)
			continue;
		assert_int_equal(netvsc->slot_count, 10);
		assert_true(netvsc_initialize(netvsc));
		assert_int_equal(
			netvsc_set(netvsc, (uint32_t)OID_TCP_OFFLOAD_PARAMETERS, &parameters, 26),
			0);
		assert_int_equal(netvsc_set(netvsc, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
		/* Not enough for frames that take nine. */
		assert_int_equal(fixture.network->offloads, NET_OFFLOAD_CHECKSUM);
		for (unsigned round = 0; round < 50; round++) {
			unsigned queue = 0;

			fake_settle(fixture.fake);
			while (queue < QUEUES && !fake_network_deliver(fixture.network, queue, NULL,
								       frame, sizeof(frame)))
				queue++;
			assert_in_range(queue, 0, QUEUES - 1);
			assert_true(netvsc_receive(netvsc, 0));
		}
		assert_true(fake_close(&netvsc->channels[0]));
	}
}

/* Frames that nobody reads do not keep a guest from its send buffer. */
static void test_send_buffer_of_a_deaf_network(void **state)
{
	struct nvsp_message message = { .type = NVSP_REVOKE_SEND_BUFFER };
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[128];

	start(false);
	fixture.network->hold = true;
	fill_frame(frame, sizeof(frame));
	assert_true(netvsc_send_section(netvsc, 0, 5, 0, packet,
					netvsc_wrap(packet, frame, sizeof(frame), 0, NULL)));
	fake_settle(fixture.fake);
	assert_int_equal(counters().sending, 1);
	assert_true(netvsc_tell(netvsc, &message));
	assert_true(
		fake_gpadl_teardown(fixture.fake, netvsc->channels[0].relid, netvsc->send_gpadl));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 5), NVSP_STATUS_SUCCESS);
	/* It goes on receiving. */
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
}

/*
 * A guest's failure to take a packet gives it back as its success does; another channel does not.
 */
static void test_completions_of_all_kinds(void **state)
{
	struct nvsp_message failed = {
		.type = NVSP_SEND_RNDIS_PACKET_COMPLETE,
		.rndis_complete.status = NVSP_STATUS_FAIL,
	};
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64];

	start(false);
	assert_int_equal(netvsc_open_sub_channels(netvsc, 2), 3);
	netvsc->keep = true;
	fill_frame(frame, sizeof(frame));
	for (unsigned i = 0; i < 3; i++)
		assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc->range_count, 3);
	netvsc_complete(netvsc, 1, netvsc->transaction_id);
	/* The middle of the packet is no packet. */
	netvsc_complete(netvsc, 0, netvsc->ranges[1].byte_offset / netvsc->slot_size + 1);
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 3);
	assert_int_equal(counters().refused, 2);
	assert_true(fake_send(&netvsc->channels[0], RING_PACKET_COMPLETION, 0,
			      netvsc->transaction_id, &failed, 8));
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 0);
	/* Without a word: a header alone. */
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
	assert_true(fake_send(&netvsc->channels[0], RING_PACKET_COMPLETION, 0,
			      netvsc->transaction_id, &failed, 0));
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 0);
	assert_int_equal(counters().refused, 2);
}

/* ---- Sub-channels ---- */

/*
 * Of three that it asked for, a guest opens the last, never the second, and closes what it opened.
 */
static void test_sub_channels_in_any_order(void **state)
{
	struct nvsp_message message = {
		.type = NVSP_SUB_CHANNEL,
		.sub_channel = { NVSP_SUB_CHANNEL_ALLOCATE, 3 },
	};
	struct netvsc *netvsc = &fixture.netvsc;
	const struct vmbus_message_offer_channel *offer;
	uint8_t frame[64], packet[128];
	unsigned hit[QUEUES] = { 0 };
	size_t size;

	start(false);
	assert_true(netvsc_call(netvsc, &message));
	assert_int_equal(netvsc->message.sub_channel_complete.count, 3);
	assert_int_equal(netvsc_enable_rss(netvsc, QUEUES), 0);
	offer = fake_find_offer(fixture.fake, &netvsc_type, NULL, 3);
	assert_non_null(offer);
	assert_int_equal(fake_open(fixture.fake, offer, NETVSC_RING_PAGES, NETVSC_RING_PAGES, 1,
				   &netvsc->channels[3]),
			 0);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	assert_true(netvsc_send_section(netvsc, 3, 1, 0, packet, size));
	assert_int_equal(netvsc_await_sent(netvsc, 3, 1), NVSP_STATUS_SUCCESS);
	assert_int_equal(fake_network_last(fixture.network)->queue, 3);
	for (uint16_t port = 0; port < 64; port++) {
		fill_tcp(frame, sizeof(frame), port);
		assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
		fake_settle(fixture.fake);
		hit[3] += netvsc_poll(netvsc, 3) == RING_PACKET_TRANSFER_PAGES;
		hit[0] += netvsc_poll(netvsc, 0) == RING_PACKET_TRANSFER_PAGES;
	}
	assert_int_equal(hit[0] + hit[3], 64);
	assert_true(hit[3] > 0 && hit[0] > hit[3]);

	assert_true(fake_close(&netvsc->channels[3]));
	for (uint16_t port = 0; port < 64; port++) {
		fill_tcp(frame, sizeof(frame), port);
		assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
		assert_true(netvsc_receive(netvsc, 0));
	}
	assert_true(fake_close(&netvsc->channels[0]));
	assert_int_equal(counters().channels, 0);
}

/* ---- A driver's way through ---- */

static void test_as_freebsd(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	struct ndis_offload offload = { .header = { NDIS_OBJECT_OFFLOAD, NDIS_OFFLOAD_REVISION_3,
						    NDIS_OFFLOAD_SIZE_REVISION_3 } };
	struct {
		struct ndis_offload_parameters parameters;
		uint8_t padding[2]; /* of its compiler's */
	} PACKED set = { .parameters = {
				 .header = { NDIS_OBJECT_DEFAULT, 3, sizeof(set) },
				 .checksum = { 4, 4, 4, 4, 4 },
				 .large_send_v2_ipv4 = NDIS_OFFLOAD_ENABLED,
				 .rsc_ipv4 = NDIS_OFFLOAD_ENABLED,
				 .rsc_ipv6 = NDIS_OFFLOAD_ENABLED,
			 } };
	struct {
		struct ndis_rss_parameters parameters;
		uint8_t key[NDIS_RSS_KEY_SIZE];
		uint32_t table[NDIS_RSS_TABLE_SIZE];
	} PACKED rss = { .parameters = {
				 .header = { NDIS_OBJECT_RSS_PARAMETERS, 2, 0 },
				 .hash = NDIS_RSS_TOEPLITZ | NDIS_HASH_IPV4 | NDIS_HASH_TCP_IPV4,
				 .table_size = sizeof(rss.table),
				 .table_offset = offsetof(__typeof__(rss), table),
				 .key_size = sizeof(rss.key),
				 .key_offset = sizeof(rss.parameters),
			 } };
	uint32_t filter = NDIS_PACKET_DIRECTED | NDIS_PACKET_BROADCAST, number;
	uint8_t value[100];
	size_t size = 0;

	assert_true(netvsc_open(netvsc, fixture.fake));
	assert_true(netvsc_init(netvsc, NVSP_VERSION_6_1));
	assert_true(netvsc_configure(netvsc, 1500,
				     NVSP_CAPABILITY_IEEE_8021Q | NVSP_CAPABILITY_SRIOV |
					     NVSP_CAPABILITY_RSC));
	assert_true(netvsc_give_buffers(netvsc));
	assert_true(netvsc_initialize(netvsc));
	size = offload.header.size;
	assert_int_equal(netvsc_query(netvsc, (uint32_t)OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES,
				      &offload, &size),
			 0);
	assert_int_equal(offload.header.size, size);
	/* It sends no large frames where two segments would not fit. */
	assert_true(offload.large_send_v2.ipv4_size_max >= 2 * 9216);
	assert_int_equal(
		netvsc_set(netvsc, (uint32_t)OID_TCP_OFFLOAD_PARAMETERS, &set, sizeof(set)), 0);
	size = 0;
	assert_int_equal(netvsc_query(netvsc, OID_802_3_PERMANENT_ADDRESS, value, &size), 0);
	assert_int_equal(size, 6);
	size = 0;
	assert_int_equal(netvsc_query(netvsc, OID_GEN_MEDIA_CONNECT_STATUS, &number, &size), 0);
	size = NDIS_RSS_CAPABILITIES_SIZE;
	memset(value, 0, size);
	assert_int_equal(netvsc_query(netvsc, OID_GEN_RECEIVE_SCALE_CAPABILITIES, value, &size), 0);
	assert_int_equal(size, NDIS_RSS_CAPABILITIES_SIZE);
	assert_int_equal(netvsc_open_sub_channels(netvsc, QUEUES - 1), QUEUES);
	assert_int_equal(netvsc_set(netvsc, OID_GEN_RECEIVE_SCALE_PARAMETERS, &rss, sizeof(rss)),
			 0);
	assert_int_equal(netvsc_set(netvsc, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	assert_int_equal(fixture.network->offloads, NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_LARGE);

	/*
	 * Sub-channels first, then the primary one, after which it waits for all to be taken back.
	 */
	for (unsigned i = QUEUES; i-- > 0;)
		assert_true(fake_close(&netvsc->channels[i]));
	for (unsigned i = 1; i < QUEUES; i++) {
		struct vmbus_message_relid rescission;

		assert_true(fake_await(fixture.fake, VMBUS_MESSAGE_RESCIND_OFFER, &rescission,
				       sizeof(rescission)));
	}
	assert_int_equal(counters().channels, 0);
}

/* A frame of the largest size comes, one that is too long by more than what drivers leave out of
 * the size that they tell does not: in every MTU. */
static void test_frames_of_every_mtu(void **state)
{
	static const unsigned mtus[] = { 576, 1500, 9000, 9216, 576 };
	static uint8_t frame[9300];
	struct netvsc *netvsc = &fixture.netvsc;
	uint32_t filter = NDIS_PACKET_DIRECTED;

	fill_frame(frame, sizeof(frame));
	for (size_t i = 0; i < ARRAY_SIZE(mtus); i++) {
		uint64_t dropped = counters().received_dropped;
		uint8_t *data;

		assert_true(netvsc_open(netvsc, fixture.fake));
		assert_true(netvsc_init(netvsc, NVSP_VERSION_5));
		assert_true(netvsc_configure(netvsc, mtus[i], 0));
		assert_true(netvsc_give_buffers(netvsc));
		assert_true(netvsc_initialize(netvsc));
		assert_int_equal(netvsc_set(netvsc, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
		fake_settle(fixture.fake);
		assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, mtus[i] + 14));
		assert_true(netvsc_receive(netvsc, 0));
		assert_int_equal(netvsc_data(netvsc, 0, &data), mtus[i] + 14);
		assert_memory_equal(data, frame, mtus[i] + 14);
		assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, mtus[i] + 33));
		fake_settle(fixture.fake);
		assert_int_equal(counters().received_dropped, dropped + 1);
		assert_true(fake_close(&netvsc->channels[0]));
	}
}

/*
 * Linux 3.10 and FreeBSD 10 tell their MTU, without the header: what fills it comes all the same.
 */
static void test_size_without_the_header(void **state)
{
	static uint8_t frame[1518];
	struct netvsc *netvsc = &fixture.netvsc;
	uint32_t filter = NDIS_PACKET_DIRECTED, number;
	size_t size = 0;
	uint8_t *data;

	fill_frame(frame, sizeof(frame));
	assert_true(netvsc_open(netvsc, fixture.fake));
	assert_true(netvsc_init(netvsc, NVSP_VERSION_2));
	assert_true(netvsc_configure(netvsc, 1500 - 14, 0));
	assert_true(netvsc_give_buffers(netvsc));
	assert_true(netvsc_initialize(netvsc));
	assert_int_equal(netvsc_query(netvsc, OID_GEN_MAXIMUM_FRAME_SIZE, &number, &size), 0);
	assert_int_equal(number, 1500);
	assert_int_equal(netvsc_set(netvsc, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	fake_settle(fixture.fake);
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc_data(netvsc, 0, &data), sizeof(frame));
	assert_memory_equal(data, frame, sizeof(frame));
	assert_int_equal(counters().received_dropped, 0);
}

/*
 * A guest that halts the device waits for all that it has sent, whoever does not read it. A link
 * that changes meanwhile is seen by who asks, and told to nobody.
 */
static void test_halt(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[128];
	struct {
		struct rndis_header header;
		uint32_t request_id;
	} halt = { { RNDIS_HALT, sizeof(halt) }, 1 };
	struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_CONTROL, NVSP_NO_SEND_SECTION, 0 },
	};
	uint32_t number;
	size_t size = 0;

	start(false);
	fixture.network->hold = true;
	fill_frame(frame, sizeof(frame));
	assert_true(netvsc_send_section(netvsc, 0, 2, 0, packet,
					netvsc_wrap(packet, frame, sizeof(frame), 0, NULL)));
	fake_settle(fixture.fake);
	assert_int_equal(counters().sending, 1);
	/* It has no answer, but is taken. */
	memcpy(fake_memory(fixture.fake, gpa_from_pfn(netvsc->page_pfns[0]), HV_PAGE_SIZE), &halt,
	       sizeof(halt));
	assert_true(fake_send_range(&netvsc->channels[0], RING_FLAG_COMPLETION_REQUESTED, 3,
				    netvsc->page_pfns, 0, sizeof(halt), &message, sizeof(message)));
	assert_int_equal(netvsc_await_sent(netvsc, 0, 2), NVSP_STATUS_SUCCESS);
	assert_int_equal(netvsc_await_sent(netvsc, 0, 3), NVSP_STATUS_SUCCESS);
	network_adapter_disconnect(fixture.adapter);
	fake_settle(fixture.fake);
	assert_int_equal(netvsc_poll(netvsc, 0), 0);
	size = 0;
	assert_int_equal(netvsc_query(netvsc, OID_GEN_MEDIA_CONNECT_STATUS, &number, &size),
			 RNDIS_STATUS_FAILURE);
	assert_true(netvsc_initialize(netvsc));
	size = 0;
	assert_int_equal(netvsc_query(netvsc, OID_GEN_MEDIA_CONNECT_STATUS, &number, &size), 0);
	assert_int_equal(number, NDIS_MEDIA_DISCONNECTED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_messages_without_answer),
		TEST(test_answer_waits_for_room),
		TEST(test_too_many_questions),
		TEST(test_revoked_before_told),
		TEST(test_torn_down_before_revoked),
		TEST(test_least_receive_buffer),
		TEST(test_send_buffer_of_a_deaf_network),
		TEST(test_completions_of_all_kinds),
		TEST(test_sub_channels_in_any_order),
		TEST(test_as_freebsd),
		TEST(test_frames_of_every_mtu),
		TEST(test_size_without_the_header),
		TEST(test_halt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
