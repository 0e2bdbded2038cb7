/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Channels: opening, closing, moving, rescinding, sub-channels. */
#include "tests/unit/vsp/vmbus/channel_fixture.h"
#include "vsp/vmbus/bus.h"

#include <errno.h>
#include <string.h>

static void test_user_data_and_target(void **state)
{
	struct fixture *f = *state;

	open_channel(f, 8, 8);
	assert_int_equal(f->echo.channel->target_vp, 1);
	assert_true(fake_close(&f->channel));
	assert_int_equal(fake_gpadl_create(f->fake, f->channel.relid, f->channel.pfns, 16, 0,
					   &f->channel.gpadl),
			 0);
	assert_int_equal(fake_open_rings(&f->channel, 8,
					 (const uint8_t[VMBUS_USER_DATA_SIZE]){ "user data" }),
			 0);
	assert_string_equal((const char *)f->echo.user_data, "user data");
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

/* It is served until the guest lets go, or there is no more time. */
static void test_withdraw_open_channel(void **state)
{
	struct fixture *f = *state;
	uint32_t relid = f->offer->relid;

	open_channel(f, 4, 4);
	vmbus_channel_withdraw(f->echo.channel);
	fake_settle(f->fake);
	assert_true(fake_has_message(f->fake, VMBUS_MESSAGE_RESCIND_OFFER));
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 7,
			      "late", 4));
	expect_echo(f, 7, "late\0\0\0", 4);
	assert_int_equal(f->echo.closes, 0);
	post_relid(f->fake, VMBUS_MESSAGE_CLOSE_CHANNEL, relid);
	assert_int_equal(f->echo.closes, 1);
	assert_int_equal(f->echo.releases, 1);
	post_relid(f->fake, VMBUS_MESSAGE_RELID_RELEASED, relid);

	echo_offer(&f->echo, f->fake->bus, 2, 0);
	f->offer = fake_find_offer(f->fake, &echo_type, NULL, 0);
	open_channel(f, 4, 4);
	vmbus_channel_withdraw(f->echo.channel);
	vmbus_channel_rescind(f->echo.channel);
	assert_int_equal(f->echo.closes, 2);
	assert_int_equal(f->echo.releases, 2);
}

/* Not while the guest still knows the one before. */
static void test_offered_again_when_released(void **state)
{
	struct fixture *f = *state;
	uint32_t relid = f->offer->relid;

	open_channel(f, 4, 4);
	vmbus_channel_rescind(f->echo.channel);
	echo_offer(&f->echo, f->fake->bus, 1, 0);
	fake_settle(f->fake);
	assert_int_equal(f->fake->offer_count, 0);
	post_relid(f->fake, VMBUS_MESSAGE_RELID_RELEASED, relid);
	f->offer = fake_find_offer(f->fake, &echo_type, NULL, 0);
	assert_non_null(f->offer);
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

/* However long the slot is busy: who has closed a device hears of its sub-channels before the last
 * answer. */
static void test_rescission_comes_before_replies(void **state)
{
	static const uint32_t expected[] = { VMBUS_MESSAGE_OFFER_CHANNEL,
					     VMBUS_MESSAGE_RESCIND_OFFER,
					     VMBUS_MESSAGE_GPADL_TORNDOWN };
	struct fixture *f = *state;
	struct vmbus_message_relid close = { .header.type = VMBUS_MESSAGE_CLOSE_CHANNEL };
	struct vmbus_message_gpadl_teardown teardown_message = {
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN,
	};
	struct echo other = { 0 }, third = { 0 };
	struct vmbus_message_header header;
	struct fake_message message;

	open_channel(f, 4, 4);
	echo_offer(&other, f->fake->bus, 2, 0);
	fake_settle(f->fake);
	f->fake->hold_slots = true;
	echo_offer(&third, f->fake->bus, 3, 0); /* takes the slot */
	close.relid = teardown_message.relid = f->channel.relid;
	teardown_message.gpadl = f->channel.gpadl;
	fake_post(f->fake, &close, sizeof(close));
	fake_post(f->fake, &teardown_message, sizeof(teardown_message));
	fake_run(f->fake);
	vmbus_channel_rescind(other.channel);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_true(fake_take_message(f->fake, 0, &message));
		memcpy(&header, message.bytes, sizeof(header));
		assert_int_equal(header.type, expected[i]);
		vmbus_slot_free(f->fake->bus, 0);
	}
	f->fake->hold_slots = false;
	vmbus_channel_rescind(third.channel);
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
		cmocka_unit_test_setup_teardown(test_user_data_and_target, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_close_waits_for_device, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_closed_ring_is_not_touched, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_open_close_repeatedly, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_open_refused, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_open_with_indices_of_another_world,
						channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_ring_reused, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_modify, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_rescind_open_channel, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_withdraw_open_channel, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_offered_again_when_released, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_rescind_closed_channel, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_rescission_comes_before_replies, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_rescind_before_guest_knows, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_released_then_rescinded, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_guest_releases_channel, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_sub_channels, channel_setup, channel_teardown),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
