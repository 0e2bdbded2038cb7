/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The synthetic keyboard, and a guest's driver that is fond of it or is not. */
#include "common/base/state.h"
#include "common/wire/keyboard.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"
#include "vsp/hid/keyboard.h"

#include <stdlib.h>
#include <string.h>

#define RING_PAGES 2 /* one of data: it holds fewer keys than may wait */

struct fixture {
	struct fake *fake;
	struct keyboard *keyboard;
	struct fake_channel channel;
};

static const struct keyboard_key a_down = { .make_code = 0x1e };
static const struct keyboard_key delete_up = { 0x53, KEYBOARD_E0 | KEYBOARD_BREAK };

static void open_keyboard(struct fixture *f)
{
	const struct guid type = KEYBOARD_TYPE;

	assert_int_equal(fake_open(f->fake, fake_find_offer(f->fake, &type, NULL, 0), RING_PAGES,
				   RING_PAGES, 0, &f->channel),
			 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, 8 << 20);
	assert_int_equal(keyboard_new(f->fake->bus, &f->keyboard), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	open_keyboard(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	keyboard_free(f->keyboard);
	fake_free(f->fake);
	free(f);
	return 0;
}

static void request_version(struct fixture *f, uint32_t version)
{
	const struct keyboard_protocol_request request = { KEYBOARD_PROTOCOL_REQUEST, version };

	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 7,
			      &request, sizeof(request)));
}

/* The completion of the request, and the response. */
static uint32_t receive_status(struct fixture *f)
{
	struct keyboard_protocol_response response;
	struct ring_packet packet;

	assert_true(fake_receive(&f->channel, &packet));
	assert_int_equal(packet.type, RING_PACKET_COMPLETION);
	assert_int_equal(packet.transaction_id, 7);
	assert_true(fake_receive(&f->channel, &packet));
	assert_int_equal(packet.type, RING_PACKET_INBAND);
	assert_true(packet.payload_size >= sizeof(response));
	memcpy(&response, packet.payload, sizeof(response));
	assert_int_equal(response.type, KEYBOARD_PROTOCOL_RESPONSE);
	return response.status;
}

static void negotiate(struct fixture *f)
{
	request_version(f, KEYBOARD_VERSION_1_0);
	assert_int_equal(receive_status(f), KEYBOARD_ACCEPTED);
}

static void expect_key(struct fixture *f, struct keyboard_key key)
{
	struct keyboard_event event;
	struct ring_packet packet;

	assert_true(fake_receive(&f->channel, &packet));
	assert_int_equal(packet.type, RING_PACKET_INBAND);
	assert_false(packet.flags & RING_FLAG_COMPLETION_REQUESTED);
	assert_true(packet.payload_size >= sizeof(event));
	memcpy(&event, packet.payload, sizeof(event));
	assert_int_equal(event.type, KEYBOARD_EVENT);
	assert_int_equal(event.make_code, key.make_code);
	assert_int_equal(event.reserved, 0);
	assert_int_equal(event.flags, key.flags);
}

static void expect_nothing(struct fixture *f)
{
	struct ring_packet packet;

	fake_settle(f->fake);
	assert_false(fake_receive_now(&f->channel, &packet));
}

static enum keyboard_state state_of(const struct fixture *f)
{
	return keyboard_report(f->keyboard).state;
}

/* ---- The protocol ---- */

static void test_keys_arrive_in_their_order(void **state)
{
	const struct keyboard_key keys[] = { a_down, delete_up };
	struct fixture *f = *state;

	negotiate(f);
	assert_int_equal(keyboard_press(f->keyboard, keys, 2), 0);
	expect_key(f, a_down);
	expect_key(f, delete_up);
	expect_nothing(f);
	assert_int_equal(keyboard_report(f->keyboard).sent, 2);
	assert_string_equal(keyboard_state_name(state_of(f)), "ready");
}

static void test_no_key_without_a_driver(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(keyboard_press(f->keyboard, &a_down, 1), KEYBOARD_E_ABSENT);
	assert_true(fake_close(&f->channel));
	assert_int_equal(state_of(f), KEYBOARD_ABSENT);
	assert_int_equal(keyboard_press(f->keyboard, &a_down, 1), KEYBOARD_E_ABSENT);
}

static void test_another_version_is_not_accepted(void **state)
{
	struct fixture *f = *state;

	request_version(f, KEYBOARD_VERSION_1_0 + 1);
	assert_int_equal(receive_status(f), 0);
	assert_int_equal(state_of(f), KEYBOARD_NEGOTIATING);
	negotiate(f);
	assert_int_equal(state_of(f), KEYBOARD_READY);
}

static void test_lamps_and_unknown_messages_change_nothing(void **state)
{
	const uint32_t types[] = { KEYBOARD_LED_INDICATORS, KEYBOARD_EVENT, 0, UINT32_MAX };
	struct fixture *f = *state;

	negotiate(f);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		assert_true(fake_send(&f->channel, RING_PACKET_INBAND, 0, 0, &types[i],
				      sizeof(types[i])));
	expect_nothing(f);
	assert_int_equal(state_of(f), KEYBOARD_READY);
}

static void test_broken_messages_end_it_until_it_is_opened_anew(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t size;
	} broken[] = {
		{ RING_PACKET_INBAND, 0 },
		{ RING_PACKET_COMPLETION, 8 },
	};
	const uint32_t request[] = { KEYBOARD_PROTOCOL_REQUEST, KEYBOARD_VERSION_1_0 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		negotiate(f);
		assert_true(fake_send(&f->channel, broken[i].type, 0, 0, request, broken[i].size));
		expect_nothing(f);
		assert_int_equal(state_of(f), KEYBOARD_REFUSED);
		request_version(f, KEYBOARD_VERSION_1_0);
		expect_nothing(f);
		assert_int_equal(keyboard_press(f->keyboard, &a_down, 1), KEYBOARD_E_ABSENT);
		assert_true(fake_close(&f->channel));
		open_keyboard(f);
	}
}

