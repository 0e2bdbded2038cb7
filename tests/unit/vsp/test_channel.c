/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Channels: opening, packets both ways, flow control, closing, rescinding, sub-channels. */
#include "tests/fake/echo.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

struct fixture {
	struct fake *fake;
	struct echo echo;
	const struct vmbus_message_offer_channel *offer;
	struct fake_channel channel;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(4, 16 << 20);
	echo_offer(&f->echo, f->fake->bus, 1, 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	f->offer = fake_find_offer(f->fake, &echo_type, NULL, 0);
	assert_non_null(f->offer);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	vmbus_channel_free(f->echo.channel);
	fake_free(f->fake);
	free(f);
	return 0;
}

static void open_channel(struct fixture *f, uint32_t out_pages, uint32_t in_pages)
{
	assert_int_equal(fake_open(f->fake, f->offer, out_pages, in_pages, 1, &f->channel), 0);
}

static void expect_echo(struct fixture *f, uint64_t transaction_id, const void *payload,
			uint32_t size)
{
	struct ring_packet packet;

	assert_true(fake_receive(&f->channel, &packet));
	assert_int_equal(packet.type, RING_PACKET_COMPLETION);
	assert_int_equal(packet.transaction_id, transaction_id);
	assert_int_equal(packet.payload_size, ALIGN_UP(size, 8u));
	assert_memory_equal(packet.payload, payload, size);
}

static void expect_nothing(struct fixture *f)
{
	struct ring_packet packet;

	fake_settle(f->fake);
	assert_false(fake_receive_now(&f->channel, &packet));
}

static void test_echo(void **state)
{
	struct fixture *f = *state;

	open_channel(f, 8, 8);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 7,
			      "hello", 5));
	expect_echo(f, 7, "hello\0\0\0", 8);
	assert_true(fake_take_event(f->fake, 1, f->channel.relid));
	assert_false(fake_take_event(f->fake, 0, f->channel.relid));
}

static void test_user_data_and_target(void **state)
{
	struct fixture *f = *state;

	open_channel(f, 8, 8);
	assert_int_equal(vmbus_channel_target_vp(f->echo.channel), 1);
	assert_true(fake_close(&f->channel));
	assert_int_equal(fake_gpadl_create(f->fake, f->channel.relid, f->channel.pfns, 16, 0,
					   &f->channel.gpadl),
			 0);
	assert_int_equal(fake_open_rings(&f->channel, 8,
					 (const uint8_t[VMBUS_USER_DATA_SIZE]){ "user data" }),
			 0);
	assert_string_equal((const char *)f->echo.user_data, "user data");
}

/* Integration services, and guests that were quicker than the doorbell. */
static void test_packets_before_open(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.transaction_id = 3,
		.payload = "early",
		.payload_size = 5,
	};

	open_channel(f, 4, 4);
	assert_true(fake_close(&f->channel));
	assert_true(fake_stage(&f->channel, &packet));
	(void)!ring_publish_written(&f->channel.out);
	assert_int_equal(fake_gpadl_create(f->fake, f->channel.relid, f->channel.pfns, 8, 0,
					   &f->channel.gpadl),
			 0);
	assert_int_equal(fake_open_rings(&f->channel, 4, NULL), 0);
	expect_echo(f, 3, "early", 5);
}

static void test_many_packets_scattered(void **state)
{
	struct fixture *f = *state;
	uint8_t payload[1000];

	f->fake->scatter = true;
	open_channel(f, 3, 3);
	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t size = i * 37 % sizeof(payload) / 8 * 8;

		memset(payload, (int)i, sizeof(payload));
		assert_true(fake_send(&f->channel, RING_PACKET_INBAND,
				      RING_FLAG_COMPLETION_REQUESTED, i, payload, size));
		expect_echo(f, i, payload, size);
	}
}

static void send_once(void *data)
{
	struct fixture *f = data;

	f->echo.drained = NULL;
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 2,
			      "second", 6));
}

/* The guest sends just when the host has found the ring empty: it rings, and is heard. */
static void test_packet_after_drain(void **state)
{
	struct fixture *f = *state;

	open_channel(f, 4, 4);
	f->echo.drained = send_once;
	f->echo.data = f;
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 1,
			      "first", 5));
	expect_echo(f, 1, "first", 5);
	expect_echo(f, 2, "second", 6);
}

