/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The synthetic mouse, and a guest's driver that is fond of it or is not. */
#include "common/base/state.h"
#include "common/wire/mouse.h"
#include "tests/fake/fake.h"
#include "tests/unit/unit.h"
#include "vsp/hid/mouse.h"

#include <stdlib.h>
#include <string.h>

#define RING_PAGES 2 /* one of data */
#define MANY       (MOUSE_EVENTS_MAX + 200)

struct fixture {
	struct fake *fake;
	struct mouse *mouse;
	struct fake_channel channel;
};

static void open_mouse(struct fixture *f)
{
	const struct guid type = MOUSE_TYPE;

	assert_int_equal(fake_open(f->fake, fake_find_offer(f->fake, &type, NULL, 0), RING_PAGES,
				   RING_PAGES, 0, &f->channel),
			 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, 8 << 20);
	assert_int_equal(mouse_new(f->fake->bus, &f->mouse), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	open_mouse(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	mouse_free(f->mouse);
	fake_free(f->fake);
	free(f);
	return 0;
}

/* ---- The driver ---- */

static void say(struct fixture *f, uint32_t type, const void *body, size_t size)
{
	struct {
		struct mouse_header header;
		uint8_t body[16];
	} message = { .header = { MOUSE_PIPE_DATA, (uint32_t)size + 8, type, (uint32_t)size } };

	memcpy(message.body, body, size);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 7,
			      &message, sizeof(message.header) + size));
}

static void expect_completion(struct fixture *f)
{
	struct ring_packet packet;

	assert_true(fake_receive(&f->channel, &packet));
	assert_int_equal(packet.type, RING_PACKET_COMPLETION);
	assert_int_equal(packet.transaction_id, 7);
}

/* The body of the next message, which is of that type and size. */
static void receive(struct fixture *f, uint32_t type, void *body, size_t size)
{
	struct mouse_header header;
	struct ring_packet packet;

	assert_true(fake_receive(&f->channel, &packet));
	assert_int_equal(packet.type, RING_PACKET_INBAND);
	assert_false(packet.flags & RING_FLAG_COMPLETION_REQUESTED);
	assert_true(packet.payload_size >= sizeof(header) + size);
	memcpy(&header, packet.payload, sizeof(header));
	assert_int_equal(header.pipe_type, MOUSE_PIPE_DATA);
	assert_int_equal(header.pipe_size, size + 8);
	assert_int_equal(header.type, type);
	assert_int_equal(header.size, size);
	memcpy(body, (const uint8_t *)packet.payload + sizeof(header), size);
}

static void request_version(struct fixture *f, uint32_t version, uint8_t accepted)
{
	const struct mouse_protocol_request request = { version };
	struct mouse_protocol_response response;

	say(f, MOUSE_PROTOCOL_REQUEST, &request, sizeof(request));
	expect_completion(f);
	receive(f, MOUSE_PROTOCOL_RESPONSE, &response, sizeof(response));
	assert_int_equal(response.version, version);
	assert_int_equal(response.accepted, accepted);
}

static void negotiate(struct fixture *f)
{
	uint8_t info[sizeof(struct mouse_device_info) + 67], ack = 0;

	request_version(f, MOUSE_VERSION_2_0, MOUSE_ACCEPTED);
	receive(f, MOUSE_DEVICE_INFO, info, sizeof(info));
	say(f, MOUSE_DEVICE_INFO_ACK, &ack, sizeof(ack));
	expect_completion(f);
}

static void expect_report(struct fixture *f, struct mouse_event event)
{
	struct mouse_report report;

	receive(f, MOUSE_REPORT, &report, sizeof(report));
	assert_int_equal(report.buttons, event.buttons);
	assert_int_equal(report.x, event.x);
	assert_int_equal(report.y, event.y);
	assert_int_equal(report.wheel, event.wheel);
}

static void expect_nothing(struct fixture *f)
{
	struct ring_packet packet;

	fake_settle(f->fake);
	assert_false(fake_receive_now(&f->channel, &packet));
}

static enum mouse_state state_of(const struct fixture *f)
{
	return mouse_status(f->mouse).state;
}

static void point(struct fixture *f, struct mouse_event event)
{
	assert_int_equal(mouse_point(f->mouse, &event), 0);
}

/* ---- The protocol ---- */

static void test_the_device_is_described(void **state)
{
	struct fixture *f = *state;
	struct mouse_device_info info;
	uint8_t bytes[sizeof(info) + 67];

	request_version(f, MOUSE_VERSION_2_0, MOUSE_ACCEPTED);
	receive(f, MOUSE_DEVICE_INFO, bytes, sizeof(bytes));
	memcpy(&info, bytes, sizeof(info));
	assert_true(info.size == 32 && info.vendor == 0x45e && info.product == 0x621);
	assert_true(info.hid_size == 9 && info.hid_type == 0x21 && info.report_type == 0x22 &&
		    info.report_size == 67 && info.descriptor_count == 1);
	/* Linux takes 0x25 there for a mistake of Hyper-V's, which it is, and mends it. */
	assert_int_equal(bytes[sizeof(info) + 14], 0x29);
	assert_string_equal(mouse_state_name(state_of(f)), "described");
}

