/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network VSP saved in the middle of its work, and restored on another bus. */
#include "common/base/state.h"
#include "tests/unit/vsp/network/netvsp_fixture.h"

static const struct network_options options = {
	.instance = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
	.name = "nic0",
	.channel_max = QUEUES,
	.mac = { 0x02, 0x56, 0x4d, 0x00, 0x00, 0x01 },
	.mtu = 1500,
	.ended = network_is_over,
};

static void set_true(void *data)
{
	*(bool *)data = true;
}

static bool is_true(void *data)
{
	return *(bool *)data;
}

static void save(struct state_writer *writer)
{
	bool bus = false, adapter = false;

	vmbus_quiesce(fixture.fake->bus, set_true, &bus);
	network_adapter_quiesce(fixture.adapter, set_true, &adapter);
	assert_true(fake_run_until(fixture.fake, is_true, &bus));
	assert_true(fake_run_until(fixture.fake, is_true, &adapter));
	fake_save_bus(fixture.fake, writer);
	assert_int_equal(network_adapter_save(fixture.adapter, "network", writer), 0);
	assert_int_equal(state_writer_error(writer), 0);
}

/* Return: as network_adapter_restore(). */
static int restore(const struct state_writer *bus, const struct state_writer *adapter)
{
	struct state_reader reader;

	fake_leave(fixture.fake);
	network_adapter_free(fixture.adapter);
	fake_arrive(fixture.fake);
	assert_int_equal(network_adapter_new(fixture.fake->bus, &options, &fixture.adapter), 0);
	fixture.network = fake_network_new(QUEUES);
	fixture.network->freed = &fixture.network_freed;
	fixture.network->ram = fake_host_memory(fixture.fake);
	fixture.network->ram_size = fixture.fake->ram_size;
	network_adapter_connect(fixture.adapter, &fixture.network->backend);
	assert_int_equal(fake_restore_bus(fixture.fake, bus, &reader), 0);
	if (state_reader_init(&reader, adapter->bytes, adapter->size))
		return STATE_E_INVALID;
	return network_adapter_restore(fixture.adapter, "network", &reader);
}

static void go_on(void)
{
	fake_go_on(fixture.fake);
	network_adapter_resume(fixture.adapter);
	fake_settle(fixture.fake);
}

static void move(void)
{
	struct state_writer first, second;

	save(&first);
	assert_int_equal(restore(&first, &first), 0);
	save(&second);
	assert_int_equal(second.size, first.size);
	assert_memory_equal(second.bytes, first.bytes, first.size);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
	go_on();
}

/* A packet is with the guest, which gives it back to the other; then frames flow. */
static void test_frames_flow_on(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], *data;
	uint64_t id;

	start(false);
	netvsc->keep = true;
	fill_frame(frame, sizeof(frame));
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
	id = netvsc->transaction_id;
	assert_int_equal(counters().lent, 1);
	move();
	/* The link is told, as one that is up. */
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc->message.rndis.channel, NVSP_CHANNEL_CONTROL);
	netvsc_complete(netvsc, 0, netvsc->transaction_id);
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 1);
	netvsc_complete(netvsc, 0, id);
	fake_settle(fixture.fake);
	assert_int_equal(counters().lent, 0);
	assert_true(fake_network_deliver(fixture.network, 0, NULL, frame, sizeof(frame)));
	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc_data(netvsc, 0, &data), sizeof(frame));
	assert_memory_equal(data, frame, sizeof(frame));
}

/* All channels stay open, and the hash goes on to choose among them. */
static void test_sub_channels_and_scaling(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[256];
	size_t size;

	start(true);
	assert_int_equal(netvsc_open_sub_channels(netvsc, 3), QUEUES);
	assert_int_equal(netvsc_enable_rss(netvsc, QUEUES), 0);
	move();
	assert_int_equal(counters().channels, QUEUES);
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_true(netvsc_send_section(netvsc, i, 100 + i, 0, packet, size));
		assert_int_equal(netvsc_await_sent(netvsc, i, 100 + i), NVSP_STATUS_SUCCESS);
	}
	assert_int_equal(fixture.network->sent_count, QUEUES);
	/* The guest closes, and another driver comes. */
	move();
	assert_true(fake_close(&netvsc->channels[0]));
	assert_int_equal(counters().channels, 0);
}

