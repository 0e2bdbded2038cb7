/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bus saved, and restored on another one, while the guest is in the middle of what it does. */
#include "common/base/state.h"
#include "tests/unit/vsp/vmbus/channel_fixture.h"
#include "vsp/vmbus/bus.h"

#include <errno.h>
#include <string.h>

static const uint64_t payload[4] = { 1, 2, 3, 4 };

static int setup(void **state)
{
	int r = channel_setup(state);

	open_channel(*state, 4, 4);
	return r;
}

static void send_one(struct fixture *f, uint64_t transaction_id)
{
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED,
			      transaction_id, payload, sizeof(payload)));
}

static void count_done(void *data)
{
	++*(unsigned *)data;
}

/* Saves the bus, which falls quiet. */
static void save(struct fixture *f, struct state_writer *writer)
{
	unsigned done = 0;

	vmbus_quiesce(f->fake->bus, count_done, &done);
	fake_settle(f->fake);
	assert_int_equal(done, 1);
	fake_save_bus(f->fake, writer);
	assert_int_equal(state_writer_error(writer), 0);
}

/* Another machine. */
static int restore(struct fixture *f, const struct state_writer *writer)
{
	struct state_reader reader;

	fake_leave(f->fake);
	vmbus_channel_free(f->echo.channel);
	f->echo = (struct echo){ 0 };
	fake_arrive(f->fake);
	echo_offer(&f->echo, f->fake->bus, 1, 0);
	return fake_restore_bus(f->fake, writer, &reader);
}

/* ---- Quiet ---- */

static void test_nothing_is_taken_while_quiet(void **state)
{
	struct fixture *f = *state;
	unsigned done = 0;

	send_one(f, 1);
	expect_echo(f, 1, payload, sizeof(payload));
	vmbus_quiesce(f->fake->bus, count_done, &done);
	assert_int_equal(done, 1);
	send_one(f, 2);
	expect_nothing(f);
	assert_int_equal(f->echo.packets, 1);
	vmbus_resume(f->fake->bus);
	expect_echo(f, 2, payload, sizeof(payload));
}

static void test_what_is_sent_while_quiet_is_published_at_once(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet;
	unsigned done = 0;

	f->echo.silent = true;
	send_one(f, 1);
	fake_settle(f->fake);
	vmbus_quiesce(f->fake->bus, count_done, &done);
	(void)fake_take_event(f->fake, 1, f->channel.relid);
	assert_int_equal(vmbus_channel_complete(f->echo.channel, 1, payload, sizeof(payload)), 0);
	assert_true(fake_receive_now(&f->channel, &packet));
	assert_true(fake_take_event(f->fake, 1, f->channel.relid));
}

static void test_a_channel_that_closes_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_relid message = {
		.header.type = VMBUS_MESSAGE_CLOSE_CHANNEL,
		.relid = f->channel.relid,
	};
	struct state_writer writer;
	unsigned done = 0;

	f->echo.hold_close = true;
	fake_post(f->fake, &message, sizeof(message));
	vmbus_quiesce(f->fake->bus, count_done, &done);
	fake_settle(f->fake);
	assert_int_equal(done, 0);
	state_writer_init(&writer);
	assert_int_equal(vmbus_save(f->fake->bus, &writer), -EBUSY);
	vmbus_channel_closed(f->echo.channel);
	fake_settle(f->fake);
	assert_int_equal(done, 1);
	assert_int_equal(vmbus_save(f->fake->bus, &writer), 0);
	state_writer_deinit(&writer);
	vmbus_resume(f->fake->bus);
}

/* ---- Restoring ---- */

static void test_an_open_channel_goes_on(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;

	/* Positions that are not the first ones, and a ring that has been around. */
	for (uint64_t id = 1; id < 300; id++) {
		send_one(f, id);
		expect_echo(f, id, payload, sizeof(payload));
	}
	save(f, &writer);
	send_one(f, 300);
	assert_int_equal(restore(f, &writer), 0);
	fake_go_on(f->fake);
	/* It was sent while nobody listened, and its doorbell is lost. */
	expect_echo(f, 300, payload, sizeof(payload));
	send_one(f, 301);
	expect_echo(f, 301, payload, sizeof(payload));
	assert_int_equal(f->echo.opens, 0);
	state_writer_deinit(&writer);
}

