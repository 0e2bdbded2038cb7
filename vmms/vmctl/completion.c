/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl completion; and what the scripts for all shells are printed with. */
#include "vmms/vmctl/completion.h"

#include <stdio.h>
#include <string.h>

size_t completion_group_length(const struct command *command)
{
	const char *blank = strchr(command->name, ' ');

	return blank ? (size_t)(blank - command->name) : 0;
}

bool completion_is_in_group(const struct command *command, const struct command *first)
{
	size_t length = completion_group_length(first);

	return length > 0 && strncmp(command->name, first->name, length + 1) == 0;
}

bool completion_begins_group(const struct command *command)
{
	command_for_each (other) {
		if (completion_is_in_group(other, command))
			return other == command;
	}
	return false;
}

const char *completion_option_choices(const struct option_row *row, size_t *ret_length)
{
	*ret_length = strlen(row->value);
	return row->value;
}

const char *completion_argument_choices(const struct command *command, size_t *ret_length)
{
	*ret_length = strcspn(command->usage, " ");
	return command->usage;
}

void completion_print_choices(const char *choices, size_t length)
{
	for (size_t i = 0; i < length; i++)
		putchar(choices[i] == '|' ? ' ' : choices[i]);
}

void completion_print_quoted(const char *text, const char *backslash)
{
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			fputs("'\\'", stdout);
		else if (strchr(backslash, *text))
			putchar('\\');
		putchar(*text);
	}
}

enum status command_completion(struct invocation *invocation)
{
	static const struct {
		const char *shell;
		void (*print)(void);
	} shells[] = { { "bash", completion_print_bash },
		       { "fish", completion_print_fish },
		       { "zsh", completion_print_zsh } };

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (strcmp(shells[i].shell, invocation->arguments[0]) != 0)
			continue;
		shells[i].print();
		return STATUS_OK;
	}
	return usage_error(invocation,
			   "there is no completion for '%s'; there is for bash, fish and zsh",
			   invocation->arguments[0]);
}
