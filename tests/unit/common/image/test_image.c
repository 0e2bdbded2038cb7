/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disk images: what may be opened, by how many, and what is found out about it. */
#include "common/image/image.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (1u << 20)

struct fixture {
	char directory[64], path[80], other[80];
};

static const struct image_options writable = { .sector_size = 512 };
static const struct image_options readable = { .sector_size = 512, .read_only = true };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	/* Not /tmp, which may be in memory: direct I/O is to be seen. */
	strcpy(f->directory, "/var/tmp/vmms-image-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/disk", f->directory);
	snprintf(f->other, sizeof(f->other), "%s/other", f->directory);
	fd = open(f->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	unlink(f->other);
	assert_int_equal(rmdir(f->directory), 0);
	free(f);
	return 0;
}

static void expect_open(const char *path, const struct image_options *options, int expected)
{
	struct image image = { .fd = -1 };

	assert_int_equal(image_open(path, options, &image), expected);
	if (expected)
		assert_int_equal(image.fd, -1);
	else
		close(image.fd);
}

static void test_regular_file(void **state)
{
	struct fixture *f = *state;
	struct image image;

	assert_int_equal(image_open(f->path, &writable, &image), 0);
	assert_int_equal(image.size, SIZE);
	assert_false(image.block_device);
	assert_false(image.read_only);
	assert_false(image.direct);
	assert_int_equal(image.memory_alignment, 1);
	assert_int_equal(image.transfer_alignment, 1);
	assert_in_range(image.physical_block_size, 512, 4096);
	assert_true(fcntl(image.fd, F_GETFD) & FD_CLOEXEC);
	close(image.fd);
	assert_int_equal(image_open(f->path, &readable, &image), 0);
	assert_true(image.read_only);
	assert_false(image.discard);
	assert_int_equal(fcntl(image.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(image.fd);
}

static void test_sizes(void **state)
{
	struct fixture *f = *state;
	struct image_options options = { .sector_size = 4096 };
	struct image image;

	assert_int_equal(truncate(f->path, 3 * 4096 + 700), 0);
	assert_int_equal(image_open(f->path, &writable, &image), 0);
	assert_int_equal(image.size, 3 * 4096 + 512);
	close(image.fd);
	assert_int_equal(image_open(f->path, &options, &image), 0);
	assert_int_equal(image.size, 3 * 4096);
	assert_int_equal(image.physical_block_size, 4096);
	close(image.fd);
	assert_int_equal(truncate(f->path, 511), 0);
	expect_open(f->path, &writable, IMAGE_E_EMPTY);
	assert_int_equal(truncate(f->path, 0), 0);
	expect_open(f->path, &writable, IMAGE_E_EMPTY);
}

static void test_what_is_no_image(void **state)
{
	struct fixture *f = *state;

	expect_open(f->directory, &writable, IMAGE_E_KIND);
	expect_open("/dev/null", &writable, IMAGE_E_KIND);
	expect_open(f->other, &writable, -ENOENT);
	/* A FIFO without a writer must not block. */
	assert_int_equal(mkfifo(f->other, 0600), 0);
	expect_open(f->other, &readable, IMAGE_E_KIND);
	unlink(f->other);
	assert_int_equal(symlink("disk", f->other), 0);
	expect_open(f->other, &writable, 0);
}

static void test_locks(void **state)
{
	struct fixture *f = *state;
	struct image first, second;

	assert_int_equal(image_open(f->path, &writable, &first), 0);
	expect_open(f->path, &writable, IMAGE_E_IN_USE);
	expect_open(f->path, &readable, IMAGE_E_IN_USE);
	close(first.fd);
	assert_int_equal(image_open(f->path, &readable, &first), 0);
	assert_int_equal(image_open(f->path, &readable, &second), 0);
	expect_open(f->path, &writable, IMAGE_E_IN_USE);
	close(first.fd);
	expect_open(f->path, &writable, IMAGE_E_IN_USE);
	close(second.fd);
	expect_open(f->path, &writable, 0);
	/* By another name it is the same file. */
	assert_int_equal(link(f->path, f->other), 0);
	assert_int_equal(image_open(f->path, &writable, &first), 0);
	expect_open(f->other, &writable, IMAGE_E_IN_USE);
	close(first.fd);
}

/* The lock belongs to the descriptor: it goes along to another process, and ends with it. */
static void test_lock_is_handed_over(void **state)
{
	struct fixture *f = *state;
	struct image image, examined;
	int gate[2], status;
	char byte;
	pid_t child;

	assert_int_equal(image_open(f->path, &writable, &image), 0);
	assert_int_equal(pipe(gate), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(gate[1]);
		_exit(read(gate[0], &byte, 1) == 0 &&
				      image_examine(image.fd, &writable, &examined) == 0
			      ? 0
			      : 1);
	}
	close(gate[0]);
	close(image.fd);
	expect_open(f->path, &writable, IMAGE_E_IN_USE);
	close(gate[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	expect_open(f->path, &writable, 0);
}

static void test_examine(void **state)
{
	struct fixture *f = *state;
	struct image image;
	int fd;

	fd = open(f->path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(image_examine(fd, &readable, &image), 0);
	assert_int_equal(image.fd, fd);
	assert_int_equal(image_examine(fd, &writable, &image), IMAGE_E_ACCESS);
	close(fd);
	fd = open(f->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(image_examine(fd, &readable, &image), IMAGE_E_ACCESS);
	close(fd);
	fd = open(f->path, O_PATH | O_CLOEXEC);
	assert_int_equal(image_examine(fd, &readable, &image), IMAGE_E_ACCESS);
	close(fd);
	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	assert_int_equal(image_examine(fd, &writable, &image), IMAGE_E_KIND);
	close(fd);
	assert_int_equal(image_examine(-1, &writable, &image), -EBADF);
}

/* What somebody passes is judged as what is opened, and locked. */
static void test_adopt(void **state)
{
	static const struct {
		const char *path;
		int flags, expected;
	} bad[] = {
		{ NULL, O_RDONLY, IMAGE_E_ACCESS },    { NULL, O_WRONLY, IMAGE_E_ACCESS },
		{ NULL, O_PATH, IMAGE_E_ACCESS },      { NULL, O_RDWR | O_APPEND, IMAGE_E_ACCESS },
		{ "/dev/zero", O_RDWR, IMAGE_E_KIND }, { "/proc/self/mem", O_RDWR, -EACCES },
	};
	struct fixture *f = *state;
	struct image image;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = open(bad[i].path ? bad[i].path : f->path, bad[i].flags | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(image_adopt(fd, &writable, &image), bad[i].expected);
		close(fd);
	}
	fd = open(f->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(image_adopt(fd, &writable, &image), 0);
	assert_int_equal(image.fd, fd);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	expect_open(f->path, &readable, IMAGE_E_IN_USE);
	close(fd);
	expect_open(f->path, &writable, 0);
	assert_int_equal(image_open(f->path, &writable, &image), 0);
	fd = open(f->path, O_RDWR | O_CLOEXEC);
	assert_int_equal(image_adopt(fd, &writable, &(struct image){ 0 }), IMAGE_E_IN_USE);
	close(fd);
	close(image.fd);
}

/* Where direct I/O is promised, a sector goes through with the alignments that were named. */
static void test_direct(void **state)
{
	struct fixture *f = *state;
	struct image_options options = { .sector_size = 512, .direct = true };
	struct image image;
	void *memory;

	assert_int_equal(image_open(f->path, &options, &image), 0);
	assert_int_equal(image.direct, (fcntl(image.fd, F_GETFL) & O_DIRECT) != 0);
	assert_int_equal(512 % image.transfer_alignment, 0);
	assert_int_equal(posix_memalign(&memory, 4096, 8192), 0);
	assert_int_equal(pread(image.fd, (char *)memory + image.memory_alignment, 512, 512), 512);
	assert_int_equal(pwrite(image.fd, (char *)memory + image.memory_alignment, 512, 512), 512);
	free(memory);
	close(image.fd);
}

/* Finding out whether space can be given back changes nothing. */
static void test_discard_probe(void **state)
{
	struct fixture *f = *state;
	struct image image;
	struct stat before, after;
	char byte = 0;
	int fd = open(f->path, O_RDWR | O_CLOEXEC);

	for (unsigned i = 0; i < SIZE; i += 4096)
		assert_int_equal(pwrite(fd, "x", 1, i), 1);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(fstat(fd, &before), 0);
	assert_int_equal(image_open(f->path, &writable, &image), 0);
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(after.st_blocks, before.st_blocks);
	assert_int_equal(pread(fd, &byte, 1, SIZE - 4096), 1);
	assert_int_equal(byte, 'x');
	close(image.fd);
	close(fd);
}

static void test_error_texts(void **state)
{
	for (int error = IMAGE_E_IN_USE; error <= IMAGE_E_ACCESS; error++)
		assert_in_range(strlen(image_error_text(error)), 10, 120);
	assert_string_equal(image_error_text(-ENOENT), "No such file or directory");
	assert_non_null(image_error_text(0));
	assert_non_null(image_error_text(1000));
	assert_non_null(image_error_text(-100000));
}

/* ---- Block devices, where this test may make one ---- */

/* Return: the loop device's descriptor, with its path; -1 if there is none to be had. */
static int loop_attach(const char *file, char *path, size_t size)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int backing = open(file, O_RDWR | O_CLOEXEC);
	/* It goes with its last user, even if this test ends early. */
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int number, fd = -1;

	number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	if (number >= 0) {
		snprintf(path, size, "/dev/loop%d", number);
		fd = open(path, O_RDWR | O_CLOEXEC);
		config.fd = (uint32_t)backing;
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) < 0) {
			close(fd);
			fd = -1;
		}
	}
	if (control >= 0)
		close(control);
	close(backing);
	return fd;
}

static void test_block_device(void **state)
{
	struct fixture *f = *state;
	struct image_options direct = { .sector_size = 512, .direct = true };
	struct image image, reader;
	struct stat status;
	char path[32];
	int fd = loop_attach(f->path, path, sizeof(path));

	if (fd < 0)
		skip();
	assert_int_equal(image_open(path, &direct, &image), 0);
	assert_true(image.block_device);
	assert_true(image.direct);
	assert_int_equal(image.size, SIZE);
	assert_true(image.discard);
	expect_open(path, &writable, IMAGE_E_IN_USE);
	expect_open(path, &readable, IMAGE_E_IN_USE);
	/* By another node it is the same device. */
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(mknod(f->other, S_IFBLK | 0600, status.st_rdev), 0);
	expect_open(f->other, &writable, IMAGE_E_IN_USE);
	close(image.fd);
	assert_int_equal(image_open(path, &readable, &image), 0);
	assert_int_equal(image_open(path, &readable, &reader), 0);
	close(image.fd);
	close(reader.fd);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_regular_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_image, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_is_handed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_examine, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_direct, setup, teardown),
		cmocka_unit_test_setup_teardown(test_discard_probe, setup, teardown),
		cmocka_unit_test(test_error_texts),
		cmocka_unit_test_setup_teardown(test_block_device, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
