/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The event loop: disk I/O, polls, timers, cancellation, other threads, deferred work. */
#include "common/base/loop.h"
#include "common/base/loop_ring.h"
#include "tests/unit/aborts.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECOND 1000000000ull

struct probe {
	struct loop_operation operation;
	struct loop_task task;
	struct loop_deferred deferred;
	struct loop *loop;
	int calls, result;
	bool more;
};

static void probe_complete(struct loop_operation *operation, int result, bool more)
{
	struct probe *probe = container_of(operation, struct probe, operation);

	probe->calls++;
	probe->result = result;
	probe->more = more;
}

static void probe_run_task(struct loop_task *task)
{
	container_of(task, struct probe, task)->calls++;
}

static void probe_run_deferred(struct loop_deferred *deferred)
{
	container_of(deferred, struct probe, deferred)->calls++;
}

#define PROBE(l)                                                                              \
	{                                                                                     \
		.operation.complete = probe_complete, .task.run = probe_run_task, .loop = (l) \
	}

/* Turns the loop until the probe was called `calls` times; a minute is for ever. */
static void probe_wait(struct probe *probe, int calls)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (probe->calls < calls && loop_now() < end)
		assert_int_equal(loop_run_once(probe->loop, SECOND), 0);
	assert_true(probe->calls >= calls);
}

static int setup(void **state)
{
	return loop_new(64, (struct loop **)state);
}

static int teardown(void **state)
{
	loop_free(*state);
	return 0;
}

static void test_disk_io(void **state)
{
	struct probe probe = PROBE(*state);
	char out[2][4] = { "abc", "def" }, in[2][4] = { "", "" };
	struct iovec write[2] = { { out[0], 4 }, { out[1], 4 } };
	struct iovec read[2] = { { in[1], 4 }, { in[0], 4 } };
	int fd = memfd_create("disk", MFD_CLOEXEC);

	loop_writev(*state, &probe.operation, fd, write, 2, 100, RWF_DSYNC);
	probe_wait(&probe, 1);
	assert_int_equal(probe.result, 8);
	assert_false(probe.more);
	loop_fdatasync(*state, &probe.operation, fd);
	probe_wait(&probe, 2);
	assert_int_equal(probe.result, 0);
	loop_readv(*state, &probe.operation, fd, read, 2, 100);
	probe_wait(&probe, 3);
	assert_string_equal(in[1], "abc");
	assert_string_equal(in[0], "def");
	loop_readv(*state, &probe.operation, fd, read, 1, 1000);
	probe_wait(&probe, 4);
	assert_int_equal(probe.result, 0);
	close(fd);
}

static void test_poll_repeats_without_reading(void **state)
{
	struct probe probe = PROBE(*state);
	int fd = eventfd(0, EFD_CLOEXEC);

	loop_poll(*state, &probe.operation, fd, POLLIN);
	for (int i = 1; i <= 5; i++) {
		eventfd_write(fd, 1);
		probe_wait(&probe, i);
		assert_true(probe.more);
	}
	loop_cancel(*state, &probe.operation);
	probe_wait(&probe, 6);
	assert_int_equal(probe.result, -ECANCELED);
	assert_false(probe.more);
	close(fd);
}

static void test_signal_reaches_an_eventfd(void **state)
{
	struct probe probe = PROBE(*state);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	eventfd_t value;

	loop_poll(*state, &probe.operation, fd, POLLIN);
	loop_signal(*state, fd);
	probe_wait(&probe, 1);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(value, 1);
	loop_cancel(*state, &probe.operation);
	probe_wait(&probe, 2);
	close(fd);
}

static void test_flush_comes_before_close(void **state)
{
	struct probe probe = PROBE(*state);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), same = dup(fd);
	eventfd_t value;

	loop_signal(*state, fd);
	loop_flush(*state);
	close(fd);
	loop_poll(*state, &probe.operation, same, POLLIN);
	probe_wait(&probe, 1);
	assert_int_equal(eventfd_read(same, &value), 0);
	assert_int_equal(value, 1);
	loop_cancel(*state, &probe.operation);
	probe_wait(&probe, 2);
	close(same);
}

struct timer_probe {
	struct loop_timer timer;
	int calls, result;
};

static void timer_complete(struct loop_operation *operation, int result, bool more)
{
	struct timer_probe *probe = container_of(operation, struct timer_probe, timer.operation);

	probe->calls++;
	probe->result = result;
}

