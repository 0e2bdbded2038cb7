/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl's help and completion, made from the table of commands. */
#include "vmms/vmctl/command.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 26 /* where descriptions of options begin */
#define HELP_WIDTH  78

/* Words of text, from HELP_COLUMN to HELP_WIDTH. column: where the line has got to. */
static void print_wrapped(const char *text, size_t column)
{
	while (*text != '\0') {
		size_t length = strcspn(text, " ");

		if (column < HELP_COLUMN || column + 1 + length > HELP_WIDTH) {
			if (column >= HELP_COLUMN)
				putchar('\n'), column = 0;
			printf("%*s", (int)(HELP_COLUMN - column), "");
			column = HELP_COLUMN;
		} else if (column > HELP_COLUMN) {
			putchar(' ');
			column++;
		}
		printf("%.*s", (int)length, text);
		column += length;
		text += length + (text[length] == ' ');
	}
	putchar('\n');
}

static void print_options(const struct option_row *rows)
{
	for (; rows && rows->name; rows++) {
		int column = printf("  --%s%s%s", rows->name, rows->value ? " " : "",
				    rows->value ? rows->value : "");

		if (column > HELP_COLUMN - 2)
			putchar('\n'), column = 0;
		print_wrapped(rows->help, (size_t)column);
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
		print_options(command->options);
	}
	puts("\noptions of all commands:");
	print_options(global_options);
}

static void print_commands(const char *group)
{
	size_t length = strlen(group);

	for (const struct command *command = commands; command->name; command++) {
		int column;

		if (strncmp(command->name, group, length) != 0 ||
		    (length > 0 && command->name[length] != ' '))
			continue;
		column = printf("  %s %s", command->name, command->usage);
		print_wrapped(command->summary, (size_t)column);
	}
}

void command_print_group(const char *group)
{
	printf("usage: vmctl [OPTION]... %s COMMAND [ARGUMENT]...\n\ncommands:\n", group);
	print_commands(group);
	puts("\noptions of all commands:");
	print_options(global_options);
}

