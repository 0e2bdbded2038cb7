/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text from others, numbers and sizes as people write them. */
#include "common/base/cc.h"
#include "common/base/parse.h"
#include "common/base/text.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_equal(void **state)
{
	char copy[] = "text";

	assert_true(text_equal(copy, "text"));
	assert_true(text_equal(NULL, NULL));
	assert_false(text_equal("text", "texts"));
	assert_false(text_equal("", NULL));
	assert_false(text_equal(NULL, ""));
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{ "", true },
		{ "plain", true },
		{ "\xc3\xa9", true },
		{ "\xe2\x82\xac", true },
		{ "\xf0\x9f\x98\x80", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "\x80", false },
		{ "\xc3", false },
		{ "\xc0\x80", false },         /* overlong */
		{ "\xe0\x80\xaf", false },     /* overlong */
		{ "\xf0\x80\x80\xaf", false }, /* overlong */
		{ "\xed\xa0\x80", false },     /* surrogate */
		{ "\xf4\x90\x80\x80", false }, /* beyond U+10FFFF */
		{ "\xf5\x80\x80\x80", false },
		{ "\xff", false },
		{ "a\xe2\x82", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (text_is_utf8(cases[i].text, strlen(cases[i].text)) != cases[i].valid)
			fail_msg("case %zu", i);
	}
}

static void test_characters_come_back(void **state)
{
	static const uint32_t characters[] = { 0,      0x7f,   0x80,    0x7ff,   0x800,
					       0xd7ff, 0xffff, 0x10000, 0x10ffff };
	static const size_t lengths[] = { 1, 1, 2, 2, 3, 3, 3, 4, 4 };

	for (size_t i = 0; i < ARRAY_SIZE(characters); i++) {
		char form[TEXT_UTF8_MAX];
		size_t length;

		assert_int_equal(text_utf8_encode(form, characters[i]), lengths[i]);
		assert_int_equal(text_utf8_decode(form, lengths[i], &length), characters[i]);
		assert_int_equal(length, lengths[i]);
		if (lengths[i] > 1) {
			assert_int_equal(text_utf8_decode(form, lengths[i] - 1, &length), -1);
			assert_int_equal(length, 1);
		}
	}
}

