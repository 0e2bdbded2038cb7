/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests rely on to find writes to guest memory that are not marked: that it finds them. */
#include "tests/fake/write_watch.h"

#include "common/base/gpa.h"
#include "common/base/loop.h"
#include "tests/unit/unit.h"
#include "tests/unit/vsp/vmbus/channel_fixture.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 600 /* more than two blocks */
#define NONE  UINT64_MAX

struct watched {
	int memfd;
	uint8_t *guest, *host;
	struct write_watch *watch;
	struct loop *loop;
};

static int setup(void **state)
{
	struct watched *w = calloc(1, sizeof(*w));

	*state = w;
	w->memfd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(w->memfd, PAGES * HV_PAGE_SIZE), 0);
	w->guest =
		mmap(NULL, PAGES * HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w->memfd, 0);
	assert_ptr_not_equal(w->guest, MAP_FAILED);
	assert_int_equal(loop_new(64, &w->loop), 0);
	w->watch = write_watch_new(w->memfd, PAGES * HV_PAGE_SIZE);
	if (w->watch)
		w->host = write_watch_map(w->watch, 0, PAGES * HV_PAGE_SIZE);
	return 0;
}

static int teardown(void **state)
{
	struct watched *w = *state;

	loop_free(w->loop);
	write_watch_free(w->watch);
	munmap(w->guest, PAGES * HV_PAGE_SIZE);
	close(w->memfd);
	free(w);
	return 0;
}

/* A machine whose kernel cannot tell has nothing to test here. */
static struct watched *need_watch(void **state)
{
	struct watched *w = *state;

	if (!w->watch)
		skip();
	return w;
}

static void test_writes_are_found(void **state)
{
	struct watched *w = need_watch(state);

	assert_int_equal(write_watch_find(w->watch, 0), NONE);
	w->guest[3 * HV_PAGE_SIZE] = 1;
	assert_int_equal(write_watch_find(w->watch, 0), NONE);
	w->host[5 * HV_PAGE_SIZE + 17] = w->host[3 * HV_PAGE_SIZE];
	w->host[PAGES * HV_PAGE_SIZE - 1] = 1;
	assert_int_equal(w->guest[5 * HV_PAGE_SIZE + 17], 1);
	assert_int_equal(write_watch_find(w->watch, 0), 5);
	assert_int_equal(write_watch_find(w->watch, 6), PAGES - 1);
	assert_int_equal(write_watch_find(w->watch, PAGES), NONE);
}

static void test_many_writes_are_found(void **state)
{
	struct watched *w = need_watch(state);
	uint64_t page = 0;

	for (uint64_t i = 1; i < PAGES; i += 2)
		w->host[i * HV_PAGE_SIZE] = 1;
	for (uint64_t i = 1; i < PAGES; i += 2, page++) {
		page = write_watch_find(w->watch, page);
		assert_int_equal(page, i);
	}
	write_watch_mark(w->watch, 0, PAGES * HV_PAGE_SIZE);
	assert_int_equal(write_watch_find(w->watch, 0), NONE);
}

/* A mark counts for what was written before it, and for the pages that it names. */
static void test_marks(void **state)
{
	struct watched *w = need_watch(state);

	write_watch_mark(w->watch, 7 * HV_PAGE_SIZE, 1);
	w->host[7 * HV_PAGE_SIZE] = 1;
	assert_int_equal(write_watch_find(w->watch, 0), 7);
	write_watch_mark(w->watch, 8 * HV_PAGE_SIZE - 1, 1);
	assert_int_equal(write_watch_find(w->watch, 0), NONE);
	memset(w->host + 8 * HV_PAGE_SIZE - 1, 2, 2);
	write_watch_mark(w->watch, 8 * HV_PAGE_SIZE - 1, 1);
	assert_int_equal(write_watch_find(w->watch, 0), 8);
	write_watch_mark(w->watch, 7 * HV_PAGE_SIZE, 0);
	assert_int_equal(write_watch_find(w->watch, 0), 8);
}

struct reading {
	struct loop_operation operation;
	bool done;
	int result;
};

static void reading_complete(struct loop_operation *operation, int result, bool more)
{
	struct reading *reading = container_of(operation, struct reading, operation);

	reading->done = true;
	reading->result = result;
}

