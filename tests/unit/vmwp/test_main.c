/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the process of a worker ends: vmwp/main.c, whose main() is main_of_vmwp() here, in a child, with an
 * io_uring that fails when it is told to.
 */
#include "common/base/cleanup.h"
#include "common/control.h"
#include "tests/fake/control_pair.h"
#include "tests/unit/unit.h"
#include "vmwp/base/exit_status.h"
#include "vmwp/control/worker.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS 60000
#define NEVER      UINT32_MAX

int main_of_vmwp(int argc, char **argv);

/* ---- In the child ---- */

static unsigned waits_left; /* until the ring fails */

int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr)
{
	if (waits_left == 0)
		return -EBADFD;
	waits_left -= waits_left != NEVER;
	return __real_io_uring_submit_and_wait(ring, wait_nr);
}

void __real_worker_deinit(struct worker *worker);
void __wrap_worker_deinit(struct worker *worker);
void __wrap_worker_deinit(struct worker *worker)
{
	(void)!write(STDERR_FILENO, "freed\n", 6);
	__real_worker_deinit(worker);
}

static _Noreturn void be_worker(int socket, int error_fd, unsigned waits)
{
	char number[16], name[] = "vmwp", control[] = "--control-fd", unconfined[] = "--no-sandbox";
	char *arguments[] = { name, control, number, unconfined, NULL };

	snprintf(number, sizeof(number), "%d", socket);
	waits_left = waits;
	dup2(error_fd, STDERR_FILENO);
	close(error_fd);
	exit(main_of_vmwp(4, arguments));
}

/* ---- In the parent ---- */

struct fixture {
	pid_t pid;
	int socket, error_fd;
	char said[1024];
};

/* waits: so many times the loop waits; then its ring fails. */
static void start(struct fixture *f, unsigned waits)
{
	int sockets[2], errors[2];

	assert_int_equal(control_pair(sockets), 0);
	assert_int_equal(pipe(errors), 0);
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid == 0) {
		close(sockets[0]);
		close(errors[0]);
		be_worker(sockets[1], errors[1], waits);
	}
	close(sockets[1]);
	close(errors[1]);
	f->socket = sockets[0];
	f->error_fd = errors[0];
}

static void ask_for_status(struct fixture *f)
{
	struct control_message message;
	struct pollfd answered = { .fd = f->socket, .events = POLLIN };

	assert_int_equal(control_send_request(f->socket, 1, "status", NULL, NULL, 0), 0);
	assert_int_equal(poll(&answered, 1, TIMEOUT_MS), 1);
	if (control_receive(f->socket, &message) == 0)
		control_message_deinit(&message);
}

/* Return: its exit status. */
static int await_end(struct fixture *f)
{
	size_t size = 0;
	ssize_t n;
	int status;

	while ((n = read(f->error_fd, f->said + size, sizeof(f->said) - 1 - size)) > 0)
		size += (size_t)n;
	f->said[size] = '\0';
	close(f->error_fd);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	close_fdp(&f->socket);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_a_daemon_that_leaves(void **state)
{
	struct fixture f;

	start(&f, NEVER);
	ask_for_status(&f);
	close_fdp(&f.socket);
	assert_int_equal(await_end(&f), STATUS_OK);
	assert_non_null(strstr(f.said, "freed\n"));
}

/* What the kernel may still have of the worker's memory is left alone. */
static void test_a_loop_that_fails(void **state)
{
	for (unsigned waits = 0; waits < 2; waits++) {
		struct fixture f;

		start(&f, waits);
		if (waits > 0)
			ask_for_status(&f);
		assert_int_equal(await_end(&f), STATUS_ERROR);
		assert_non_null(strstr(f.said, "The event loop has failed: "
					       "File descriptor in bad state.\n"));
		assert_null(strstr(f.said, "freed\n"));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_daemon_that_leaves),
		cmocka_unit_test(test_a_loop_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
