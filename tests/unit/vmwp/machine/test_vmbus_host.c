/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What VSPs are given of the hypervisor: memory that comes while the guest runs. */
#include "vmwp/machine/vmbus_host.h"

#include "tests/unit/unit.h"

#include <errno.h>

#define MIB (UINT64_C(1) << 20)

struct fixture {
	struct vmbus_host host;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	assert_int_equal(vid_memory_new(&f->host.memory), 0);
	f->host.backing = VID_MEMORY_SMALL;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vid_memory_free(f->host.memory);
	free(f);
	return 0;
}

static int add(struct fixture *f, uint64_t gpa, uint64_t size)
{
	return vmbus_host_ops.add(&f->host, GPA(gpa), size);
}

static bool is_ram(struct fixture *f, uint64_t gpa)
{
	return vmbus_host_ops.map(&f->host, GPA(gpa), HV_PAGE_SIZE) != NULL;
}

/* The guest before had other needs, and was given memory in pieces of other sizes. */
static void test_added_before(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, 16 * MIB, 4 * MIB), 0);
	assert_int_equal(vid_memory_region_count(f->host.memory), 1);
	assert_int_equal(add(f, 16 * MIB, 4 * MIB), 0);
	assert_int_equal(add(f, 17 * MIB, MIB), 0);
	assert_int_equal(vid_memory_region_count(f->host.memory), 1);
	assert_int_equal(add(f, 24 * MIB, 4 * MIB), 0);
	assert_int_equal(add(f, 14 * MIB, 16 * MIB), 0);
	for (uint64_t gpa = 14 * MIB; gpa < 30 * MIB; gpa += MIB)
		assert_true(is_ram(f, gpa));
	assert_false(is_ram(f, 14 * MIB - HV_PAGE_SIZE));
	assert_false(is_ram(f, 30 * MIB));
	assert_int_equal(vid_memory_region_count(f->host.memory), 5);
	assert_int_equal(add(f, 14 * MIB, 16 * MIB), 0);
	assert_int_equal(vid_memory_region_count(f->host.memory), 5);
}

static void test_what_cannot_be_added(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, 16 * MIB, 100), -EINVAL);
	assert_false(is_ram(f, 16 * MIB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_added_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_added, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
