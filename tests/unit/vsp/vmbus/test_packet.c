/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets over a channel: both ways, signals, flow control, ranges, and guests that break rings. */
#include "tests/unit/vsp/vmbus/channel_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

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

#define EXCHANGES 2000

/* A guest of its own thread that sends whenever it was answered. */
static void *exchange(void *data)
{
	struct fixture *f = data;
	struct ring_packet packet;

	for (uint64_t i = 0; i < EXCHANGES; i++) {
		while (!fake_receive_now(&f->channel, &packet))
			sched_yield();
		if (packet.transaction_id != i ||
		    !fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED,
			       i + 1, "again", 5))
			return f;
	}
	return NULL;
}

static bool exchange_is_over(void *data)
{
	const struct fixture *f = data;

	return f->echo.packets == EXCHANGES + 1;
}

/* However guest and host meet, neither is left waiting, and the host never sleeps unheard. */
static void test_busy_polling(void **state)
{
	struct fixture *f = *state;
	struct vmbus_channel_counters counters;
	pthread_t guest;
	void *failed;

	vmbus_busy_poll(f->fake->bus);
	open_channel(f, 4, 4);
	assert_int_equal(pthread_create(&guest, NULL, exchange, f), 0);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 0,
			      "first", 5));
	assert_true(fake_run_until(f->fake, exchange_is_over, f));
	assert_int_equal(pthread_join(guest, &failed), 0);
	assert_null(failed);
	fake_settle(f->fake);
	assert_int_equal(f->channel.out.control->interrupt_mask, 0);
	vmbus_channel_counters(f->echo.channel, &counters);
	assert_int_equal(counters.packets_out, EXCHANGES + 1);
	assert_true(counters.signals_in + counters.signals_awaited > 0);
}

static bool guest_need_not_ring(void *data)
{
	const struct fixture *f = data;

	return f->channel.out.control->interrupt_mask != 0;
}

struct echoes {
	const struct fixture *f;
	unsigned count;
};

static bool echoes_are_there(void *data)
{
	const struct echoes *echoes = data;

	return echoes->f->echo.packets >= echoes->count;
}

static void send_moderated(struct fixture *f, uint64_t transaction_id)
{
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED,
			      transaction_id, "in pace", 7));
}

static void expect_echoes_moderated(struct fixture *f, uint64_t first, uint64_t count)
{
	struct echoes echoes = { .f = f, .count = (unsigned)(first + count) };

	assert_true(fake_run_until(f->fake, echoes_are_there, &echoes));
	fake_settle(f->fake);
	for (uint64_t i = first; i < first + count; i++)
		expect_echo(f, i, "in pace", 7);
	assert_int_equal(f->channel.out.control->interrupt_mask, 0);
}

/*
 * The first doorbell is answered at once, and tells what an iteration costs. At the second one the
 * guest gets time for more, which takes no doorbell and brings no interrupt of its own.
 */
static void test_moderation(void **state)
{
	struct fixture *f = *state;
	struct vmbus_channel_counters before, counters;

	vmbus_moderate(f->fake->bus);
	open_channel(f, 4, 4);
	vmbus_channel_counters(f->echo.channel, &before);
	send_moderated(f, 0);
	expect_echoes_moderated(f, 0, 1);
	send_moderated(f, 1);
	assert_true(fake_run_until(f->fake, guest_need_not_ring, f));
	assert_int_equal(f->echo.packets, 1);
	send_moderated(f, 2);
	send_moderated(f, 3);
	expect_echoes_moderated(f, 1, 3);
	vmbus_channel_counters(f->echo.channel, &counters);
	assert_int_equal(counters.signals_in - before.signals_in, 2);
	assert_int_equal(counters.signals_out - before.signals_out, 2);
}

/* A guest that has one packet at a time is soon answered at once again. */
static void test_moderation_in_vain(void **state)
{
	struct fixture *f = *state;
	struct vmbus_channel_counters before, counters;
	unsigned waits = 0;

	vmbus_moderate(f->fake->bus);
	open_channel(f, 4, 4);
	vmbus_channel_counters(f->echo.channel, &before);
	for (uint64_t i = 0; i < 600; i++) {
		send_moderated(f, i);
		assert_int_equal(loop_run_once(f->fake->loop, 0), 0);
		waits += f->echo.packets == i;
		expect_echoes_moderated(f, i, 1);
	}
	assert_in_range(waits, 1, 12);
	vmbus_channel_counters(f->echo.channel, &counters);
	assert_int_equal(counters.signals_in - before.signals_in, 600);
}

static uint64_t signals_out(const struct fixture *f)
{
	struct vmbus_channel_counters counters;

	vmbus_channel_counters(f->echo.channel, &counters);
	return counters.signals_out;
}

struct signals {
	const struct fixture *f;
	uint64_t count;
};

static bool signals_are_there(void *data)
{
	const struct signals *signals = data;

	return signals_out(signals->f) >= signals->count;
}

static void run_until_signals(struct fixture *f, uint64_t count)
{
	struct signals signals = { .f = f, .count = count };

	assert_true(fake_run_until(f->fake, signals_are_there, &signals));
	assert_int_equal(signals_out(f), count);
}

