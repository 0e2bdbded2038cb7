/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths that somebody else has named. */
#include "common/base/path.h"
#include "tests/unit/unit.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct folder {
	char path[32], file[48], link[48], fifo[48];
};

static int set_up(void **state)
{
	struct folder *folder = calloc(1, sizeof(*folder));
	int fd;

	assert_non_null(folder);
	strcpy(folder->path, "/tmp/vmms-path-XXXXXX");
	assert_non_null(mkdtemp(folder->path));
	snprintf(folder->file, sizeof(folder->file), "%s/file", folder->path);
	snprintf(folder->link, sizeof(folder->link), "%s/link", folder->path);
	snprintf(folder->fifo, sizeof(folder->fifo), "%s/fifo", folder->path);
	fd = open(folder->file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "first", 5), 5);
	close(fd);
	assert_int_equal(symlink(folder->file, folder->link), 0);
	assert_int_equal(mkfifo(folder->fifo, 0600), 0);
	*state = folder;
	return 0;
}

static int tear_down(void **state)
{
	struct folder *folder = *state;

	unlink(folder->file);
	unlink(folder->link);
	unlink(folder->fifo);
	rmdir(folder->path);
	free(folder);
	return 0;
}

static void test_what_was_looked_at_is_opened(void **state)
{
	const struct folder *folder = *state;
	AUTO_CLOSE int path_fd = -1, fd = -1;
	char text[8] = "";
	struct stat status;

	path_fd = path_look(folder->link, &status);
	assert_true(path_fd >= 0);
	assert_true(S_ISREG(status.st_mode));
	assert_int_equal(unlink(folder->link), 0);
	assert_int_equal(symlink("/etc/passwd", folder->link), 0);
	fd = path_open(path_fd, O_RDWR | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "first");
	assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void test_a_fifo_is_looked_at_without_waiting(void **state)
{
	const struct folder *folder = *state;
	AUTO_CLOSE int path_fd = -1;
	struct stat status;

	path_fd = path_look(folder->fifo, &status);
	assert_true(path_fd >= 0);
	assert_true(S_ISFIFO(status.st_mode));
}

static void test_nothing_in_proc(void **state)
{
	static const struct {
		const char *path;
		int error;
	} bad[] = {
		{ "/proc/self/fd/0", ELOOP },        { "/proc/self/exe", ELOOP },
		{ "/proc/self/cwd/x", ELOOP },       { "/proc/thread-self/root/etc/passwd", ELOOP },
		{ "/proc/self/maps", EACCES },       { "/proc/self/environ", EACCES },
		{ "/proc/self/../version", EACCES }, { "/proc/none", ENOENT },
		{ "/sys/kernel/notes", EACCES },     { "/sys/../sys/power/state", EACCES },
		{ "/sys/kernel", EACCES },
	};
	struct stat status;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(path_look(bad[i].path, &status), -1);
		assert_int_equal(errno, bad[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_was_looked_at_is_opened, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_fifo_is_looked_at_without_waiting, set_up,
						tear_down),
		cmocka_unit_test(test_nothing_in_proc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