/* The network has a frame, and takes its time. */
static void test_frames_under_way_are_waited_for(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint8_t frame[64], packet[256];
	bool bus = false, adapter = false;
	size_t size;

	start(false);
	fixture.network->hold = fixture.network->slow = true;
	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	assert_true(netvsc_send_section(netvsc, 0, 100, 0, packet, size));
	fake_settle(fixture.fake);
	assert_int_equal(fixture.network->sent_count, 1);
	vmbus_quiesce(fixture.fake->bus, set_true, &bus);
	network_adapter_quiesce(fixture.adapter, set_true, &adapter);
	fake_settle(fixture.fake);
	assert_false(adapter);
	fixture.network->hold = fixture.network->slow = false;
	fake_network_return(fixture.network);
	assert_true(fake_run_until(fixture.fake, is_true, &adapter));
	vmbus_resume(fixture.fake->bus);
	network_adapter_resume(fixture.adapter);
	assert_int_equal(netvsc_await_sent(netvsc, 0, 100), NVSP_STATUS_SUCCESS);
}

/* Nothing of it is under way: it is quiet all the same. */
static void test_without_a_network(void **state)
{
	bool adapter = false;

	start(false);
	network_adapter_disconnect(fixture.adapter);
	fake_settle(fixture.fake);
	network_adapter_quiesce(fixture.adapter, set_true, &adapter);
	assert_true(fake_run_until(fixture.fake, is_true, &adapter));
	network_adapter_resume(fixture.adapter);
}

static void test_before_the_guest_has_come(void **state)
{
	move();
	start(true);
	move();
}

/* ---- Answers that the guest has no room for ---- */

#define SENT      1200 /* packets: more completions than a ring has room for */
#define PACKET_ID 1000 /* transaction id of the first */

/* Sends as many, and reads no completion. */
static void send_without_reading(struct netvsc *netvsc)
{
	uint8_t frame[64], packet[256];
	size_t size;

	fill_frame(frame, sizeof(frame));
	size = netvsc_wrap(packet, frame, sizeof(frame), 0, NULL);
	for (unsigned i = 0; i < SENT; i++) {
		assert_true(netvsc_send_section(netvsc, 0, PACKET_ID + i, 0, packet, size));
		fake_run(fixture.fake);
	}
	fake_settle(fixture.fake);
	assert_int_equal(fixture.network->sent_count, SENT);
}

static bool next_completion(void *data)
{
	return netvsc_poll(data, 0) == RING_PACKET_COMPLETION;
}

/* Each packet is completed once, and in order. */
static void expect_completions(struct netvsc *netvsc)
{
	for (unsigned i = 0; i < SENT; i++) {
		assert_true(fake_run_until(fixture.fake, next_completion, netvsc));
		assert_int_equal(netvsc->message_id, PACKET_ID + i);
		assert_int_equal(netvsc->message.rndis_complete.status, NVSP_STATUS_SUCCESS);
	}
}

static void test_completions_without_room(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;

	start(false);
	send_without_reading(netvsc);
	assert_true(counters().sending > 64);
	move();
	expect_completions(netvsc);
}

/* Asks for an object identifier, and does not wait for the answer. */
static void ask(struct netvsc *netvsc, uint32_t request, uint32_t oid)
{
	const struct nvsp_message rndis = {
		.type = NVSP_SEND_RNDIS_PACKET,
		.rndis = { NVSP_CHANNEL_CONTROL, NVSP_NO_SEND_SECTION, 0 },
	};
	const struct {
		struct rndis_header header;
		union rndis_body body;
	} PACKED message = {
		.header = { RNDIS_QUERY, 28 },
		.body.set = { .request_id = request, .oid = oid, .offset = 20 },
	};

	memcpy(fake_memory(netvsc->fake, gpa_from_pfn(netvsc->page_pfns[0]), HV_PAGE_SIZE),
	       &message, message.header.length);
	assert_true(fake_send_range(&netvsc->channels[0], 0, request, netvsc->page_pfns, 0,
				    message.header.length, &rndis, (uint32_t)netvsc->message_size));
	fake_settle(fixture.fake);
}

/*
 * The guest keeps what it is sent, frames first, then answers, for which some slots are reserved:
 * until it has all. The last two packets are told.
 */
static void take_all_slots(struct netvsc *netvsc, uint64_t *ret_before, uint64_t *ret_last)
{
	uint8_t frame[64];

	*ret_last = 0;
	netvsc->keep = true;
	fill_frame(frame, sizeof(frame));
	while (counters().lent < netvsc->slot_count) {
		bool delivered = false;

		for (unsigned queue = 0; !delivered && queue < QUEUES; queue++)
			delivered = fake_network_deliver(fixture.network, queue, NULL, frame,
							 sizeof(frame));
		if (!delivered)
			ask(netvsc, 1, OID_GEN_LINK_SPEED);
		assert_true(netvsc_receive(netvsc, 0));
		*ret_before = *ret_last;
		*ret_last = netvsc->transaction_id;
	}
}

