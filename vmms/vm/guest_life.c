/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that has not found VMBus, and why that may be. */
#include "vmms/vm/guest_life.h"

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* By which Linux and FreeBSD are told to do without ACPI, where VMBus is listed. */
static const char *const words[] = { "acpi=off", "hint.acpi.0.disabled=1" };

static bool life_has_word(const char *line, const char *word)
{
	size_t length;

	for (; *line != '\0'; line += length) {
		line += strspn(line, " \t\n");
		length = strcspn(line, " \t\n");
		if (length == strlen(word) && strncmp(line, word, length) == 0)
			return true;
	}
	return false;
}

void guest_life_describe(const char *command_line, uint64_t quiet, char text[GUEST_LIFE_TEXT])
{
	text[0] = '\0';
	for (size_t i = 0; command_line && i < ARRAY_SIZE(words); i++) {
		if (!life_has_word(command_line, words[i]))
			continue;
		snprintf(text, GUEST_LIFE_TEXT,
			 "its command line has '%s': without ACPI it does not find VMBus, nor its "
			 "disks and adapters",
			 words[i]);
		return;
	}
	if (quiet >= GUEST_LIFE_QUIET * UINT64_C(1000000))
		snprintf(text, GUEST_LIFE_TEXT,
			 "no sign of life: it has run for %llu seconds and not found VMBus; its "
			 "console may say why ('vmctl console --log')",
			 (unsigned long long)(quiet / 1000000));
}
