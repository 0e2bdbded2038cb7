/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ssh to the host of whose VMs a command is.
 *
 * ssh ends with vmctl, and by itself when its standard input does. What it says of connections it
 * says itself; of the command that it runs there is an exit status: 255 is ssh's own, 127 that of a
 * shell, or of env(1), which finds no such program.
 */
#include "vmms/vmctl/remote.h"

#include "common/base/cleanup.h"
#include "vmms/vmctl/hangup.h"
#include "vmms/vmctl/remote_words.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST_VARIABLE  "VMMS_HOST"
#define BRIDGE         "systemd-stdio-bridge"
#define STATUS_NO_SSH  255
#define STATUS_NO_FILE 127
#define END_TIMEOUT    5000 /* milliseconds */

/* ---- Which host ---- */

bool remote_is_named(const struct invocation *invocation)
{
	return invocation->host.destination[0] != '\0';
}

enum status remote_read_host(struct invocation *invocation)
{
	const char *option = invocation_value(invocation, "host");
	const char *text = option ? option : getenv(HOST_VARIABLE);

	/* An empty one is this host, whatever the environment says. */
	if (!text || text[0] == '\0' || remote_host_parse(text, &invocation->host) == 0)
		return STATUS_OK;
	return usage_error(invocation, "%s must be [USER@]HOST or [USER@]HOST:PORT, not '%s'",
			   option ? "--host" : HOST_VARIABLE, text);
}

/* ---- ssh ---- */

/* One that gives no answer is given up: nobody may be there to do so. */
static const char *const limits[] = { "-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=30" };
/* Its farewell is left out, and keys are the guest's. */
static const char *const with_terminal[] = { "-t", "-e", "none", "-o", "LogLevel=ERROR" };

#define SSH_WORDS_MAX 24

/* Of the words nothing is copied. */
static void remote_fill_words(const struct invocation *invocation, enum remote_use use,
			      const char *command, const char *words[static SSH_WORDS_MAX])
{
	size_t count = 0;

	words[count++] = "ssh";
	words[count++] = "-x";
	if (use != REMOTE_USE_TERMINAL)
		words[count++] = "-T";
	for (size_t i = 0; use == REMOTE_USE_TERMINAL && i < ARRAY_SIZE(with_terminal); i++)
		words[count++] = with_terminal[i];
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		words[count++] = limits[i];
	if (invocation_has(invocation, "no-ask-password")) {
		words[count++] = "-o";
		words[count++] = "BatchMode=yes";
	}
	if (invocation->host.port[0] != '\0') {
		words[count++] = "-p";
		words[count++] = invocation->host.port;
	}
	words[count++] = "--";
	words[count++] = invocation->host.destination;
	words[count++] = command;
	words[count] = NULL;
}

/* parent: whom it ends with. failure: a descriptor that takes the errno of an execve(2). */
static void remote_execute(const char *const words[], enum remote_use use, int input, int output,
			   int failure, pid_t parent)
{
	int error;

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(STATUS_FAILED);
	/* What vmctl makes of an interrupt may need the connection; ssh heeds that it is ignored. */
	if (use == REMOTE_USE_CONNECTION) {
		signal(SIGINT, SIG_IGN);
		signal(SIGQUIT, SIG_IGN);
	}
	if (dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0)
		execvp("ssh", (char **)words);
	error = errno;
	(void)!write(failure, &error, sizeof(error));
	_exit(STATUS_FAILED);
}

int remote_start(const struct invocation *invocation, enum remote_use use, const char *command,
		 int input, int output, pid_t *ret_pid)
{
	const char *words[SSH_WORDS_MAX];
	pid_t pid, parent = getpid();
	int pipes[2], error;

	remote_fill_words(invocation, use, command, words);
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	AUTO_CLOSE int near = pipes[0];
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		remote_execute(words, use, input, output, pipes[1], parent);
	error = pid < 0 ? errno : 0;
	close(pipes[1]);
	if (pid < 0)
		return -error;
	if (read(near, &error, sizeof(error)) == sizeof(error)) {
		waitpid(pid, NULL, 0);
		return -error;
	}
	*ret_pid = pid;
	return 0;
}

/* NULL: there is nothing to say. */
static char *remote_explain(const struct invocation *invocation, int status, const char *program)
{
	char *why = NULL;
	int r = 0;

	if (status == STATUS_NO_SSH)
		r = asprintf(&why, "%s cannot be reached by ssh", invocation->host.destination);
	else if (status == STATUS_NO_FILE)
		r = asprintf(&why, "%s has no %s, which this takes there: install the package %s",
			     invocation->host.destination, program,
			     strcmp(program, BRIDGE) == 0 ? "systemd" : program);
	return r < 0 ? NULL : why;
}

enum status remote_wait(const struct invocation *invocation, pid_t pid, const char *program,
			char **ret_why)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*ret_why = NULL;
	if (!WIFEXITED(status))
		return STATUS_FAILED;
	status = WEXITSTATUS(status);
	*ret_why = remote_explain(invocation, status, program);
	return status == STATUS_NO_SSH || status == STATUS_NO_FILE ? STATUS_NO_SERVICE
								   : (enum status)status;
}

