/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which keys are pressed for a name or a character. */
#include "tests/unit/unit.h"
#include "vmms/vmctl/key_codes.h"

#include <errno.h>
#include <string.h>

static void expect(const struct key_codes *codes, const uint32_t *wanted, size_t count)
{
	assert_int_equal(codes->count, count);
	assert_memory_equal(codes->codes, wanted, count * sizeof(wanted[0]));
}

static void test_combinations_go_up_the_other_way_round(void **state)
{
	static const uint32_t wanted[] = { 0x1d, 0x38, 0x40053, 0x60053, 0x20038, 0x2001d };
	struct key_codes codes;

	assert_int_equal(key_codes_of_combination("ctrl-alt-del", &codes), 0);
	expect(&codes, wanted, ARRAY_SIZE(wanted));
	assert_int_equal(key_codes_of_combination("CTRL-Alt-Delete", &codes), 0);
	expect(&codes, wanted, ARRAY_SIZE(wanted));
}

static void test_keys_by_their_character(void **state)
{
	static const uint32_t wanted[] = { 0x38, 0x10, 0x20010, 0x20038 };
	struct key_codes codes;

	assert_int_equal(key_codes_of_combination("alt-q", &codes), 0);
	expect(&codes, wanted, ARRAY_SIZE(wanted));
}

static void test_no_such_keys(void **state)
{
	static const char *const bad[] = {
		"", "-", "ctrl-", "-a", "any", "ctrl--a", "\x7f", "a-a-a-a-a-a-a-a-a", "\xc3\xa4",
	};
	struct key_codes codes;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(key_codes_of_combination(bad[i], &codes), -EINVAL);
	assert_int_equal(key_codes_of_combination("a-a-a-a-a-a-a-a", &codes), 0);
	assert_int_equal(codes.count, KEY_CODES_MAX);
}

/* Of each row of keys the first and the last, which show that no key is left out. */
static void test_characters(void **state)
{
	static const struct {
		char character;
		uint32_t code;
	} rows[] = {
		{ '\x1b', 0x01 }, { '1', 0x02 }, { '0', 0x0b }, { '=', 0x0d }, { '\t', 0x0f },
		{ 'q', 0x10 },	  { ']', 0x1b }, { '\n', 0x1c }, { 'a', 0x1e }, { '`', 0x29 },
		{ '\\', 0x2b },	  { 'z', 0x2c }, { '/', 0x35 }, { ' ', 0x39 },
	}, shifted[] = {
		{ '!', 0x02 }, { ')', 0x0b }, { '+', 0x0d }, { 'Q', 0x10 }, { '}', 0x1b },
		{ 'A', 0x1e }, { '~', 0x29 }, { '|', 0x2b }, { 'Z', 0x2c }, { '?', 0x35 },
	};
	struct key_codes codes;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const uint32_t wanted[] = { rows[i].code, rows[i].code | 0x20000 };

		assert_int_equal(key_codes_of_character(rows[i].character, &codes), 0);
		expect(&codes, wanted, ARRAY_SIZE(wanted));
	}
	for (size_t i = 0; i < ARRAY_SIZE(shifted); i++) {
		const uint32_t code = shifted[i].code;
		const uint32_t wanted[] = { 0x2a, code, code | 0x20000, 0x2002a };

		assert_int_equal(key_codes_of_character(shifted[i].character, &codes), 0);
		expect(&codes, wanted, ARRAY_SIZE(wanted));
	}
}

/* As Linux numbers KEY_Q and so on, which are the make codes. */
static void test_letters(void **state)
{
	static const uint8_t make_codes[] = {
		0x1e, 0x30, 0x2e, 0x20, 0x12, 0x21, 0x22, 0x23, 0x17, 0x24, 0x25, 0x26, 0x32,
		0x31, 0x18, 0x19, 0x10, 0x13, 0x1f, 0x14, 0x16, 0x2f, 0x11, 0x2d, 0x15, 0x2c,
	};
	struct key_codes codes;

	for (size_t i = 0; i < ARRAY_SIZE(make_codes); i++) {
		assert_int_equal(key_codes_of_character((char)('a' + i), &codes), 0);
		assert_int_equal(codes.codes[0], make_codes[i]);
		assert_int_equal(key_codes_of_character((char)('A' + i), &codes), 0);
		assert_int_equal(codes.codes[1], make_codes[i]);
	}
}

static void test_every_printable_character_and_no_other(void **state)
{
	struct key_codes codes;

	for (int c = ' '; c < 0x7f; c++)
		assert_int_equal(key_codes_of_character((char)c, &codes), 0);
	assert_int_equal(key_codes_of_character('\0', &codes), -EINVAL);
	assert_int_equal(key_codes_of_character('\x7f', &codes), -EINVAL);
	assert_int_equal(key_codes_of_character('\r', &codes), -EINVAL);
	assert_int_equal(key_codes_of_character((char)0xe4, &codes), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_combinations_go_up_the_other_way_round),
		cmocka_unit_test(test_keys_by_their_character),
		cmocka_unit_test(test_no_such_keys),
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_letters),
		cmocka_unit_test(test_every_printable_character_and_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