static void expect_answer(struct netvsc *netvsc, uint32_t request)
{
	uint32_t header[4]; /* type, length, request, status */

	assert_true(netvsc_receive(netvsc, 0));
	assert_int_equal(netvsc->message.rndis.channel, NVSP_CHANNEL_CONTROL);
	memcpy(header, netvsc->reply, sizeof(header));
	assert_int_equal(header[0], RNDIS_QUERY | RNDIS_COMPLETE);
	assert_int_equal(header[2], request);
	assert_int_equal(header[3], RNDIS_STATUS_SUCCESS);
}

static void test_control_messages_that_wait(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;
	uint64_t last, before;

	start(false);
	take_all_slots(netvsc, &before, &last);
	ask(netvsc, 501, OID_GEN_LINK_SPEED);
	ask(netvsc, 502, OID_GEN_MAXIMUM_FRAME_SIZE);
	move();
	/* They come in order, as the guest gives packets back, and before the link is told. */
	netvsc_complete(netvsc, 0, before);
	expect_answer(netvsc, 501);
	netvsc_complete(netvsc, 0, last);
	expect_answer(netvsc, 502);
}

/* ---- Buffers that the guest takes back ---- */

static void post_teardown(struct netvsc *netvsc, uint32_t gpadl)
{
	const struct vmbus_message_gpadl_teardown message = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
		.relid = netvsc->channels[0].relid,
		.gpadl = gpadl,
	};

	fake_post(fixture.fake, &message, sizeof(message));
	fake_settle(fixture.fake);
	assert_false(fake_has_message(fixture.fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
}

static void expect_torndown(uint32_t gpadl)
{
	struct vmbus_message_gpadl_torndown message;

	assert_true(
		fake_await(fixture.fake, VMBUS_MESSAGE_GPADL_TORNDOWN, &message, sizeof(message)));
	assert_int_equal(message.gpadl, gpadl);
}

static void revoke_buffer(struct netvsc *netvsc, uint32_t type)
{
	const struct nvsp_message message = { .type = type };

	assert_true(netvsc_tell(netvsc, &message));
	fake_settle(fixture.fake);
}

/* The guest has asked for their memory, and not revoked them: the adapter still has them. */
static void test_buffers_whose_memory_is_asked_for(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;

	start(false);
	post_teardown(netvsc, netvsc->receive_gpadl);
	post_teardown(netvsc, netvsc->send_gpadl);
	move();
	assert_false(fake_has_message(fixture.fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	revoke_buffer(netvsc, NVSP_REVOKE_RECEIVE_BUFFER);
	expect_torndown(netvsc->receive_gpadl);
	revoke_buffer(netvsc, NVSP_REVOKE_SEND_BUFFER);
	expect_torndown(netvsc->send_gpadl);
	/* Others may take their place. */
	assert_true(netvsc_give_buffers(netvsc));
}

/* Revoked as well, but packets that lie in it are to be completed first. */
static void test_a_send_buffer_that_is_revoked(void **state)
{
	struct netvsc *netvsc = &fixture.netvsc;

	start(false);
	send_without_reading(netvsc);
	revoke_buffer(netvsc, NVSP_REVOKE_SEND_BUFFER);
	post_teardown(netvsc, netvsc->send_gpadl);
	move();
	assert_false(fake_has_message(fixture.fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	expect_completions(netvsc);
	expect_torndown(netvsc->send_gpadl);
}

/* Each byte of the adapter's record changed: it is refused, or the adapter goes on with it. */
static void test_any_record_is_survived(void **state)
{
	struct state_writer writer, changed;
	unsigned refused = 0;
	size_t from;

	start(false);
	save(&writer);
	changed = writer;
	changed.bytes = malloc(writer.size);
	memcpy(changed.bytes, writer.bytes, writer.size);
	from = writer.size - NETVSC_RECEIVE_PAGES * 2 * 8 - 808;
	for (size_t at = from; at < from + 900; at++) {
		changed.bytes[at] ^= 0x81;
		if (restore(&writer, &changed))
			refused++;
		else
			network_adapter_resume(fixture.adapter);
		fake_run(fixture.fake);
		changed.bytes[at] ^= 0x81;
	}
	assert_true(refused > 64);
	assert_int_equal(restore(&writer, &writer), 0);
	go_on();
	free(changed.bytes);
	state_writer_deinit(&writer);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_frames_flow_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sub_channels_and_scaling, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames_under_way_are_waited_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_without_a_network, setup, teardown),
		cmocka_unit_test_setup_teardown(test_before_the_guest_has_come, setup, teardown),
		cmocka_unit_test_setup_teardown(test_completions_without_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_control_messages_that_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_buffers_whose_memory_is_asked_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_send_buffer_that_is_revoked, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_any_record_is_survived, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
