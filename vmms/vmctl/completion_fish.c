/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Completion for fish.
 *
 * Every word that can stand somewhere is a line of the script, with a condition: between what
 * numbers of words follow the words of a command. Options, and the values that they take, are no
 * words.
 */
#include "vmms/vmctl/completion.h"

#include <stdio.h>
#include <string.h>

#define BACKSLASH "\\"
#define MANY      64 /* words; more than any command takes */

static const char begin[] =
	"# fish completion for vmctl; made by 'vmctl completion fish'\n"
	"\n"
	"# The words before the cursor that are neither options nor values of options.\n"
	"function __vmctl_words\n"
	"\tset -l skip 0\n"
	"\tfor word in (commandline --current-process --cut-at-cursor --tokenize)[2..-1]\n"
	"\t\tif test $skip = 1\n"
	"\t\t\tset skip 0\n"
	"\t\telse if contains -- $word $__vmctl_with_value\n"
	"\t\t\tset skip 1\n"
	"\t\telse if not string match --quiet -- '-*' $word\n"
	"\t\t\techo $word\n"
	"\t\tend\n"
	"\tend\n"
	"end\n"
	"\n"
	"# MINIMUM MAXIMUM WORD...: those words, and then so many others.\n"
	"function __vmctl_after\n"
	"\tset -l words (__vmctl_words)\n"
	"\tfor word in $argv[3..-1]\n"
	"\t\ttest \"$words[1]\" = $word || return\n"
	"\t\tset -e words[1]\n"
	"\tend\n"
	"\ttest (count $words) -ge $argv[1] -a (count $words) -le $argv[2]\n"
	"end\n"
	"\n"
	"# What 'vmctl WORD... --names' prints, on the bus of the command line.\n"
	"function __vmctl_names\n"
	"\tset -l bus\n"
	"\tset -l words (commandline --current-process --cut-at-cursor --tokenize)\n"
	"\tfor i in (seq (count $words))\n"
	"\t\tswitch $words[$i]\n"
	"\t\t\tcase --user --system '--address=*' '--host=*'\n"
	"\t\t\t\tset -a bus $words[$i]\n"
	"\t\t\tcase --address --host -H\n"
	"\t\t\t\tset -a bus $words[$i] $words[(math $i + 1)]\n"
	"\t\tend\n"
	"\tend\n"
	"\tvmctl --no-ask-password $bus $argv --names </dev/null 2>/dev/null\n"
	"end\n"
	"\n"
	"complete -c vmctl -f\n";

static void fish_print_with_value(const struct option_row *rows)
{
	for (; rows && rows->name; rows++) {
		if (rows->value)
			printf(" --%s", rows->name);
		if (rows->value && option_letter(rows))
			printf(" -%c", option_letter(rows));
	}
}

/* How a value is completed. */
static void fish_print_kind(enum value_kind kind, const char *choices, size_t length)
{
	static const char *const actions[] = {
		[VALUE_NONE] = "",
		[VALUE_TEXT] = "",
		[VALUE_VM] = " -a '(__vmctl_names list)'",
		[VALUE_SWITCH] = " -a '(__vmctl_names switch list)'",
		[VALUE_CPU_GROUP] = " -a '(__vmctl_names cpu-group list)'",
		[VALUE_FILE] = " -F",
		[VALUE_HOST] = " -a '(__fish_print_hostnames)'",
		[VALUE_CHOICE] = " -a '",
	};

	fputs(actions[kind], stdout);
	if (kind == VALUE_CHOICE) {
		completion_print_choices(choices, length);
		putchar('\'');
	}
}

static void fish_print_condition(unsigned minimum, unsigned maximum, const char *words,
				 size_t length)
{
	printf("complete -c vmctl -n '__vmctl_after %u %u %.*s'", minimum, maximum, (int)length,
	       words);
}

static void fish_print_description(const char *text)
{
	fputs(" -d '", stdout);
	completion_print_quoted(text, BACKSLASH);
	puts("'");
}

/* words: of the command; "" for all. */
static void fish_print_options(const struct option_row *rows, const char *words)
{
	for (; rows && rows->name; rows++) {
		size_t length = 0;
		const char *choices = NULL;

		fish_print_condition(0, MANY, words, strlen(words));
		printf(" -l %s", rows->name);
		if (option_letter(rows))
			printf(" -s %c", option_letter(rows));
		if (rows->value) {
			choices = completion_option_choices(rows, &length);
			fputs(rows->kind == VALUE_FILE ? " -r" : " -x", stdout);
		}
		fish_print_kind(rows->kind, choices, length);
		fish_print_description(rows->help);
	}
}

static void fish_print_argument(const struct command *command, unsigned minimum, unsigned maximum,
				enum value_kind kind)
{
	size_t length;
	const char *choices = completion_argument_choices(command, &length);

	if (kind == VALUE_NONE || kind == VALUE_TEXT)
		return;
	fish_print_condition(minimum, maximum, command->name, strlen(command->name));
	fish_print_kind(kind, choices, length);
	puts("");
}

static void fish_print_command(const struct command *command)
{
	size_t group = completion_group_length(command);

	if (completion_begins_group(command)) {
		fish_print_condition(0, 0, "", 0);
		printf(" -a %.*s\n", (int)group, command->name);
	}
	fish_print_condition(0, 0, command->name, group);
	printf(" -a %s", command->name + (group > 0 ? group + 1 : 0));
	fish_print_description(command->summary);
	fish_print_options(command->options, command->name);
	fish_print_argument(command, 0, 0, command->argument_kinds[0]);
	fish_print_argument(command, 1, MANY, command->argument_kinds[1]);
}

void completion_print_fish(void)
{
	fputs(begin, stdout);
	printf("set -g __vmctl_with_value");
	fish_print_with_value(global_options);
	command_for_each (command)
		fish_print_with_value(command->options);
	puts("");
	fish_print_options(global_options, "");
	command_for_each (command)
		fish_print_command(command);
}
