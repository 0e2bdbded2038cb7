/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where errors begin: what is logged of it, and how much. */
#include "common/base/error.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Standard error goes to memory during a test. */
static int capture, saved;

static int setup(void **state)
{
	saved = dup(STDERR_FILENO);
	capture = memfd_create("capture", 0);
	assert_true(saved >= 0 && capture >= 0);
	dup2(capture, STDERR_FILENO);
	log_set_level(LOG_LEVEL_DEBUG);
	unsetenv("JOURNAL_STREAM");
	return 0;
}

static int teardown(void **state)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(capture);
	return 0;
}

static char *logged(void)
{
	static char text[1 << 16];
	ssize_t size = pread(capture, text, sizeof(text) - 1, 0);

	assert_true(size >= 0);
	text[size] = '\0';
	return text;
}

static void test_the_place_is_told(void **state)
{
	char expected[200];
	int line;

	errno = EXDEV;
	line = __LINE__ + 1;
	assert_int_equal(error_origin(-ENOMEM), -ENOMEM);
	assert_int_equal(errno, EXDEV);
	snprintf(expected, sizeof(expected),
		 "tests/unit/common/base/test_error.c:%d: test_the_place_is_told(): -ENOMEM\n",
		 line);
	assert_string_equal(logged(), expected);
}

static void test_nothing_is_told_by_default(void **state)
{
	log_set_level(LOG_LEVEL_INFO);
	assert_int_equal(error_origin(-EIO), -EIO);
	assert_string_equal(logged(), "");
}

static int error_counted(int *calls)
{
	++*calls;
	return -EIO;
}

static void test_the_error_is_made_once(void **state)
{
	int calls = 0;

	assert_int_equal(error_origin(error_counted(&calls)), -EIO);
	assert_int_equal(calls, 1);
}

static void test_a_flood_is_cut_short(void **state)
{
	unsigned lines = 0;

	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(error_origin(-EIO), -EIO);
	for (const char *at = logged(); (at = strchr(at, '\n')); at++)
		lines++;
	assert_in_range(lines, 50, 300);
}

#define ERROR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ERROR_TEST(test_the_place_is_told),
		ERROR_TEST(test_nothing_is_told_by_default),
		ERROR_TEST(test_the_error_is_made_once),
		ERROR_TEST(test_a_flood_is_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
