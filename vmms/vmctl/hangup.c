/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of a vmctl whose standard output nobody can read any more. */
#include "vmms/vmctl/hangup.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void *hangup_wait(void *data)
{
	struct pollfd output = { .fd = STDOUT_FILENO };
	int r;

	do
		r = poll(&output, 1, -1);
	while (r < 0 && errno == EINTR);
	if (output.revents & (POLLERR | POLLHUP))
		(void)kill(getpid(), SIGINT);
	return NULL;
}

void hangup_watch(void)
{
	sigset_t all, before;
	pthread_t thread;

	if (!getenv(HANGUP_VARIABLE))
		return;
	/* What this starts is watched by this. */
	(void)unsetenv(HANGUP_VARIABLE);
	/* Signals are for the other thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, hangup_wait, NULL) == 0)
		(void)pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
