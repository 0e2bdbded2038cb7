/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pkttyagent(1), for one call of vmctl.
 *
 * It is in the process group of vmctl, so that it may read from the terminal and ^C ends it too.
 * That polkit knows it shows by the end of a pipe, which it closes then (--notify-fd).
 */
#include "vmms/vmctl/agent.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM       "pkttyagent"
#define START_TIMEOUT 30000 /* milliseconds; usually some ten */

bool agent_is_of_use(void)
{
	return geteuid() != 0 && isatty(STDIN_FILENO);
}

/* Its words are for the terminal, wherever those of vmctl go. */
static void agent_take_terminal(void)
{
	int terminal = open("/dev/tty", O_RDWR);

	if (terminal < 0)
		return;
	dup2(terminal, STDIN_FILENO);
	dup2(terminal, STDOUT_FILENO);
	dup2(terminal, STDERR_FILENO);
	if (terminal > STDERR_FILENO)
		close(terminal);
}

/* notify: a descriptor that is not closed by execve(2). parent: the process it is for. */
static void agent_execute(int notify, pid_t parent)
{
	char notify_text[16], parent_text[16];

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
	snprintf(notify_text, sizeof(notify_text), "%d", notify);
	snprintf(parent_text, sizeof(parent_text), "%d", parent);
	agent_take_terminal();
	execlp(PROGRAM, PROGRAM, "--notify-fd", notify_text, "--process", parent_text, "--fallback",
	       NULL);
	_exit(127);
}

/* It has the other end of the pipe no more: polkit knows it, or it has ended. */
static bool agent_wait_until_ready(int pipe)
{
	struct pollfd end = { .fd = pipe };
	int r;

	do
		r = poll(&end, 1, START_TIMEOUT);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

bool agent_start(pid_t *agent)
{
	pid_t parent = getpid();
	int pipes[2];

	if (*agent > 0 || pipe2(pipes, O_CLOEXEC) < 0)
		return false;
	AUTO_CLOSE int near = pipes[0];
	fflush(NULL);
	*agent = fork();
	if (*agent == 0) {
		(void)fcntl(pipes[1], F_SETFD, 0);
		agent_execute(pipes[1], parent);
	}
	close(pipes[1]);
	if (*agent < 0) {
		*agent = 0;
		return false;
	}
	if (agent_wait_until_ready(near) && waitpid(*agent, NULL, WNOHANG) == 0)
		return true;
	agent_end(agent);
	return false;
}

void agent_end(pid_t *agent)
{
	if (*agent <= 0)
		return;
	/* It puts the terminal back before it ends; one that is stopped has to go on for that. */
	(void)kill(*agent, SIGTERM);
	(void)kill(*agent, SIGCONT);
	while (waitpid(*agent, NULL, 0) < 0 && errno == EINTR)
		;
	*agent = 0;
}
