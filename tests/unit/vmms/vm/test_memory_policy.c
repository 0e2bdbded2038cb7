/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who gets how much memory; and what the host says it has. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/host/host_memory.h"
#include "vmms/vm/memory_policy.h"

#include <errno.h>

#define MIB   (UINT64_C(1) << 20)
#define GIB   (UINT64_C(1) << 30)
#define ROOMY ((int64_t)(64 * GIB))

static struct memory_policy_guest guest(uint64_t demand, uint64_t target)
{
	return (struct memory_policy_guest){ .minimum = 128 * MIB,
					     .maximum = 4 * GIB,
					     .buffer = 20,
					     .demand = demand,
					     .target = target };
}

static uint64_t alone(struct memory_policy_guest guest, int64_t spare)
{
	memory_policy_share(&guest, 1, spare);
	return guest.next;
}

static void test_demand_and_buffer(void **state)
{
	/* 20 percent beyond, in units of 2 MiB. */
	assert_int_equal(alone(guest(500 * MIB, 128 * MIB), ROOMY), 600 * MIB);
	assert_int_equal(alone(guest(501 * MIB, 128 * MIB), ROOMY), 602 * MIB);
	assert_int_equal(alone(guest(200 * MIB, 2 * GIB), ROOMY), 240 * MIB);
}

static void test_bounds(void **state)
{
	struct memory_policy_guest lowered = guest(1 * GIB, 3 * GIB);

	assert_int_equal(alone(guest(1, 1 * GIB), ROOMY), 128 * MIB);
	assert_int_equal(alone(guest(4 * GIB, 1 * GIB), ROOMY), 4 * GIB);
	assert_int_equal(alone(guest(UINT64_MAX, 1 * GIB), ROOMY), 4 * GIB);
	/* A definition that has less than before. */
	lowered.maximum = 512 * MIB;
	assert_int_equal(alone(lowered, ROOMY), 512 * MIB);
	assert_int_equal(alone(guest(1, 64 * MIB), ROOMY), 128 * MIB);
}

/* A little less is not worth the work; a little more is a need. */
static void test_rests(void **state)
{
	assert_int_equal(alone(guest(500 * MIB, 610 * MIB), ROOMY), 610 * MIB);
	assert_int_equal(alone(guest(500 * MIB, 640 * MIB), ROOMY), 600 * MIB);
	assert_int_equal(alone(guest(500 * MIB, 590 * MIB), ROOMY), 600 * MIB);
	/* Nothing moves once it is settled. */
	for (uint64_t demand = 100 * MIB; demand < 5 * GIB; demand += 77 * MIB) {
		uint64_t first = alone(guest(demand, 1 * GIB), ROOMY);

		assert_int_equal(alone(guest(demand, first), ROOMY), first);
	}
}

static void test_host_without_memory(void **state)
{
	assert_int_equal(alone(guest(1 * GIB, 512 * MIB), 0), 512 * MIB);
	assert_int_equal(alone(guest(1 * GIB, 512 * MIB), 100 * (int64_t)MIB), 612 * MIB);
	/* It lacks some: buffers go back, needs are kept. */
	assert_int_equal(alone(guest(500 * MIB, 600 * MIB), -50 * (int64_t)MIB), 550 * MIB);
	assert_int_equal(alone(guest(500 * MIB, 600 * MIB), -900 * (int64_t)MIB), 500 * MIB);
	assert_int_equal(alone(guest(500 * MIB, 600 * MIB), INT64_MIN + 1), 500 * MIB);
}

/* The one that wants little gets it; the liar gets no more than the honest one. */
static void test_fair(void **state)
{
	struct memory_policy_guest guests[] = { guest(300 * MIB, 200 * MIB),
						guest(2 * GIB, 512 * MIB),
						guest(UINT64_MAX, 512 * MIB) };

	memory_policy_share(guests, ARRAY_SIZE(guests), 500 * MIB);
	assert_int_equal(guests[0].next, 300 * MIB);
	assert_int_equal(guests[1].next, 712 * MIB);
	assert_int_equal(guests[2].next, 712 * MIB);
}

