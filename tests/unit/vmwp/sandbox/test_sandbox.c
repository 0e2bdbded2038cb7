/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the sandbox's layers bite: each attempt is made in a process of its own, without a layer,
 * behind each of them alone, and behind all.
 */
#include "common/base/cleanup.h"
#include "common/base/loop_ring.h"
#include "tests/unit/unit.h"
#include "tests/unit/vmwp/sandbox/sandbox_attempts.h"
#include "vmwp/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER        70000 /* to become; nobody's */
#define STATUS_WALL 127   /* the layer cannot be put up */

struct layers {
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

static int make_ring(const struct layers *layers, struct io_uring *ring)
{
	return layers->limited_ring ? loop_ring_init(ring, 64) : io_uring_queue_init(64, ring, 0);
}

_Noreturn static void run(const struct layers *layers, attempt_fn try,
			  const struct surroundings *surroundings)
{
	struct failure failure = { 0 };
	struct io_uring ring;

	alarm(60);
	if (layers->unprivileged && geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(USER, USER, USER) < 0 ||
	     setresuid(USER, USER, USER) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0))
		_exit(STATUS_WALL);
	if (make_ring(layers, &ring) < 0)
		_exit(STATUS_WALL);
	if (layers->put_up && layers->put_up(&failure) != 0) {
		dprintf(STDERR_FILENO, "%s\n", failure.message);
		_exit(STATUS_WALL);
	}
	_exit(try(surroundings, &ring));
}

/* Return: 0, KILLED or an errno. */
static int make_attempt(const struct layers *layers, attempt_fn try,
			const struct surroundings *surroundings)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		run(layers, try, surroundings);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGSYS);
		return KILLED;
	}
	assert_int_not_equal(WEXITSTATUS(status), STATUS_WALL);
	return WEXITSTATUS(status);
}

static void expect(const struct attempt *attempt, const struct layers *layers, int expected,
		   const struct surroundings *surroundings)
{
	int found = make_attempt(layers, attempt->try, surroundings);

	if (found != expected)
		fail_msg("%s: %d (%s), not %d", attempt->name, found,
			 found < 0 ? "killed" : strerror(found), expected);
}

static void test_without_layers_all_succeeds(void **state)
{
	const struct layers none = { 0 };

	for (size_t i = 0; i < attempts_count; i++)
		expect(&attempts[i], &none, 0, *state);
}

static void test_isolation(void **state)
{
	const struct layers isolation = { .put_up = isolate };

	for (size_t i = 0; i < attempts_count; i++)
		if (!attempts[i].by_user || geteuid() == 0)
			expect(&attempts[i], &isolation, attempts[i].isolated, *state);
}

/* The other way to namespaces. */
static void test_isolation_without_privileges(void **state)
{
	const struct layers isolation = { .put_up = isolate, .unprivileged = true };

	for (size_t i = 0; i < attempts_count; i++)
		if (!attempts[i].by_user)
			expect(&attempts[i], &isolation, attempts[i].isolated, *state);
}

static void test_limited_calls(void **state)
{
	const struct layers calls = { .put_up = sandbox_limit_calls };

	for (size_t i = 0; i < attempts_count; i++)
		expect(&attempts[i], &calls, attempts[i].limited, *state);
}

static void test_limited_ring(void **state)
{
	const struct layers ring = { .limited_ring = true };

	for (size_t i = 0; i < attempts_count; i++)
		if (strncmp(attempts[i].name, "ring_", 5) == 0)
			expect(&attempts[i], &ring, EACCES, *state);
}

static void test_behind_all_layers_nothing_succeeds(void **state)
{
	const struct layers all = { .put_up = enter, .limited_ring = true };

	for (size_t i = 0; i < attempts_count; i++)
		if (make_attempt(&all, attempts[i].try, *state) == 0)
			fail_msg("%s succeeds", attempts[i].name);
}

static void test_work_goes_on_behind_all_layers(void **state)
{
	const struct layers all = { .put_up = enter, .limited_ring = true };

	assert_int_equal(make_attempt(&all, attempt_to_work, *state), 0);
}

static int ring_result(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int result;

	if (io_uring_submit(ring) != 1 || io_uring_wait_cqe(ring, &cqe) != 0)
		return EIO;
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result < 0 ? -result : 0;
}

