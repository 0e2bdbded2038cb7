/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rate limits: what is taken at once, and what time gives back. */
#include "common/base/rate_limit.h"
#include "tests/unit/unit.h"

#define NOW 1000000u

static unsigned take_all(struct rate_limit *rate_limit, uint64_t now)
{
	unsigned count = 0, refused;

	while (count < 100 && rate_limit_take(rate_limit, now, &refused))
		count++;
	return count;
}

static void time_gives_back(void **state)
{
	struct rate_limit rate_limit = { .most = 5, .interval = 10 };

	assert_int_equal(take_all(&rate_limit, NOW), 5);
	assert_int_equal(take_all(&rate_limit, NOW + 9), 0);
	assert_int_equal(take_all(&rate_limit, NOW + 10), 1);
	assert_int_equal(take_all(&rate_limit, NOW + 19), 0);
	assert_int_equal(take_all(&rate_limit, NOW + 39), 2);
	assert_int_equal(take_all(&rate_limit, NOW + 40), 1);
	assert_int_equal(take_all(&rate_limit, NOW + 1000), 5);
}

static void refusals_are_counted(void **state)
{
	struct rate_limit rate_limit = { .most = 1, .interval = 10 };
	unsigned refused = 7;

	assert_true(rate_limit_take(&rate_limit, NOW, &refused));
	assert_int_equal(refused, 0);
	assert_false(rate_limit_take(&rate_limit, NOW + 1, &refused));
	assert_false(rate_limit_take(&rate_limit, NOW + 2, &refused));
	assert_true(rate_limit_take(&rate_limit, NOW + 10, &refused));
	assert_int_equal(refused, 2);
	assert_true(rate_limit_take(&rate_limit, NOW + 20, &refused));
	assert_int_equal(refused, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_gives_back),
		cmocka_unit_test(refusals_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