/* A batch costs one doorbell, one interrupt, and no more. */
static void test_signals_are_coalesced(void **state)
{
	struct fixture *f = *state;
	struct vmbus_channel_counters counters;
	struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.payload = "batch",
		.payload_size = 5,
	};
	unsigned interrupts;

	open_channel(f, 8, 8);
	fake_settle(f->fake);
	interrupts = f->fake->interrupts;
	vmbus_channel_counters(f->echo.channel, &counters);
	assert_int_equal(counters.signals_out, 0);
	for (unsigned i = 0; i < 32; i++)
		assert_true(fake_stage(&f->channel, &packet));
	fake_publish(&f->channel);
	for (unsigned i = 0; i < 32; i++)
		expect_echo(f, 0, "batch", 5);
	vmbus_channel_counters(f->echo.channel, &counters);
	assert_int_equal(counters.packets_in, 32);
	assert_int_equal(counters.packets_out, 32);
	assert_int_equal(counters.signals_out, 1);
	assert_int_equal(f->fake->interrupts, interrupts + 1);
}

static void test_guest_mask_is_honoured(void **state)
{
	struct fixture *f = *state;
	struct vmbus_channel_counters counters;

	open_channel(f, 8, 8);
	ring_mask(&f->channel.in);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 1,
			      "quiet", 5));
	expect_echo(f, 1, "quiet", 5);
	assert_false(fake_take_event(f->fake, 1, f->channel.relid));
	vmbus_channel_counters(f->echo.channel, &counters);
	assert_int_equal(counters.signals_out, 0);
	assert_int_equal(counters.signals_spared, 1);
}

/* The host takes no doorbell while it has not read everything, and takes them again after. */
static void test_host_mask(void **state)
{
	struct fixture *f = *state;
	struct ring_control *control;

	open_channel(f, 8, 8);
	control = f->channel.out.control;
	f->echo.busy = true;
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 1,
			      "one", 3));
	fake_settle(f->fake);
	assert_int_equal(control->interrupt_mask, 1);
	expect_nothing(f);

	f->echo.busy = false;
	echo_receive(&f->echo);
	assert_int_equal(control->interrupt_mask, 0);
	expect_echo(f, 1, "one", 3);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 2,
			      "two", 3));
	expect_echo(f, 2, "two", 3);
}

static void test_flow_control_bits(void **state)
{
	struct fixture *f = *state;

	open_channel(f, 2, 2);
	f->channel.out.control->feature_bits = 0;
	f->channel.in.control->feature_bits = 0;
	assert_true(fake_close(&f->channel));
	assert_int_equal(fake_gpadl_create(f->fake, f->channel.relid, f->channel.pfns, 4, 0,
					   &f->channel.gpadl),
			 0);
	assert_int_equal(fake_open_rings(&f->channel, 2, NULL), 0);
	assert_int_equal(f->channel.out.control->feature_bits, RING_FEATURE_PENDING_SEND_SIZE);
	assert_int_equal(f->channel.in.control->feature_bits, RING_FEATURE_PENDING_SEND_SIZE);
}

/* The guest sends more than the ring to it holds: the host waits for room, and loses nothing. */
static void test_ring_to_guest_full(void **state)
{
	struct fixture *f = *state;
	uint8_t payload[400];
	struct vmbus_channel_counters counters;
	uint32_t sent = 0, received = 0;

	open_channel(f, 16, 2);
	while (received < 300) {
		struct ring_packet packet;
		bool progress = false;

		while (sent < 300) {
			memset(payload, (int)sent, sizeof(payload));
			if (!fake_send(&f->channel, RING_PACKET_INBAND,
				       RING_FLAG_COMPLETION_REQUESTED, sent, payload,
				       sizeof(payload)))
				break;
			sent++;
		}
		fake_settle(f->fake);
		while (fake_receive_now(&f->channel, &packet)) {
			assert_int_equal(packet.transaction_id, received);
			assert_int_equal(*(const uint8_t *)packet.payload, received % 256);
			received++;
			progress = true;
		}
		assert_true(progress);
	}
	vmbus_channel_counters(f->echo.channel, &counters);
	assert_true(counters.ring_full > 0);
	assert_true(f->echo.writables > 0);
	assert_int_equal(counters.packets_out, 300);
	assert_int_equal(f->channel.in.control->pending_send_size, 0);
}