/* ---- A guest that does not read ---- */

static size_t press_until_full(struct fixture *f)
{
	const struct keyboard_key keys[] = { a_down, delete_up };
	size_t pressed = 0;
	int r;

	while ((r = keyboard_press(f->keyboard, keys, 2)) == 0)
		pressed += 2;
	assert_int_equal(r, KEYBOARD_E_FULL);
	return pressed;
}

static void test_keys_wait_for_a_guest_that_does_not_read(void **state)
{
	struct keyboard_report report;
	struct fixture *f = *state;
	size_t pressed;

	negotiate(f);
	pressed = press_until_full(f);
	report = keyboard_report(f->keyboard);
	assert_true(report.waiting > KEYBOARD_KEYS_MAX - 2);
	assert_int_equal(report.waiting + report.sent, pressed);
	for (size_t i = 0; i < pressed; i += 2) {
		expect_key(f, a_down);
		expect_key(f, delete_up);
	}
	expect_nothing(f);
	assert_int_equal(keyboard_report(f->keyboard).waiting, 0);
}

static void test_too_many_at_once_are_not_begun(void **state)
{
	static const struct keyboard_key keys[KEYBOARD_KEYS_MAX + 1];
	struct fixture *f = *state;

	negotiate(f);
	assert_int_equal(keyboard_press(f->keyboard, keys, ARRAY_SIZE(keys)), KEYBOARD_E_FULL);
	expect_nothing(f);
}

/* What was meant for one guest is not typed into the next. */
static void test_what_waits_goes_with_the_driver(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	(void)press_until_full(f);
	assert_true(fake_close(&f->channel));
	assert_int_equal(keyboard_report(f->keyboard).waiting, 0);
	open_keyboard(f);
	negotiate(f);
	expect_nothing(f);
}

/* ---- State ---- */

static void nothing(void *data)
{
}

static void save(struct fixture *f, struct state_writer *writer)
{
	vmbus_quiesce(f->fake->bus, nothing, NULL);
	keyboard_quiesce(f->keyboard);
	fake_save_bus(f->fake, writer);
	keyboard_save(f->keyboard, "keyboard", writer);
	assert_int_equal(state_writer_error(writer), 0);
}

/* Return: as keyboard_restore(). */
static int restore(struct fixture *f, const struct state_writer *writer)
{
	struct state_reader reader;

	fake_leave(f->fake);
	keyboard_free(f->keyboard);
	fake_arrive(f->fake);
	assert_int_equal(keyboard_new(f->fake->bus, &f->keyboard), 0);
	assert_int_equal(fake_restore_bus(f->fake, writer, &reader), 0);
	return keyboard_restore(f->keyboard, "keyboard", &reader);
}

static void test_keys_that_wait_move_along(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;

	negotiate(f);
	keyboard_quiesce(f->keyboard);
	assert_int_equal(keyboard_press(f->keyboard, &delete_up, 1), 0);
	expect_nothing(f);
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	assert_int_equal(state_of(f), KEYBOARD_READY);
	assert_int_equal(keyboard_report(f->keyboard).waiting, 1);
	fake_go_on(f->fake);
	keyboard_resume(f->keyboard);
	expect_key(f, delete_up);
	expect_nothing(f);
	state_writer_deinit(&writer);
}

static void put_record(struct state_writer *writer, const uint32_t *words, size_t count)
{
	state_begin(writer, "keyboard", 1);
	state_put(writer, words, count * sizeof(words[0]));
	state_end(writer);
}

static void test_a_state_that_cannot_be_is_refused(void **state)
{
	static const struct {
		size_t count;
		uint32_t words[3];
	} bad[] = {
		{ 1, { KEYBOARD_READY } },                 /* short */
		{ 2, { KEYBOARD_REFUSED + 1, 0 } },        /* no such state */
		{ 2, { KEYBOARD_ABSENT, 0 } },             /* but the channel is open */
		{ 2, { KEYBOARD_READY, 1 } },              /* a key that is missing */
		{ 3, { KEYBOARD_READY, 0, 0x1e } },        /* one that is too many */
		{ 3, { KEYBOARD_NEGOTIATING, 1, 0x1e } },  /* for nobody */
		{ 3, { KEYBOARD_READY, 1, 0x10u << 16 } }, /* an unknown flag */
		{ 2, { KEYBOARD_READY, KEYBOARD_KEYS_MAX + 1 } },
	};
	struct fixture *f = *state;
	struct state_writer whole;

	negotiate(f);
	save(f, &whole);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct state_writer writer;
		struct state_reader reader;

		assert_int_equal(restore(f, &whole), 0);
		state_writer_init(&writer);
		put_record(&writer, bad[i].words, bad[i].count);
		assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
		assert_int_equal(keyboard_restore(f->keyboard, "keyboard", &reader),
				 STATE_E_INVALID);
		state_writer_deinit(&writer);
	}
	state_writer_deinit(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_keys_arrive_in_their_order),
		TEST(test_no_key_without_a_driver),
		TEST(test_another_version_is_not_accepted),
		TEST(test_lamps_and_unknown_messages_change_nothing),
		TEST(test_broken_messages_end_it_until_it_is_opened_anew),
		TEST(test_keys_wait_for_a_guest_that_does_not_read),
		TEST(test_too_many_at_once_are_not_begun),
		TEST(test_what_waits_goes_with_the_driver),
		TEST(test_keys_that_wait_move_along),
		TEST(test_a_state_that_cannot_be_is_refused),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