static void test_what_is_done_arrives(void **state)
{
	const struct mouse_event events[] = { { 0, 0, 0, 0, 0 },
					      { 1, 0, MOUSE_POSITION_MAX, 5, 0 },
					      { 0, 0, 6, MOUSE_POSITION_MAX, 0 },
					      { MOUSE_BUTTONS, 0, 6, 6, -1 } };
	struct fixture *f = *state;

	negotiate(f);
	assert_int_equal(state_of(f), MOUSE_READY);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		point(f, events[i]);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		expect_report(f, events[i]);
	expect_nothing(f);
	assert_int_equal(mouse_status(f->mouse).sent, ARRAY_SIZE(events));
}

static void test_nothing_without_a_driver(void **state)
{
	const struct mouse_event event = { .x = 1 };
	struct fixture *f = *state;

	assert_int_equal(mouse_point(f->mouse, &event), MOUSE_E_ABSENT);
	request_version(f, MOUSE_VERSION_2_0 + 1, 0);
	assert_int_equal(state_of(f), MOUSE_NEGOTIATING);
	request_version(f, MOUSE_VERSION_2_0, MOUSE_ACCEPTED);
	assert_int_equal(mouse_point(f->mouse, &event), MOUSE_E_ABSENT);
	assert_true(fake_close(&f->channel));
	assert_int_equal(mouse_point(f->mouse, &event), MOUSE_E_ABSENT);
}

static void test_unknown_messages_change_nothing(void **state)
{
	const uint32_t types[] = { MOUSE_DEVICE_INFO_ACK, MOUSE_REPORT, 5, UINT32_MAX };
	struct fixture *f = *state;

	say(f, MOUSE_DEVICE_INFO_ACK, "", 1);
	expect_completion(f);
	assert_int_equal(state_of(f), MOUSE_NEGOTIATING);
	negotiate(f);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		say(f, types[i], "", 1);
		expect_completion(f);
	}
	expect_nothing(f);
	assert_int_equal(state_of(f), MOUSE_READY);
}

static void test_broken_messages_end_it_until_it_is_opened_anew(void **state)
{
	static const struct mouse_header request = { MOUSE_PIPE_DATA, 8, MOUSE_PROTOCOL_REQUEST,
						     0 };
	static const struct {
		uint16_t type;
		uint32_t size;
	} broken[] = {
		{ RING_PACKET_INBAND, 0 },
		{ RING_PACKET_INBAND, 8 },
		{ RING_PACKET_INBAND, sizeof(request) },
		{ RING_PACKET_COMPLETION, sizeof(request) },
	};
	const struct mouse_event event = { 0 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		negotiate(f);
		assert_true(fake_send(&f->channel, broken[i].type, 0, 0, &request, broken[i].size));
		expect_nothing(f);
		assert_int_equal(state_of(f), MOUSE_REFUSED);
		assert_int_equal(mouse_point(f->mouse, &event), MOUSE_E_ABSENT);
		assert_true(fake_close(&f->channel));
		open_mouse(f);
	}
}

/* ---- A guest that does not read ---- */

static void test_movements_become_one(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	mouse_quiesce(f->mouse);
	for (uint16_t x = 0; x < 1000; x++)
		point(f, (struct mouse_event){ .x = x });
	point(f, (struct mouse_event){ .buttons = 1, .x = 999 });
	point(f, (struct mouse_event){ .buttons = 1, .x = 1000 });
	point(f, (struct mouse_event){ .buttons = 1, .x = 1000, .wheel = 1 });
	point(f, (struct mouse_event){ .buttons = 1, .x = 1001 });
	assert_int_equal(mouse_status(f->mouse).waiting, 4);
	mouse_resume(f->mouse);
	expect_report(f, (struct mouse_event){ .x = 999 });
	expect_report(f, (struct mouse_event){ .buttons = 1, .x = 1000 });
	expect_report(f, (struct mouse_event){ .buttons = 1, .x = 1000, .wheel = 1 });
	expect_report(f, (struct mouse_event){ .buttons = 1, .x = 1001 });
	expect_nothing(f);
}

/* A ring that is full, and a queue that is: then the last state counts. */
static void test_the_last_state_counts(void **state)
{
	struct mouse_status status;
	struct fixture *f = *state;

	negotiate(f);
	for (unsigned i = 0; i < MANY; i++)
		point(f, (struct mouse_event){ .buttons = i & 1, .x = (uint16_t)i, .wheel = 1000 });
	status = mouse_status(f->mouse);
	assert_int_equal(status.waiting, MOUSE_EVENTS_MAX);
	assert_true(status.sent + status.waiting < MANY);
	for (unsigned i = 0; i < status.sent + status.waiting - 1; i++)
		expect_report(f, (struct mouse_event){
					 .buttons = i & 1, .x = (uint16_t)i, .wheel = 1000 });
	expect_report(f, (struct mouse_event){
				 .buttons = (MANY - 1) & 1, .x = MANY - 1, .wheel = INT16_MAX });
	expect_nothing(f);
}