/* ---- Command lines ---- */

/* Which bus is that host's affair, unless an option names one. */
static void remote_print_bus(const struct invocation *invocation, const char *address_option,
			     FILE *line)
{
	const char *address = invocation_value(invocation, "address");

	if (invocation_has(invocation, "user"))
		remote_word_print(line, "--user");
	if (invocation_has(invocation, "system"))
		remote_word_print(line, "--system");
	if (address) {
		remote_word_print(line, address_option);
		remote_word_print(line, address);
	}
}

void remote_print_vmctl(const struct invocation *invocation, FILE *line)
{
	/* By env: shells differ in how they set variables. There it is that host's own vmms. */
	remote_word_print(line, "env");
	remote_word_print(line, HOST_VARIABLE "=");
	remote_word_print(line, HANGUP_VARIABLE "=1");
	if (terminal_shows_progress())
		remote_word_print(line, TERMINAL_PROGRESS_VARIABLE "=1");
	remote_word_print(line, "vmctl");
	remote_print_bus(invocation, "--address", line);
}

/* ---- The bus ---- */

static int remote_start_connection(const struct invocation *invocation, const char *command,
				   int *ret_fd, pid_t *ret_pid)
{
	int sockets[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	r = remote_start(invocation, REMOTE_USE_CONNECTION, command, sockets[1], sockets[1],
			 ret_pid);
	close(sockets[1]);
	if (r < 0)
		close(sockets[0]);
	else
		*ret_fd = sockets[0];
	return r;
}

/* The bus has fd then, also if this fails. */
static int remote_use_bus(struct invocation *invocation, int fd)
{
	const char *name;
	int r;

	r = sd_bus_new(&invocation->bus);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = sd_bus_set_fd(invocation->bus, fd, fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = sd_bus_set_bus_client(invocation->bus, true);
	/* The bridge takes sshd's sockets for some that pass descriptors. */
	if (r >= 0)
		r = sd_bus_negotiate_fds(invocation->bus, false);
	if (r >= 0)
		r = sd_bus_start(invocation->bus);
	return r < 0 ? r : sd_bus_get_unique_name(invocation->bus, &name);
}

static char *remote_bridge_command(const struct invocation *invocation)
{
	AUTO_FREE char *command = NULL;
	size_t size = 0;
	FILE *line = open_memstream(&command, &size);

	if (!line)
		return NULL;
	remote_word_print(line, BRIDGE);
	remote_print_bus(invocation, "--bus-path", line);
	return fclose(line) == 0 ? TAKE_PTR(command) : NULL;
}

/* It may take a moment to say why it has ended; one that goes on has had its time. */
static void remote_let_end(pid_t pid)
{
	AUTO_CLOSE int fd = pidfd_open(pid, 0);
	struct pollfd end = { .fd = fd, .events = POLLIN };

	if (poll(&end, 1, END_TIMEOUT) == 0)
		(void)kill(pid, SIGTERM);
}

enum status remote_open_bus(struct invocation *invocation, char *message, size_t size)
{
	AUTO_FREE char *command = remote_bridge_command(invocation), *why = NULL;
	pid_t pid;
	int fd, r;

	r = command ? remote_start_connection(invocation, command, &fd, &pid) : -ENOMEM;
	if (r < 0) {
		snprintf(message, size, "cannot run ssh: %s", strerror(-r));
		return STATUS_NO_SERVICE;
	}
	r = remote_use_bus(invocation, fd);
	if (r >= 0)
		return STATUS_OK;
	invocation->bus = sd_bus_close_unref(invocation->bus);
	remote_let_end(pid);
	(void)remote_wait(invocation, pid, BRIDGE, &why);
	snprintf(message, size, "%s%s", why ?: "cannot connect to the message bus of ",
		 why ? "" : invocation->host.destination);
	return STATUS_NO_SERVICE;
}

/* ---- Streams ---- */

static char *remote_stream_command(const struct invocation *invocation, const char *const words[])
{
	AUTO_FREE char *command = NULL;
	size_t size = 0;
	FILE *line = open_memstream(&command, &size);

	if (!line)
		return NULL;
	remote_print_vmctl(invocation, line);
	for (; *words; words++)
		remote_word_print(line, *words);
	return fclose(line) == 0 ? TAKE_PTR(command) : NULL;
}

enum status remote_stream_open(struct invocation *invocation, const char *const words[],
			       int *ret_fd)
{
	AUTO_FREE char *command = remote_stream_command(invocation, words);
	int r = command ? remote_start_connection(invocation, command, ret_fd, &invocation->stream)
			: -ENOMEM;

	if (r >= 0)
		return STATUS_OK;
	fprintf(stderr, "vmctl: cannot run ssh: %s\n", strerror(-r));
	return STATUS_NO_SERVICE;
}

enum status remote_stream_end(struct invocation *invocation)
{
	AUTO_FREE char *why = NULL;
	enum status status;

	if (invocation->stream <= 0)
		return STATUS_OK;
	status = remote_wait(invocation, invocation->stream, "vmctl", &why);
	invocation->stream = 0;
	if (why)
		fprintf(stderr, "vmctl: %s\n", why);
	return status;
}
