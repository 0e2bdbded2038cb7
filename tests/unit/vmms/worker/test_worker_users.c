/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The range of users: as text, and taking them. */
#include "tests/unit/unit.h"
#include "vmms/worker/worker_users.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Of a user that nobody has, but for one process that the test makes. */
static void test_processes(void **state)
{
	const uid_t user = WORKER_USERS_LAST;
	int pipes[2];
	pid_t pid;
	char byte;

	if (geteuid() != 0)
		skip();
	assert_false(worker_users_has_processes(user));
	assert_true(worker_users_has_processes(geteuid()));
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		byte = setresuid(user, user, user) == 0 && setsid() > 0;
		_exit(write(pipes[1], &byte, 1) == 1 ? pause() : 1);
	}
	assert_true(pid > 0);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	assert_true(worker_users_has_processes(user));
	assert_false(worker_users_has_processes(user - 1));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(worker_users_has_processes(user));
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_all_in_turn),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