/* The host tells a guest that waits for room, once. */
static void test_ring_to_host_full(void **state)
{
	struct fixture *f = *state;
	uint8_t payload[400] = { 0 };
	uint32_t size = ring_packet_size(0, sizeof(payload)), sent = 0;

	open_channel(f, 2, 8);
	f->echo.busy = true;
	f->echo.silent = true;
	while (fake_send(&f->channel, RING_PACKET_INBAND, 0, sent, payload, sizeof(payload)))
		sent++;
	assert_int_equal(sent, 4095 / size);
	assert_false(ring_await_space(&f->channel.out, size));
	fake_settle(f->fake);
	assert_false(fake_take_event(f->fake, 1, f->channel.relid));

	f->echo.busy = false;
	echo_receive(&f->echo);
	fake_settle(f->fake);
	assert_int_equal(f->echo.packets, sent);
	assert_true(fake_take_event(f->fake, 1, f->channel.relid));
	ring_forget_space(&f->channel.out);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, 0, 0, payload, sizeof(payload)));
	fake_settle(f->fake);
	assert_false(fake_take_event(f->fake, 1, f->channel.relid));
}

/* A guest that never stops sending does not keep the loop from its other work. */
static void test_turn_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet = { .type = RING_PACKET_INBAND };
	unsigned staged = 0;

	f->echo.silent = true;
	open_channel(f, 64, 2);
	while (fake_stage(&f->channel, &packet))
		staged++;
	fake_publish(&f->channel);
	assert_true(staged > 1000);
	assert_int_equal(loop_run_once(f->fake->loop, FAKE_PATIENCE_NS), 0);
	assert_true(f->echo.packets > 0 && f->echo.packets < 300);
	assert_int_equal(f->channel.out.control->interrupt_mask, 1);
	while (f->echo.packets < staged)
		assert_int_equal(loop_run_once(f->fake->loop, FAKE_PATIENCE_NS), 0);
	fake_settle(f->fake);
	assert_int_equal(f->channel.out.control->interrupt_mask, 0);
}

static void test_ranges(void **state)
{
	struct fixture *f = *state;
	uint64_t pfns[8];
	gpa_t gpa;
	uint8_t *memory;

	open_channel(f, 8, 8);
	gpa = fake_alloc(f->fake, 8, pfns);
	memory = fake_memory(f->fake, gpa, sizeof(pfns) / sizeof(pfns[0]) * HV_PAGE_SIZE);
	assert_true(fake_send_range(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 1, pfns, 100,
				    3 * HV_PAGE_SIZE, "abcdefgh", 8));
	expect_echo(f, 1, "abcdefgh", 8);
	assert_int_equal(f->echo.iov_count, 1); /* neighbours are merged */
	assert_int_equal(memory[99], 0);
	assert_memory_equal(memory + 100, "abcdefghabcdefgh", 16);
	assert_int_equal(memory[100 + 3 * HV_PAGE_SIZE - 1], 'h');
	assert_int_equal(memory[100 + 3 * HV_PAGE_SIZE], 0);

	/* Pages in another order, and one that is no RAM. */
	assert_true(fake_send_range(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 2,
				    (const uint64_t[]){ pfns[6], pfns[5], pfns[7] }, 0,
				    2 * HV_PAGE_SIZE + 1, "ijklmnop", 8));
	expect_echo(f, 2, "ijklmnop", 8);
	assert_int_equal(f->echo.iov_count, 3);
	assert_int_equal(memory[7 * HV_PAGE_SIZE], 'i');
	assert_int_equal(memory[7 * HV_PAGE_SIZE + 1], 0);
	assert_true(fake_send_range(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 3,
				    (const uint64_t[]){ pfns[0], 1ull << 52 }, 0, 2 * HV_PAGE_SIZE,
				    "qrstuvwx", 8));
	expect_echo(f, 3, "qrstuvwx", 8);
	assert_int_equal(f->echo.ranges_invalid, 1);
}

static void test_ranges_with_hole(void **state)
{
	struct fixture *f = *state;
	uint64_t pfns[3];

	open_channel(f, 8, 8);
	f->fake->hole = gpa_add(fake_alloc(f->fake, 3, pfns), HV_PAGE_SIZE);
	f->fake->hole_size = HV_PAGE_SIZE;
	assert_true(fake_send_range(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 1, pfns, 0,
				    3 * HV_PAGE_SIZE, "abcdefgh", 8));
	expect_echo(f, 1, "abcdefgh", 8);
	assert_int_equal(f->echo.ranges_invalid, 1);
}

struct two_ranges {
	struct ring_gpa_direct direct;
	uint32_t count_1, offset_1;
	uint64_t pfn_1;
	uint32_t count_2, offset_2;
	uint64_t pfns_2[2];
};

