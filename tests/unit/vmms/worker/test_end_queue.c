/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a worker leaves how its VM ended: what it holds, and what a hostile worker can do with it.
 */
#include "common/base/cleanup.h"
#include "common/control.h"
#include "tests/unit/unit.h"
#include "vmms/worker/end_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/vmms-end-queue-XXXXXX";
static char path[sizeof(folder) + 8];

static int setup(void **state)
{
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/end", folder);
	return 0;
}

static int teardown(void **state)
{
	end_queue_remove(path);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

static void assert_holds(const char *expected)
{
	char text[CONTROL_END_MAX];
	size_t size;

	assert_int_equal(end_queue_read(path, text, &size), 0);
	assert_int_equal(size, strlen(expected));
	assert_memory_equal(text, expected, size);
}

static void test_it_outlives_who_has_it_open(void **state)
{
	char text[CONTROL_END_MAX];
	size_t size;
	int fd;

	assert_int_equal(end_queue_read(path, text, &size), -ENOENT);
	assert_int_equal(end_queue_make(path, &fd), 0);
	assert_int_equal(end_queue_read(path, text, &size), -EAGAIN);
	assert_int_equal(mq_send(fd, "words", 5, 0), 0);
	close(fd);
	assert_holds("words");
	assert_holds("words"); /* for a daemon that comes after one that was killed */
	assert_int_equal(end_queue_make(path, &fd), 0);
	close(fd);
	assert_int_equal(end_queue_read(path, text, &size), -EAGAIN);
	end_queue_remove(path);
	assert_int_equal(end_queue_read(path, text, &size), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_it_does_not_grow(void **state)
{
	char most[CONTROL_END_MAX + 1] = "";
	int fd;

	assert_int_equal(end_queue_make(path, &fd), 0);
	assert_int_equal(mq_send(fd, most, sizeof(most), 0), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(mq_send(fd, most, CONTROL_END_MAX, 0), 0);
	assert_int_equal(mq_send(fd, most, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(write(fd, most, 1), -1);
	assert_int_equal(fallocate(fd, 0, 0, 1 << 20), -1);
	assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20), -1);
	assert_int_equal(mq_receive(fd, most, CONTROL_END_MAX, NULL), -1);
	close(fd);
}

static void test_a_file_that_keeps_no_name(void **state)
{
	static const char *const texts[] = { "", "/", "/vmms-", "/vmms-../../etc/passwd",
					     "/other-01234567-89ab-cdef-0123-456789abcdef" };
	char text[CONTROL_END_MAX];
	size_t size;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		FILE *file = fopen(path, "we");

		assert_non_null(file);
		fputs(texts[i], file);
		fclose(file);
		assert_int_equal(end_queue_read(path, text, &size), -EINVAL);
		end_queue_remove(path);
		assert_int_equal(access(path, F_OK), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_outlives_who_has_it_open),
		cmocka_unit_test(test_it_does_not_grow),
		cmocka_unit_test(test_a_file_that_keeps_no_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
