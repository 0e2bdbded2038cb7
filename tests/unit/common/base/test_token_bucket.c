/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Token buckets: what they hold, what time gives back, and debts. */
#include "common/base/token_bucket.h"
#include "tests/unit/unit.h"

#define NOW UINT64_C(1000000)

static void it_is_full_at_first_and_holds_so_much(void **state)
{
	struct token_bucket bucket = { .most = 100, .rate = 10 };

	assert_int_equal(token_bucket_take(&bucket, NOW, 70), 70);
	assert_int_equal(token_bucket_take(&bucket, NOW, 70), 30);
	assert_int_equal(token_bucket_take(&bucket, NOW, 70), 0);
	assert_int_equal(token_bucket_take(&bucket, NOW + 1000 * TOKEN_BUCKET_SECOND, 1000), 100);
}

static void it_fills_at_its_rate(void **state)
{
	struct token_bucket bucket = { .most = 1000, .rate = 10 };
	uint64_t taken = 0, now = NOW;

	assert_int_equal(token_bucket_take(&bucket, now, 1000), 1000);
	assert_int_equal(token_bucket_take(&bucket, now + 99999, 1), 0);
	assert_int_equal(token_bucket_take(&bucket, now + 100000, 1), 1);
	/* However often it is asked. */
	now += 100000;
	for (unsigned i = 0; i < 1000; i++)
		taken += token_bucket_take(&bucket, now += 1234, 1000);
	assert_int_equal(taken, 1234000 / 100000);
}

static void debts(void **state)
{
	struct token_bucket bucket = { .most = 100, .rate = 1000 };

	assert_int_equal(token_bucket_charge(&bucket, NOW, 60), 0);
	assert_int_equal(token_bucket_charge(&bucket, NOW, 60), 20000);
	assert_int_equal(token_bucket_take(&bucket, NOW + 20000, 1), 0);
	assert_int_equal(token_bucket_take(&bucket, NOW + 21000, 5), 1);
	assert_int_equal(token_bucket_charge(&bucket, NOW + 21000, 0), 0);
}

static void extremes(void **state)
{
	struct token_bucket bucket = { .most = INT64_C(1) << 40, .rate = TOKEN_BUCKET_RATE_MAX };

	assert_int_equal(token_bucket_take(&bucket, 0, UINT64_MAX), UINT64_C(1) << 40);
	assert_int_equal(token_bucket_take(&bucket, UINT64_MAX, UINT64_MAX), UINT64_C(1) << 40);
	assert_int_equal(token_bucket_take(&bucket, UINT64_MAX, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_full_at_first_and_holds_so_much),
		cmocka_unit_test(it_fills_at_its_rate),
		cmocka_unit_test(debts),
		cmocka_unit_test(extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
