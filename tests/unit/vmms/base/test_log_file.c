/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log files: bounds, rotation, reading across both files, and folders that cannot be written. */
#include "tests/unit/unit.h"
#include "vmms/base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BOUND 64

struct fixture {
	char top[64], folder[80], path[96], old_path[96];
	struct log_file *log;
};

static struct fixture fixture;

static int setup(void **state)
{
	strcpy(fixture.top, "/tmp/test_log_file.XXXXXX");
	assert_non_null(mkdtemp(fixture.top));
	snprintf(fixture.folder, sizeof(fixture.folder), "%s/logs", fixture.top);
	snprintf(fixture.path, sizeof(fixture.path), "%s/x", fixture.folder);
	snprintf(fixture.old_path, sizeof(fixture.old_path), "%s/x.old", fixture.folder);
	assert_int_equal(log_file_new(fixture.folder, "x", BOUND, &fixture.log), 0);
	return 0;
}

static int teardown(void **state)
{
	if (fixture.log)
		log_file_delete(fixture.log);
	log_file_free(fixture.log);
	(void)unlink(fixture.path);
	(void)unlink(fixture.old_path);
	(void)rmdir(fixture.folder);
	assert_int_equal(rmdir(fixture.top), 0);
	return 0;
}

static void assert_holds(size_t size, const char *expected)
{
	AUTO_FREE char *bytes = NULL;
	size_t there;

	assert_int_equal(log_file_read(fixture.log, size, &bytes, &there), 0);
	assert_string_equal(bytes, expected);
	assert_int_equal(there, strlen(expected));
}

static void append(const char *text)
{
	assert_int_equal(log_file_append(fixture.log, text, strlen(text)), 0);
}

static void test_never_written(void **state)
{
	assert_holds(100, "");
	assert_int_equal(access(fixture.folder, F_OK), -1);
	log_file_delete(fixture.log);
}

static void test_private(void **state)
{
	mode_t mask = umask(0);
	struct stat status;

	append("a");
	umask(mask);
	assert_int_equal(stat(fixture.path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(stat(fixture.folder, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
}

static void test_reading_the_end(void **state)
{
	append("one two ");
	append("three");
	assert_holds(100, "one two three");
	assert_holds(5, "three");
	assert_holds(0, "");
}

static void test_a_later_daemon_goes_on(void **state)
{
	append("before ");
	log_file_free(fixture.log);
	assert_int_equal(log_file_new(fixture.folder, "x", BOUND, &fixture.log), 0);
	append("after");
	assert_holds(100, "before after");
}

static void test_bound(void **state)
{
	char all[2001] = "", *expected;
	struct stat new, old;

	for (int i = 0; i < 200; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%09d\n", i);
		strcat(all, number);
		append(number);
		if (i < 4)
			continue;
		assert_int_equal(stat(fixture.path, &new), 0);
		assert_int_equal(stat(fixture.old_path, &old), 0);
		assert_true(new.st_size + old.st_size <= BOUND);
		expected = all + strlen(all) - (size_t)(new.st_size + old.st_size);
		assert_holds(BOUND, expected);
		assert_holds(35, all + strlen(all) - 35);
	}
}

static void test_more_than_fits_at_once(void **state)
{
	char much[500];

	memset(much, 'x', sizeof(much));
	append("before");
	assert_int_equal(log_file_append(fixture.log, much, sizeof(much)), 0);
	much[BOUND / 2] = '\0';
	assert_holds(BOUND / 2, much);
}

/* What is in the way is told once, until it is gone. */
static void test_trouble(void **state)
{
	assert_int_equal(mkdir(fixture.folder, 0700), 0);
	assert_int_equal(symlink("/etc/passwd", fixture.path), 0);
	assert_int_equal(log_file_append(fixture.log, "a", 1), -ELOOP);
	assert_int_equal(log_file_append(fixture.log, "b", 1), 0);
	assert_int_equal(unlink(fixture.path), 0);
	append("c");
	assert_holds(100, "c");
	assert_int_equal(unlink(fixture.path), 0);
	assert_int_equal(symlink("/etc/passwd", fixture.path), 0);
	log_file_free(fixture.log);
	assert_int_equal(log_file_new(fixture.folder, "x", BOUND, &fixture.log), 0);
	assert_int_equal(log_file_append(fixture.log, "d", 1), -ELOOP);
	AUTO_FREE char *bytes = NULL;
	size_t size;
	assert_int_equal(log_file_read(fixture.log, 10, &bytes, &size), -ELOOP);
}

static void test_deleting(void **state)
{
	append("a");
	log_file_delete(fixture.log);
	assert_int_equal(access(fixture.path, F_OK), -1);
	append("b");
	assert_holds(10, "b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_never_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_private, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reading_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_later_daemon_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_fits_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trouble, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deleting, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
