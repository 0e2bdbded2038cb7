/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What viewers say, in pieces of any size, and what they may not say. */
#include "tests/unit/unit.h"
#include "vmms/rfb/rfb.h"

#include <stdlib.h>
#include <string.h>

#define TEXT(bytes) (const uint8_t *)(bytes), sizeof(bytes) - 1

static const struct rfb_reader opened = { .stage = RFB_STAGE_OPEN };

/* Of all bytes at once. */
static int read_whole(const struct rfb_reader *from, const uint8_t *bytes, size_t size,
		      struct rfb_message *message)
{
	struct rfb_reader reader = *from;
	size_t used;
	int r = rfb_read(&reader, bytes, size, &used, message);

	assert_true(used <= size);
	return r;
}

/* The first message, of bytes that come one by one: nothing comes of it before the last. */
static void assert_comes_at_last(const struct rfb_reader *from, const uint8_t *bytes, size_t size,
				 enum rfb_message_kind kind, struct rfb_message *message)
{
	for (size_t part = 0; part < size; part++)
		assert_int_equal(read_whole(from, bytes, part, message), RFB_MORE);
	assert_int_equal(read_whole(from, bytes, size, message), RFB_MESSAGE);
	assert_int_equal(message->kind, kind);
}

static void a_connection_begins(void **state)
{
	static const struct {
		const char *text;
		uint32_t number;
		enum rfb_stage next;
	} versions[] = {
		{ "RFB 003.003\n", 3, RFB_STAGE_INIT },
		{ "RFB 003.005\n", 3, RFB_STAGE_INIT },
		{ "RFB 003.007\n", 7, RFB_STAGE_SECURITY },
		{ "RFB 003.008\n", 8, RFB_STAGE_SECURITY },
		{ "RFB 003.889\n", 3, RFB_STAGE_INIT },
	};
	struct rfb_message message;
	size_t used;

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		const uint8_t *bytes = (const uint8_t *)versions[i].text;
		struct rfb_reader reader = { 0 };

		assert_comes_at_last(&reader, bytes, 12, RFB_VERSION, &message);
		assert_int_equal(message.number, versions[i].number);
		assert_int_equal(rfb_read(&reader, bytes, 12, &used, &message), RFB_MESSAGE);
		assert_int_equal(reader.stage, versions[i].next);
		if (reader.stage == RFB_STAGE_SECURITY)
			assert_int_equal(rfb_read(&reader, TEXT("\1"), &used, &message),
					 RFB_MESSAGE);
		assert_int_equal(rfb_read(&reader, TEXT("\0"), &used, &message), RFB_MESSAGE);
		assert_int_equal(message.kind, RFB_INIT);
		assert_int_equal(reader.stage, RFB_STAGE_OPEN);
	}
}

static void what_is_no_viewer_is_refused(void **state)
{
	const struct rfb_reader fresh = { 0 }, security = { .stage = RFB_STAGE_SECURITY };
	struct rfb_message message;

	assert_int_equal(read_whole(&fresh, TEXT("GET / HTTP/1.1\r\n"), &message), RFB_E_UNKNOWN);
	assert_int_equal(read_whole(&fresh, TEXT("RFB 004.000\n"), &message), RFB_E_UNKNOWN);
	assert_int_equal(read_whole(&fresh, TEXT("RFB 003.0080"), &message), RFB_E_UNKNOWN);
	assert_int_equal(read_whole(&security, TEXT("\2"), &message), RFB_E_UNKNOWN);
	for (unsigned type = 0; type < 256; type++) {
		const uint8_t known[] = { 0, 2, 3, 4, 5, 6, 150, 248, 251, 255 },
			      byte = (uint8_t)type;

		assert_int_equal(read_whole(&opened, &byte, 1, &message),
				 memchr(known, byte, sizeof(known)) ? RFB_MORE : RFB_E_UNKNOWN);
	}
	assert_int_equal(read_whole(&opened, TEXT("\xff\1\0\0\0\0\0\0\0\0\0\0"), &message),
			 RFB_E_UNKNOWN);
}

static void messages_are_read(void **state)
{
	struct rfb_message message;

	assert_comes_at_last(&opened, TEXT("\3\1\1\2\3\4\5\6\7\x8"), RFB_UPDATE_REQUEST, &message);
	assert_true(message.incremental && message.x == 0x102 && message.y == 0x304 &&
		    message.width == 0x506 && message.height == 0x708);
	assert_comes_at_last(&opened, TEXT("\4\1\0\0\0\0\xff\x0d"), RFB_KEY, &message);
	assert_true(message.down && message.keysym == 0xff0d);
	assert_comes_at_last(&opened, TEXT("\5\x11\1\2\3\4"), RFB_POINTER, &message);
	assert_true(message.number == 0x11 && message.x == 0x102 && message.y == 0x304);
	assert_comes_at_last(&opened, TEXT("\xff\0\0\1\0\0\0a\0\0\0\x1e"), RFB_EXTENDED_KEY,
			     &message);
	assert_true(message.down && message.keysym == 'a' && message.number == 0x1e);
	assert_comes_at_last(&opened, TEXT("\x96\1\0\0\0\0\0\1\0\2"), RFB_CONTINUOUS_UPDATES,
			     &message);
	assert_true(message.enable && message.width == 1 && message.height == 2);
	assert_comes_at_last(&opened, TEXT("\xf8\0\0\0\x80\0\0\1\3abc"), RFB_FENCE, &message);
	assert_true(message.number == (RFB_FENCE_REQUEST | 1) && message.fence_size == 3);
	assert_memory_equal(message.fence, "abc", 3);
	assert_int_equal(read_whole(&opened, TEXT("\xf8\0\0\0\0\0\0\0\x41"), &message),
			 RFB_E_FORMAT);
}

