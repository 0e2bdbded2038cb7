/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading vmctl's command line.
 *
 * Options may stand anywhere, as --name VALUE or --name=VALUE; after -- there are only arguments.
 * Some have a letter, too.
 */
#include "vmms/vmctl/invocation.h"

#include "common/base/cleanup.h"
#include "common/base/parse.h"
#include "common/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum status usage_error(const struct invocation *invocation, const char *format, ...)
{
	AUTO_FREE char *message = NULL;
	AUTO_FREE char *escaped = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&message, format, arguments) < 0)
		message = NULL;
	va_end(arguments);
	if (message)
		escaped = text_escape_new(message, strlen(message));
	fprintf(stderr, "vmctl: %s\n", escaped ? escaped : "out of memory");
	if (invocation->command)
		fprintf(stderr, "'vmctl %s --help' says more.\n", invocation->command->name);
	else if (invocation->group)
		fprintf(stderr, "'vmctl %s --help' lists what there is.\n", invocation->group);
	else
		fputs("'vmctl --help' lists the commands.\n", stderr);
	return STATUS_USAGE;
}

static const struct option_row *invocation_find_in(const struct option_row *rows, const char *name,
						   size_t length)
{
	for (; rows && rows->name; rows++) {
		if (strlen(rows->name) == length && memcmp(rows->name, name, length) == 0)
			return rows;
	}
	return NULL;
}

static const struct option_row *invocation_find_option(const struct invocation *invocation,
						       const char *name, size_t length)
{
	const struct option_row *row = invocation_find_in(global_options, name, length);

	if (!row && invocation->command)
		row = invocation_find_in(invocation->command->options, name, length);
	return row;
}

/* value: NULL: none was given. Return: false: refused. */
static bool invocation_add_option(struct invocation *invocation, const struct option_row *row,
				  const char *value)
{
	if (row->value && !value) {
		usage_error(invocation, "--%s needs a value: %s", row->name, row->value);
		return false;
	}
	if (invocation->option_count == COMMAND_OPTIONS_MAX) {
		usage_error(invocation, "too many options");
		return false;
	}
	invocation->options[invocation->option_count].row = row;
	invocation->options[invocation->option_count++].value = row->value ? value : NULL;
	return true;
}

/* word: an option; next: the word after it, or NULL. Return: words taken; 0: refused. */
static int invocation_read_option(struct invocation *invocation, const char *word, const char *next)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct option_row *row = invocation_find_option(invocation, name, length);

	if (!row) {
		usage_error(invocation, "there is no option '%s'%s", word,
			    invocation->command ? "" : " before the command");
		return 0;
	}
	if (!row->value && equals) {
		usage_error(invocation, "--%s takes no value", row->name);
		return 0;
	}
	if (!invocation_add_option(invocation, row, equals ? equals + 1 : next))
		return 0;
	return row->value && !equals ? 2 : 1;
}

/* Letters are of options that all commands have. Return: as above. */
static int invocation_read_letter(struct invocation *invocation, const char *word, const char *next)
{
	for (const struct option_row *row = global_options; row->name; row++) {
		if (word[1] != option_letter(row) || word[2] != '\0')
			continue;
		if (!invocation_add_option(invocation, row, next))
			return 0;
		return row->value ? 2 : 1;
	}
	usage_error(invocation, "there is no option '%s'", word);
	return 0;
}

/* The command, or a word of it. Return: false: refused. */
static bool invocation_read_command(struct invocation *invocation, const char *word)
{
	char name[COMMAND_NAME_MAX];

	snprintf(name, sizeof(name), "%s%s%s", invocation->group ? invocation->group : "",
		 invocation->group ? " " : "", word);
	invocation->command = command_find(name);
	if (invocation->command)
		return true;
	if (!invocation->group && command_is_group(word)) {
		invocation->group = word;
		return true;
	}
	usage_error(invocation, "there is no command '%s'", name);
	return false;
}

/* Return: false: refused. */
static bool invocation_read_argument(struct invocation *invocation, const char *word)
{
	if (!invocation->command)
		return invocation_read_command(invocation, word);
	if (invocation->argument_count == invocation->command->arguments_max) {
		usage_error(invocation, "what is '%s'? the usage is: vmctl %s %s", word,
			    invocation->command->name, invocation->command->usage);
		return false;
	}
	invocation->arguments[invocation->argument_count++] = word;
	return true;
}

static enum status invocation_check(struct invocation *invocation)
{
	const struct command *command = invocation->command;

	invocation->json = invocation_has(invocation, "json");
	if (invocation_has(invocation, "help") || invocation_has(invocation, "version"))
		return STATUS_OK;
	if (!command)
		return usage_error(invocation, "which command%s%s?",
				   invocation->group ? " of " : "",
				   invocation->group ? invocation->group : "");
	if (invocation->argument_count < command->arguments_min)
		return usage_error(invocation, "the usage is: vmctl %s %s", command->name,
				   command->usage);
	return STATUS_OK;
}

enum status invocation_read(int argc, char *argv[], struct invocation *invocation)
{
	bool only_arguments = false;
	int taken;

	/* Their places are those of words that have been read by then. */
	*invocation = (struct invocation){ .arguments = (const char **)argv };
	for (int i = 1; i < argc; i += taken) {
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;

		taken = 1;
		if (!only_arguments && strcmp(argv[i], "--") == 0)
			only_arguments = true;
		else if (!only_arguments && strncmp(argv[i], "--", 2) == 0)
			taken = invocation_read_option(invocation, argv[i], next);
		else if (!only_arguments && argv[i][0] == '-' && argv[i][1] != '\0')
			taken = invocation_read_letter(invocation, argv[i], next);
		else
			taken = invocation_read_argument(invocation, argv[i]);
		if (taken == 0)
			return STATUS_USAGE;
	}
	return invocation_check(invocation);
}

const char *invocation_value(const struct invocation *invocation, const char *option)
{
	for (size_t i = invocation->option_count; i > 0; i--) {
		if (strcmp(invocation->options[i - 1].row->name, option) == 0)
			return invocation->options[i - 1].value;
	}
	return NULL;
}

bool invocation_has(const struct invocation *invocation, const char *option)
{
	for (size_t i = 0; i < invocation->option_count; i++) {
		if (strcmp(invocation->options[i].row->name, option) == 0)
			return true;
	}
	return false;
}

bool invocation_has_any(const struct invocation *invocation)
{
	for (const struct option_row *row = invocation->command->options; row && row->name; row++) {
		if (invocation_has(invocation, row->name))
			return true;
	}
	return false;
}

bool invocation_number(const struct invocation *invocation, const char *option, unsigned maximum,
		       unsigned *ret_number)
{
	const char *text = invocation_value(invocation, option);
	uint64_t number;

	if (!text)
		return true;
	if (parse_unsigned(text, 0, maximum, &number) < 0) {
		usage_error(invocation, "--%s must be a number from 0 to %u, not '%s'", option,
			    maximum, text);
		return false;
	}
	*ret_number = (unsigned)number;
	return true;
}
