/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log messages: one line each, whatever they quote; priorities for the journal. */
#include "common/base/log.h"
#include "tests/unit/common/base/log_capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
	capture_begin(LOG_LEVEL_INFO);
	log_set_name(NULL);
	return 0;
}

static void assert_logged(const char *expected)
{
	assert_string_equal(captured(), expected);
}

static void test_lines(void **state)
{
	log_info("one %d", 1);
	log_set_name("vmms");
	log_error("two");
	assert_logged("one 1\nvmms: two\n");
}

static void test_levels(void **state)
{
	log_debug("not seen");
	log_set_level(LOG_LEVEL_WARNING);
	log_info("not seen");
	log_warning("seen");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("seen too");
	assert_logged("seen\nseen too\n");
}

static void test_what_is_quoted_forges_no_line(void **state)
{
	log_info("guest says: %s", "x\n<3>vmms: forged\x1b[2J\xff");
	assert_logged("guest says: x\\x0a<3>vmms: forged\\x1b[2J\\xff\n");
}

static void test_long_messages_are_cut(void **state)
{
	char text[5000], logged[5000];
	ssize_t size;

	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	size = pread(capture, logged, sizeof(logged), 0);
	assert_true(size > 1000 && size <= 2048);
	assert_int_equal(logged[size - 1], '\n');
	assert_null(memchr(logged, '\n', (size_t)size - 1));
}

static void test_priorities(void **state)
{
	struct stat status;
	char stream[64];

	setenv("JOURNAL_STREAM", "1:2", true);
	log_error("elsewhere");
	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
		 (unsigned long long)status.st_ino);
	setenv("JOURNAL_STREAM", stream, true);
	log_set_level(LOG_LEVEL_DEBUG);
	log_error("a");
	log_warning("b");
	log_info("c");
	log_debug("d");
	assert_logged("elsewhere\n<3>a\n<4>b\n<6>c\n<7>d\n");
}

static void test_errno_is_kept(void **state)
{
	errno = EXDEV;
	log_info("x");
	assert_int_equal(errno, EXDEV);
}

#define CAPTURED(test) cmocka_unit_test_setup_teardown(test, setup, capture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CAPTURED(test_lines),
		CAPTURED(test_levels),
		CAPTURED(test_what_is_quoted_forges_no_line),
		CAPTURED(test_long_messages_are_cut),
		CAPTURED(test_priorities),
		CAPTURED(test_errno_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
