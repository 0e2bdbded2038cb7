/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pacemaker's command line tools. */
#include "vmms/vmctl/crm.h"

#include "common/base/cleanup.h"
#include "vmms/vmctl/remote_words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* out: standard output and nothing of standard error; -1: both as they are. */
static void crm_execute(const char *const *words, int out)
{
	if (out >= 0) {
		int null = open("/dev/null", O_WRONLY);

		if (dup2(out, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
			_exit(127);
	}
	execvp(words[0], (char *const *)words);
	if (out < 0)
		fprintf(stderr, "vmctl: %s cannot be run: %s; it is of pacemaker-cli-utils\n",
			words[0], strerror(errno));
	_exit(127);
}

static bool crm_await(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void crm_print(const char *const *words)
{
	char *line = NULL;
	size_t size;
	FILE *stream = open_memstream(&line, &size);

	if (!stream)
		return;
	for (size_t i = 0; words[i]; i++)
		remote_word_print(stream, words[i]);
	fclose(stream);
	puts(line);
	free(line);
}

enum status crm_run(const struct invocation *invocation, const char *const *words)
{
	pid_t pid;

	if (invocation_has(invocation, "dry-run")) {
		crm_print(words);
		return STATUS_OK;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		crm_execute(words, -1);
	return pid > 0 && crm_await(pid) ? STATUS_OK : STATUS_FAILED;
}

/* To the end, so that nobody writes into a closed pipe. */
static void crm_read_line(int fd, char answer[static CRM_ANSWER_MAX])
{
	char piece[CRM_ANSWER_MAX];
	size_t used = 0;
	ssize_t size;

	while ((size = read(fd, piece, sizeof(piece))) > 0 || (size < 0 && errno == EINTR)) {
		size_t taken = size > 0 ? (size_t)size : 0;

		if (taken > CRM_ANSWER_MAX - 1 - used)
			taken = CRM_ANSWER_MAX - 1 - used;
		memcpy(answer + used, piece, taken);
		used += taken;
	}
	answer[used] = '\0';
	answer[strcspn(answer, "\n")] = '\0';
}

bool crm_ask(const char *const *words, char answer[static CRM_ANSWER_MAX])
{
	int ends[2];
	pid_t pid;

	answer[0] = '\0';
	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	AUTO_CLOSE int ours = ends[0];
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		crm_execute(words, ends[1]);
	close(ends[1]);
	if (pid < 0)
		return false;
	crm_read_line(ours, answer);
	return crm_await(pid);
}

bool crm_is_here(void)
{
	char name[CRM_ANSWER_MAX];

	return crm_ask((const char *const[]){ "crm_node", "--name", NULL }, name) &&
	       name[0] != '\0';
}

enum status crm_node_name(char name[static CRM_ANSWER_MAX])
{
	if (crm_ask((const char *const[]){ "crm_node", "--name", NULL }, name) && name[0] != '\0')
		return STATUS_OK;
	fputs("vmctl: this host is no node of a cluster, or Pacemaker does not run here\n", stderr);
	return STATUS_NO_SERVICE;
}
