/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl's help, made from the table of commands. */
#include "vmms/vmctl/command.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 26 /* where descriptions of options begin */
#define HELP_GAP    2  /* columns, at least, before them */
#define HELP_WIDTH  78

/*
 * Words of text, from HELP_COLUMN to HELP_WIDTH, beside what has been printed of the line; below
 * it, if that leaves no gap. column: where the line has got to.
 */
static void help_print_wrapped(const char *text, int column)
{
	if (column > HELP_COLUMN - HELP_GAP)
		putchar('\n'), column = 0;
	while (*text != '\0') {
		int length = (int)strcspn(text, " ");

		if (column > HELP_COLUMN && column + 1 + length > HELP_WIDTH)
			putchar('\n'), column = 0;
		if (column > HELP_COLUMN)
			column += printf(" ");
		else
			column += printf("%*s", HELP_COLUMN - column, "");
		column += printf("%.*s", length, text);
		text += length + (text[length] == ' ');
	}
	putchar('\n');
}

static void help_print_options(const struct option_row *rows)
{
	for (; rows && rows->name; rows++) {
		int column = printf("  --%s%s%s", rows->name, rows->value ? " " : "",
				    rows->value ? rows->value : "");

		help_print_wrapped(rows->help, column);
	}
}

void command_print_help(const struct command *command)
{
	printf("usage: vmctl [OPTION]... %s %s%s\n\n%s\n", command->name,
	       command->options ? "[OPTION]... " : "", command->usage, command->summary);
	if (command->details)
		printf("\n%s\n", command->details);
	if (command->options) {
		puts("\noptions:");
		help_print_options(command->options);
	}
	puts("\noptions of all commands:");
	help_print_options(global_options);
}

static void help_print_commands(const char *group)
{
	size_t length = strlen(group);

	command_for_each (command) {
		int column;

		if (strncmp(command->name, group, length) != 0 ||
		    (length > 0 && command->name[length] != ' '))
			continue;
		column = printf("  %s %s", command->name, command->usage);
		help_print_wrapped(command->summary, column);
	}
}

/* The one command that a group has, or NULL if it has several. */
static const struct command *help_only_command(const char *group)
{
	const struct command *found = NULL;
	size_t length = strlen(group);

	command_for_each (command) {
		if (strncmp(command->name, group, length) != 0 || command->name[length] != ' ')
			continue;
		if (found)
			return NULL;
		found = command;
	}
	return found;
}

void command_print_group(const char *group)
{
	const struct command *only = help_only_command(group);

	if (only) {
		command_print_help(only);
		return;
	}
	printf("usage: vmctl [OPTION]... %s COMMAND [ARGUMENT]...\n\ncommands:\n", group);
	help_print_commands(group);
	puts("\noptions of all commands:");
	help_print_options(global_options);
}

void command_print_overview(void)
{
	puts("usage: vmctl [OPTION]... COMMAND [ARGUMENT]...\n\n"
	     "Manages virtual machines, through the service vmms.\n\ncommands:");
	help_print_commands("");
	puts("\noptions of all commands:");
	help_print_options(global_options);
	puts("\nExit status: 0 done, 1 failed, 2 wrong usage, 3 no such VM, 4 the VM is in a "
	     "state\n"
	     "where that cannot be, 5 vmms cannot be reached, 6 not permitted, 7 timed out.\n"
	     "'vmctl COMMAND --help' describes a command, vmctl(1) everything.");
}

enum status command_help(struct invocation *invocation)
{
	const char *const *words = invocation->arguments;
	const struct command *command;
	char name[COMMAND_NAME_MAX];

	if (invocation->argument_count == 0) {
		command_print_overview();
		return STATUS_OK;
	}
	if (invocation->argument_count == 1 && command_is_group(words[0])) {
		command_print_group(words[0]);
		return STATUS_OK;
	}
	snprintf(name, sizeof(name), "%s%s%s", words[0], words[1] ? " " : "",
		 words[1] ? words[1] : "");
	command = command_find(name);
	if (!command)
		return usage_error(invocation, "there is no command '%s'", name);
	command_print_help(command);
	return STATUS_OK;
}