void command_print_overview(void)
{
	puts("usage: vmctl [OPTION]... COMMAND [ARGUMENT]...\n\n"
	     "Manages virtual machines, through the service vmms.\n\ncommands:");
	print_commands("");
	puts("\noptions of all commands:");
	print_options(global_options);
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

/* ---- Completion for bash ---- */

static void print_option_names(const struct option_row *rows)
{
	for (; rows && rows->name; rows++)
		printf("--%s ", rows->name);
}

/* The options of a command whose value is of that kind, as alternatives of a pattern. */
static void print_alternatives(const struct option_row *rows, enum value_kind kind, bool *first)
{
	for (; rows && rows->name; rows++) {
		if (rows->kind != kind)
			continue;
		printf("%s--%s", *first ? "" : " | ", rows->name);
		*first = false;
	}
}

static void print_pattern(enum value_kind kind)
{
	bool first = true; /* every kind is that of some option */

	putchar('\t');
	print_alternatives(global_options, kind, &first);
	for (const struct command *command = commands; command->name; command++)
		print_alternatives(command->options, kind, &first);
	putchar(')');
}

static const char *kind_function(enum value_kind kind)
{
	switch (kind) {
	case VALUE_VM:
		return "_vmctl_vms";
	case VALUE_SWITCH:
		return "_vmctl_switches";
	case VALUE_FILE:
		return "_vmctl_files";
	case VALUE_NONE:
	case VALUE_TEXT:
		break;
	}
	return ":";
}

static void print_command_case(const struct command *command)
{
	printf("\t'%s')\n\t\toptions='", command->name);
	print_option_names(command->options);
	printf("'\n\t\tfirst=%s others=%s\n\t\t;;\n", kind_function(command->argument_kinds[0]),
	       kind_function(command->argument_kinds[1]));
}

static const char bash_begin[] =
	"# bash completion for vmctl; made by 'vmctl completion bash'\n"
	"_vmctl_vms() {\n"
	"\tCOMPREPLY+=($(compgen -W \"$(vmctl \"${bus[@]}\" list --names 2>/dev/null)\" -- "
	"\"$current\"))\n"
	"}\n"
	"_vmctl_switches() {\n"
	"\tCOMPREPLY+=($(compgen -W \"$(vmctl \"${bus[@]}\" switch list --names 2>/dev/null)\" -- "
	"\"$current\"))\n"
	"}\n"
	"_vmctl_files() {\n"
	"\tcompopt -o filenames\n"
	"\tCOMPREPLY+=($(compgen -f -- \"$current\"))\n"
	"}\n"
	"# What the value of an option is: file, text, or none if it takes no value.\n"
	"_vmctl_value() {\n"
	"\tcase $1 in\n";

static const char bash_middle[] =
	"\tesac\n"
	"}\n"
	"_vmctl() {\n"
	"\tlocal current=${COMP_WORDS[COMP_CWORD]} command='' arguments=0 options=''\n"
	"\tlocal first=: others=: bus=() i\n"
	"\tCOMPREPLY=()\n"
	"\tcase $(_vmctl_value \"${COMP_WORDS[COMP_CWORD - 1]}\") in\n"
	"\tfile) _vmctl_files && return ;;\n"
	"\tswitch) _vmctl_switches && return ;;\n"
	"\ttext) return ;;\n"
	"\tesac\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tcase ${COMP_WORDS[i]} in\n"
	"\t\t--address) bus+=(--address \"${COMP_WORDS[i + 1]}\") ;;\n"
	"\t\t--user | --system) bus+=(\"${COMP_WORDS[i]}\") ;;\n"
	"\t\t-*) ;;\n"
	"\t\t*) if [ -z \"$command\" ]; then command=${COMP_WORDS[i]}\n"
	"\t\t\telif [[ \" $_vmctl_groups \" == *\" $command \"* ]]; then command+=\" "
	"${COMP_WORDS[i]}\"\n"
	"\t\t\telse ((arguments++)); fi ;;\n"
	"\t\tesac\n"
	"\t\t[ -n \"$(_vmctl_value \"${COMP_WORDS[i]}\")\" ] && ((i++))\n"
	"\tdone\n"
	"\tcase $command in\n";

static const char bash_end[] =
	"\t[ -n \"$command\" ] && if ((arguments == 0)); then $first; else $others; fi\n"
	"\tCOMPREPLY+=($(compgen -W \"$options\" -- \"$current\"))\n"
	"}\n"
	"complete -F _vmctl vmctl\n";

/* Bytes of the first word of a command of two; 0: it has one. */
static size_t group_length(const struct command *command)
{
	const char *blank = strchr(command->name, ' ');

	return blank ? (size_t)(blank - command->name) : 0;
}

/* The commands of a group stand together in the table. */
static bool begins_group(const struct command *command)
{
	size_t length = group_length(command);

	return length > 0 &&
	       (command == commands || strncmp(command[-1].name, command->name, length + 1) != 0);
}

/* What can stand first: commands, and groups. */
static void print_first_words(bool groups_alone)
{
	for (const struct command *command = commands; command->name; command++) {
		if (begins_group(command))
			printf("%.*s ", (int)group_length(command), command->name);
		else if (!groups_alone && group_length(command) == 0)
			printf("%s ", command->name);
	}
}

static void print_group_case(const struct command *first)
{
	size_t length = group_length(first);

	printf("\t%.*s)\n\t\toptions='", (int)length, first->name);
	for (const struct command *command = first;
	     command->name && strncmp(command->name, first->name, length + 1) == 0; command++)
		printf("%s ", command->name + length + 1);
	puts("'\n\t\t;;");
}

static void print_bash(void)
{
	fputs(bash_begin, stdout);
	print_pattern(VALUE_FILE);
	puts(" echo file ;;");
	print_pattern(VALUE_SWITCH);
	puts(" echo switch ;;");
	print_pattern(VALUE_TEXT);
	puts(" echo text ;;");
	fputs(bash_middle, stdout);
	printf("\t'')\n\t\toptions='");
	print_first_words(false);
	puts("'\n\t\t;;");
	for (const struct command *command = commands; command->name; command++) {
		if (begins_group(command))
			print_group_case(command);
		print_command_case(command);
	}
	printf("\tesac\n\toptions+=' ");
	print_option_names(global_options);
	puts("'");
	fputs(bash_end, stdout);
	printf("_vmctl_groups='");
	print_first_words(true);
	puts("'");
}

enum status command_completion(struct invocation *invocation)
{
	if (strcmp(invocation->arguments[0], "bash") != 0)
		return usage_error(invocation, "there is no completion for '%s'; there is for bash",
				   invocation->arguments[0]);
	print_bash();
	return STATUS_OK;
}
