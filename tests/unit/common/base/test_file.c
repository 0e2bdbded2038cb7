/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small files, read as a whole. */
#include "common/base/file.h"
#include "tests/unit/unit.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT 8

static void make_name(char path[32])
{
	int fd;

	strcpy(path, "/tmp/vmms-file-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
}

static void check(const char *content, size_t expected_size)
{
	AUTO_FREE char *text = NULL;
	char path[32];
	size_t size;
	int fd;

	make_name(path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
	assert_int_equal(file_read(path, LIMIT, &text, &size), 0);
	unlink(path);
	assert_int_equal(size, expected_size);
	assert_memory_equal(text, content, size);
	assert_int_equal(text[size], '\0');
}

static void test_a_file_is_read_as_a_whole(void **state)
{
	check("", 0);
	check("a", 1);
	check("12345678", LIMIT);
}

static void test_of_a_larger_file_there_is_a_byte_more(void **state)
{
	check("123456789", LIMIT + 1);
	check("123456789 and much more than that", LIMIT + 1);
}

static void test_what_cannot_be_read_says_why(void **state)
{
	char *text = NULL;
	char path[32];
	size_t size;

	assert_int_equal(file_read("/nowhere/at/all", LIMIT, &text, &size), -ENOENT);
	assert_int_equal(file_read("/tmp", LIMIT, &text, &size), -EISDIR);
	make_name(path);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	/* Nobody writes there. */
	assert_int_equal(file_read(path, LIMIT, &text, &size), 0);
	assert_int_equal(size, 0);
	free(text);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_file_is_read_as_a_whole),
		cmocka_unit_test(test_of_a_larger_file_there_is_a_byte_more),
		cmocka_unit_test(test_what_cannot_be_read_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
