/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a machine is said to do nothing but reset itself. */
#include "tests/unit/unit.h"
#include "vmwp/machine/reset_loop.h"

#define STEP (RESET_LOOP_NS / (RESET_LOOP_MAX - 1))

static void ten_in_a_minute(void **state)
{
	struct reset_loop loop = { 0 };

	for (unsigned i = 0; i < RESET_LOOP_MAX - 1; i++)
		assert_false(reset_loop_note(&loop, 5 + i * STEP));
	assert_true(reset_loop_note(&loop, 5 + RESET_LOOP_NS));
}

static void ten_in_more(void **state)
{
	struct reset_loop loop = { 0 };
	uint64_t now = 5;

	for (unsigned i = 0; i < 100; i++, now += STEP + 1)
		assert_false(reset_loop_note(&loop, now));
	/* The last nine of these are in the same minute as a tenth that comes soon. */
	assert_false(reset_loop_note(&loop, now));
	for (unsigned i = 0; i < RESET_LOOP_MAX - 2; i++)
		(void)reset_loop_note(&loop, now + i);
	assert_true(reset_loop_note(&loop, now + RESET_LOOP_MAX));
}

static void a_guest_that_comes_up(void **state)
{
	struct reset_loop loop = { 0 };

	for (unsigned i = 0; i < RESET_LOOP_MAX - 1; i++)
		assert_false(reset_loop_note(&loop, i));
	reset_loop_forget(&loop);
	for (unsigned i = 0; i < RESET_LOOP_MAX - 1; i++)
		assert_false(reset_loop_note(&loop, i));
	assert_true(reset_loop_note(&loop, RESET_LOOP_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_in_a_minute),
		cmocka_unit_test(ten_in_more),
		cmocka_unit_test(a_guest_that_comes_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
