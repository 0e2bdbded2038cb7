/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands that vmctl runs on another host.
 *
 * Paths are that host's, but for files that come from whoever calls vmctl, or are made for them:
 * those are standard input and output of vmctl there, which is told "-".
 */
#include "vmms/vmctl/remote_command.h"

#include "common/base/cleanup.h"
#include "common/base/parse.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/public_keys.h"
#include "vmms/vmctl/remote.h"
#include "vmms/vmctl/remote_words.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With which options a command goes there that does not always. */
static const char *const by_option[][2] = {
	{ "start", "console" },
	{ "start", "pass" },
	{ "delete", "with-disks" },
};

bool remote_command_goes_there(const struct invocation *invocation)
{
	if (invocation->command->remote == REMOTE_THERE)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(by_option); i++) {
		if (strcmp(by_option[i][0], invocation->command->name) == 0 &&
		    invocation_has(invocation, by_option[i][1]))
			return true;
	}
	return false;
}

/* ---- What is the caller's ---- */

#define NO_ARGUMENT SIZE_MAX

struct far_command {
	struct invocation *invocation;
	int input, output;  /* of ssh */
	int file;           /* one of them, closed in the end; -1: none */
	const char *made;   /* path of that, if it is new; NULL: it is not */
	bool terminal;      /* there is to be one there, too */
	const char *option; /* whose values are a single "-" there; NULL: none */
	size_t argument;    /* likewise */
};

/* path: here and below what was given, or NULL. */
static enum status far_pass_input(struct far_command *far, const char *path)
{
	far->input = STDIN_FILENO;
	return STATUS_OK;
}

static enum status far_pass_terminal(struct far_command *far, const char *path)
{
	const struct invocation *invocation = far->invocation;

	/* Of start, which has no terminal otherwise. */
	if (strcmp(invocation->command->name, "console") != 0 &&
	    !invocation_has(invocation, "console"))
		return STATUS_OK;
	far->terminal = terminal_is_there() && !invocation_has(invocation, "log");
	return far_pass_input(far, path);
}

static enum status far_read_file(struct far_command *far, const char *path)
{
	if (!path)
		return STATUS_OK;
	if (strcmp(path, "-") == 0)
		return far_pass_input(far, path);
	far->file = far->input = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (far->file < 0)
		return usage_error(far->invocation, "cannot open '%s': %s", path, strerror(errno));
	return STATUS_OK;
}

/* Of keys that are the caller's own, as without a host; there they would be another's. */
static enum status far_read_keys(struct far_command *far, const char *path)
{
	enum status status = public_keys_gather(far->invocation, &far->file);

	if (far->file >= 0)
		far->input = far->file;
	else
		far->option = NULL;
	return status;
}

static enum status far_make_file(struct far_command *far, const char *path)
{
	if (!path || strcmp(path, "-") == 0)
		return STATUS_OK;
	/* What a guest has in its memory, or on its screen, is not for everybody. */
	far->file = far->output =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	if (far->file < 0 && errno == EEXIST)
		return usage_error(far->invocation,
				   "'%s' is there already; remove it, or name another", path);
	if (far->file < 0)
		return usage_error(far->invocation, "cannot make '%s': %s", path, strerror(errno));
	far->made = path;
	return STATUS_OK;
}

/* Files that the caller names, and standard input, where a command has such. */
static const struct own {
	const char *command, *option;
	size_t argument;
	enum status (*take)(struct far_command *far, const char *path);
} owns[] = {
	{ "console", NULL, NO_ARGUMENT, far_pass_terminal },
	{ "start", NULL, NO_ARGUMENT, far_pass_terminal },
	{ "connect", NULL, NO_ARGUMENT, far_pass_input },
	{ "receive", NULL, NO_ARGUMENT, far_pass_input },
	{ "create", "from", NO_ARGUMENT, far_read_file },
	{ "quick-create debian", "ssh-key", NO_ARGUMENT, far_read_keys },
	{ "copy", NULL, 0, far_read_file },
	{ "dump", NULL, 1, far_make_file },
	{ "screenshot", "image", NO_ARGUMENT, far_make_file },
	{ "screenshot", "output", NO_ARGUMENT, far_make_file },
};

/* Of a screenshot, which has two files, that which is given, or the last. */
static bool far_has_own(const struct invocation *invocation, const struct own *own)
{
	return strcmp(own->command, invocation->command->name) == 0 &&
	       (!own->option || strcmp(own->option, "image") != 0 ||
		invocation_has(invocation, "image"));
}

static enum status far_take_own(struct far_command *far)
{
	const struct invocation *invocation = far->invocation;
	const struct own *own = owns;

