/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking up users: who is there and who is not, what is kept, and how many are asked for. */
#include "tests/unit/unit.h"
#include "vmms/base/user_lookup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define NOT_YET 1

static const struct user_key nobody_there = { .name = "no-such-user-there" };
static const struct user_key by_name = { .name = "daemon" }, by_uid = { .uid = 1 };

static sd_event *loop;
static struct helpers *helpers;
static struct user_lookups *lookups;
static int result;
static struct user_found found;

static int set_up(void **state)
{
	result = NOT_YET;
	if (sd_event_new(&loop) < 0 || helpers_new(loop, &helpers) < 0)
		return -1;
	return user_lookups_new(loop, helpers, "daemon", &lookups);
}

static int tear_down(void **state)
{
	user_lookups_free(lookups);
	helpers_free(helpers);
	sd_event_unref(loop);
	while (waitpid(-1, NULL, 0) > 0)
		;
	return 0;
}

static void answered(void *data, int how, const struct user_found *who)
{
	assert_true((how == 0) == (who != NULL));
	*(int *)data = how;
	if (who)
		found = *who;
}

static void ask(const struct user_key *key)
{
	struct user_waiter waiter = { .answered = answered, .data = &result };

	result = NOT_YET;
	assert_int_equal(user_lookups_find(lookups, key, &found), -EAGAIN);
	assert_int_equal(user_lookups_ask(lookups, key, &waiter), 0);
	assert_int_equal(result, NOT_YET);
	while (result == NOT_YET)
		assert_true(sd_event_run(loop, UINT64_MAX) >= 0);
}

static void test_users(void **state)
{
	static const struct user_key *const keys[] = { &by_name, &by_uid };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		ask(keys[i]);
		assert_int_equal(result, 0);
		assert_string_equal(found.name, "daemon");
		assert_int_equal(found.uid, 1);
		assert_true(found.is_member);
		memset(&found, 0, sizeof(found));
		assert_int_equal(user_lookups_find(lookups, keys[i], &found), 0);
		assert_string_equal(found.name, "daemon");
	}
}

static void test_who_is_in_no_such_group(void **state)
{
	ask(&(struct user_key){ .name = "bin" });
	assert_int_equal(result, 0);
	assert_false(found.is_member);
}

static void test_nobody(void **state)
{
	ask(&nobody_there);
	assert_int_equal(result, -ESRCH);
	assert_int_equal(user_lookups_find(lookups, &nobody_there, &found), -ESRCH);
}

/* All are answered by one process; who has gone is not. */
static void test_several_wait(void **state)
{
	int results[3] = { NOT_YET, NOT_YET, NOT_YET };
	struct user_waiter waiters[3];

	for (size_t i = 0; i < ARRAY_SIZE(waiters); i++) {
		waiters[i] = (struct user_waiter){ .answered = answered, .data = &results[i] };
		assert_int_equal(user_lookups_ask(lookups, &by_uid, &waiters[i]), 0);
	}
	list_unlink(&waiters[1].link);
	while (results[2] == NOT_YET)
		assert_true(sd_event_run(loop, UINT64_MAX) >= 0);
	assert_int_equal(results[0], 0);
	assert_int_equal(results[1], NOT_YET);
}

/* Those that are known make room, those that are being asked for do not. */
static void test_so_many(void **state)
{
	static struct user_waiter waiters[USER_LOOKUPS_MAX + 1];
	static int ignored;

	ask(&by_uid);
	for (size_t i = 0; i < ARRAY_SIZE(waiters); i++) {
		char name[32];

		snprintf(name, sizeof(name), "no-such-user-%zu", i);
		waiters[i] = (struct user_waiter){ .answered = answered, .data = &ignored };
		assert_int_equal(
			user_lookups_ask(lookups, &(struct user_key){ .name = name }, &waiters[i]),
			i < USER_LOOKUPS_MAX ? 0 : -EBUSY);
	}
	assert_int_equal(user_lookups_find(lookups, &by_uid, &found), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_users, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_is_in_no_such_group, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_several_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_so_many, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
