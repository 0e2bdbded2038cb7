/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UTF-16 to and from UTF-8: planes, pairs and halves of them, ends and limits. */
#include "common/base/text.h"
#include "common/base/utf16.h"
#include "tests/unit/unit.h"

#include <string.h>

#define SIZED(bytes) (const uint8_t *)(bytes), sizeof(bytes) - 1

static void test_decoding(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		const char *expected;
	} rows[] = {
		{ "", 0, "" },
		{ "A", 1, "" },
		{ "A\0b\0", 4, "Ab" },
		{ "A\0\0\0b\0", 6, "A" },
		{ "A\0b", 3, "A" },
		{ "\xe4\0\xac\x20", 4, "\xc3\xa4\xe2\x82\xac" },
		{ "\x3d\xd8\x00\xde", 4, "\xf0\x9f\x98\x80" },
		{ "\x3d\xd8", 2, "?" },
		{ "\x3d\xd8\x41\0", 4, "?A" },
		{ "\x3d\xd8\x3d\xd8\x00\xde", 6, "?\xf0\x9f\x98\x80" },
		{ "\x00\xde\x41\0", 4, "?A" },
		{ "\xff\xff", 2, "\xef\xbf\xbf" },
	};
	char buffer[32];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t used = utf16_to_utf8(buffer, sizeof(buffer), (const uint8_t *)rows[i].text,
					    rows[i].size);

		assert_string_equal(buffer, rows[i].expected);
		assert_int_equal(used, strlen(rows[i].expected));
	}
}

/* Every unit, alone and before another: what comes out is UTF-8. */
static void test_decoding_is_always_utf8(void **state)
{
	for (uint32_t unit = 1; unit <= UINT16_MAX; unit++) {
		const uint8_t text[] = { (uint8_t)unit, (uint8_t)(unit >> 8), 0x00, 0xdc };
		char buffer[16];
		size_t used = utf16_to_utf8(buffer, sizeof(buffer), text, sizeof(text));

		assert_true(used > 0 && text_is_utf8(buffer, used));
	}
}

static void test_decoding_is_cut_at_characters(void **state)
{
	static const char expected[][8] = { "", "", "", "\xe2\x82\xac", "\xe2\x82\xac" };
	char buffer[8];

	for (size_t size = 1; size <= 5; size++) {
		utf16_to_utf8(buffer, size, SIZED("\xac\x20\xac\x20"));
		assert_string_equal(buffer, expected[size - 1]);
	}
}

static void test_encoding(void **state)
{
	uint8_t buffer[12];

	memset(buffer, 0xff, sizeof(buffer));
	assert_int_equal(utf16_from_utf8(buffer, sizeof(buffer), "A\xe2\x82\xac\xf0\x9f\x98\x80"),
			 10);
	assert_memory_equal(buffer, "A\0\xac\x20\x3d\xd8\x00\xde\0\0\0\0", 12);
	assert_int_equal(utf16_from_utf8(buffer, 2, ""), 2);
}

static void test_encoding_is_refused(void **state)
{
	uint8_t buffer[8];

	assert_int_equal(utf16_from_utf8(buffer, sizeof(buffer), "abc"), 8);
	assert_int_equal(utf16_from_utf8(buffer, sizeof(buffer), "abcd"), 0);
	assert_int_equal(utf16_from_utf8(buffer, 4, "\xf0\x9f\x98\x80"), 0);
	assert_int_equal(utf16_from_utf8(buffer, 1, ""), 0);
	assert_int_equal(utf16_from_utf8(buffer, sizeof(buffer), "\xed\xa0\x80"), 0);
	assert_int_equal(utf16_from_utf8(buffer, sizeof(buffer), "\xff"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decoding),
		cmocka_unit_test(test_decoding_is_always_utf8),
		cmocka_unit_test(test_decoding_is_cut_at_characters),
		cmocka_unit_test(test_encoding),
		cmocka_unit_test(test_encoding_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
