/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl's help: descriptions in a column of their own, whatever stands beside them. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vmctl/command.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TEXT_MAX 4096

/* What command_print_help() prints of a command that has that option. */
static void print_help(const struct option_row *option, char text[static TEXT_MAX])
{
	const struct option_row options[] = { *option, { 0 } };
	const struct command command = {
		.name = "do", .usage = "VM", .summary = "does", .options = options
	};
	int saved = dup(STDOUT_FILENO), capture = memfd_create("capture", 0);
	ssize_t size;

	assert_true(saved >= 0 && capture >= 0);
	fflush(stdout);
	dup2(capture, STDOUT_FILENO);
	command_print_help(&command);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	size = pread(capture, text, TEXT_MAX - 1, 0);
	close(capture);
	close(saved);
	assert_true(size > 0);
	text[size] = '\0';
}

static void assert_helps(const char *name, const char *help, const char *expected)
{
	const struct option_row option = { name, NULL, VALUE_NONE, help };
	char text[TEXT_MAX];

	print_help(&option, text);
	assert_non_null(strstr(text, expected));
}

static void test_descriptions_keep_their_distance(void **state)
{
	assert_helps("a", "help", "\n  --a                     help\n");
	assert_helps("01234567890123456789", "help", "\n  --01234567890123456789  help\n");
	assert_helps("012345678901234567890", "help",
		     "\n  --012345678901234567890\n                          help\n");
	assert_helps("0123456789012345678901", "help",
		     "\n  --0123456789012345678901\n                          help\n");
	assert_helps("01234567890123456789012", "help",
		     "\n  --01234567890123456789012\n                          help\n");
}

static void test_descriptions_are_wrapped(void **state)
{
	assert_helps("a", "0123456789 0123456789 0123456789 0123456789 01234567 0123",
		     "\n  --a                     0123456789 0123456789 0123456789 0123456789 "
		     "01234567\n                          0123\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptions_keep_their_distance),
		cmocka_unit_test(test_descriptions_are_wrapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
