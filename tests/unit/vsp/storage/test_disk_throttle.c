/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk's limits: never more than they say, in order, and nobody is kept who does not wait. */
#include "common/base/loop.h"
#include "tests/fake/disk_memory.h"
#include "tests/unit/unit.h"
#include "vsp/storage/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DISK_SIZE (1u << 20)
#define REQUESTS  300
#define SECOND_NS UINT64_C(1000000000)
#define BURST_NS  (SECOND_NS / 10)

struct one {
	struct disk_request request;
	struct iovec iov;
	int result;
	unsigned ended; /* as which, from 1 on */
};

static struct fixture {
	struct loop *loop;
	struct disk *disk;
	struct one all[REQUESTS];
	unsigned ended;
	bool retired;
	uint8_t data[DISK_SIZE];
} f;

static int setup(void **state)
{
	memset(&f, 0, sizeof(f));
	assert_int_equal(loop_new(256, &f.loop), 0);
	assert_int_equal(disk_memory_new(f.loop, DISK_SIZE, 512, &f.disk), 0);
	return 0;
}

static void set_retired(void *data)
{
	f.retired = true;
}

static void retire(void)
{
	disk_retire(f.disk, set_retired, NULL);
	for (unsigned i = 0; i < 1000 && !f.retired; i++)
		assert_int_equal(loop_run_once(f.loop, 10000000), 0);
	assert_true(f.retired);
}

static int teardown(void **state)
{
	if (!f.retired)
		retire();
	loop_free(f.loop);
	return 0;
}

static void limit(uint64_t iops, uint64_t bandwidth)
{
	assert_int_equal(disk_limit(f.disk, f.loop,
				    &(struct disk_limits){ .iops = iops, .bandwidth = bandwidth }),
			 0);
}

static void complete(struct disk_request *request, int result)
{
	struct one *one = container_of(request, struct one, request);

	one->ended = ++f.ended;
	one->result = result;
}

static void submit(unsigned number, enum disk_operation operation, uint32_t size)
{
	struct one *one = &f.all[number];

	one->iov = (struct iovec){ f.data, size };
	one->request = (struct disk_request){
		.operation = operation,
		.size = size,
		.iov = &one->iov,
		.iov_count = 1,
		.complete = complete,
	};
	disk_submit(f.disk, &one->request);
}

/*
 * Runs until `count` have ended; at each moment no more of `cost` have than `rate` a second allows,
 * which is as true on a busy machine.
 */
static void expect_moderation(unsigned count, uint64_t cost, uint64_t rate, uint64_t begun)
{
	while (f.ended < count) {
		double allowed;

		assert_int_equal(loop_run_once(f.loop, 5000000), 0);
		allowed = (double)rate * (double)(loop_now() - begun + BURST_NS) / SECOND_NS;
		/* The last one comes whole. */
		assert_true((double)f.ended * (double)cost <= allowed + (double)cost);
	}
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(f.all[i].result, 0);
		assert_int_equal(f.all[i].ended, i + 1);
	}
}

static void test_requests(void **state)
{
	uint64_t begun = loop_now();

	limit(1000, 0);
	for (unsigned i = 0; i < REQUESTS; i++)
		submit(i,
		       i % 3 == 0   ? DISK_READ
		       : i % 3 == 1 ? DISK_WRITE
				    : DISK_FLUSH,
		       i % 3 == 2 ? 0 : 512);
	expect_moderation(REQUESTS, 1, 1000, begun);
	assert_true(loop_now() - begun >= (REQUESTS - 1) * SECOND_NS / 1000 - BURST_NS);
}

static void test_bytes(void **state)
{
	uint64_t begun = loop_now();

	limit(0, 100 << 20);
	for (unsigned i = 0; i < 30; i++)
		submit(i, i % 2 ? DISK_READ : DISK_WRITE, DISK_SIZE);
	expect_moderation(30, 1 << 20, 100 << 20, begun);
}

/* What moves no data is not counted by its size. */
static void test_unmap_is_one_request(void **state)
{
	limit(0, 64 << 10);
	for (unsigned i = 0; i < REQUESTS; i++)
		submit(i, i % 2 ? DISK_UNMAP : DISK_ZERO, DISK_SIZE);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(loop_run_once(f.loop, 0), 0);
	assert_int_equal(f.ended, REQUESTS);
}

static void test_no_limit(void **state)
{
	limit(0, 0);
	assert_null(f.disk->throttle);
}

/* A request that waits ends when nobody waits for it, and those behind it come as before. */
static void test_abandon(void **state)
{
	limit(100, 0);
	for (unsigned i = 0; i < 20; i++)
		submit(i, DISK_READ, 512);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(loop_run_once(f.loop, 0), 0);
	assert_true(f.ended >= 10);
	if (f.all[18].ended == 0) {
		unsigned before = f.ended;

		disk_abandon(&f.all[18].request);
		assert_int_equal(f.ended, before + 1);
		assert_int_equal(f.all[18].result, -ECANCELED);
	}
	for (unsigned i = 0; i < 1000 && f.ended < 20; i++)
		assert_int_equal(loop_run_once(f.loop, 10000000), 0);
	assert_int_equal(f.all[19].result, 0);
	assert_true(f.all[19].ended > f.all[17].ended);
}

/* So does a disk that is given up, which waits for no time to pass. */
static void test_retire(void **state)
{
	unsigned cancelled = 0;

	limit(10, 0);
	for (unsigned i = 0; i < REQUESTS; i++)
		submit(i, DISK_WRITE, 512);
	retire();
	assert_int_equal(f.ended, REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		cancelled += f.all[i].result == -ECANCELED;
	assert_in_range(cancelled, REQUESTS - 3, REQUESTS - 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_is_one_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abandon, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retire, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
