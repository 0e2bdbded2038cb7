/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop's ring: what it refuses, and that a ring without its limits would not. */
#include "common/base/loop_ring.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What loop.h offers. */
static const int offered[] = {
	IORING_OP_NOP,     IORING_OP_READ,         IORING_OP_READV,     IORING_OP_WRITE,
	IORING_OP_WRITEV,  IORING_OP_FSYNC,        IORING_OP_FALLOCATE, IORING_OP_POLL_ADD,
	IORING_OP_TIMEOUT, IORING_OP_ASYNC_CANCEL, IORING_OP_ACCEPT,
};

static bool is_offered(int operation)
{
	for (size_t i = 0; i < ARRAY_SIZE(offered); i++)
		if (offered[i] == operation)
			return true;
	return false;
}

static int limited(void **state)
{
	static struct io_uring ring;

	*state = &ring;
	return loop_ring_init(&ring, 64);
}

static int unlimited(void **state)
{
	static struct io_uring ring;

	*state = &ring;
	return io_uring_queue_init(64, &ring, 0);
}

static int teardown(void **state)
{
	io_uring_queue_exit(*state);
	return 0;
}

/* Return: what the operation that was prepared came to. */
static int finish(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int result;

	assert_int_equal(io_uring_submit(ring), 1);
	assert_int_equal(io_uring_wait_cqe(ring, &cqe), 0);
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

/* With arguments that make it fail, if nothing did before. */
static int attempt(struct io_uring *ring, int operation)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		return -EBUSY;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = (uint8_t)operation;
	sqe->fd = -1;
	return finish(ring);
}

static int open_file(struct io_uring *ring)
{
	io_uring_prep_openat(io_uring_get_sqe(ring), AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0);
	return finish(ring);
}

static void test_every_other_operation_is_refused(void **state)
{
	for (int operation = 0; operation < IORING_OP_LAST; operation++)
		if (!is_offered(operation))
			assert_int_equal(attempt(*state, operation), -EACCES);
}

static void test_offered_operations_are_not(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(offered); i++)
		assert_int_not_equal(attempt(*state, offered[i]), -EACCES);
}

static void test_flags_are_refused(void **state)
{
	static const unsigned flags[] = { IOSQE_FIXED_FILE, IOSQE_IO_DRAIN, IOSQE_IO_LINK,
					  IOSQE_ASYNC };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(*state);

		io_uring_prep_nop(sqe);
		io_uring_sqe_set_flags(sqe, flags[i]);
		assert_int_equal(finish(*state), -EACCES);
	}
}

static void test_nothing_is_registered_later(void **state)
{
	static const unsigned requests[] = { IORING_REGISTER_RESTRICTIONS,
					     IORING_REGISTER_PERSONALITY, IORING_REGISTER_FILES,
					     IORING_REGISTER_BUFFERS };
	struct io_uring *ring = *state;
	int fd = STDIN_FILENO;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		assert_true(io_uring_register((unsigned)ring->ring_fd, requests[i], &fd, 1) < 0);
}

static void test_opening_is_refused(void **state)
{
	assert_int_equal(open_file(*state), -EACCES);
}

static void test_without_limits_a_file_is_opened(void **state)
{
	int fd = open_file(*state);

	assert_true(fd >= 0);
	close(fd);
}

static void test_without_limits_files_are_registered(void **state)
{
	int fd = STDIN_FILENO;

	assert_int_equal(io_uring_register_files(*state, &fd, 1), 0);
}

#define LIMITED(name)   cmocka_unit_test_setup_teardown(name, limited, teardown)
#define UNLIMITED(name) cmocka_unit_test_setup_teardown(name, unlimited, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIMITED(test_every_other_operation_is_refused),
		LIMITED(test_offered_operations_are_not),
		LIMITED(test_flags_are_refused),
		LIMITED(test_nothing_is_registered_later),
		LIMITED(test_opening_is_refused),
		UNLIMITED(test_without_limits_a_file_is_opened),
		UNLIMITED(test_without_limits_files_are_registered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