static void test_two_ranges(void **state)
{
	struct fixture *f = *state;
	uint64_t pfns[4];
	gpa_t gpa;
	uint8_t *memory;

	open_channel(f, 8, 8);
	gpa = fake_alloc(f->fake, 4, pfns);
	memory = fake_memory(f->fake, gpa, 4 * HV_PAGE_SIZE);
	struct two_ranges ranges = {
		.direct.range_count = 2,
		.count_1 = 10,
		.offset_1 = 4086,
		.pfn_1 = pfns[2],
		.count_2 = 8192,
		.pfns_2 = { pfns[0], pfns[1] },
	};
	assert_true(fake_send_ranges(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 1, &ranges,
				     sizeof(ranges), "abcdefgh", 8));
	expect_echo(f, 1, "abcdefgh", 8);
	assert_int_equal(f->echo.iov_count, 2);
	assert_memory_equal(memory + 3 * HV_PAGE_SIZE - 10, "abcdefghab", 10);
	assert_memory_equal(memory, "cdefgh", 6);
}

/* Each row is a list of ranges that lies about itself. */
static void test_malformed_ranges(void **state)
{
	struct fixture *f = *state;
	static const uint32_t rows[][10] = {
		{ 0, 1 },                      /* a range, but nothing of it */
		{ 0, 1, 4097, 0, 1, 0 },       /* two pages' worth, one page */
		{ 0, 1, 1, 4096, 1, 0, 2, 0 }, /* begins beyond its first page */
		{ 0, 1, 0, 0, 1, 0 },          /* of nothing */
		{ 0, 2, 1, 0, 1, 0 },          /* two said, one there */
		{ 0, UINT32_MAX, 1, 0, 1, 0 },
		{ 0, 1, UINT32_MAX, 4095, 1, 0 },
	};
	static const uint32_t sizes[] = { 8, 24, 32, 24, 24, 24, 24 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		open_channel(f, 4, 4);
		assert_true(fake_send_ranges(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 1,
					     rows[i], sizes[i], "abcdefgh", 8));
		expect_nothing(f);
		assert_int_equal(f->echo.receive_result, VMBUS_E_CORRUPT);
		assert_int_equal(f->echo.ranges_invalid, 0);
		assert_true(fake_close(&f->channel));
	}
}

static void test_range_too_long(void **state)
{
	struct fixture *f = *state;
	static uint64_t pfns[VMBUS_RANGE_PAGE_MAX + 1];
	uint64_t first;

	fake_alloc(f->fake, 1, &first);
	for (size_t i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = first;
	open_channel(f, 16, 4);
	assert_true(fake_send_range(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 1, pfns, 0,
				    VMBUS_RANGE_PAGE_MAX * HV_PAGE_SIZE, "abcdefgh", 8));
	expect_echo(f, 1, "abcdefgh", 8);
	assert_true(fake_send_range(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 1, pfns, 0,
				    VMBUS_RANGE_PAGE_MAX * HV_PAGE_SIZE + 1, "abcdefgh", 8));
	expect_nothing(f);
	assert_int_equal(f->echo.receive_result, VMBUS_E_CORRUPT);
}

static void test_payload_too_long(void **state)
{
	struct fixture *f = *state;
	static uint8_t payload[VMBUS_PACKET_MAX + 8];

	memset(payload, 'x', sizeof(payload));
	open_channel(f, 16, 16);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 1,
			      payload, VMBUS_PACKET_MAX));
	expect_echo(f, 1, payload, VMBUS_PACKET_MAX);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 2,
			      payload, VMBUS_PACKET_MAX + 8));
	expect_nothing(f);
	assert_int_equal(f->echo.receive_result, VMBUS_E_CORRUPT);
}

/* uio_hv_generic in Linux opens again with the same rings, of which it resets only the indices. */
static void test_ring_reused(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet;

	open_channel(f, 2, 2);
	f->echo.busy = true;
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 1,
			      "left", 4));
	fake_settle(f->fake);
	assert_int_equal(f->channel.out.control->interrupt_mask, 1);
	f->channel.in.control->pending_send_size = 1000;
	assert_true(fake_close(&f->channel));

	f->echo.busy = false;
	f->channel.out.control->write_index = f->channel.out.control->read_index = 0;
	f->channel.in.control->write_index = f->channel.in.control->read_index = 0;
	assert_int_equal(fake_gpadl_create(f->fake, f->channel.relid, f->channel.pfns, 4, 0,
					   &f->channel.gpadl),
			 0);
	assert_int_equal(fake_open_rings(&f->channel, 2, NULL), 0);
	fake_settle(f->fake);
	assert_int_equal(f->channel.out.control->interrupt_mask, 0);
	assert_int_equal(f->channel.in.control->pending_send_size, 0);
	assert_int_equal(ring_init_writer(&f->channel.out, f->channel.pages, 2), 0);
	assert_int_equal(ring_init_reader(&f->channel.in, f->channel.pages + 2, 2), 0);
	assert_false(fake_receive_now(&f->channel, &packet));
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 2,
			      "new", 3));
	expect_echo(f, 2, "new", 3);
}

