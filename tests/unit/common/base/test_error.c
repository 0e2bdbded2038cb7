/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where errors begin: what is logged of it, and how much. */
#include "common/base/error.h"
#include "tests/unit/common/base/log_capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int setup(void **state)
{
	capture_begin(LOG_LEVEL_DEBUG);
	return 0;
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
	assert_string_equal(captured(), expected);
}

static void test_nothing_is_told_by_default(void **state)
{
	log_set_level(LOG_LEVEL_INFO);
	assert_int_equal(error_origin(-EIO), -EIO);
	assert_string_equal(captured(), "");
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
	for (const char *at = captured(); (at = strchr(at, '\n')); at++)
		lines++;
	assert_in_range(lines, 50, 300);
}

#define ERROR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, capture_end)

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