static void test_saved_again_it_is_the_same(void **state)
{
	struct fixture *f = *state;
	struct state_writer first, second;
	uint64_t pfns[3];
	uint32_t gpadl;

	fake_alloc(f->fake, 3, pfns);
	assert_int_equal(fake_gpadl_create(f->fake, f->channel.relid, pfns, 3, 0, &gpadl), 0);
	send_one(f, 1);
	save(f, &first);
	assert_int_equal(restore(f, &first), 0);
	state_writer_init(&second);
	assert_int_equal(vmbus_save(f->fake->bus, &second), 0);
	assert_int_equal(second.size, first.size);
	assert_memory_equal(second.bytes, first.bytes, first.size);
	fake_go_on(f->fake);
	expect_echo(f, 1, payload, sizeof(payload));
	assert_true(fake_gpadl_teardown(f->fake, f->channel.relid, gpadl));
	state_writer_deinit(&first);
	state_writer_deinit(&second);
}

static void test_relids_are_those_that_the_guest_knows(void **state)
{
	struct fixture *f = *state;
	struct guid other_instance = echo_instance(2);
	struct echo other = { 0 };
	struct state_writer writer;
	struct state_reader reader;

	save(f, &writer);
	fake_leave(f->fake);
	vmbus_channel_free(f->echo.channel);
	f->echo = (struct echo){ 0 };
	fake_arrive(f->fake);
	/* Here another device is offered first, which the guest has not seen. */
	echo_offer(&other, f->fake->bus, 2, 0);
	echo_offer(&f->echo, f->fake->bus, 1, 0);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	assert_int_equal(vmbus_restore(f->fake->bus, &reader), 0);
	fake_go_on(f->fake);
	send_one(f, 1);
	expect_echo(f, 1, payload, sizeof(payload));
	/* The new device is offered. */
	assert_non_null(fake_find_offer(f->fake, &echo_type, &other_instance, 0));
	fake_stop(f->fake);
	vmbus_channel_free(other.channel);
	state_writer_deinit(&writer);
}

static void test_a_sub_channel_is_claimed_later(void **state)
{
	struct fixture *f = *state;
	struct echo sub = { 0 };
	struct fake_channel channel;
	struct state_writer writer;
	struct ring_packet packet;

	echo_offer(&sub, f->fake->bus, 1, 1);
	assert_int_equal(fake_open(f->fake, fake_find_offer(f->fake, &echo_type, NULL, 1), 4, 4, 2,
				   &channel),
			 0);
	save(f, &writer);
	fake_leave(f->fake);
	vmbus_channel_free(sub.channel);
	sub = (struct echo){ 0 };
	assert_int_equal(restore(f, &writer), 0);
	echo_offer(&sub, f->fake->bus, 1, 1);
	assert_true(vmbus_channel_is_open(sub.channel));
	assert_int_equal(sub.channel->target_vp, 2);
	fake_go_on(f->fake);
	assert_true(fake_send(&channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 7,
			      payload, sizeof(payload)));
	assert_true(fake_receive(&channel, &packet));
	assert_int_equal(packet.transaction_id, 7);
	fake_stop(f->fake);
	vmbus_channel_free(sub.channel);
	state_writer_deinit(&writer);
}

static void test_a_channel_without_a_device_is_told(void **state)
{
	struct fixture *f = *state;
	struct echo sub = { 0 };
	struct state_writer writer;
	struct guid type, instance, expected = echo_instance(1);

	echo_offer(&sub, f->fake->bus, 1, 1);
	assert_non_null(fake_find_offer(f->fake, &echo_type, NULL, 1));
	save(f, &writer);
	fake_leave(f->fake);
	vmbus_channel_free(sub.channel);
	assert_int_equal(restore(f, &writer), 0);
	assert_int_equal(vmbus_restored(f->fake->bus, &type, &instance), STATE_E_INVALID);
	assert_true(guid_equal(&type, &echo_type));
	assert_true(guid_equal(&instance, &expected));
	state_writer_deinit(&writer);
}

static void test_messages_that_wait_go_along(void **state)
{
	struct fixture *f = *state;
	struct vmbus_message_gpadl_teardown teardown = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
		.relid = f->channel.relid,
	};
	struct vmbus_message_gpadl_torndown torndown;
	struct state_writer writer;
	uint64_t pfns[1];
	uint32_t gpadl;

	fake_alloc(f->fake, 1, pfns);
	assert_int_equal(fake_gpadl_create(f->fake, f->channel.relid, pfns, 1, 0, &gpadl), 0);
	teardown.gpadl = gpadl;
	/* The slot is taken, so that the answer waits. */
	f->fake->hold_slots = true;
	f->fake->slots[0].size = 8;
	fake_post(f->fake, &teardown, sizeof(teardown));
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	fake_go_on(f->fake);
	f->fake->slots[0].size = 0;
	f->fake->hold_slots = false;
	vmbus_slot_free(f->fake->bus, 0);
	assert_true(fake_await(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN, &torndown, sizeof(torndown)));
	assert_int_equal(torndown.gpadl, gpadl);
	state_writer_deinit(&writer);
}