	while (own < owns + ARRAY_SIZE(owns) && !far_has_own(invocation, own))
		own++;
	if (own == owns + ARRAY_SIZE(owns))
		return STATUS_OK;
	far->option = own->option;
	far->argument = own->argument;
	return own->take(far, own->option ? invocation_value(invocation, own->option)
			      : own->argument < invocation->argument_count
				      ? invocation->arguments[own->argument]
				      : NULL);
}

/* ---- The command line ---- */

/* Options that are for this side, or that the beginning of the line has already. */
static bool far_keeps_option(const char *name)
{
	static const char *const kept[] = { "host", "user", "system", "address" };

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		if (strcmp(kept[i], name) == 0)
			return true;
	}
	return false;
}

static void far_print_option(FILE *line, const char *name, const char *value)
{
	AUTO_FREE char *word = NULL;

	if (asprintf(&word, "--%s%s%s", name, value ? "=" : "", value ?: "") < 0)
		word = NULL;
	remote_word_print(line, word ?: "");
}

static void far_print_options(const struct far_command *far, FILE *line)
{
	const struct invocation *invocation = far->invocation;

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *name = invocation->options[i].row->name;

		if (!far_keeps_option(name) && !(far->option && strcmp(far->option, name) == 0))
			far_print_option(line, name, invocation->options[i].value);
	}
	if (far->option && (far->file >= 0 || invocation_has(invocation, far->option)))
		far_print_option(line, far->option, "-");
}

/* Of copy: a folder has to be told what the file is called, which there it is not. */
static void far_print_destination(const struct far_command *far, const char *word, FILE *line)
{
	const char *file = far->invocation->arguments[0], *slash = strrchr(file, '/');
	size_t length = strlen(word);
	AUTO_FREE char *whole = NULL;

	if (length == 0 || word[length - 1] != '/' ||
	    asprintf(&whole, "%s%s", word, slash ? slash + 1 : file) < 0)
		whole = NULL;
	remote_word_print(line, whole ?: word);
}

static char *far_command(const struct far_command *far)
{
	const struct invocation *invocation = far->invocation;
	bool copies = strcmp(invocation->command->name, "copy") == 0;
	const char *name = invocation->command->name;
	AUTO_FREE char *command = NULL;
	size_t size = 0;
	FILE *line = open_memstream(&command, &size);

	if (!line)
		return NULL;
	remote_print_vmctl(invocation, line);
	/* Words of the table, with nothing to be quoted. */
	fprintf(line, " %s", name);
	far_print_options(far, line);
	remote_word_print(line, "--");
	for (size_t i = 0; i < invocation->argument_count; i++) {
		if (i == far->argument)
			remote_word_print(line, "-");
		else if (copies && i == 1)
			far_print_destination(far, invocation->arguments[i], line);
		else
			remote_word_print(line, invocation->arguments[i]);
	}
	return fclose(line) == 0 ? TAKE_PTR(command) : NULL;
}

/* ---- The command ---- */

static void far_on_interrupt(int number)
{
}

static enum status far_run(struct far_command *far)
{
	AUTO_FREE char *command = far_command(far), *why = NULL;
	enum status status;
	pid_t pid;
	int r;

	/* ssh ends by it; what has been made here is to be removed. */
	if (far->made)
		sigaction(SIGINT, &(struct sigaction){ .sa_handler = far_on_interrupt }, NULL);
	r = command ? remote_start(far->invocation,
				   far->terminal ? REMOTE_USE_TERMINAL : REMOTE_USE_COMMAND,
				   command, far->input, far->output, &pid)
		    : -ENOMEM;
	if (r < 0) {
		fprintf(stderr, "vmctl: cannot run ssh: %s\n", strerror(-r));
		return STATUS_NO_SERVICE;
	}
	status = remote_wait(far->invocation, pid, "vmctl", &why);
	if (why)
		fprintf(stderr, "vmctl: %s\n", why);
	return status;
}

static enum status far_conclude(const struct far_command *far, enum status status)
{
	if (!far->made)
		return status;
	if (status != STATUS_OK)
		unlink(far->made);
	else if (strcmp(far->invocation->command->name, "dump") == 0)
		output_say(far->invocation, "VM '%s' dumped", far->invocation->arguments[0]);
	return status;
}

enum status remote_command_run(struct invocation *invocation)
{
	AUTO_CLOSE int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct far_command far = { .invocation = invocation,
				   .input = nothing,
				   .output = STDOUT_FILENO,
				   .file = -1,
				   .argument = NO_ARGUMENT };
	enum status status = far_take_own(&far);

	if (status == STATUS_OK)
		status = far_conclude(&far, far_run(&far));
	close_fdp(&far.file);
	return status;
}