/* The kernel fills pages: excused while it does, and to be marked when it has. */
static void test_reads_of_the_kernel(void **state)
{
	struct watched *w = need_watch(state);
	struct reading reading = { .operation.complete = reading_complete };
	struct iovec iov[] = { { w->host + 2 * HV_PAGE_SIZE, HV_PAGE_SIZE },
			       { w->host + 9 * HV_PAGE_SIZE, HV_PAGE_SIZE },
			       { w->host + 20 * HV_PAGE_SIZE, HV_PAGE_SIZE } };
	static const uint8_t data[HV_PAGE_SIZE + 1] = { 42 };
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	loop_readv(w->loop, &reading.operation, pipes[0], iov, 3, (uint64_t)-1);
	w->host[9 * HV_PAGE_SIZE] = 1;
	w->host[20 * HV_PAGE_SIZE] = 1;
	assert_int_equal(loop_run_once(w->loop, 0), 0);
	assert_false(reading.done);
	assert_int_equal(write_watch_find(w->watch, 0), NONE);
	assert_int_equal(write(pipes[1], data, sizeof(data)), sizeof(data));
	while (!reading.done)
		assert_int_equal(loop_run_once(w->loop, FAKE_TIMEOUT_NS), 0);
	assert_int_equal(reading.result, sizeof(data));
	assert_ptr_equal(reading.operation.complete, reading_complete);
	assert_int_equal(w->guest[2 * HV_PAGE_SIZE], 42);
	assert_int_equal(write_watch_find(w->watch, 0), 2);
	assert_int_equal(write_watch_find(w->watch, 3), 9);
	assert_int_equal(write_watch_find(w->watch, 10), 20);
	write_watch_mark(w->watch, 2 * HV_PAGE_SIZE, HV_PAGE_SIZE);
	write_watch_mark(w->watch, 9 * HV_PAGE_SIZE, 1);
	write_watch_mark(w->watch, 20 * HV_PAGE_SIZE, 1);
	assert_int_equal(write_watch_find(w->watch, 0), NONE);
	close(pipes[0]);
	close(pipes[1]);
}

/* Direct I/O writes to pages that it looked up before: as if they had been protected meanwhile. */
static void test_filled_pages_are_to_be_marked(void **state)
{
	struct watched *w = need_watch(state);

	write_watch_filled(w->watch, 300 * HV_PAGE_SIZE - 1, 2);
	assert_int_equal(write_watch_find(w->watch, 0), 299);
	write_watch_mark(w->watch, 299 * HV_PAGE_SIZE, 1);
	assert_int_equal(write_watch_find(w->watch, 0), 300);
	write_watch_mark(w->watch, 300 * HV_PAGE_SIZE, 1);
	assert_int_equal(write_watch_find(w->watch, 0), NONE);
}

/* ---- A device that does not mark what it writes ---- */

static void test_device_that_forgets(void **state)
{
	struct fixture *f = *state;
	uint64_t pfns[2];

	if (!f->fake->watch)
		skip();
	f->fake->expect_unmarked = true;
	open_channel(f, 4, 4);
	fake_alloc(f->fake, 2, pfns);
	assert_true(fake_send_range(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 1, pfns, 0,
				    HV_PAGE_SIZE, "abcdefgh", 8));
	expect_echo(f, 1, "abcdefgh", 8);
	assert_int_equal(f->fake->unmarked_count, 0);
	f->echo.forgets = true;
	assert_true(fake_send_range(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 2, pfns + 1, 0,
				    HV_PAGE_SIZE, "abcdefgh", 8));
	expect_echo(f, 2, "abcdefgh", 8);
	assert_true(f->fake->unmarked_count > 0);
	assert_int_equal(f->fake->unmarked, pfns[1]);
}

/* As long as it has not completed the packet, it need not have marked anything. */
static void test_device_that_is_not_done(void **state)
{
	struct fixture *f = *state;
	uint64_t pfn;

	if (!f->fake->watch)
		skip();
	f->fake->expect_unmarked = true;
	f->echo.forgets = f->echo.silent = true;
	open_channel(f, 4, 4);
	fake_alloc(f->fake, 1, &pfn);
	assert_true(fake_send_range(&f->channel, RING_FLAG_COMPLETION_REQUESTED, 1, &pfn, 0,
				    HV_PAGE_SIZE, "abcdefgh", 8));
	expect_nothing(f);
	assert_int_equal(f->fake->unmarked_count, 0);
	assert_true(fake_close(&f->channel));
	assert_true(f->fake->unmarked_count > 0);
	assert_int_equal(f->fake->unmarked, pfn);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_writes_are_found),
		TEST(test_many_writes_are_found),
		TEST(test_marks),
		TEST(test_reads_of_the_kernel),
		TEST(test_filled_pages_are_to_be_marked),
		cmocka_unit_test_setup_teardown(test_device_that_forgets, channel_setup,
						channel_teardown),
		cmocka_unit_test_setup_teardown(test_device_that_is_not_done, channel_setup,
						channel_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