/* The guest has asked for the memory of rings that it has not closed. */
static void test_rings_whose_memory_is_asked_for(void **state)
{
	struct fixture *f = *state;
	const struct vmbus_message_gpadl_teardown teardown = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
		.relid = f->channel.relid,
		.gpadl = f->channel.gpadl,
	};
	const struct vmbus_message_relid close = {
		.header.type = VMBUS_MESSAGE_CLOSE_CHANNEL,
		.relid = f->channel.relid,
	};
	struct vmbus_message_gpadl_torndown torndown;
	struct state_writer first, second;

	fake_post(f->fake, &teardown, sizeof(teardown));
	save(f, &first);
	assert_int_equal(restore(f, &first), 0);
	save(f, &second);
	assert_int_equal(second.size, first.size);
	assert_memory_equal(second.bytes, first.bytes, first.size);
	fake_go_on(f->fake);
	send_one(f, 1);
	expect_echo(f, 1, payload, sizeof(payload));
	assert_false(fake_has_message(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN));
	fake_post(f->fake, &close, sizeof(close));
	assert_true(fake_await(f->fake, VMBUS_MESSAGE_GPADL_TORNDOWN, &torndown, sizeof(torndown)));
	assert_int_equal(torndown.gpadl, f->channel.gpadl);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
}

static void test_a_socket_ends(void **state)
{
	struct fixture *f = *state;
	struct vmbus_offer offer = {
		.type = { { "a socket" } },
		.instance = { { "its instance" } },
		.flags = VMBUS_OFFER_ENUMERATE | VMBUS_OFFER_SOCKET,
	};
	const struct vmbus_message_offer_channel *seen;
	struct vmbus_message_relid rescind;
	struct echo socket = { .bus = f->fake->bus };
	struct fake_channel channel;
	struct state_writer writer;

	assert_int_equal(vmbus_channel_offer(f->fake->bus, &offer, &echo_channel_ops, &socket,
					     &socket.channel),
			 0);
	seen = fake_find_offer(f->fake, &offer.type, NULL, 0);
	assert_non_null(seen);
	assert_int_equal(fake_open(f->fake, seen, 4, 4, 0, &channel), 0);
	save(f, &writer);
	fake_leave(f->fake);
	vmbus_channel_free(socket.channel);
	assert_int_equal(restore(f, &writer), 0);
	fake_go_on(f->fake);
	assert_true(fake_await(f->fake, VMBUS_MESSAGE_RESCIND_OFFER, &rescind, sizeof(rescind)));
	assert_int_equal(rescind.relid, channel.relid);
	assert_true(fake_close(&channel));
	/* The other channel has not noticed. */
	send_one(f, 1);
	expect_echo(f, 1, payload, sizeof(payload));
	state_writer_deinit(&writer);
}

static void test_a_guest_that_is_not_there(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;

	fake_stop(f->fake);
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	fake_go_on(f->fake);
	assert_int_equal(vmbus_version(f->fake->bus), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	f->offer = fake_find_offer(f->fake, &echo_type, NULL, 0);
	assert_non_null(f->offer);
	open_channel(f, 4, 4);
	send_one(f, 1);
	expect_echo(f, 1, payload, sizeof(payload));
	state_writer_deinit(&writer);
}

/* ---- Records that are not what they say ---- */

/* Each byte changed, and each length: it is refused, or the bus goes on with what it was told. */
static void test_any_record_is_survived(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	struct state_reader reader;
	unsigned refused = 0;

	save(f, &writer);
	for (size_t at = 0; at < writer.size; at++) {
		struct guid type, instance;

		writer.bytes[at] ^= 0x81;
		if (state_reader_init(&reader, writer.bytes, writer.size) == 0) {
			if (restore(f, &writer) || vmbus_restored(f->fake->bus, &type, &instance))
				refused++;
			else
				vmbus_resume(f->fake->bus);
		}
		writer.bytes[at] ^= 0x81;
	}
	assert_true(refused > 40);
	assert_int_equal(restore(f, &writer), 0);
	state_writer_deinit(&writer);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_is_taken_while_quiet, setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_what_is_sent_while_quiet_is_published_at_once,
						setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_a_channel_that_closes_is_waited_for, setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_an_open_channel_goes_on, setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_saved_again_it_is_the_same, setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_relids_are_those_that_the_guest_knows, setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_a_sub_channel_is_claimed_later, setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_a_channel_without_a_device_is_told, setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_messages_that_wait_go_along, setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_rings_whose_memory_is_asked_for, setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_a_socket_ends, setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_a_guest_that_is_not_there, setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_any_record_is_survived, setup,
						channel_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
