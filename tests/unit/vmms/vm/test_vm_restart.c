/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a VM whose worker fails is started again, and when no more. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vm/vm_internal.h"

#define MINUTE (UINT64_C(60) * 1000000)

static void test_delays_grow_and_end(void **state)
{
	static const unsigned delays[] = { 1, 2, 4, 8, 16, 0, 0 };
	unsigned restarts = 0;

	for (size_t i = 0; i < ARRAY_SIZE(delays); i++)
		assert_int_equal(vm_restart_delay(&restarts, MINUTE), delays[i]);
}

static void test_a_vm_that_ran_begins_anew(void **state)
{
	unsigned restarts = 0;

	for (unsigned i = 0; i < 6; i++)
		(void)vm_restart_delay(&restarts, 0);
	assert_int_equal(vm_restart_delay(&restarts, 10 * MINUTE - 1), 0);
	assert_int_equal(vm_restart_delay(&restarts, 10 * MINUTE), 1);
	assert_int_equal(vm_restart_delay(&restarts, 0), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delays_grow_and_end),
		cmocka_unit_test(test_a_vm_that_ran_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
