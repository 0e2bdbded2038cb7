/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the sandbox's walls bite: each attempt is made in a process of its own, without a wall,
 * behind each of them alone, and behind all.
 */
#include "common/base/loop_ring.h"
#include "tests/unit/unit.h"
#include "tests/unit/vmwp/sandbox_attempts.h"
#include "vmwp/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER        70000 /* to become; nobody's */
#define STATUS_WALL 127   /* the wall cannot be put up */

struct walls {
	bool unprivileged; /* begin as an ordinary user */
	bool limited_ring;
	int (*put_up)(struct failure *failure); /* NULL: none */
};

static uid_t user(void)
{
	return geteuid() == 0 ? USER : SANDBOX_SAME_USER;
}

static int isolate(struct failure *failure)
{
	return sandbox_isolate(user(), failure);
}

static int enter(struct failure *failure)
{
	return sandbox_enter(user(), failure);
}

static int make_ring(const struct walls *walls, struct io_uring *ring)
{
	return walls->limited_ring ? loop_ring_init(ring, 64) : io_uring_queue_init(64, ring, 0);
}

_Noreturn static void run(const struct walls *walls, attempt_fn try,
			  const struct surroundings *surroundings)
{
	struct failure failure = { 0 };
	struct io_uring ring;

	alarm(60);
	if (walls->unprivileged && geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(USER, USER, USER) < 0 ||
	     setresuid(USER, USER, USER) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0))
		_exit(STATUS_WALL);
	if (make_ring(walls, &ring) < 0)
		_exit(STATUS_WALL);
	if (walls->put_up && walls->put_up(&failure) != 0) {
		dprintf(STDERR_FILENO, "%s\n", failure.message);
		_exit(STATUS_WALL);
	}
	_exit(try(surroundings, &ring));
}

/* Return: 0, KILLED or an errno. */
static int make_attempt(const struct walls *walls, attempt_fn try,
			const struct surroundings *surroundings)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		run(walls, try, surroundings);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGSYS);
		return KILLED;
	}
	assert_int_not_equal(WEXITSTATUS(status), STATUS_WALL);
	return WEXITSTATUS(status);
}

static void expect(const struct attempt *attempt, const struct walls *walls, int expected,
		   const struct surroundings *surroundings)
{
	int found = make_attempt(walls, attempt->try, surroundings);

	if (found != expected)
		fail_msg("%s: %d (%s), not %d", attempt->name, found,
			 found < 0 ? "killed" : strerror(found), expected);
}

static void test_without_walls_all_succeeds(void **state)
{
	const struct walls none = { 0 };

	for (size_t i = 0; i < attempts_count; i++)
		expect(&attempts[i], &none, 0, *state);
}

static void test_isolation(void **state)
{
	const struct walls isolation = { .put_up = isolate };

	for (size_t i = 0; i < attempts_count; i++)
		if (!attempts[i].by_user || geteuid() == 0)
			expect(&attempts[i], &isolation, attempts[i].isolated, *state);
}

/* The other way to namespaces. */
static void test_isolation_without_privileges(void **state)
{
	const struct walls isolation = { .put_up = isolate, .unprivileged = true };

	for (size_t i = 0; i < attempts_count; i++)
		if (!attempts[i].by_user)
			expect(&attempts[i], &isolation, attempts[i].isolated, *state);
}

static void test_limited_calls(void **state)
{
	const struct walls calls = { .put_up = sandbox_limit_calls };

	for (size_t i = 0; i < attempts_count; i++)
		expect(&attempts[i], &calls, attempts[i].limited, *state);
}

static void test_limited_ring(void **state)
{
	const struct walls ring = { .limited_ring = true };

	for (size_t i = 0; i < attempts_count; i++)
		if (strncmp(attempts[i].name, "ring_", 5) == 0)
			expect(&attempts[i], &ring, EACCES, *state);
}

static void test_behind_all_walls_nothing_succeeds(void **state)
{
	const struct walls all = { .put_up = enter, .limited_ring = true };

	for (size_t i = 0; i < attempts_count; i++)
		if (make_attempt(&all, attempts[i].try, *state) == 0)
			fail_msg("%s succeeds", attempts[i].name);
}

static void test_work_goes_on_behind_all_walls(void **state)
{
	const struct walls all = { .put_up = enter, .limited_ring = true };

	assert_int_equal(make_attempt(&all, attempt_to_work, *state), 0);
}

static void test_death_of_the_parent_is_still_told(void **state)
{
	int status, signal = 0;
	pid_t child = fork();

	if (child == 0) {
		struct failure failure = { 0 };

		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (isolate(&failure) != 0 || prctl(PR_GET_PDEATHSIG, &signal) < 0)
			_exit(STATUS_WALL);
		_exit(signal);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SIGTERM);
}

static void test_another_user_is_refused_to_who_may_not(void **state)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct failure failure = { 0 };

		if (geteuid() == 0 && setresuid(USER, USER, USER) < 0)
			_exit(STATUS_WALL);
		_exit(sandbox_isolate(USER + 1, &failure) == -EPERM && failure.message[0] ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Who is locked into a folder gets no namespace of users; nor, as an ordinary user, any other. */
static void test_without_namespaces_it_goes_on(void **state)
{
	int status;
	pid_t child;

	if (geteuid() != 0)
		skip();
	child = fork();
	if (child == 0) {
		struct failure failure = { 0 };

		if (chroot("/tmp") < 0 || setresuid(USER, USER, USER) < 0)
			_exit(STATUS_WALL);
		if (sandbox_isolate(SANDBOX_SAME_USER, &failure) != SANDBOX_E_NAMESPACES ||
		    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
			_exit(1);
		_exit(failure.message[0] ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static int setup(void **state)
{
	static struct surroundings surroundings;

	surroundings_init(&surroundings);
	*state = &surroundings;
	return 0;
}

static int teardown(void **state)
{
	surroundings_deinit(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_walls_all_succeeds),
		cmocka_unit_test(test_isolation),
		cmocka_unit_test(test_isolation_without_privileges),
		cmocka_unit_test(test_limited_calls),
		cmocka_unit_test(test_limited_ring),
		cmocka_unit_test(test_behind_all_walls_nothing_succeeds),
		cmocka_unit_test(test_work_goes_on_behind_all_walls),
		cmocka_unit_test(test_death_of_the_parent_is_still_told),
		cmocka_unit_test(test_another_user_is_refused_to_who_may_not),
		cmocka_unit_test(test_without_namespaces_it_goes_on),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