static void test_what_waits_goes_with_the_driver(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	mouse_quiesce(f->mouse);
	point(f, (struct mouse_event){ .buttons = 1 });
	assert_true(fake_close(&f->channel));
	mouse_resume(f->mouse);
	open_mouse(f);
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
	mouse_quiesce(f->mouse);
	fake_save_bus(f->fake, writer);
	mouse_save(f->mouse, "mouse", writer);
	assert_int_equal(state_writer_error(writer), 0);
}

/* Return: as mouse_restore(). */
static int restore(struct fixture *f, const struct state_writer *writer)
{
	struct state_reader reader;

	fake_leave(f->fake);
	mouse_free(f->mouse);
	fake_arrive(f->fake);
	assert_int_equal(mouse_new(f->fake->bus, &f->mouse), 0);
	assert_int_equal(fake_restore_bus(f->fake, writer, &reader), 0);
	return mouse_restore(f->mouse, "mouse", &reader);
}

static void test_events_that_wait_move_along(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;

	negotiate(f);
	mouse_quiesce(f->mouse);
	point(f, (struct mouse_event){ .buttons = 2, .x = 3, .y = 4, .wheel = -5 });
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	assert_int_equal(state_of(f), MOUSE_READY);
	assert_int_equal(mouse_status(f->mouse).waiting, 1);
	fake_go_on(f->fake);
	mouse_resume(f->mouse);
	expect_report(f, (struct mouse_event){ .buttons = 2, .x = 3, .y = 4, .wheel = -5 });
	expect_nothing(f);
	state_writer_deinit(&writer);
}

/* Between its description and its acknowledgement. */
static void test_it_moves_half_known(void **state)
{
	struct fixture *f = *state;
	uint8_t info[sizeof(struct mouse_device_info) + 67];
	struct state_writer writer;

	request_version(f, MOUSE_VERSION_2_0, MOUSE_ACCEPTED);
	receive(f, MOUSE_DEVICE_INFO, info, sizeof(info));
	save(f, &writer);
	assert_int_equal(restore(f, &writer), 0);
	fake_go_on(f->fake);
	mouse_resume(f->mouse);
	say(f, MOUSE_DEVICE_INFO_ACK, "", 1);
	expect_completion(f);
	assert_int_equal(state_of(f), MOUSE_READY);
	state_writer_deinit(&writer);
}

static void test_a_state_that_cannot_be_is_refused(void **state)
{
	static const struct {
		size_t count;
		uint32_t words[4];
	} bad[] = {
		{ 1, { MOUSE_READY } },                   /* short */
		{ 2, { MOUSE_REFUSED + 1, 0 } },          /* no such state */
		{ 2, { MOUSE_ABSENT, 0 } },               /* but the channel is open */
		{ 2, { MOUSE_READY, 1 } },                /* an event that is missing */
		{ 4, { MOUSE_READY, 0, 0, 0 } },          /* one that is too many */
		{ 4, { MOUSE_DESCRIBED, 1, 0, 0 } },      /* for nobody */
		{ 4, { MOUSE_READY, 1, 0x20, 0 } },       /* an unknown button */
		{ 4, { MOUSE_READY, 1, 0x100, 0 } },      /* not zero */
		{ 4, { MOUSE_READY, 1, 0x80000000, 0 } }, /* beyond the screen */
		{ 4, { MOUSE_READY, 1, 0, 0x8000 } },     /* likewise */
		{ 2, { MOUSE_READY, MOUSE_EVENTS_MAX + 1 } },
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
		state_begin(&writer, "mouse", 1);
		state_put(&writer, bad[i].words, bad[i].count * sizeof(bad[i].words[0]));
		state_end(&writer);
		assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
		assert_int_equal(mouse_restore(f->mouse, "mouse", &reader), STATE_E_INVALID);
		state_writer_deinit(&writer);
	}
	state_writer_deinit(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_the_device_is_described),
		TEST(test_what_is_done_arrives),
		TEST(test_nothing_without_a_driver),
		TEST(test_unknown_messages_change_nothing),
		TEST(test_broken_messages_end_it_until_it_is_opened_anew),
		TEST(test_movements_become_one),
		TEST(test_the_last_state_counts),
		TEST(test_what_waits_goes_with_the_driver),
		TEST(test_events_that_wait_move_along),
		TEST(test_it_moves_half_known),
		TEST(test_a_state_that_cannot_be_is_refused),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
