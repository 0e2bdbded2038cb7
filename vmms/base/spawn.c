/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting a program with a clean slate.
 *
 * The daemon has one thread, so that the child may do as it likes between fork(2) and execv(2).
 */
#include "vmms/base/spawn.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_MORE_FD 4
#define FIRST_FREE_FD (FIRST_MORE_FD + SPAWN_MORE_MAX) /* above all that have a number */

/* They get the lowest numbers that are free, in their order. */
static int spawn_take_sent(int socket, size_t count)
{
	union {
		char space[CMSG_SPACE(SPAWN_MORE_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.space,
				  .msg_controllen = sizeof(control.space) };
	ssize_t size;

	do
		size = recvmsg(socket, &message, 0);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return -errno;
	if (size == 0 || message.msg_controllen < CMSG_LEN(count * sizeof(int)))
		return -EPIPE; /* whoever had them has ended */
	return close(socket) < 0 ? -errno : 0;
}

/* Moves the descriptors out of the way of the numbers they will get, which then are theirs. */
static int spawn_place_descriptors(const struct spawn *spawn)
{
	int null = open("/dev/null", O_RDONLY);
	int sources[FIRST_FREE_FD] = { null, spawn->output, spawn->error, spawn->passed };
	int count = spawn->passed < 0 ? 3 : FIRST_MORE_FD;
	bool more = spawn->passed >= 0, sent = more && spawn->sent_count > 0;

	for (size_t i = 0; more && i < spawn->more_count && count < FIRST_FREE_FD; i++)
		sources[count++] = spawn->more[i];
	for (int i = 0; i < count; i++) {
		sources[i] = fcntl(sources[i], F_DUPFD, FIRST_FREE_FD + 1);
		if (sources[i] < 0)
			return -errno;
	}
	if (sent && dup2(spawn->sender, FIRST_FREE_FD) < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		if (dup2(sources[i], i) < 0)
			return -errno;
	}
	if ((count < FIRST_FREE_FD && close_range((unsigned)count, FIRST_FREE_FD - 1, 0) < 0) ||
	    close_range(sent ? FIRST_FREE_FD + 1 : FIRST_FREE_FD, ~0u, 0) < 0)
		return -errno;
	return sent ? spawn_take_sent(FIRST_FREE_FD, spawn->sent_count) : 0;
}

static void spawn_reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

/* Before the program's first instruction, and those of the libraries that it loads. */
static int spawn_become(uid_t user)
{
	if (user == 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 ||
	    setresuid(user, user, user) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/* ---- Its profile ---- */

/* A file that stands for the kernel's: only in builds whose daemon tests may disturb anyway. */
static const char *spawn_faked_profile_file(void)
{
#ifdef VMMS_FAULT_POINTS
	return getenv("VMMS_APPARMOR_FILE");
#else
	return NULL;
#endif
}

bool spawn_profile_is_faked(void)
{
	return spawn_faked_profile_file() != NULL;
}

/* While we are who we were: an unprivileged user may not leave its profile for another one. */
static int spawn_take_profile(const char *profile)
{
	const char *file = spawn_faked_profile_file();
	char order[256];
	int size = snprintf(order, sizeof(order), "exec %s", profile);

	if (size >= (int)sizeof(order))
		return -ENAMETOOLONG;
	AUTO_CLOSE int fd = open(file ? file : "/proc/self/attr/apparmor/exec",
				 O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, order, (size_t)size) == size ? 0 : -errno;
}

static int spawn_prepare(const struct spawn *spawn)
{
	int r = spawn_place_descriptors(spawn);

	if (r == 0 && spawn->profile)
		r = spawn_take_profile(spawn->profile);

	if (r == 0 && spawn->directory && chdir(spawn->directory) < 0)
		r = -errno;
	if (r == 0)
		r = spawn_become(spawn->user);
	if (r == 0 && spawn->needed && access(spawn->needed, R_OK) < 0)
		r = -errno;
	return r;
}

_Noreturn static void spawn_run_child(const struct spawn *spawn, pid_t parent)
{
	int r;

	/* A session of its own: ^C in the daemon's terminal is not meant for it. */
	setsid();
	if (!spawn->outlives && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent))
		_exit(127);
	r = spawn_prepare(spawn);
	spawn_reset_signals();
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
		return error_origin(-errno);
	if (pid == 0)
		spawn_run_child(spawn, parent);
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
