/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The name of a VM among the host's machines. */
#include "vmms/units/machine_name.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define UUID_PART 8 /* characters: up to its first dash */
#define STEM_MAX  (MACHINE_NAME_SIZE - 1 - UUID_PART - 1)

static bool name_is_valid(const char *name)
{
	char before = '.';

	if (strlen(name) >= MACHINE_NAME_SIZE)
		return false;
	for (; *name != '\0'; before = *name++) {
		if (!isalnum((unsigned char)*name) && !strchr("-.", *name))
			return false;
		if ((*name == '.' && strchr("-.", before)) || (*name == '-' && before == '.'))
			return false;
	}
	return !strchr("-.", before);
}

/* Letters and digits of the VM's name, one dash for whatever is between them. */
static size_t name_make_stem(const char *vm, char *name)
{
	size_t used = 0;

	for (; *vm != '\0' && used < STEM_MAX; vm++) {
		if (isalnum((unsigned char)*vm))
			name[used++] = *vm;
		else if (used > 0 && name[used - 1] != '-')
			name[used++] = '-';
	}
	while (used > 0 && name[used - 1] == '-')
		used--;
	return used;
}

void machine_name_make(const char *vm, const struct guid *uuid, char name[MACHINE_NAME_SIZE])
{
	char text[GUID_TEXT_SIZE];
	size_t used;

	if (name_is_valid(vm)) {
		strcpy(name, vm);
		return;
	}
	used = name_make_stem(vm, name);
	guid_format(uuid, text);
	snprintf(name + used, MACHINE_NAME_SIZE - used, "-%.*s", UUID_PART, text);
}