/* A broken ring is given up, and works again after it was opened anew. */
static void test_broken_ring(void **state)
{
	struct fixture *f = *state;
	struct vmbus_channel_counters counters;
	static const uint32_t indices[] = { 4096, 4, UINT32_MAX, 0x80000000, 8 };

	for (size_t i = 0; i < ARRAY_SIZE(indices); i++) {
		open_channel(f, 2, 2);
		fake_settle(f->fake);
		f->channel.out.control->write_index = indices[i];
		fake_signal(&f->channel);
		fake_settle(f->fake);
		vmbus_channel_counters(f->echo.channel, &counters);
		assert_int_equal(counters.corrupt, i + 1);
		assert_int_equal(vmbus_channel_complete(f->echo.channel, 0, "x", 1),
				 VMBUS_E_CORRUPT);
		fake_signal(&f->channel);
		expect_nothing(f);
		assert_true(fake_close(&f->channel));
	}
	open_channel(f, 2, 2);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 7,
			      "healed", 6));
	expect_echo(f, 7, "healed", 6);
}

static void test_broken_ring_to_guest(void **state)
{
	struct fixture *f = *state;
	uint8_t payload[2000] = { 0 };

	open_channel(f, 4, 2);
	f->channel.in.control->read_index = 12;
	for (unsigned i = 0; i < 3; i++)
		assert_true(fake_send(&f->channel, RING_PACKET_INBAND,
				      RING_FLAG_COMPLETION_REQUESTED, i, payload, sizeof(payload)));
	fake_settle(f->fake);
	assert_int_equal(vmbus_channel_complete(f->echo.channel, 0, "x", 1), VMBUS_E_CORRUPT);
}

static void test_packet_too_big_for_ring(void **state)
{
	struct fixture *f = *state;
	uint8_t payload[5000] = { 0 };

	open_channel(f, 4, 2);
	assert_int_equal(vmbus_channel_send(f->echo.channel, RING_PACKET_INBAND, false, 0, payload,
					    sizeof(payload)),
			 VMBUS_E_INVALID);
	assert_int_equal(vmbus_channel_send(f->echo.channel, RING_PACKET_INBAND, false, 0, payload,
					    VMBUS_PACKET_MAX + 1),
			 VMBUS_E_INVALID);
}

/* The teardown of the rings waits for the device; nothing is received or sent meanwhile. */
static void test_close_waits_for_device(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_relid close = { .header.type = VMBUS_MESSAGE_CLOSE_CHANNEL };
	struct vmbus_message_gpadl_teardown teardown_message = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
	};
	struct vmbus_message_gpadl_torndown torndown;
	struct vmbus_packet packet;

	open_channel(f, 4, 4);
	f->echo.hold_close = true;
	close.relid = teardown_message.relid = f->channel.relid;
	teardown_message.gpadl = f->channel.gpadl;
	fake_post(f->fake, &close, sizeof(close));
	fake_post(f->fake, &teardown_message, sizeof(teardown_message));
	fake_settle(f->fake);
	assert_int_equal(f->echo.closes, 1);
	assert_false(vmbus_channel_is_open(f->echo.channel));
	assert_false(fake_has_message(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	assert_int_equal(vmbus_channel_receive(f->echo.channel, &packet), VMBUS_E_CORRUPT);
	assert_int_equal(vmbus_channel_complete(f->echo.channel, 0, "x", 1), VMBUS_E_CORRUPT);
	assert_int_equal(f->fake->connection_count, 0);
	/* It does not open again until then. */
	assert_int_equal(fake_open_rings(&f->channel, 4, NULL), VMBUS_STATUS_UNSUCCESSFUL);

	vmbus_channel_closed(f->echo.channel);
	assert_true(fake_await(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN, &torndown, sizeof(torndown)));
	assert_int_equal(torndown.gpadl, f->channel.gpadl);
	f->echo.hold_close = false;
	open_channel(f, 4, 4);
}

/* The guest may reuse the ring's memory once it is closed, whatever the host still had to say. */
static void test_closed_ring_is_not_touched(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_relid close = { .header.type = VMBUS_MESSAGE_CLOSE_CHANNEL };
	uint8_t *memory, *before = malloc(8 * HV_PAGE_SIZE);

	open_channel(f, 4, 4);
	close.relid = f->channel.relid;
	f->echo.busy = true;
	for (unsigned i = 0; i < 10; i++)
		assert_true(fake_send(&f->channel, RING_PACKET_INBAND,
				      RING_FLAG_COMPLETION_REQUESTED, i, "late", 4));
	fake_settle(f->fake);
	echo_receive(&f->echo);
	assert_int_equal(f->echo.packets, 10);
	fake_post(f->fake, &close, sizeof(close));
	memory = fake_memory(f->fake, gpa_from_pfn(f->channel.pfns[0]), 8 * HV_PAGE_SIZE);
	memcpy(before, memory, 8 * HV_PAGE_SIZE);
	fake_settle(f->fake);
	assert_memory_equal(memory, before, 8 * HV_PAGE_SIZE);
	assert_false(fake_take_event(f->fake, 1, f->channel.relid));
	free(before);
}

static void test_open_close_repeatedly(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 50; i++) {
		open_channel(f, 2 + i % 3, 2 + i % 5);
		assert_true(fake_send(&f->channel, RING_PACKET_INBAND,
				      RING_FLAG_COMPLETION_REQUESTED, i, "again", 5));
		expect_echo(f, i, "again", 5);
		assert_true(fake_close(&f->channel));
	}
	assert_int_equal(f->echo.opens, 50);
	assert_int_equal(f->echo.closes, 50);
}

