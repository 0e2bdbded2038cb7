/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of numbers, lists of CPUs: read, written again, refused. */
#include "common/definition/cpu_list.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void read_and_written(void **state)
{
	static const struct {
		const char *text, *again;
	} cases[] = {
		{ "0", "0" },           { "1023", "1023" },   { "0-1023", "0-1023" },
		{ "63-64", "63-64" },   { "8,0-3", "0-3,8" }, { "3,2,1", "1-3" },
		{ "0-2,2-5,1", "0-5" }, { "007", "7" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[CPU_LIST_TEXT];
		struct cpu_list list;

		assert_int_equal(cpu_list_parse(cases[i].text, &list), 0);
		assert_false(cpu_list_is_empty(&list));
		cpu_list_format(&list, text);
		assert_string_equal(text, cases[i].again);
	}
}

static void refused(void **state)
{
	static const char *const malformed[] = {
		"",    ",",   "0,",    ",0",    "-",
		"0-",  "-1",  "1-0",   "0-1-2", "a",
		"0x1", " 0",  "0 ",    "0;1",   "0,,1",
		"+1",  "1.5", "0-3:2", "all",   "^1",
		"0\n", "--1", "0- 1",  "1e1",   "0000000000000000000000000000000001",
	};
	static const char *const beyond[] = { "1024", "0-1024", "0,4294967296", "99999999999999" };
	struct cpu_list list = { .bits = { 5 } }, before = list;

	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++)
		if (cpu_list_parse(malformed[i], &list) != -EINVAL)
			fail_msg("not refused: '%s'", malformed[i]);
	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++)
		if (cpu_list_parse(beyond[i], &list) != -ERANGE)
			fail_msg("not refused as too large: '%s'", beyond[i]);
	/* Not even in part. */
	assert_int_equal(cpu_list_parse("7,8,x", &list), -EINVAL);
	assert_memory_equal(&list, &before, sizeof(list));
}

static void the_longest_text_fits(void **state)
{
	struct cpu_list list = { 0 }, again;
	char text[CPU_LIST_TEXT];

	cpu_list_format(&list, text);
	assert_string_equal(text, "");
	assert_true(cpu_list_is_empty(&list));
	for (unsigned cpu = 1; cpu < CPU_LIST_MAX; cpu += 2)
		number_set_add(list.bits, cpu);
	cpu_list_format(&list, text);
	assert_int_equal(cpu_list_parse(text, &again), 0);
	assert_memory_equal(&list, &again, sizeof(list));
}

static void text_that_does_not_fit_is_cut(void **state)
{
	const uint64_t words[] = { UINT64_C(0x5555) };
	char text[6];

	number_set_format(words, 64, text, sizeof(text));
	assert_string_equal(text, "0,2,4");
}

static void what_another_lacks(void **state)
{
	struct cpu_list list, other, missing;
	char text[CPU_LIST_TEXT];

	assert_int_equal(cpu_list_parse("0-3,700", &list), 0);
	assert_int_equal(cpu_list_parse("1-2,9", &other), 0);
	cpu_list_subtract(&list, &other, &missing);
	cpu_list_format(&missing, text);
	assert_string_equal(text, "0,3,700");
	cpu_list_subtract(&list, &list, &missing);
	assert_true(cpu_list_is_empty(&missing));
}

static void those_of_this_host(void **state)
{
	struct cpu_list list;
	unsigned count = 0;

	assert_int_equal(cpu_list_online(&list), 0);
	for (unsigned cpu = 0; cpu < CPU_LIST_MAX; cpu++)
		count += number_set_has(list.bits, cpu);
	assert_int_equal(count, sysconf(_SC_NPROCESSORS_ONLN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_and_written),
		cmocka_unit_test(refused),
		cmocka_unit_test(the_longest_text_fits),
		cmocka_unit_test(text_that_does_not_fit_is_cut),
		cmocka_unit_test(what_another_lacks),
		cmocka_unit_test(those_of_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