/* Needs come before buffers, also before those that others have. */
static void test_needs_before_buffers(void **state)
{
	struct memory_policy_guest guests[] = { guest(1000 * MIB, 1200 * MIB),
						guest(600 * MIB, 500 * MIB) };

	memory_policy_share(guests, ARRAY_SIZE(guests), 0);
	assert_int_equal(guests[0].next, 1100 * MIB);
	assert_int_equal(guests[1].next, 500 * MIB);
	/* By then the host has it. */
	guests[0].target = guests[0].next;
	memory_policy_share(guests, ARRAY_SIZE(guests), 100 * MIB);
	assert_int_equal(guests[0].next, 1100 * MIB);
	assert_int_equal(guests[1].next, 600 * MIB);
}

/* Two guests that want all that there is: what they get is all, and the same. */
static void test_host_too_small(void **state)
{
	struct memory_policy_guest guests[] = { guest(4 * GIB, 512 * MIB),
						guest(4 * GIB, 512 * MIB) };
	uint64_t spare = 1024 * MIB;

	for (unsigned turn = 0; turn < 5; turn++) {
		memory_policy_share(guests, ARRAY_SIZE(guests), (int64_t)spare);
		spare -= guests[0].next - guests[0].target + guests[1].next - guests[1].target;
		guests[0].target = guests[0].next;
		guests[1].target = guests[1].next;
	}
	assert_int_equal(spare, 0);
	assert_int_equal(guests[0].next, 1024 * MIB);
	assert_int_equal(guests[1].next, 1024 * MIB);
}

static void test_never_beyond_what_there_is(void **state)
{
	for (uint64_t i = 0; i < 2000; i++) {
		struct memory_policy_guest guests[3];
		uint64_t before = 0, after = 0, spare = i * 37 % 3000 * MIB;

		for (size_t g = 0; g < ARRAY_SIZE(guests); g++) {
			guests[g] = guest((i * (g + 3) * 7919) % 5000 * MIB,
					  ((i + g) * 104729) % 4000 * MIB);
			before += guests[g].target;
		}
		memory_policy_share(guests, ARRAY_SIZE(guests), (int64_t)spare);
		for (size_t g = 0; g < ARRAY_SIZE(guests); g++) {
			after += guests[g].next;
			assert_true(guests[g].next <= guests[g].maximum);
		}
		assert_true(after <= before + spare);
	}
}

static void test_nobody(void **state)
{
	memory_policy_share(NULL, 0, ROOMY);
	memory_policy_share(NULL, 0, -1);
}

/* ---- The host ---- */

static void test_meminfo(void **state)
{
	static const char *const bad[] = {
		"",
		"MemTotal: 1 kB\n",
		"MemAvailable: 1 kB\n",
		"MemTotal: x kB\nMemAvailable: 1 kB\n",
		"MemTotal: 1 MB\nMemAvailable: 1 kB\n",
		"MemTotal: 1 kB\nXMemAvailable: 1 kB\n",
		"MemTotal: 99999999999999999999 kB\nMemAvailable: 1 kB\n",
	};
	struct host_memory memory;

	assert_int_equal(host_memory_parse("MemTotal:       16 kB\nMemFree:  2 kB\n"
					   "MemAvailable:    8 kB\nBuffers: 1 kB\n",
					   &memory),
			 0);
	assert_int_equal(memory.total, 16384);
	assert_int_equal(memory.available, 8192);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(host_memory_parse(bad[i], &memory), -EINVAL);
	assert_int_equal(host_memory_read(&memory), 0);
	assert_true(memory.total > memory.available && memory.available > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_demand_and_buffer),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_rests),
		cmocka_unit_test(test_host_without_memory),
		cmocka_unit_test(test_fair),
		cmocka_unit_test(test_needs_before_buffers),
		cmocka_unit_test(test_host_too_small),
		cmocka_unit_test(test_never_beyond_what_there_is),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_meminfo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