static void test_timer_expires(void **state)
{
	struct timer_probe probe = { .timer.operation.complete = timer_complete };
	uint64_t start = loop_now();

	loop_timer_start(*state, &probe.timer, SECOND / 100);
	while (!probe.calls)
		assert_int_equal(loop_run_once(*state, SECOND), 0);
	assert_int_equal(probe.result, -ETIME);
	assert_true(loop_now() - start >= SECOND / 100);
}

static void test_timer_is_cancelled(void **state)
{
	struct timer_probe probe = { .timer.operation.complete = timer_complete };

	loop_timer_start(*state, &probe.timer, 3600 * SECOND);
	assert_int_equal(loop_run_once(*state, 0), 0);
	loop_cancel(*state, &probe.timer.operation);
	while (!probe.calls)
		assert_int_equal(loop_run_once(*state, SECOND), 0);
	assert_int_equal(probe.result, -ECANCELED);
}

#define POSTERS 4
#define POSTS   1000

struct poster {
	struct loop *loop;
	struct probe probes[POSTS];
};

static void *poster_run(void *data)
{
	struct poster *poster = data;

	for (size_t i = 0; i < POSTS; i++)
		loop_post(poster->loop, &poster->probes[i].task);
	return NULL;
}

static void test_posts_of_many_threads_all_run(void **state)
{
	static struct poster posters[POSTERS];
	pthread_t threads[POSTERS];

	memset(posters, 0, sizeof(posters));
	for (size_t i = 0; i < POSTERS; i++) {
		posters[i].loop = *state;
		for (size_t j = 0; j < POSTS; j++)
			posters[i].probes[j] = (struct probe)PROBE(*state);
		pthread_create(&threads[i], NULL, poster_run, &posters[i]);
	}
	for (size_t i = 0; i < POSTERS; i++)
		probe_wait(&posters[i].probes[POSTS - 1], 1);
	for (size_t i = 0; i < POSTERS; i++) {
		pthread_join(threads[i], NULL);
		for (size_t j = 0; j < POSTS; j++)
			assert_int_equal(posters[i].probes[j].calls, 1);
	}
}

static void test_a_waiting_task_is_queued_once(void **state)
{
	struct probe probe = PROBE(*state);

	loop_post(*state, &probe.task);
	loop_post(*state, &probe.task);
	probe_wait(&probe, 1);
	assert_int_equal(loop_run_once(*state, 0), 0);
	assert_int_equal(probe.calls, 1);
	loop_post(*state, &probe.task);
	probe_wait(&probe, 2);
}

static void test_deferred_runs_once_a_turn(void **state)
{
	struct probe probe = PROBE(*state);

	probe.deferred.run = probe_run_deferred;
	list_init(&probe.deferred.link);
	loop_defer(*state, &probe.deferred);
	loop_defer(*state, &probe.deferred);
	assert_int_equal(loop_run_once(*state, 0), 0);
	assert_int_equal(probe.calls, 1);
	loop_defer(*state, &probe.deferred);
	loop_deferred_cancel(&probe.deferred);
	assert_int_equal(loop_run_once(*state, 0), 0);
	assert_int_equal(probe.calls, 1);
}

/* More than the submission queue holds: loop_readv() submits to make room. */
static void test_operations_beyond_the_queue(void **state)
{
	enum { COUNT = 500 };
	static struct probe probes[COUNT];
	static char bytes[COUNT];
	struct iovec iov[COUNT];
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct loop *loop;

	assert_int_equal(loop_new(512, &loop), 0);
	assert_int_equal(ftruncate(fd, COUNT), 0);
	for (size_t i = 0; i < COUNT; i++) {
		probes[i] = (struct probe)PROBE(loop);
		iov[i] = (struct iovec){ &bytes[i], 1 };
		loop_readv(loop, &probes[i].operation, fd, &iov[i], 1, i);
	}
	for (size_t i = 0; i < COUNT; i++) {
		probe_wait(&probes[i], 1);
		assert_int_equal(probes[i].result, 1);
	}
	loop_free(loop);
	close(fd);
}

/*
 * A kernel that refuses what it is given, so many times: linked in the place of liburing's function.
 */
static unsigned refusals, refusals_made;
static int refusal;

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
	if (refusals_made >= refusals)
		return __real_io_uring_submit(ring);
	refusals_made++;
	return refusal;
}

