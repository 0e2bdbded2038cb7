/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small files, read as a whole. */
#include "common/base/file.h"
#include "tests/unit/unit.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

static void test_what_comes_in_parts_is_whole(void **state)
{
	static char sent[256 << 10], found[sizeof(sent)];
	int sockets[2], status;
	pid_t writer;

	memset(sent, 'x', sizeof(sent));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	writer = fork();
	if (writer == 0)
		_exit(file_write_all(sockets[1], sent, sizeof(sent)) != 0);
	close(sockets[1]);
	for (size_t got = 0; got < sizeof(found);) {
		ssize_t n = read(sockets[0], found + got, sizeof(found) - got);

		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_memory_equal(found, sent, sizeof(sent));
	assert_int_equal(waitpid(writer, &status, 0), writer);
	assert_int_equal(status, 0);
	close(sockets[0]);
	assert_int_equal(file_write_all(-1, "x", 1), -EBADF);
}

static void test_bytes_at_an_offset(void **state)
{
	char path[32], found[8] = "";
	int fd;

	make_name(path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(file_write_all(fd, "0123456789", 10), 0);
	assert_int_equal(file_read_at(fd, 2, found, 5), 5);
	assert_memory_equal(found, "23456", 5);
	assert_int_equal(file_read_at(fd, 8, found, 5), 2);
	assert_memory_equal(found, "89", 2);
	assert_int_equal(file_read_at(fd, 10, found, 5), 0);
	assert_int_equal(file_read_at(-1, 0, found, 5), -EBADF);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_comes_in_parts_is_whole),
		cmocka_unit_test(test_bytes_at_an_offset),
		cmocka_unit_test(test_a_file_is_read_as_a_whole),
		cmocka_unit_test(test_of_a_larger_file_there_is_a_byte_more),
		cmocka_unit_test(test_what_cannot_be_read_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