static void run_until_echoes(struct fixture *f, unsigned count)
{
	struct echoes echoes = { .f = f, .count = count };

	assert_true(fake_run_until(f->fake, echoes_are_there, &echoes));
}

/* A guest that is followed: its packets 0 and 1 are echoed, of 1 it has not been told. */
static void start_following(struct fixture *f)
{
	vmbus_moderate(f->fake->bus);
	open_channel(f, 4, 4);
	send_moderated(f, 0);
	expect_echoes_moderated(f, 0, 1);
	f->echo.quiet = 1;
	send_moderated(f, 1);
	run_until_echoes(f, 2);
	assert_true(guest_need_not_ring(f));
}

/* While it goes on, neither side interrupts the other; when it does not, it is told. */
static void test_following(void **state)
{
	struct fixture *f = *state;
	struct vmbus_channel_counters before, counters;

	start_following(f);
	vmbus_channel_counters(f->echo.channel, &before);
	for (unsigned i = 2; i < 50; i += 2) {
		send_moderated(f, i);
		send_moderated(f, i + 1);
		run_until_echoes(f, i + 2);
		assert_true(guest_need_not_ring(f));
	}
	vmbus_channel_counters(f->echo.channel, &counters);
	assert_int_equal(counters.signals_in, before.signals_in);
	assert_int_equal(counters.signals_out, before.signals_out);
	run_until_signals(f, before.signals_out + 1);
	assert_false(guest_need_not_ring(f));
	for (unsigned i = 1; i < 50; i++)
		expect_echo(f, i, "in pace", 7);
}

#define LOOK_NS 100000000 /* longer than from one look to the next */

/* One that has no processor for a moment is not interrupted for that. */
static void test_following_backs_off(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	start_following(f);
	before = signals_out(f);
	for (unsigned i = 2; i < 20; i += 2) {
		assert_int_equal(loop_run_once(f->fake->loop, LOOK_NS), 0);
		assert_int_equal(f->echo.packets, i);
		send_moderated(f, i);
		send_moderated(f, i + 1);
		run_until_echoes(f, i + 2);
	}
	assert_int_equal(signals_out(f), before);
}

/* It is told sooner of many, of much, and of what is not to wait. */
static void test_following_is_bounded(void **state)
{
	struct fixture *f = *state;
	uint64_t before;
	unsigned sent = 2;

	start_following(f);
	before = signals_out(f);
	while (sent < 128) {
		send_moderated(f, sent++);
		send_moderated(f, sent++);
		run_until_echoes(f, sent);
	}
	assert_int_equal(signals_out(f), before);
	send_moderated(f, sent++);
	send_moderated(f, sent++);
	run_until_echoes(f, sent);
	assert_int_equal(signals_out(f), before + 1);
	for (unsigned i = 1; i < sent; i++)
		expect_echo(f, i, "in pace", 7);
	f->echo.quiet = 20000;
	send_moderated(f, sent++);
	send_moderated(f, sent++);
	run_until_echoes(f, sent);
	assert_int_equal(signals_out(f), before + 2);
	expect_echo(f, sent - 2, "in pace", 7);
	expect_echo(f, sent - 1, "in pace", 7);
	f->echo.quiet = 1;
	send_moderated(f, sent++);
	run_until_echoes(f, sent);
	assert_int_equal(signals_out(f), before + 2);
	assert_int_equal(
		vmbus_channel_send(f->echo.channel, RING_PACKET_INBAND, false, 0, "now", 3), 0);
	assert_int_equal(loop_run_once(f->fake->loop, 0), 0);
	assert_int_equal(signals_out(f), before + 3);
	/* It may answer: it is not looked at later. */
	assert_false(guest_need_not_ring(f));
}

/* A guest that waits for every completion is soon told at once again. */
static void test_following_in_vain(void **state)
{
	struct fixture *f = *state;
	unsigned late = 0;

	start_following(f);
	run_until_signals(f, signals_out(f) + 1);
	expect_echo(f, 1, "in pace", 7);
	for (unsigned i = 2; i < 600; i++) {
		uint64_t before = signals_out(f);

		send_moderated(f, i);
		run_until_echoes(f, i + 1);
		late += signals_out(f) == before;
		run_until_signals(f, before + 1);
		expect_echo(f, i, "in pace", 7);
	}
	assert_in_range(late, 1, 12);
}

/* The ring to the guest is full: it must hear of it to make room. */
static void test_following_ends_with_room(void **state)
{
	struct fixture *f = *state;
	uint64_t before;
	unsigned sent = 0;

	vmbus_moderate(f->fake->bus);
	open_channel(f, 8, 2);
	send_moderated(f, sent++);
	expect_echoes_moderated(f, 0, 1);
	f->echo.quiet = 1;
	before = signals_out(f);
	while (sent < 140)
		send_moderated(f, sent++);
	/* A completion takes 32 bytes of the ring's 4096: 127 are too few to be told for, and fill
	 * it. */
	run_until_echoes(f, 1 + 128);
	assert_int_equal(signals_out(f), before + 1);
	for (unsigned i = 1; i < sent; i++)
		expect_echo(f, i, "in pace", 7);
}