static void kernel_refuses(unsigned times, int error)
{
	refusals = times;
	refusals_made = 0;
	refusal = error;
}

#define MORE_THAN_THE_QUEUE 100

static void test_a_kernel_that_refuses_for_a_while(void **state)
{
	static struct probe probes[MORE_THAN_THE_QUEUE];

	kernel_refuses(20, -EAGAIN);
	for (size_t i = 0; i < MORE_THAN_THE_QUEUE; i++) {
		probes[i] = (struct probe)PROBE(*state);
		loop_nop(*state, &probes[i].operation);
	}
	assert_int_equal(refusals_made, 20);
	for (size_t i = 0; i < MORE_THAN_THE_QUEUE; i++)
		probe_wait(&probes[i], 1);
}

/* Neither waits for ever, nor ends the process: it comes out where the loop is run. */
static void kernel_refuses_for_good(struct loop *loop, int error, unsigned most)
{
	static struct probe probes[MORE_THAN_THE_QUEUE];

	kernel_refuses(UINT32_MAX, error);
	for (size_t i = 0; i < MORE_THAN_THE_QUEUE; i++) {
		probes[i] = (struct probe)PROBE(loop);
		loop_nop(loop, &probes[i].operation);
	}
	loop_flush(loop);
	assert_true(refusals_made <= most);
	kernel_refuses(0, 0);
	assert_int_equal(loop_run(loop), error);
	assert_int_equal(loop_run_once(loop, 0), error);
}

static void test_a_kernel_that_refuses_for_good(void **state)
{
	kernel_refuses_for_good(*state, -EAGAIN, 5000);
}

static void test_a_ring_that_is_broken(void **state)
{
	kernel_refuses_for_good(*state, -EBADFD, 1);
}

static void *ask_from_afar(void *data)
{
	return loop_in_thread(data) ? data : NULL;
}

static void test_the_thread_of_a_loop(void **state)
{
	pthread_t thread;
	void *here;

	loop_assert_thread((struct loop *)*state);
	pthread_create(&thread, NULL, ask_from_afar, *state);
	pthread_join(thread, &here);
	assert_null(here);
}

static void *prepare_from_afar(void *data)
{
	static struct probe probe;

	loop_nop(data, &probe.operation);
	return NULL;
}

static void use_from_afar(void *data)
{
	pthread_t thread;

	pthread_create(&thread, NULL, prepare_from_afar, data);
	pthread_join(thread, NULL);
}

static void test_another_thread_is_found_out(void **state)
{
	assert_true(aborts(use_from_afar, *state));
}

static void test_loops_that_exist(void **state)
{
	struct loop *other, *freed;

	assert_true(loop_exists(*state));
	assert_int_equal(loop_new(64, &other), 0);
	assert_true(loop_exists(*state));
	assert_true(loop_exists(other));
	freed = other;
	loop_free(other);
	assert_false(loop_exists(freed));
	assert_true(loop_exists(*state));
}

static void *stop_later(void *data)
{
	usleep(10000);
	loop_stop(data);
	return NULL;
}

static void test_stop_from_another_thread(void **state)
{
	pthread_t thread;

	pthread_create(&thread, NULL, stop_later, *state);
	assert_int_equal(loop_run(*state), 0);
	pthread_join(thread, NULL);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_disk_io),
		LOOP_TEST(test_poll_repeats_without_reading),
		LOOP_TEST(test_signal_reaches_an_eventfd),
		LOOP_TEST(test_flush_comes_before_close),
		LOOP_TEST(test_timer_expires),
		LOOP_TEST(test_timer_is_cancelled),
		LOOP_TEST(test_posts_of_many_threads_all_run),
		LOOP_TEST(test_a_waiting_task_is_queued_once),
		LOOP_TEST(test_deferred_runs_once_a_turn),
		LOOP_TEST(test_operations_beyond_the_queue),
		LOOP_TEST(test_a_kernel_that_refuses_for_a_while),
		LOOP_TEST(test_a_kernel_that_refuses_for_good),
		LOOP_TEST(test_a_ring_that_is_broken),
		LOOP_TEST(test_the_thread_of_a_loop),
		LOOP_TEST(test_another_thread_is_found_out),
		LOOP_TEST(test_loops_that_exist),
		LOOP_TEST(test_stop_from_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
