/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user's editor on a temporary file. */
#include "vmms/vmctl/editor.h"

#include "common/base/cleanup.h"
#include "vmms/vmctl/definition_text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUFFIX ".json" /* by which editors know how to show it */

static const char *editor_choose(void)
{
	static const char *const variables[] = { "VISUAL", "EDITOR" };

	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		const char *value = getenv(variables[i]);

		if (value && value[0] != '\0')
			return value;
	}
	return "editor";
}

static int editor_write_text(int fd, const char *text)
{
	FILE *file = fdopen(fd, "w");
	bool failed;

	if (!file) {
		close(fd);
		return -errno;
	}
	failed = fprintf(file, "%s\n", text) < 0;
	return fclose(file) != 0 || failed ? -EIO : 0;
}

int editor_begin(struct editor *ret_editor, const char *name, const char *text)
{
	const char *folder = getenv("TMPDIR");
	struct editor editor = { .command = editor_choose() };
	int fd, r;

	if (asprintf(&editor.path, "%s/%s-XXXXXX" SUFFIX, folder ? folder : "/tmp", name) < 0)
		return -ENOMEM;
	fd = mkostemps(editor.path, sizeof(SUFFIX) - 1, O_CLOEXEC);
	r = fd < 0 ? -errno : editor_write_text(fd, text);
	if (r < 0) {
		free(editor.path);
		return r;
	}
	*ret_editor = editor;
	return 0;
}

static void editor_run_shell(const struct editor *editor)
{
	AUTO_FREE char *command = NULL;

	if (asprintf(&command, "%s \"$1\"", editor->command) >= 0)
		execl("/bin/sh", "sh", "-c", command, "sh", editor->path, NULL);
	_exit(127);
}

/* Meanwhile ^C is the editor's alone. */
static int run(const struct editor *editor)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, interrupt, quit;
	int status = -1;
	pid_t pid;

	sigaction(SIGINT, &ignore, &interrupt);
	sigaction(SIGQUIT, &ignore, &quit);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		sigaction(SIGINT, &interrupt, NULL);
		sigaction(SIGQUIT, &quit, NULL);
		editor_run_shell(editor);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	sigaction(SIGINT, &interrupt, NULL);
	sigaction(SIGQUIT, &quit, NULL);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECANCELED;
}

int editor_run(struct editor *editor, char **ret_text)
{
	size_t length;
	char *text;
	int r;

	r = run(editor);
	if (r < 0)
		return r;
	text = definition_text_read(editor->path);
	if (!text)
		return -errno;
	length = strlen(text);
	if (length > 0 && text[length - 1] == '\n')
		text[length - 1] = '\0';
	*ret_text = text;
	return 0;
}

void editor_remove(struct editor *editor)
{
	unlink(editor->path);
}

void editor_deinit(struct editor *editor)
{
	free(editor->path);
}
