/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of what a console session has shown. */
#include "tests/unit/unit.h"
#include "vmms/vmctl/console_tail.h"

#include <string.h>

static size_t find(const struct console_tail *tail, const char *text)
{
	return console_tail_find(tail, text, strlen(text));
}

static void test_what_follows_is_found(void **state)
{
	struct console_tail tail = { .size = 0 };

	assert_int_equal(find(&tail, "anything"), 0);
	console_tail_add(&tail, "login: ", 7);
	console_tail_add(&tail, "root\r\n", 6);
	assert_int_equal(find(&tail, "boot\nlogin: root\r\n# ls"), 18);
	assert_int_equal(find(&tail, "boot\nlogin: root\r\n"), 18);
	assert_int_equal(find(&tail, "something else"), 0);
	assert_int_equal(find(&tail, "short"), 0);
	assert_int_equal(find(&tail, ""), 0);
}

static void test_the_last_place_counts(void **state)
{
	struct console_tail tail = { .size = 0 };

	console_tail_add(&tail, "# ", 2);
	assert_int_equal(find(&tail, "# a\n# b"), 6);
}

static void test_the_last_bytes_are_kept(void **state)
{
	struct console_tail tail = { .size = 0 };
	char text[3 * CONSOLE_TAIL_MAX];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7 + i / 256);
	for (size_t i = 0; i < sizeof(text); i += 48)
		console_tail_add(&tail, text + i, 48);
	assert_int_equal(tail.size, CONSOLE_TAIL_MAX);
	assert_memory_equal(tail.bytes, text + sizeof(text) - CONSOLE_TAIL_MAX, CONSOLE_TAIL_MAX);
	console_tail_add(&tail, text, sizeof(text));
	assert_memory_equal(tail.bytes, text + sizeof(text) - CONSOLE_TAIL_MAX, CONSOLE_TAIL_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_follows_is_found),
		cmocka_unit_test(test_the_last_place_counts),
		cmocka_unit_test(test_the_last_bytes_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
