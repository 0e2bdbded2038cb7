/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Completion for zsh: for each command a line of its own for _arguments, which does the rest.
 */
#include "vmms/vmctl/completion.h"

#include <stdio.h>
#include <string.h>

#define IN_BRACKETS "[]\\:"

static const char begin[] =
	"#compdef vmctl\n"
	"# zsh completion for vmctl; made by 'vmctl completion zsh'\n"
	"\n"
	"_vmctl_names() {\n"
	"\tlocal -a names\n"
	"\tnames=(${(f)\"$(_call_program names vmctl --no-ask-password $vmctl_bus $* --names "
	"</dev/null 2>/dev/null)\"})\n"
	"\tcompadd -a names\n"
	"}\n"
	"_vmctl_vms() { _vmctl_names list }\n"
	"_vmctl_switches() { _vmctl_names switch list }\n"
	"_vmctl_cpu_groups() { _vmctl_names cpu-group list }\n"
	"\n";

/* The words before the cursor are whole here, and not in what _arguments calls for the rest. */
static const char main_function[] =
	"_vmctl() {\n"
	"\tlocal -a vmctl_bus\n"
	"\tlocal i\n"
	"\tfor ((i = 2; i < CURRENT; i++)); do\n"
	"\t\tcase $words[i] in\n"
	"\t\t\t(--user | --system | --address=* | --host=*) vmctl_bus+=($words[i]) ;;\n"
	"\t\t\t(--address | --host | -H) vmctl_bus+=($words[i] $words[i+1]) ;;\n"
	"\t\tesac\n"
	"\tdone\n"
	"\t_vmctl_commands\n"
	"}\n"
	"\n"
	"_vmctl \"$@\"\n";

static void zsh_print_kind(enum value_kind kind, const char *choices, size_t length)
{
	static const char *const actions[] = { [VALUE_NONE] = " ",
					       [VALUE_TEXT] = " ",
					       [VALUE_VM] = "_vmctl_vms",
					       [VALUE_SWITCH] = "_vmctl_switches",
					       [VALUE_CPU_GROUP] = "_vmctl_cpu_groups",
					       [VALUE_FILE] = "_files",
					       [VALUE_HOST] = "_hosts",
					       [VALUE_CHOICE] = "(" };

	fputs(actions[kind], stdout);
	if (kind == VALUE_CHOICE) {
		completion_print_choices(choices, length);
		putchar(')');
	}
}

/* name: with its dashes. */
static void zsh_print_option(const struct option_row *row, const char *name)
{
	size_t length;
	const char *choices;

	printf(" \\\n\t\t'%s%s%s[", row->value ? "*" : "", name,
	       row->value && name[1] == '-' ? "=" : "");
	completion_print_quoted(row->help, IN_BRACKETS);
	putchar(']');
	if (row->value) {
		choices = completion_option_choices(row, &length);
		putchar(':');
		completion_print_quoted(row->value, IN_BRACKETS);
		putchar(':');
		zsh_print_kind(row->kind, choices, length);
	}
	putchar('\'');
}

static void zsh_print_options(const struct option_row *rows)
{
	for (; rows && rows->name; rows++) {
		char name[COMMAND_NAME_MAX];

		snprintf(name, sizeof(name), "--%s", rows->name);
		zsh_print_option(rows, name);
		snprintf(name, sizeof(name), "-%c", option_letter(rows));
		if (option_letter(rows) != '\0')
			zsh_print_option(rows, name);
	}
}

static void zsh_print_argument(const struct command *command, const char *place,
			       enum value_kind kind)
{
	size_t length;
	const char *choices = completion_argument_choices(command, &length);

	if (kind == VALUE_NONE)
		return;
	printf(" \\\n\t\t'%s:", place);
	completion_print_quoted(command->usage, IN_BRACKETS);
	putchar(':');
	zsh_print_kind(kind, choices, length);
	putchar('\'');
}

/* What follows the words of a command. group: bytes of the first of them, or 0. */
static void zsh_print_case(const struct command *command, size_t group)
{
	printf("\t(%s) _arguments", command->name + (group > 0 ? group + 1 : 0));
	zsh_print_options(global_options);
	zsh_print_options(command->options);
	zsh_print_argument(command, "1", command->argument_kinds[0]);
	zsh_print_argument(command, "*", command->argument_kinds[1]);
	puts(" ;;");
}

static void zsh_print_described(const char *word, size_t length, const char *text)
{
	printf("\t\t'%.*s:", (int)length, word);
	completion_print_quoted(text, "");
	puts("'");
}

static bool zsh_is_in(const struct command *command, const struct command *group)
{
	return group ? completion_is_in_group(command, group)
		     : completion_group_length(command) == 0;
}

/* The words that can stand next, with what they do. group: the first command of it, or NULL. */
static void zsh_print_words(const struct command *group)
{
	size_t length = group ? completion_group_length(group) + 1 : 0;

	puts("\tlocal -a commands=(");
	command_for_each (command) {
		const char *word = command->name + length;

		if (zsh_is_in(command, group))
			zsh_print_described(word, strlen(word), command->summary);
		else if (!group && completion_begins_group(command))
			zsh_print_described(command->name, completion_group_length(command),
					    "commands of its own");
	}
	puts("\t)");
}

static void zsh_print_cases(const struct command *group)
{
	command_for_each (command) {
		if (zsh_is_in(command, group))
			zsh_print_case(command, group ? completion_group_length(group) : 0);
		else if (!group && completion_begins_group(command))
			printf("\t(%.*s) _vmctl_commands_%.*s ;;\n",
			       (int)completion_group_length(command), command->name,
			       (int)completion_group_length(command), command->name);
	}
}

/* A function for commands: of a group, or (NULL) of vmctl itself. */
static void zsh_print_function(const struct command *group)
{
	printf("_vmctl_commands");
	if (group)
		printf("_%.*s", (int)completion_group_length(group), group->name);
	puts("() {\n\tlocal curcontext=$curcontext state line\n\tlocal -A opt_args");
	zsh_print_words(group);
	printf("\t_arguments -C");
	zsh_print_options(global_options);
	puts(" \\\n\t\t'1:command:->command' '*::argument:->arguments'\n"
	     "\tcase $state in\n"
	     "\t(command) _describe command commands ;;\n"
	     "\t(arguments) case $line[1] in");
	zsh_print_cases(group);
	puts("\tesac ;;\n\tesac\n}\n");
}

void completion_print_zsh(void)
{
	fputs(begin, stdout);
	command_for_each (command) {
		if (completion_begins_group(command))
			zsh_print_function(command);
	}
	zsh_print_function(NULL);
	fputs(main_function, stdout);
}
