/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting a program with a clean slate.
 *
 * The daemon has one thread, so that the child may do as it likes between fork(2) and execv(2).
 */
#include "vmms/spawn.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define FIRST_MORE_FD 4
#define FIRST_FREE_FD (FIRST_MORE_FD + SPAWN_MORE_MAX) /* above all that have a number */

/* Moves the descriptors out of the way of the numbers they will get, which then are theirs. */
static int place_descriptors(const struct spawn *spawn)
{
	int null = open("/dev/null", O_RDONLY);
	int sources[FIRST_FREE_FD] = { null, spawn->output, spawn->error, spawn->passed };
	int count = spawn->passed < 0 ? 3 : FIRST_MORE_FD;

	for (size_t i = 0; spawn->passed >= 0 && i < spawn->more_count && count < FIRST_FREE_FD;
	     i++)
		sources[count++] = spawn->more[i];
	for (int i = 0; i < count; i++) {
		sources[i] = fcntl(sources[i], F_DUPFD, FIRST_FREE_FD);
		if (sources[i] < 0)
			return -errno;
	}
	for (int i = 0; i < count; i++) {
		if (dup2(sources[i], i) < 0)
			return -errno;
	}
	return close_range((unsigned)count, ~0u, 0) < 0 ? -errno : 0;
}

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

_Noreturn static void run_child(const struct spawn *spawn, pid_t parent)
{
	int r;

	/* A session of its own: ^C in the daemon's terminal is not meant for it. */
	setsid();
	if (!spawn->outlives && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent))
		_exit(127);
	r = place_descriptors(spawn);
	if (r == 0 && spawn->directory && chdir(spawn->directory) < 0)
		r = -errno;
	reset_signals();
	if (r == 0) {
		execve(spawn->arguments[0], (char *const *)spawn->arguments,
		       spawn->environment ? spawn->environment : environ);
		r = -errno;
	}
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", spawn->arguments[0], strerror(-r));
	_exit(127);
}

int spawn_program(const struct spawn *spawn, pid_t *ret_pid, int *ret_pidfd)
{
	pid_t parent = getpid(), pid;
	int pidfd;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_child(spawn, parent);
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		int r = -errno;

		kill(pid, SIGKILL);
		return r;
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

const char *spawn_signal_name(int signal)
{
	static _Thread_local char name[16];
	const char *abbreviation = sigabbrev_np(signal);

	if (!abbreviation)
		return "";
	snprintf(name, sizeof(name), "SIG%s", abbreviation);
	return name;
}
