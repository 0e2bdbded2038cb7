/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the VMBus host shows of itself: it follows the guest, and believes nothing of its memory. */
#include "common/base/json.h"
#include "tests/unit/vsp/vmbus/channel_fixture.h"

#include <string.h>

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	assert_true(json_object_object_get_ex(object, key, &value));
	return value;
}

static int64_t number(struct json_object *object, const char *key)
{
	return json_object_get_int64(member(object, key));
}

static bool has_flag(struct json_object *channel, const char *flag)
{
	struct json_object *flags = member(channel, "flags");

	for (size_t i = 0; i < json_object_array_length(flags); i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(flags, i)), flag) == 0)
			return true;
	return false;
}

/* The only channel; freed by the caller. */
static struct json_object *inspect(struct fixture *f)
{
	uint32_t next = 7;
	struct json_object *channels = vmbus_inspect_channels(f->fake->bus, 0, 64, &next), *channel;

	assert_non_null(channels);
	assert_int_equal(next, 0);
	assert_int_equal(json_object_array_length(channels), 1);
	channel = json_object_get(json_object_array_get_idx(channels, 0));
	json_object_put(channels);
	return channel;
}

static void assert_state(struct fixture *f, const char *state)
{
	AUTO_JSON struct json_object *channel = inspect(f);

	assert_string_equal(json_object_get_string(member(channel, "state")), state);
}

static void test_connection(void **state)
{
	struct fixture *f = *state;
	AUTO_JSON struct json_object *before = vmbus_inspect(f->fake->bus);

	assert_string_equal(json_object_get_string(member(before, "state")), "connected");
	assert_string_equal(json_object_get_string(member(before, "version")), "5.3");
	assert_int_equal(number(before, "channels"), 1);
	assert_int_equal(number(before, "channels_open"), 0);
	assert_int_equal(number(before, "gpadls"), 0);
	open_channel(f, 4, 4);
	json_object_put(before);
	before = vmbus_inspect(f->fake->bus);
	assert_int_equal(number(before, "channels_open"), 1);
	assert_int_equal(number(before, "gpadls"), 1);
	assert_true(fake_unload(f->fake));
	json_object_put(before);
	before = vmbus_inspect(f->fake->bus);
	assert_string_equal(json_object_get_string(member(before, "state")), "disconnected");
	assert_string_equal(json_object_get_string(member(before, "version")), "");
}

static void test_channel_comes_and_goes(void **state)
{
	struct fixture *f = *state;

	assert_state(f, "closed");
	open_channel(f, 4, 4);
	assert_state(f, "open");
	f->echo.hold_close = true;
	fake_post(f->fake,
		  &(struct vmbus_message_relid){ .header.type = VMBUS_MESSAGE_CLOSE_CHANNEL,
						 .relid = f->channel.relid },
		  sizeof(struct vmbus_message_relid));
	fake_settle(f->fake);
	assert_state(f, "closing");
	vmbus_channel_closed(f->echo.channel);
	assert_state(f, "closed");
}

static void test_indices_move(void **state)
{
	struct fixture *f = *state;
	AUTO_JSON struct json_object *before = NULL, *after = NULL;

	open_channel(f, 4, 6);
	fake_settle(f->fake);
	before = inspect(f);
	assert_int_equal(number(before, "relid"), f->channel.relid);
	assert_int_equal(number(before, "target_vp"), 1);
	assert_int_equal(number(member(before, "in"), "size"), 3 * RING_PAGE_SIZE);
	assert_int_equal(number(member(before, "out"), "size"), 5 * RING_PAGE_SIZE);
	assert_true(fake_send(&f->channel, RING_PACKET_INBAND, RING_FLAG_COMPLETION_REQUESTED, 1,
			      "hello", 5));
	expect_echo(f, 1, "hello", 5);
	fake_settle(f->fake);
	after = inspect(f);
	for (int i = 0; i < 2; i++) {
		const char *ring = i ? "out" : "in";

		assert_int_equal(number(member(after, ring), "write") -
					 number(member(before, ring), "write"),
				 ring_packet_size(0, 5));
		assert_int_equal(number(member(after, ring), "position"),
				 number(member(after, ring), "write"));
	}
	assert_int_equal(number(member(after, "in"), "read"), number(member(after, "in"), "write"));
	assert_int_equal(number(member(after, "counters"), "packets_in"),
			 number(member(before, "counters"), "packets_in") + 1);
	assert_int_equal(number(member(after, "counters"), "packets_out"),
			 number(member(before, "counters"), "packets_out") + 1);
}

