/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program that the client wants run. */
#include "guest-vsc/agent/program.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The ends that the program has: standard input, output and error. */
struct ends {
	int fds[3];
};

/* ---- In the new process ---- */

static void set_environment(const struct request *request, const struct passwd *user)
{
	clearenv();
	setenv("PATH", PATH, 1);
	setenv("HOME", user ? user->pw_dir : "/", 1);
	setenv("USER", user ? user->pw_name : "root", 1);
	setenv("LOGNAME", user ? user->pw_name : "root", 1);
	setenv("SHELL", user ? user->pw_shell : "/bin/sh", 1);
	if (request->term[0] != '\0')
		setenv("TERM", request->term, 1);
}

_Noreturn static void run(const struct request *request)
{
	const struct passwd *user = getpwuid(getuid());
	const char *shell = user && user->pw_shell[0] != '\0' ? user->pw_shell : "/bin/sh";
	int error;

	set_environment(request, user);
	if (chdir(user ? user->pw_dir : "/") < 0)
		(void)!chdir("/");
	if (request->count > 0)
		execvp(request->words[0], request->words);
	else
		execl(shell, shell, "-l", NULL);
	error = errno;
	fprintf(stderr, "vmms-guest-agent: cannot run '%s': %s\n",
		request->count > 0 ? request->words[0] : shell, strerror(error));
	_exit(error == ENOENT ? 127 : 126);
}

_Noreturn static void become_program(const struct request *request, const struct ends *ends)
{
	sigset_t none;

	setsid();
	for (int i = 0; i < 3; i++)
		if (dup2(ends->fds[i], i) < 0)
			_exit(126);
	if (request->terminal)
		(void)ioctl(0, TIOCSCTTY, 0);
	closefrom(3);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	run(request);
}

/* ---- Ends ---- */

static int make_terminal(const struct request *request, struct program *program, struct ends *ends)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

	if (master < 0)
		return -errno;
	program->input = program->output = master;
	if (grantpt(master) < 0 || unlockpt(master) < 0)
		return -errno;
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	for (int i = 0; i < 3; i++)
		ends->fds[i] = slave;
	program_resize(program, request->size);
	return 0;
}

static int make_pipes(struct program *program, struct ends *ends)
{
	int input[2], output[2], errors[2];

	if (pipe2(input, O_CLOEXEC) < 0)
		return -errno;
	ends->fds[0] = input[0];
	program->input = input[1];
	if (pipe2(output, O_CLOEXEC) < 0)
		return -errno;
	program->output = output[0];
	ends->fds[1] = output[1];
	if (pipe2(errors, O_CLOEXEC) < 0)
		return -errno;
	program->errors = errors[0];
	ends->fds[2] = errors[1];
	return 0;
}

static int set_nonblocking(const struct program *program)
{
	const int fds[] = { program->input, program->output, program->errors };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0 && fcntl(fds[i], F_SETFL, O_NONBLOCK) < 0)
			return -errno;
	return 0;
}

/* That a child stops is nothing to report. Return: a file that tells of its end, -errno. */
static int watch_children(void)
{
	const struct sigaction action = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP };
	sigset_t children;
	int fd;

	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	if (sigaction(SIGCHLD, &action, NULL) < 0 || sigprocmask(SIG_BLOCK, &children, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &children, SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int program_start(const struct request *request, struct program *ret_program)
{
	struct program program = {
		.end = -1, .input = -1, .output = -1, .errors = -1, .terminal = request->terminal
	};
	struct ends ends = { { -1, -1, -1 } };
	int r;

	/* What is left open upon a failure goes with us. */
	r = request->terminal ? make_terminal(request, &program, &ends)
			      : make_pipes(&program, &ends);
	if (r == 0)
		r = set_nonblocking(&program);
	if (r == 0)
		r = program.end = watch_children();
	if (r < 0)
		return r;
	program.pid = fork();
	if (program.pid < 0)
		return -errno;
	if (program.pid == 0)
		become_program(request, &ends);
	close(ends.fds[0]);
	if (!request->terminal) {
		close(ends.fds[1]);
		close(ends.fds[2]);
	}
	*ret_program = program;
	return 0;
}

/* ---- While it runs ---- */

void program_resize(const struct program *program, struct exec_size size)
{
	const struct winsize window = { .ws_row = size.rows, .ws_col = size.columns };

	if (program->terminal)
		(void)ioctl(program->output, TIOCSWINSZ, &window);
}

void program_signal(const struct program *program, int number)
{
	(void)kill(-program->pid, number);
}

/* To a terminal it is said as on one: by the character for it. */
void program_end_input(struct program *program)
{
	static const char end_of_file = 'D' - '@';

	if (program->input < 0)
		return;
	if (program->terminal)
		(void)!write(program->input, &end_of_file, 1);
	else
		close(program->input);
	program->input = -1;
}

int program_wait(const struct program *program)
{
	int status = 0;

	while (waitpid(program->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}
