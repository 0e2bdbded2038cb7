/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of vmctl: all of them, one after another. */
#include "vmms/vmctl/commands.h"

#include <string.h>

const struct option_row global_options[] = {
	{ "system", NULL, VALUE_NONE, "talk to vmms on the system bus; the default" },
	{ "user", NULL, VALUE_NONE, "on the bus of the user" },
	{ "address", "ADDRESS", VALUE_TEXT, "on the bus at that address; also $VMMS_BUS_ADDRESS" },
	{ "host", "[USER@]HOST[:PORT]", VALUE_HOST,
	  "manage the VMs of that host, by ssh; also -H, and $VMMS_HOST" },
	{ "json", NULL, VALUE_NONE, "print JSON, for programs" },
	{ "no-ask-password", NULL, VALUE_NONE, "never ask for a password" },
	{ "help", NULL, VALUE_NONE, "describe the command; also -h" },
	{ "version", NULL, VALUE_NONE, "print the versions of vmctl and vmms; also -V" },
	{ 0 },
};

/* Those that people try first, all of options that all commands have. */
static const struct {
	const char *option;
	char letter;
} letters[] = { { "help", 'h' }, { "host", 'H' }, { "version", 'V' } };

char option_letter(const struct option_row *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(letters); i++) {
		if (strcmp(letters[i].option, row->name) == 0)
			return letters[i].letter;
	}
	return '\0';
}

/* Help and completion show them in this order. */
static const struct command *const tables[] = {
	commands_vm,     commands_device, commands_disk,    commands_checkpoint,
	commands_shared, commands_guest,  commands_service, commands_cluster,
};

const struct command *command_next(const struct command *command)
{
	bool found = !command;

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		for (const struct command *row = tables[i]; row->name; row++) {
			if (found)
				return row;
			found = row == command;
		}
	}
	return NULL;
}

const struct command *command_find(const char *name)
{
	command_for_each (command) {
		if (strcmp(command->name, name) == 0)
			return command;
	}
	return NULL;
}

bool command_is_group(const char *word)
{
	size_t length = strlen(word);

	command_for_each (command) {
		if (strncmp(command->name, word, length) == 0 && command->name[length] == ' ')
			return true;
	}
	return false;
}