static void test_escape(void **state)
{
	static const struct {
		const char *text, *escaped;
	} cases[] = {
		{ "plain \xc3\xa9", "plain \xc3\xa9" },
		{ "a\nb\tc\r", "a\\x0ab\\x09c\\x0d" },
		{ "\x1b[31mred", "\\x1b[31mred" },
		{ "back\\slash", "back\\\\slash" },
		{ "\xff\xc3", "\\xff\\xc3" },
		{ "\xc2\x9b", "\\u009b" },     /* CSI */
		{ "\xe2\x80\xae", "\\u202e" }, /* right-to-left override */
		{ "\xd8\x9c", "\\u061c" },     /* Arabic letter mark */
		{ "\x7f", "\\x7f" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *escaped = text_escape_new(cases[i].text, strlen(cases[i].text));

		assert_string_equal(escaped, cases[i].escaped);
		free(escaped);
	}
}

static void test_controls(void **state)
{
	static const uint32_t controls[] = { 0,     '\n',   0x1b,   0x7f,  0x9b,
					     0x61c, 0x200b, 0x202e, 0xfeff };
	static const uint32_t others[] = { ' ', '~', 0xa0, 0x20ac, 0x65e5, 0xfffd, 0x1f600 };

	for (size_t i = 0; i < ARRAY_SIZE(controls); i++)
		assert_true(text_is_control(controls[i]));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(text_is_control(others[i]));
}

static void test_escape_is_cut_between_characters(void **state)
{
	char buffer[8];

	assert_int_equal(text_escape(buffer, sizeof(buffer), "abcd\n\n", 6), 4);
	assert_string_equal(buffer, "abcd");
	assert_int_equal(text_escape(buffer, sizeof(buffer), "abcdef\xc3\xa9", 8), 6);
	assert_string_equal(buffer, "abcdef");
	assert_int_equal(text_escape(buffer, 1, "abc", 3), 0);
	assert_string_equal(buffer, "");
}

static void test_escape_json(void **state)
{
	static const struct {
		const char *text, *escaped;
	} cases[] = {
		{ "{\n\t\"a\": \"\\u001b \xc3\xa9\"\n}", "{\n\t\"a\": \"\\u001b \xc3\xa9\"\n}" },
		{ "\"\x7f\xc2\x9b\xe2\x80\xae\"", "\"\\u007f\\u009b\\u202e\"" },
		{ "\"\xf3\xa0\x80\x81\"", "\"\\udb40\\udc01\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *escaped = text_escape_json_new(cases[i].text, strlen(cases[i].text));

		assert_string_equal(escaped, cases[i].escaped);
		free(escaped);
	}
}

static void test_repair(void **state)
{
	char buffer[8];

	assert_int_equal(text_repair(buffer, sizeof(buffer), "a\xff\0\xc3\xa9", 5), 5);
	assert_string_equal(buffer, "a??\xc3\xa9");
	assert_int_equal(text_repair(buffer, sizeof(buffer), "abcdef\xc3\xa9", 8), 6);
	assert_string_equal(buffer, "abcdef");
	assert_int_equal(text_repair(buffer, 1, "abc", 3), 0);
	assert_string_equal(buffer, "");
}

static void test_columns(void **state)
{
	assert_int_equal(text_columns(""), 0);
	assert_int_equal(text_columns("a\xc3\xa9\xe2\x82\xac"), 3);
}

static void test_unsigned(void **state)
{
	uint64_t value = 77;

	assert_int_equal(parse_unsigned("0", 0, 5, &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(parse_unsigned("18446744073709551615", 0, UINT64_MAX, &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(parse_unsigned("18446744073709551616", 0, UINT64_MAX, &value), -ERANGE);
	assert_int_equal(parse_unsigned("6", 0, 5, &value), -ERANGE);
	assert_int_equal(parse_unsigned("1", 2, 5, &value), -ERANGE);
	assert_true(value == UINT64_MAX);
	assert_int_equal(parse_unsigned("", 0, 5, &value), -EINVAL);
	assert_int_equal(parse_unsigned("-1", 0, 5, &value), -EINVAL);
	assert_int_equal(parse_unsigned(" 1", 0, 5, &value), -EINVAL);
	assert_int_equal(parse_unsigned("1 ", 0, 5, &value), -EINVAL);
	assert_int_equal(parse_unsigned("0x1", 0, 5, &value), -EINVAL);
}

static void test_size(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		int result;
	} cases[] = {
		{ "0", 0, 0 },
		{ "4096", 4096, 0 },
		{ "512M", 512ull << 20, 0 },
		{ "512m", 512ull << 20, 0 },
		{ "2GiB", 2ull << 30, 0 },
		{ "3T", 3ull << 40, 0 },
		{ "1K", 1024, 0 },
		{ "8388607T", 8388607ull << 40, 0 },
		{ "8388608T", 0, -ERANGE },
		{ "99999999999999999999", 0, -ERANGE },
		{ "", 0, -EINVAL },
		{ "M", 0, -EINVAL },
		{ "1.5G", 0, -EINVAL },
		{ "-1", 0, -EINVAL },
		{ "1MB", 0, -EINVAL },
		{ "1P", 0, -EINVAL },
		{ "1 M", 0, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes = 0;

		if (parse_size(cases[i].text, &bytes) != cases[i].result || bytes != cases[i].bytes)
			fail_msg("%s", cases[i].text);
	}
}

static void test_size_format(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1, "1" },
		{ 1024, "1K" },
		{ 1025, "1025" },
		{ 512ull << 20, "512M" },
		{ 1536ull << 20, "1536M" },
		{ 4ull << 40, "4T" },
		{ 4096ull << 40, "4096T" },
		{ UINT64_MAX, "18446744073709551615" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[PARSE_SIZE_TEXT];

		parse_size_format(cases[i].bytes, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_size_guess(void **state)
{
	const uint64_t least = UINT64_C(16) << 20, most = UINT64_C(8) << 40;
	static const struct {
		const char *text, *guess;
	} cases[] = {
		{ "500", "500M" }, { "16", "16M" }, { "15", "15G" },       { "4", "4G" },
		{ "0", "" },       { "500K", "" },  { "65535", "65535M" }, { "65536", "" },
		{ "x", "" },       { "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char guess[PARSE_SIZE_TEXT];

		assert_int_equal(parse_size_guess(cases[i].text, least, most, guess),
				 cases[i].guess[0] != '\0');
		assert_string_equal(guess, cases[i].guess);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_characters_come_back),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_controls),
		cmocka_unit_test(test_escape_is_cut_between_characters),
		cmocka_unit_test(test_escape_json),
		cmocka_unit_test(test_repair),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_size_format),
		cmocka_unit_test(test_size_guess),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