static void test_following_ends_early(void **state)
{
	struct fixture *f = *state;

	start_following(f);
	assert_true(fake_close(&f->channel));
	fake_settle(f->fake);
	f->echo.quiet = 0;
	open_channel(f, 4, 4);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 9,
			      "anew", 4));
	expect_echo(f, 9, "anew", 4);
}

/* The channel closes under the wait, and its bus goes. */
static void test_moderation_ends_early(void **state)
{
	struct fixture *f = *state;

	vmbus_moderate(f->fake->bus);
	open_channel(f, 4, 4);
	send_moderated(f, 0);
	expect_echoes_moderated(f, 0, 1);
	send_moderated(f, 1);
	assert_true(fake_run_until(f->fake, guest_need_not_ring, f));
	assert_true(fake_close(&f->channel));
	fake_settle(f->fake);
	assert_int_equal(f->echo.packets, 1);
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

/*
 * The guest makes room between the host's asking for it and the host's publishing of what filled
 * the ring. What it sees is a ring with room from the beginning, so it does not ring.
 */
static void test_room_that_nobody_tells_of(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet;
	uint8_t payload[400] = { 0 }, buffer[512];

	open_channel(f, 16, 2);
	fake_settle(f->fake);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(vmbus_channel_send(f->echo.channel, RING_PACKET_INBAND, false, 0,
						    payload, sizeof(payload)),
				 0);
	fake_settle(f->fake);
	while (vmbus_channel_send(f->echo.channel, RING_PACKET_INBAND, false, 0, payload,
				  sizeof(payload)) != VMBUS_E_FULL)
		continue;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ring_read(&f->channel.in, buffer, sizeof(buffer), &packet), 0);
	(void)!ring_publish_read(&f->channel.in);
	assert_int_equal(f->echo.writables, 0);
	fake_settle(f->fake);
	assert_int_equal(f->echo.writables, 1);
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

/*
 * An iteration ends with the last packet that there is: the guest must still ring for the next one.
 */
static void test_turn_ends_with_the_ring(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.payload = "many",
		.payload_size = 4,
	};

	open_channel(f, 8, 8);
	fake_settle(f->fake);
	for (unsigned i = 0; i < 128; i++)
		assert_true(fake_stage(&f->channel, &packet));
	fake_publish(&f->channel);
	for (unsigned i = 0; i < 128; i++)
		expect_echo(f, 0, "many", 4);
	fake_settle(f->fake);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 9,
			      "late", 4));
	expect_echo(f, 9, "late", 4);
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
	assert_int_equal(loop_run_once(f->fake->loop, FAKE_TIMEOUT_NS), 0);
	assert_true(f->echo.packets > 0 && f->echo.packets < 300);
	assert_int_equal(f->channel.out.control->interrupt_mask, 1);
	while (f->echo.packets < staged)
		assert_int_equal(loop_run_once(f->fake->loop, FAKE_TIMEOUT_NS), 0);
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

/* RAM that was added begins in the middle of a range: what is mapped as one ends there. */
static void test_ranges_across_a_seam(void **state)
{
	struct fixture *f = *state;
	uint64_t pfns[6];
	uint8_t *memory;
	gpa_t gpa;

	open_channel(f, 8, 8);
	gpa = fake_alloc(f->fake, 6, pfns);
	f->fake->seam = gpa_add(gpa, 3 * HV_PAGE_SIZE);
	memory = fake_memory(f->fake, gpa, HV_PAGE_SIZE);
	memset(f->fake->written, 0, f->fake->ram_size / HV_PAGE_SIZE);
	assert_true(fake_send_range(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 1, pfns, 100,
				    4 * HV_PAGE_SIZE, "abcdefgh", 8));
	expect_echo(f, 1, "abcdefgh", 8);
	assert_int_equal(f->echo.ranges_invalid, 0);
	for (unsigned i = 0; i < 4 * HV_PAGE_SIZE; i++)
		assert_int_equal(memory[100 + i], "abcdefgh"[i % 8]);
	assert_int_equal(memory[99], 0);
	assert_int_equal(memory[100 + 4 * HV_PAGE_SIZE], 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(f->fake->written[pfns[i]], i < 5);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_echo, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_packets_before_open, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_many_packets_scattered, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_packet_after_drain, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_signals_are_coalesced, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_guest_mask_is_honoured, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_busy_polling, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_moderation, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_moderation_in_vain, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_moderation_ends_early, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_following, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_following_backs_off, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_following_is_bounded, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_following_in_vain, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_following_ends_with_room, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_following_ends_early, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_host_mask, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_flow_control_bits, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_ring_to_guest_full, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_room_that_nobody_tells_of, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_ring_to_host_full, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_turn_ends_with_the_ring, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_turn_is_bounded, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_ranges, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_ranges_across_a_seam, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_ranges_with_hole, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_two_ranges, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_malformed_ranges, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_range_too_long, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_payload_too_long, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_broken_ring, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_broken_ring_to_guest, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_packet_too_big_for_ring, channel_setup,
						channel_teardown),
	};

	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