static int ring_write(struct io_uring *ring, int fd, uint64_t offset)
{
	io_uring_prep_write(io_uring_get_sqe(ring), fd, "x", 1, offset);
	return ring_result(ring);
}

static int ring_allocate(struct io_uring *ring, int fd, uint64_t offset, uint64_t size)
{
	io_uring_prep_fallocate(io_uring_get_sqe(ring), fd, 0, (off_t)offset, (off_t)size);
	return ring_result(ring);
}

/* Behind all layers, with a limit as the daemon sets it: an image of `size` bytes at fd. */
_Noreturn static void try_to_grow(int image, rlim_t size, int tried, int go)
{
	struct rlimit limit = { size, RLIM_INFINITY };
	struct failure failure = { 0 };
	struct io_uring ring;
	char byte;

	alarm(60);
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &limit) < 0 ||
	    loop_ring_init(&ring, 64) < 0 || sandbox_enter(SANDBOX_SAME_USER, &failure) != 0)
		_exit(STATUS_WALL);
	if (ring_write(&ring, image, size - 1) != 0)
		_exit(1);
	if (ring_write(&ring, image, size) != EFBIG)
		_exit(2);
	if (ring_allocate(&ring, image, size, 4096) != EFBIG)
		_exit(3);
	if (ftruncate(image, (off_t)size + 1) == 0 || errno != EFBIG)
		_exit(4);
	if (lseek(image, 0, SEEK_END) < 0 || write(image, "x", 1) >= 0 || errno != EFBIG)
		_exit(5);
	/* Until the daemon allows more, for a core file. */
	if (write(tried, "x", 1) != 1 || read(go, &byte, 1) != 1 ||
	    ring_write(&ring, image, size) != 0)
		_exit(6);
	/* By itself it cannot. */
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	_exit(7);
}

static void test_raw_images_do_not_grow(void **state)
{
	enum { SIZE = 8192 };
	char path[] = "/tmp/vmms-sandbox-image-XXXXXX";
	AUTO_CLOSE int image = mkostemp(path, O_CLOEXEC);
	struct rlimit more = { SIZE + 1, RLIM_INFINITY };
	struct stat status;
	int tried[2], go[2], end;
	pid_t child;
	char byte;

	assert_true(image >= 0);
	unlink(path);
	assert_int_equal(ftruncate(image, SIZE), 0);
	assert_int_equal(pipe(tried), 0);
	assert_int_equal(pipe(go), 0);
	child = fork();
	if (child == 0)
		try_to_grow(image, SIZE, tried[1], go[0]);
	close(tried[1]);
	close(go[0]);
	(void)!read(tried[0], &byte, 1); /* or it has ended, and says where */
	close(tried[0]);
	assert_int_equal(fstat(image, &status), 0);
	assert_int_equal(status.st_size, SIZE);
	assert_int_equal(prlimit(child, RLIMIT_FSIZE, &more, NULL), 0);
	(void)!write(go[1], "x", 1);
	assert_int_equal(waitpid(child, &end, 0), child);
	close(go[1]);
	if (!WIFSIGNALED(end))
		fail_msg("step %d", WEXITSTATUS(end));
	assert_int_equal(WTERMSIG(end), SIGSYS);
	assert_int_equal(fstat(image, &status), 0);
	assert_int_equal(status.st_size, SIZE + 1);
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
static void test_without_namespaces_it_does_not_go_on(void **state)
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
		if (sandbox_enter(SANDBOX_SAME_USER, &failure) >= 0)
			_exit(1);
		_exit(strstr(failure.message, "namespaces") ? 0 : 2);
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
		cmocka_unit_test(test_without_layers_all_succeeds),
		cmocka_unit_test(test_isolation),
		cmocka_unit_test(test_isolation_without_privileges),
		cmocka_unit_test(test_limited_calls),
		cmocka_unit_test(test_limited_ring),
		cmocka_unit_test(test_behind_all_layers_nothing_succeeds),
		cmocka_unit_test(test_work_goes_on_behind_all_layers),
		cmocka_unit_test(test_raw_images_do_not_grow),
		cmocka_unit_test(test_death_of_the_parent_is_still_told),
		cmocka_unit_test(test_another_user_is_refused_to_who_may_not),
		cmocka_unit_test(test_without_namespaces_it_does_not_go_on),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
