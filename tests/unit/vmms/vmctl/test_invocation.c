/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl's command line, and the table it is read by. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vmctl/invocation.h"

#include <string.h>

static struct invocation invocation;

/* words: up to NULL. */
#define READ(...) read_words((char *[]){ (char *)"vmctl", __VA_ARGS__, NULL })

static enum status read_words(char *words[])
{
	int count = 0;

	while (words[count])
		count++;
	return invocation_read(count, words, &invocation);
}

static void test_options_and_arguments(void **state)
{
	assert_int_equal(READ("--json", "attach", "--lun", "3", "vm", "--read-only",
			      "--controller=2", "/path", "--address=a=b"),
			 STATUS_OK);
	assert_string_equal(invocation.command->name, "attach");
	assert_int_equal(invocation.argument_count, 2);
	assert_string_equal(invocation.arguments[0], "vm");
	assert_string_equal(invocation.arguments[1], "/path");
	assert_string_equal(invocation_value(&invocation, "lun"), "3");
	assert_string_equal(invocation_value(&invocation, "controller"), "2");
	assert_string_equal(invocation_value(&invocation, "address"), "a=b");
	assert_true(invocation_has(&invocation, "read-only"));
	assert_false(invocation_has(&invocation, "dvd"));
	assert_null(invocation_value(&invocation, "serial"));
	assert_true(invocation.json);
}

static void test_commands_of_two_words(void **state)
{
	assert_int_equal(READ("switch", "--json", "show", "lan"), STATUS_OK);
	assert_string_equal(invocation.command->name, "switch show");
	assert_string_equal(invocation.arguments[0], "lan");
	assert_int_equal(READ("switch", "--help"), STATUS_OK);
	assert_null(invocation.command);
	assert_string_equal(invocation.group, "switch");
	assert_int_equal(READ("switch"), STATUS_USAGE);
	assert_int_equal(READ("switch", "frobnicate"), STATUS_USAGE);
	assert_int_equal(READ("switch show", "lan"), STATUS_OK);
	assert_int_equal(READ("net", "show"), STATUS_USAGE);
	assert_int_equal(READ("show", "lan", "x"), STATUS_USAGE);
}

static void test_after_two_dashes_there_are_arguments(void **state)
{
	assert_int_equal(READ("attach", "--", "--vm", "-"), STATUS_OK);
	assert_string_equal(invocation.arguments[0], "--vm");
	assert_string_equal(invocation.arguments[1], "-");
}

static void test_the_last_value_counts(void **state)
{
	assert_int_equal(READ("detach", "vm", "--lun", "1", "--lun", "2"), STATUS_OK);
	assert_string_equal(invocation_value(&invocation, "lun"), "2");
	assert_int_equal(invocation.option_count, 2);
}

static void test_refuses(void **state)
{
	assert_int_equal(READ("frobnicate"), STATUS_USAGE);
	assert_int_equal(READ("--json"), STATUS_USAGE);
	assert_int_equal(READ("--frobnicate", "list"), STATUS_USAGE);
	assert_int_equal(READ("list", "--frobnicate"), STATUS_USAGE);
	assert_int_equal(READ("list", "-x"), STATUS_USAGE);
	assert_int_equal(READ("list", "vm"), STATUS_USAGE);
	assert_int_equal(READ("--names", "list"), STATUS_USAGE); /* before its command */
	assert_int_equal(READ("list", "--names=x"), STATUS_USAGE);
	assert_int_equal(READ("detach", "vm", "--lun"), STATUS_USAGE);
	assert_int_equal(READ("show"), STATUS_USAGE);
	assert_int_equal(READ("insert", "vm"), STATUS_USAGE);
	assert_int_equal(READ("insert", "vm", "path", "more"), STATUS_USAGE);
}

static void test_help_needs_nothing_else(void **state)
{
	assert_int_equal(READ("--help"), STATUS_OK);
	assert_int_equal(READ("insert", "--help"), STATUS_OK);
}

static void test_letters(void **state)
{
	assert_int_equal(READ("-h"), STATUS_OK);
	assert_true(invocation_has(&invocation, "help"));
	assert_int_equal(READ("insert", "-h"), STATUS_OK);
	assert_true(invocation_has(&invocation, "help"));
	assert_int_equal(READ("-V"), STATUS_OK);
	assert_true(invocation_has(&invocation, "version"));
	assert_int_equal(READ("--version"), STATUS_OK);
	assert_int_equal(READ("exec", "vm", "--", "uname", "-h"), STATUS_OK);
	assert_false(invocation_has(&invocation, "help"));
	assert_int_equal(READ("-hV"), STATUS_USAGE);
}

static void test_many_names(void **state)
{
	static char *words[10003];

	words[0] = (char *)"vmctl";
	words[1] = (char *)"start";
	for (size_t i = 2; i < ARRAY_SIZE(words) - 1; i++)
		words[i] = (char *)(i % 2 ? "odd" : "even");
	assert_int_equal(read_words(words), STATUS_OK);
	assert_int_equal(invocation.argument_count, 10000);
	assert_string_equal(invocation.arguments[0], "even");
	assert_string_equal(invocation.arguments[9999], "odd");
}

static void test_too_many(void **state)
{
	static char *words[2 * COMMAND_OPTIONS_MAX];

	memset(words, 0, sizeof(words));
	words[0] = (char *)"vmctl";
	words[1] = (char *)"list";
	for (size_t i = 0; i < COMMAND_OPTIONS_MAX; i++)
		words[2 + i] = (char *)"--json";
	assert_int_equal(read_words(words), STATUS_OK);
	words[2 + COMMAND_OPTIONS_MAX] = (char *)"--json";
	assert_int_equal(read_words(words), STATUS_USAGE);
}

static void test_numbers(void **state)
{
	unsigned number = 9;

	assert_int_equal(READ("detach", "vm", "--lun", "63"), STATUS_OK);
	assert_true(invocation_number(&invocation, "controller", 3, &number));
	assert_int_equal(number, 9);
	assert_true(invocation_number(&invocation, "lun", 63, &number));
	assert_int_equal(number, 63);
	assert_false(invocation_number(&invocation, "lun", 62, &number));
	assert_int_equal(READ("detach", "vm", "--lun", "x"), STATUS_OK);
	assert_false(invocation_number(&invocation, "lun", 63, &number));
}

static void check_options(const struct command *command)
{
	for (const struct option_row *row = command->options; row && row->name; row++) {
		assert_true(row->help && row->help[0] != '\0');
		assert_int_equal(row->value != NULL, row->kind != VALUE_NONE);
		for (const struct option_row *other = global_options; other->name; other++)
			assert_string_not_equal(row->name, other->name);
		for (const struct option_row *other = command->options; other != row; other++)
			assert_string_not_equal(row->name, other->name);
	}
}

static void test_the_table(void **state)
{
	command_for_each (command) {
		assert_ptr_equal(command_find(command->name), command);
		assert_true(command->run && command->summary && command->usage);
		assert_true(command->arguments_min <= command->arguments_max);
		assert_int_equal(command->arguments_max == 0, command->usage[0] == '\0');
		check_options(command);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_and_arguments),
		cmocka_unit_test(test_commands_of_two_words),
		cmocka_unit_test(test_after_two_dashes_there_are_arguments),
		cmocka_unit_test(test_the_last_value_counts),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_help_needs_nothing_else),
		cmocka_unit_test(test_letters),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