static void test_open_refused(void **state)
{
	struct fixture *f = *state;

	f->echo.open_result = -EBUSY;
	assert_int_equal(fake_open(f->fake, f->offer, 4, 4, 0, &f->channel),
			 VMBUS_STATUS_UNSUCCESSFUL);
	f->echo.open_result = 0;
	f->fake->connection_error = -ENOSPC;
	assert_int_equal(fake_open_rings(&f->channel, 4, NULL), VMBUS_STATUS_UNSUCCESSFUL);
	f->fake->connection_error = 0;
	/* Ring offsets that leave a ring without data, or without itself. */
	for (uint32_t page = 0; page < 12; page++) {
		uint32_t status = fake_open_rings(&f->channel, page, NULL);

		if (page >= 2 && page <= 6) {
			assert_int_equal(status, 0);
			assert_true(fake_close(&f->channel));
			assert_int_equal(fake_gpadl_create(f->fake, f->channel.relid,
							   f->channel.pfns, 8, 0,
							   &f->channel.gpadl),
					 0);
		} else {
			assert_int_equal(status, VMBUS_STATUS_INVALID_PARAMETER);
		}
	}
	f->channel.target_vp = 4;
	assert_int_equal(fake_open_rings(&f->channel, 4, NULL), VMBUS_STATUS_INVALID_PARAMETER);
	f->channel.target_vp = VMBUS_TARGET_VP_NONE;
	assert_int_equal(fake_open_rings(&f->channel, 4, NULL), 0);
	/* Open already. */
	assert_int_equal(fake_open_rings(&f->channel, 4, NULL), VMBUS_STATUS_UNSUCCESSFUL);
	/* No interrupts wanted, none sent. */
	fake_settle(f->fake);
	f->fake->interrupts = 0;
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 1,
			      "still", 5));
	expect_echo(f, 1, "still", 5);
	assert_int_equal(f->fake->interrupts, 0);
}

static void test_open_with_indices_of_another_world(void **state)
{
	struct fixture *f = *state;

	open_channel(f, 4, 4);
	assert_true(fake_close(&f->channel));
	assert_int_equal(fake_gpadl_create(f->fake, f->channel.relid, f->channel.pfns, 8, 0,
					   &f->channel.gpadl),
			 0);
	f->channel.out.control->read_index = 3 * HV_PAGE_SIZE;
	assert_int_equal(fake_open_rings(&f->channel, 4, NULL), VMBUS_STATUS_INVALID_PARAMETER);
	f->channel.out.control->read_index = 0;
	f->channel.in.control->write_index = 1;
	assert_int_equal(fake_open_rings(&f->channel, 4, NULL), VMBUS_STATUS_INVALID_PARAMETER);
	f->channel.in.control->write_index = 0;
	assert_int_equal(fake_open_rings(&f->channel, 4, NULL), 0);
}

static void modify(struct fixture *f, uint32_t relid, uint32_t target_vp, uint32_t status)
{
	struct vmbus_message_modify_channel message = {
		.header.type = VMBUS_MESSAGE_MODIFY_CHANNEL,
		.relid = relid,
		.target_vp = target_vp,
	};
	struct vmbus_message_modify_channel_response response;

	fake_post(f->fake, &message, sizeof(message));
	assert_true(fake_await(f->fake, VMBUS_MESSAGE_MODIFY_CHANNEL_RESPONSE, &response,
			       sizeof(response)));
	assert_int_equal(response.relid, relid);
	assert_int_equal(response.status, status);
}

