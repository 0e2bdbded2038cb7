/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The range of users: as text, and taking them. */
#include "tests/unit/unit.h"
#include "vmms/worker_users.h"

#include <errno.h>

#define FIRST 70000u

static bool is_used(void *data, uid_t user)
{
	return ((const bool *)data)[user - FIRST];
}

static void test_text(void **state)
{
	static const char *const bad[] = { "",
					   "-",
					   "1",
					   "1-",
					   "-1",
					   "0-5",
					   "5-4",
					   "a-b",
					   "1-4294967295",
					   "1-2-3",
					   "None",
					   "1 - 2",
					   "99999999999999999999-1" };
	struct worker_users users = { 1, 2, 3 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(worker_users_parse(bad[i], &users), -EINVAL);
	assert_int_equal(users.first, 1);
	assert_int_equal(worker_users_parse("70000-70003", &users), 0);
	assert_int_equal(users.first, 70000);
	assert_int_equal(users.last, 70003);
	assert_int_equal(worker_users_parse("7-7", &users), 0);
	assert_int_equal(worker_users_parse("1-4294967294", &users), 0);
	assert_int_equal(users.last, 4294967294u);
	assert_int_equal(worker_users_parse("none", &users), 0);
	assert_int_equal(users.first, 0);
}

static uid_t take(struct worker_users *users, bool *used)
{
	uid_t user = 0;

	assert_int_equal(worker_users_take(users, is_used, used, &user), 0);
	return user;
}

static void test_all_in_turn(void **state)
{
	struct worker_users users = { FIRST, FIRST + 2, FIRST };
	bool used[3] = { false };
	uid_t user;

	/* What was given back is the last to be given out. */
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(take(&users, used), FIRST + i % 3);
	used[0] = used[2] = true;
	assert_int_equal(take(&users, used), FIRST + 1);
	assert_int_equal(take(&users, used), FIRST + 1);
	used[1] = true;
	assert_int_equal(worker_users_take(&users, is_used, used, &user), -EUSERS);
	used[2] = false;
	assert_int_equal(take(&users, used), FIRST + 2);
}

static void test_none(void **state)
{
	struct worker_users users = { 0 };

	assert_int_equal(take(&users, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_all_in_turn),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
