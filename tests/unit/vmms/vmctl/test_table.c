/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables and JSON on standard output: columns, escapes. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vmctl/table.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Standard output goes to memory between capture_begin() and capture_end(). */
static int capture, saved;

static void capture_begin(void)
{
	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	capture = memfd_create("capture", 0);
	assert_true(capture >= 0 && saved >= 0);
	dup2(capture, STDOUT_FILENO);
}

static void capture_end(char *buffer, size_t size)
{
	ssize_t n;

	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	n = pread(capture, buffer, size - 1, 0);
	close(capture);
	assert_true(n >= 0);
	buffer[n] = '\0';
}

static void assert_prints(struct table *table, const char *expected)
{
	char text[1024];

	capture_begin();
	table_print(table);
	capture_end(text, sizeof(text));
	table_free(table);
	assert_string_equal(text, expected);
}

static void test_columns(void **state)
{
	static const char *const titles[] = { "NAME", "N", "REASON" };
	struct table *table = table_new(titles, ARRAY_SIZE(titles));

	table_add(table, "%s", "a longer name");
	table_add(table, "%d", 7);
	table_add(table, "%s", "why");
	table_add(table, "%s", "\xc3\xbc");
	table_add(table, "%d", 12345);
	table_add(table, "%s", "");
	assert_prints(table, "NAME           N      REASON\n"
			     "a longer name  7      why\n"
			     "\xc3\xbc              12345\n");
}

static void test_cells_are_escaped(void **state)
{
	static const char *const titles[] = { "A", "B" };
	struct table *table = table_new(titles, ARRAY_SIZE(titles));

	table_add(table, "%s", "\x1b[2J\n");
	table_add(table, "%s", "b\tb\xff");
	assert_prints(table, "A            B\n\\x1b[2J\\x0a  b\\x09b\\xff\n");
}

static void test_lines_are_cut(void **state)
{
	static const char *const titles[] = { "NAME", "N", "REASON" };
	static const struct {
		size_t width;
		const char *text;
	} cases[] = {
		{ 0, "NAME  N  REASON\nvm    1  a long \xc3\xbc reason\n" },
		{ 22, "NAME  N  REASON\nvm    1  a long \xc3\xbc rea\xe2\x80\xa6\n" },
		{ 17, "NAME  N  REASON\nvm    1  a long \xe2\x80\xa6\n" },
		{ 9, "NAME  N  \nvm    1  \n" },
		{ 3, "NA\xe2\x80\xa6\nvm \n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct table *table = table_new(titles, ARRAY_SIZE(titles));
		char text[1024];

		table_add(table, "vm");
		table_add(table, "1");
		table_add(table, "a long \xc3\xbc reason");
		capture_begin();
		table_print_within(table, cases[i].width);
		capture_end(text, sizeof(text));
		table_free(table);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_only_titles(void **state)
{
	static const char *const titles[] = { "A", "B" };

	assert_prints(table_new(titles, ARRAY_SIZE(titles)), "A  B\n");
}

static void test_json_is_safe_to_look_at(void **state)
{
	struct json_object *object =
		json_make("a/b", json_object_new_string("\x1b\x7f\xc2\x9b/"), NULL);
	char text[256];

	capture_begin();
	assert_int_equal(json_print(object), 0);
	capture_end(text, sizeof(text));
	assert_string_equal(text, "{\n  \"a/b\": \"\\u001b\\u007f\\u009b/\"\n}\n");
	assert_true(json_print(NULL) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_cells_are_escaped),
		cmocka_unit_test(test_lines_are_cut),
		cmocka_unit_test(test_only_titles),
		cmocka_unit_test(test_json_is_safe_to_look_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