static void test_modify(void **state)
{
	struct fixture *f = *state;

	modify(f, f->offer->relid, 2, VMBUS_STATUS_UNSUCCESSFUL);
	open_channel(f, 4, 4);
	modify(f, f->channel.relid, 2, VMBUS_STATUS_SUCCESS);
	modify(f, f->channel.relid, 4, VMBUS_STATUS_INVALID_PARAMETER);
	modify(f, 99, 0, VMBUS_STATUS_INVALID_PARAMETER);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 1,
			      "moved", 5));
	expect_echo(f, 1, "moved", 5);
	assert_true(fake_take_event(f->fake, 2, f->channel.relid));
	assert_false(fake_take_event(f->fake, 1, f->channel.relid));
}

/* Everything the host changes in guest memory is known to dirty tracking. */
static void test_writes_are_marked(void **state)
{
	struct fixture *f = *state;
	struct fake *fake = f->fake;
	uint8_t *before = malloc(fake->ram_size);
	uint8_t payload[600];

	assert_non_null(before);
	fake->scatter = true;
	open_channel(f, 4, 4);
	memset(payload, 0x5a, sizeof(payload));
	for (unsigned i = 0; i < 100; i++) {
		assert_true(fake_send(&f->channel, RING_PACKET_INBAND,
				      RING_FLAG_COMPLETION_REQUESTED, i, payload,
				      sizeof(payload) - i));
		memcpy(before, fake->ram, fake->ram_size);
		memset(fake->written, 0, fake->ram_size / HV_PAGE_SIZE);
		fake_settle(fake);
		for (uint64_t page = 0; page < fake->ram_size / HV_PAGE_SIZE; page++)
			if (memcmp(before + page * HV_PAGE_SIZE, fake->ram + page * HV_PAGE_SIZE,
				   HV_PAGE_SIZE) != 0)
				assert_true(fake->written[page]);
		expect_echo(f, i, payload, sizeof(payload) - i);
	}
	free(before);
}

static void post_relid(struct fake *fake, uint32_t type, uint32_t relid)
{
	struct vmbus_message_relid message = { .header.type = type, .relid = relid };

	fake_post(fake, &message, sizeof(message));
}

static void test_rescind_open_channel(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_relid rescission;
	uint32_t relid = f->offer->relid;

	open_channel(f, 4, 4);
	f->echo.hold_close = true;
	vmbus_channel_rescind(f->echo.channel);
	assert_true(
		fake_await(f->fake, VMBUS_MESSAGE_RESCIND_OFFER, &rescission, sizeof(rescission)));
	assert_int_equal(rescission.relid, relid);
	assert_int_equal(f->echo.closes, 1);
	assert_int_equal(f->echo.releases, 0);
	vmbus_channel_closed(f->echo.channel);
	assert_int_equal(f->echo.releases, 1);

	/* As Linux: close, and the relid; no teardown. */
	post_relid(f->fake, VMBUS_MESSAGE_CLOSE_CHANNEL, relid);
	post_relid(f->fake, VMBUS_MESSAGE_RELID_RELEASED, relid);
	f->echo.hold_close = false;
	echo_offer(&f->echo, f->fake->bus, 2, 0);
	f->offer = fake_find_offer(f->fake, &echo_type, NULL, 0);
	assert_non_null(f->offer);
	assert_int_equal(f->offer->relid, relid);
	open_channel(f, 4, 4);
}

static void test_rescind_closed_channel(void **state)
{
	struct fixture *f = *state;
	uint32_t relid = f->offer->relid, gpadl;
	uint64_t pfns[4];

	fake_alloc(f->fake, 4, pfns);
	vmbus_channel_rescind(f->echo.channel);
	assert_int_equal(f->echo.releases, 1);
	/* The guest may not know yet: it is refused, and its relid stays taken. */
	assert_int_equal(fake_gpadl_create(f->fake, relid, pfns, 4, 0, &gpadl),
			 VMBUS_STATUS_INVALID_PARAMETER);
	f->channel = (struct fake_channel){ .fake = f->fake, .relid = relid };
	assert_int_equal(fake_open_rings(&f->channel, 2, NULL), VMBUS_STATUS_UNSUCCESSFUL);
	echo_offer(&f->echo, f->fake->bus, 2, 0);
	assert_int_not_equal(vmbus_channel_relid(f->echo.channel), relid);
}

