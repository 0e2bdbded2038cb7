/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets in which files were left that nobody can close in time: TCP sockets that linger, since
 * their other end does not read.
 */
#include "tests/unit/unit.h"
#include "vmms/base/plain_socket.h"
#include "vmms/image/resources.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT 30 /* seconds; the sockets linger for longer */
#define LINGER  600
#define OWNER   "owner"

static sd_event *loop;
static struct helpers *helpers;
static int far; /* of the socket that lingers */

static int set_up(void **state)
{
	far = -1;
	alarm(TIMEOUT);
	if (sd_event_new(&loop) < 0)
		return -1;
	return helpers_new(loop, &helpers);
}

static int tear_down(void **state)
{
	close_fdp(&far);
	helpers_free(helpers);
	sd_event_unref(loop);
	while (waitpid(-1, NULL, 0) > 0)
		;
	alarm(0);
	return 0;
}

static int lingering_socket(void)
{
	const struct linger linger = { 1, LINGER };
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	static const char bytes[65536];
	AUTO_CLOSE int listener = socket(AF_INET, SOCK_STREAM, 0);
	int near = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(connect(near, (struct sockaddr *)&address, size), 0);
	far = accept(listener, NULL, NULL);
	assert_true(far >= 0);
	assert_int_equal(setsockopt(near, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(near, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	return near;
}

/* Such a socket is in it, and nowhere else. Return: our end. */
static int socket_with_file(void)
{
	AUTO_CLOSE int file = lingering_socket();
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(helper_pass(pair[1], file), 0);
	close(pair[1]);
	return pair[0];
}

/* A process that ends does not linger. */
static void wait_for_processes(void)
{
	while (helpers_count_stuck(helpers, NULL) > 0)
		sd_event_run(loop, UINT64_MAX);
}

static void test_a_socket_is_closed(void **state)
{
	plain_socket_close(helpers, OWNER, socket_with_file());
	assert_int_equal(helpers_count_stuck(helpers, OWNER), 1);
	wait_for_processes();
}

static void test_what_is_no_socket_is_closed(void **state)
{
	int fds[3] = { -1, -1, -1 };

	assert_int_equal(pipe(fds), 0);
	plain_sockets_let_go(helpers, OWNER, fds, 3);
	assert_int_equal(fds[0], -1);
	assert_int_equal(fds[1], -1);
	assert_int_equal(helpers_count_stuck(helpers, NULL), 0);
}

/* Of many, all are closed by one process. */
static void test_sockets_of_a_start(void **state)
{
	struct resources resources = { .helpers = helpers, .whose = OWNER };
	int pair[2];

	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		resources_add(&resources, "", pair[0]);
		resources_add(&resources, "", pair[1]);
	}
	resources_add(&resources, "", socket_with_file());
	resources_deinit(&resources);
	assert_int_equal(resources.count, 0);
	assert_int_equal(helpers_count_stuck(helpers, OWNER), 1);
	wait_for_processes();
}

static void test_other_copies_go_on(void **state)
{
	int pair[2], copy;
	char byte = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	copy = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
	plain_sockets_let_go(helpers, OWNER, pair, 1);
	assert_int_equal(send(copy, "x", 1, 0), 1);
	assert_int_equal(recv(pair[1], &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
	close(copy);
	/* The end is seen when the process has gone, too. */
	assert_int_equal(recv(pair[1], &byte, 1, 0), 0);
	close(pair[1]);
	wait_for_processes();
}

/* Too many of the owner's have not ended: it stays open, until there is room. */
static void test_an_owner_who_has_too_many(void **state)
{
	int sockets[HELPERS_STUCK_MAX + 1], last;

	for (unsigned i = 0; i < HELPERS_STUCK_MAX; i++) {
		sockets[i] = socket_with_file();
		plain_sockets_let_go(helpers, OWNER, &sockets[i], 1);
		close_fdp(&far);
	}
	assert_true(helpers_are_stuck(helpers, OWNER));
	last = sockets[HELPERS_STUCK_MAX] = socket_with_file();
	plain_sockets_let_go(helpers, OWNER, &sockets[HELPERS_STUCK_MAX], 1);
	assert_int_equal(sockets[HELPERS_STUCK_MAX], -1);
	assert_true(fcntl(last, F_GETFD) >= 0);
	wait_for_processes();
	close_fdp(&far);
	close(last);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_socket_is_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_no_socket_is_closed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_sockets_of_a_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_copies_go_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_owner_who_has_too_many, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
