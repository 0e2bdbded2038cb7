/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network VSP against the fake guest: negotiation, buffers, OIDs, sub-channels, the end. */
#include "common/base/json.h"
#include "tests/unit/vsp/network/netvsp_fixture.h"

#define REMOVAL_TIMEOUT UINT64_C(16000000000) /* nanoseconds */

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

static int64_t number(struct json_object *object, const char *group, const char *key)
{
	struct json_object *members, *value;

	assert_true(json_object_object_get_ex(object, group, &members));
	assert_true(json_object_object_get_ex(members, key, &value));
	return json_object_get_int64(value);
}

/* What the guest keeps, and what the network keeps, is seen while it is so. */
static void test_inspection(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	AUTO_JSON struct json_object *tree = NULL;
	uint8_t frame[64], packet[128];
	int64_t slots;
	size_t size;

	start(true);
	tree = network_adapter_inspect(fixture.adapter);
	slots = number(tree, "receiving", "slots");
	assert_true(slots > 0);
	assert_int_equal(number(tree, "receiving", "slots_lent"), 0);
	assert_int_equal(number(tree, "sending", "packets"), 0);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	netvsc->keep = true;
	fixture.network->hold = true;
	for (unsigned i = 0; i < 3; i++)
		assert_true(netvsc_send_section(netvsc, 0, i, 0, packet, size));
	fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame));
	fake_settle(fixture.fake);
	json_object_put(tree);
	tree = network_adapter_inspect(fixture.adapter);
	assert_int_equal(number(tree, "receiving", "slots_lent"), 1);
	assert_true(number(tree, "receiving", "slots_free") < slots);
	assert_int_equal(number(tree, "sending", "packets"), 3);
	assert_int_equal(number(tree, "sending", "frames"), 3);
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
	network_adapter_remove(fixture.adapter, REMOVAL_TIMEOUT, removed, &gone);
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
	network_adapter_remove(fixture.adapter, REMOVAL_TIMEOUT, removed, &gone);
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
		TEST(test_sub_channels),
		TEST(test_reopen),
		TEST(test_reset_under_load),
		TEST(test_inspection),
		TEST(test_link),
		TEST(test_remove),
		TEST(test_remove_by_force),
		TEST(test_remove_and_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