static void test_rescind_before_guest_knows(void **state)
{
	struct fixture *f = *state;
	struct echo other = { 0 };

	f->fake->hold_slots = true;
	echo_offer(&other, f->fake->bus, 2, 0); /* takes the slot */
	vmbus_channel_rescind(f->echo.channel);
	echo_offer(&f->echo, f->fake->bus, 3, 0);
	vmbus_channel_rescind(f->echo.channel);
	assert_int_equal(f->echo.releases, 2);
	f->fake->hold_slots = false;
	fake_settle(f->fake);
	/* Only the first is withdrawn; of the other the guest never hears. */
	assert_int_equal(f->fake->offer_count, 1);
	assert_int_equal(f->fake->offers[0].instance.bytes[4], 2);
	vmbus_channel_rescind(other.channel);
	assert_int_equal(other.releases, 1);
}

/* The guest gives up a channel that the host was about to take away, and vice versa. */
static void test_released_then_rescinded(void **state)
{
	struct fixture *f = *state;
	uint32_t relid = f->offer->relid;

	open_channel(f, 4, 4);
	f->echo.hold_close = true;
	post_relid(f->fake, VMBUS_MESSAGE_RELID_RELEASED, relid);
	vmbus_channel_rescind(f->echo.channel);
	fake_settle(f->fake);
	assert_false(fake_has_message(f->fake, VMBUS_MESSAGE_RESCIND_OFFER));
	assert_int_equal(f->echo.releases, 0);
	vmbus_channel_closed(f->echo.channel);
	assert_int_equal(f->echo.releases, 1);
	f->echo.hold_close = false;
	echo_offer(&f->echo, f->fake->bus, 1, 0);
	assert_int_equal(vmbus_channel_relid(f->echo.channel), relid);
}

static void test_guest_releases_channel(void **state)
{
	struct fixture *f = *state;
	uint32_t relid = f->offer->relid, gpadl;

	open_channel(f, 4, 4);
	post_relid(f->fake, VMBUS_MESSAGE_RELID_RELEASED, relid);
	assert_int_equal(f->echo.closes, 1);
	assert_int_equal(f->echo.releases, 0);
	assert_int_equal(fake_open_rings(&f->channel, 4, NULL), VMBUS_STATUS_INVALID_PARAMETER);
	assert_int_equal(fake_gpadl_create(f->fake, relid, f->channel.pfns, 8, 0, &gpadl),
			 VMBUS_STATUS_INVALID_PARAMETER);

	/* The next guest is offered it. */
	assert_true(fake_unload(f->fake));
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	f->offer = fake_find_offer(f->fake, &echo_type, NULL, 0);
	assert_non_null(f->offer);
	open_channel(f, 4, 4);
}

static void test_sub_channels(void **state)
{
	struct fixture *f = *state;
	struct echo subs[3] = { 0 };
	struct fake_channel *channels = calloc(3, sizeof(*channels));

	open_channel(f, 4, 4);
	for (uint16_t i = 0; i < 3; i++)
		echo_offer(&subs[i], f->fake->bus, 1, i + 1);
	for (uint16_t i = 0; i < 3; i++) {
		const struct vmbus_message_offer_channel *offer =
			fake_find_offer(f->fake, &echo_type, NULL, i + 1);
		struct ring_packet packet;

		assert_non_null(offer);
		assert_true(guid_equal(&offer->instance, &f->offer->instance));
		assert_int_equal(fake_open(f->fake, offer, 4, 4, i + 1, &channels[i]), 0);
		assert_true(fake_send(&channels[i], RING_PACKET_INBAND,
				      RING_FLAG_COMPLETION_REQUESTED, i, "sub", 3));
		assert_true(fake_receive(&channels[i], &packet));
		assert_int_equal(packet.transaction_id, i);
		assert_true(fake_take_event(f->fake, i + 1, channels[i].relid));
	}
	for (uint16_t i = 0; i < 3; i++) {
		vmbus_channel_rescind(subs[i].channel);
		assert_int_equal(subs[i].releases, 1);
	}
	free(channels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_user_data_and_target, setup, teardown),
		cmocka_unit_test_setup_teardown(test_packets_before_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_packets_scattered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_packet_after_drain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signals_are_coalesced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_mask_is_honoured, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_mask, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flow_control_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ring_to_guest_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ring_to_host_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turn_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ranges_with_hole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_range_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_payload_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ring_reused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_ring_to_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_packet_too_big_for_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_waits_for_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_ring_is_not_touched, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_close_repeatedly, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_with_indices_of_another_world, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_modify, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writes_are_marked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rescind_open_channel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rescind_closed_channel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rescind_before_guest_knows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_released_then_rescinded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_releases_channel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sub_channels, setup, teardown),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