/* The formats of two viewers there are, and such as are none. */
static void formats_are_checked(void **state)
{
	uint8_t bytes[] = { 0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0 };
	static const struct {
		uint8_t at, value;
	} wrong[] = {
		{ 4, 0 }, { 4, 24 },  { 4, 64 },   { 7, 0 },   { 9, 0 },  { 9, 254 },
		{ 8, 2 }, { 14, 32 }, { 15, 255 }, { 14, 25 }, { 11, 5 }, { 13, 0 },
	};
	struct rfb_message message;

	assert_comes_at_last(&opened, bytes, sizeof(bytes), RFB_FORMAT, &message);
	assert_memory_equal(message.format.max, rfb_native_format.max, sizeof(message.format.max));
	assert_true(message.format.bits == 32 && message.format.depth == 24 &&
		    !message.format.big_endian && message.format.shift[0] == 16);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		uint8_t before = bytes[wrong[i].at];

		bytes[wrong[i].at] = wrong[i].value;
		assert_int_equal(read_whole(&opened, bytes, sizeof(bytes), &message), RFB_E_FORMAT);
		bytes[wrong[i].at] = before;
	}
	assert_comes_at_last(&opened, TEXT("\0\0\0\0\x8\x8\0\1\0\7\0\7\0\3\0\3\6\0\0\0"),
			     RFB_FORMAT, &message);
}

/* Each element of a list is a message of its own, and of a text nothing is, however long either is. */
static void lists_and_texts_take_no_room(void **state)
{
	static const uint8_t list[] = { 2, 0, 0, 2, 0, 0, 0, 16, 0xff, 0xff, 0xff, 0x21 };
	static const uint8_t size_request[] = { 251, 0, 4, 0, 3, 0, 1, 0 };
	static const uint8_t text[] = { 6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
	static uint8_t many[1 << 16];
	struct rfb_reader reader = opened;
	struct rfb_message message;
	size_t used;

	assert_int_equal(rfb_read(&reader, list, sizeof(list), &used, &message), RFB_MESSAGE);
	assert_true(message.kind == RFB_ENCODINGS && used == 4 && reader.encodings == 2);
	assert_int_equal(rfb_read(&reader, list + 4, 3, &used, &message), RFB_MORE);
	assert_int_equal(used, 0);
	assert_int_equal(rfb_read(&reader, list + 4, 8, &used, &message), RFB_MESSAGE);
	assert_true(message.kind == RFB_ENCODING && message.number == 16 && used == 4);
	assert_int_equal(rfb_read(&reader, list + 8, 4, &used, &message), RFB_MESSAGE);
	assert_int_equal((int32_t)message.number, RFB_DESKTOP_SIZE);
	assert_int_equal(reader.encodings, 0);

	assert_int_equal(rfb_read(&reader, size_request, sizeof(size_request), &used, &message),
			 RFB_MESSAGE);
	assert_true(message.kind == RFB_SIZE_REQUEST && message.width == 1024 &&
		    message.height == 768);
	assert_int_equal(rfb_read(&reader, many, 10, &used, &message), RFB_MORE);
	assert_int_equal(used, 10);
	assert_int_equal(rfb_read(&reader, many, 10, &used, &message), RFB_MORE);
	assert_int_equal(used, 6);

	assert_int_equal(rfb_read(&reader, text, sizeof(text), &used, &message), RFB_MORE);
	assert_int_equal(used, sizeof(text));
	for (uint64_t left = UINT32_MAX; left > 0; left -= used)
		assert_int_equal(rfb_read(&reader, many, MIN(left, sizeof(many)), &used, &message),
				 RFB_MORE);
	assert_int_equal(rfb_read(&reader, TEXT("\5\0\0\0\0\0"), &used, &message), RFB_MESSAGE);
}

static void keys_are_those_of_a_us_keyboard(void **state)
{
	static const struct {
		uint32_t keysym;
		uint8_t code;
	} keys[] = {
		{ 'a', 0x1e },    { 'A', 0x1e },    { '!', 0x02 },    { ' ', 0x39 },
		{ '~', 0x29 },    { 0xff0d, 0x1c }, { 0xff51, 0xcb }, { 0xffbe, 0x3b },
		{ 0xffc7, 0x44 }, { 0xffc8, 0x57 }, { 0xffff, 0xd3 }, { 0xffe1, 0x2a },
		{ 0, 0 },         { 0xe4, 0 },      { 0x7f, 0 },      { UINT32_MAX, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		assert_int_equal(rfb_scan_code(keys[i].keysym), keys[i].code);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_begins),
		cmocka_unit_test(what_is_no_viewer_is_refused),
		cmocka_unit_test(messages_are_read),
		cmocka_unit_test(formats_are_checked),
		cmocka_unit_test(lists_and_texts_take_no_room),
		cmocka_unit_test(keys_are_those_of_a_us_keyboard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
