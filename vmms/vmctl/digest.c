/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The SHA-256 of a file here, and of one in a guest.
 *
 * In the guest it is a command of vmctl exec, run as a process, so that its output can be read. It
 * is a guest's: of all that it may be, 64 hexadecimal digits are taken, and nothing else.
 */
#include "vmms/vmctl/digest.h"

#include "common/base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIGITS (DIGEST_SIZE - 1)

extern char **environ;

/* A process with its standard output in a pipe. Return: 0, -errno. */
static int digest_start(const char *const words[], int input, pid_t *ret_process, int *ret_output)
{
	posix_spawn_file_actions_t actions;
	int pipes[2], r;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	r = posix_spawn_file_actions_init(&actions);
	if (r == 0) {
		r = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
		if (r == 0)
			r = posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
		if (r == 0)
			r = posix_spawnp(ret_process, words[0], &actions, NULL,
					 (char *const *)words, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	close(pipes[1]);
	if (r == 0)
		*ret_output = pipes[0];
	else
		close(pipes[0]);
	return -r;
}

/* To its end, whatever comes; the first bytes are kept. Return: how many there are. */
static size_t digest_read_beginning(int fd, char *bytes, size_t size)
{
	char rest[4096];
	size_t kept = 0;
	ssize_t n;

	do {
		n = kept < size ? read(fd, bytes + kept, size - kept)
				: read(fd, rest, sizeof(rest));
		if (n > 0 && kept < size)
			kept += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return kept;
}

static bool digest_is_digest(const char *bytes, size_t size)
{
	for (size_t i = 0; i < DIGITS; i++) {
		if (i >= size || !isxdigit((unsigned char)bytes[i]))
			return false;
	}
	return size > DIGITS && bytes[DIGITS] == ' ';
}

static int digest_wait_for(pid_t process)
{
	int status = 0;

	while (waitpid(process, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_FAILED;
}

static enum status digest_of(const char *const words[], int input, char text[static DIGEST_SIZE])
{
	char bytes[DIGITS + 1];
	int output, status;
	size_t size;
	pid_t process;
	int r = digest_start(words, input, &process, &output);

	if (r < 0) {
		fprintf(stderr, "vmctl: cannot run %s: %s\n", words[0], strerror(-r));
		return STATUS_FAILED;
	}
	size = digest_read_beginning(output, bytes, sizeof(bytes));
	close(output);
	status = digest_wait_for(process);
	if (status == 0 && !digest_is_digest(bytes, size)) {
		fprintf(stderr, "vmctl: sha256sum has told no checksum\n");
		status = STATUS_FAILED;
	}
	memcpy(text, bytes, DIGITS);
	text[DIGITS] = '\0';
	return (enum status)status;
}

enum status digest_of_file(int fd, char text[static DIGEST_SIZE])
{
	static const char *const words[] = { "sha256sum", NULL };

	(void)lseek(fd, 0, SEEK_SET);
	return digest_of(words, fd, text);
}

enum status digest_of_guest_file(struct invocation *invocation, const char *vm, const char *path,
				 char text[static DIGEST_SIZE])
{
	char program[PATH_MAX];
	const char *address;
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	AUTO_CLOSE int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int r = sd_bus_get_address(invocation->bus, &address);

	if (length < 0 || nothing < 0 || r < 0) {
		fprintf(stderr, "vmctl: cannot run vmctl exec\n");
		return STATUS_FAILED;
	}
	program[length] = '\0';
	/* By standard input: no name of a file is an option or gets a backslash then. */
	const char *const words[] = { program, "--address", address,
				      "exec",  vm,          "--",
				      "sh",    "-c",        "exec sha256sum <\"$1\"",
				      "sh",    path,        NULL };

	return digest_of(words, nothing, text);
}