/* The guest's numbers are shown as they are, and nothing comes of them. */
static void test_hostile_rings(void **state)
{
	struct fixture *f = *state;
	AUTO_JSON struct json_object *channel = NULL;

	open_channel(f, 4, 4);
	for (int i = 0; i < 2; i++)
		memset(i ? f->channel.in.control : f->channel.out.control, 0xff, 16);
	channel = inspect(f);
	assert_int_equal(number(member(channel, "in"), "write"), UINT32_MAX);
	assert_int_equal(number(member(channel, "out"), "pending_size"), UINT32_MAX);
	assert_false(has_flag(channel, "broken"));
	fake_signal(&f->channel);
	fake_settle(f->fake);
	json_object_put(channel);
	channel = inspect(f);
	assert_true(has_flag(channel, "broken"));
}

static void test_pieces(void **state)
{
	struct fixture *f = *state;
	struct echo other;
	uint32_t relid = vmbus_channel_relid(f->echo.channel), next;

	echo_offer(&other, f->fake->bus, 2, 0);
	for (unsigned i = 0; i < 2; i++) {
		AUTO_JSON struct json_object *channels = vmbus_inspect_channels(
			f->fake->bus, i ? vmbus_channel_relid(other.channel) : 0, 1, &next);

		assert_int_equal(json_object_array_length(channels), 1);
		assert_int_equal(number(json_object_array_get_idx(channels, 0), "relid"),
				 i ? vmbus_channel_relid(other.channel) : relid);
		assert_int_equal(next, i ? 0 : vmbus_channel_relid(other.channel));
	}
	for (int i = 0; i < 2; i++) {
		AUTO_JSON struct json_object *channels = vmbus_inspect_channels(
			f->fake->bus, i ? UINT32_MAX : VMBUS_CHANNEL_MAX + 1, 1, &next);

		assert_int_equal(json_object_array_length(channels), 0);
		assert_int_equal(next, 0);
	}
	vmbus_channel_free(other.channel);
}

/* Those of a channel's rings; of many no more comes than was asked for. */
static void test_gpadls(void **state)
{
	struct fixture *f = *state;
	AUTO_JSON struct json_object *gpadls = NULL;
	struct json_object *gpadl;
	uint32_t next = 7;

	open_channel(f, 4, 4);
	gpadls = vmbus_inspect_gpadls(f->fake->bus, 0, 64, &next);
	assert_int_equal(next, 0);
	assert_int_equal(json_object_array_length(gpadls), 1);
	gpadl = json_object_array_get_idx(gpadls, 0);
	assert_int_equal(number(gpadl, "relid"), vmbus_channel_relid(f->echo.channel));
	assert_int_equal(number(gpadl, "ranges"), 1);
	assert_int_equal(number(gpadl, "words"), number(gpadl, "words_received"));
	assert_int_equal(number(gpadl, "users"), 1);
	json_object_put(gpadls);
	gpadls = vmbus_inspect_gpadls(f->fake->bus, 0, 0, &next);
	assert_int_equal(json_object_array_length(gpadls), 0);
	json_object_put(gpadls);
	gpadls = vmbus_inspect_gpadls(f->fake->bus, UINT32_MAX, 64, &next);
	assert_int_equal(json_object_array_length(gpadls), 0);
	assert_int_equal(next, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connection, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_channel_comes_and_goes, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_indices_move, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_hostile_rings, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_gpadls, channel_setup, channel_teardown),
		cmocka_unit_test_setup_teardown(test_pieces, channel_setup, channel_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
