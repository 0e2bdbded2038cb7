/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard of an image server: it shuts the program in, opens its files for it, and watches its
 * connection.
 *
 * It runs in a program that is not ours, whose C library it shares: it stands between that and
 * three functions, and keeps no state but the connection.
 */
#include "vmms/image/guard/image_guard.h"

#include "common/base/isolate.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORTED   __attribute__((visibility("default")))
#define FIRST_FREE (IMAGE_GUARD_FILES + IMAGE_GUARD_FILES_MAX) /* above all it was started with */

/* What the C library has, which its headers do not declare. */
int __libc_start_main(int (*run)(int, char **, char **), int argc, char **argv, void (*init)(void),
		      void (*fini)(void), void (*rtld_fini)(void), void *stack_end);

/* ---- Its files ---- */

EXPORTED int open64(const char *path, int flags, ...)
{
	for (int i = 0; i < IMAGE_GUARD_FILES_MAX; i++) {
		char name[sizeof(IMAGE_GUARD_PATH) + 12];

		snprintf(name, sizeof(name), "%s%d", IMAGE_GUARD_PATH, i);
		if (strcmp(path, name) == 0)
			return fcntl(IMAGE_GUARD_FILES + i, F_DUPFD_CLOEXEC, FIRST_FREE);
	}
	errno = ENOENT; /* as in the empty root */
	return -1;
}

EXPORTED int open(const char *path, int flags, ...)
{
	return open64(path, flags);
}

/* ---- Its connection ---- */

static void *guard_watch(void *data)
{
	struct pollfd poll_fd = { .fd = *(const int *)data, .events = POLLRDHUP };

	while (poll(&poll_fd, 1, -1) < 0 && errno == EINTR)
		;
	(void)kill(getpid(), SIGTERM);
	return NULL;
}

/* There is one client, who is there from the beginning. Without a watch the daemon ends it. */
EXPORTED int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	static int connection = -1;
	int (*next)(int, struct sockaddr *, socklen_t *, int) =
		(int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");
	int accepted = next(fd, address, size, flags);
	pthread_t thread;

	if (accepted < 0 || connection >= 0)
		return accepted;
	connection = fcntl(accepted, F_DUPFD_CLOEXEC, FIRST_FREE);
	if (connection >= 0 && pthread_create(&thread, NULL, guard_watch, &connection) == 0)
		pthread_detach(thread);
	return accepted;
}

/* ---- The beginning ---- */

static void guard_fail(const char *what, int error)
{
	dprintf(STDERR_FILENO, "the image server cannot be shut in: %s: %s\n", what,
		strerror(-error));
	_exit(1);
}

static void guard_shut_in(void)
{
	int error, r;

	close(IMAGE_GUARD_LIBRARY);
	r = isolate_process(ISOLATE_SAME_USER, &error);
	if (r == ISOLATE_E_USER || r == ISOLATE_E_PRIVILEGES)
		guard_fail("its privileges", error);
	if (r == ISOLATE_E_NAMESPACES)
		guard_fail("this host gives it no namespaces", error);
	r = image_guard_limit_calls();
	if (r < 0)
		guard_fail("its system calls", r);
}

EXPORTED int __libc_start_main(int (*run)(int, char **, char **), int argc, char **argv,
			       void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
			       void *stack_end)
{
	__typeof__(__libc_start_main) *next =
		(__typeof__(__libc_start_main) *)dlsym(RTLD_NEXT, "__libc_start_main");

	guard_shut_in();
	return next(run, argc, argv, init, fini, rtld_fini, stack_end);
}
