/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The form of vmms.conf(5). */
#include "vmms/base/settings_file.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define BLANKS " \t\r"

/* Cuts blanks off both ends. */
static char *file_trim(char *text)
{
	size_t size;

	text += strspn(text, BLANKS);
	size = strlen(text);
	while (size > 0 && strchr(BLANKS, text[size - 1]))
		text[--size] = '\0';
	return text;
}

/* Names are those of options, as letters and dashes. */
static bool file_is_name(const char *text)
{
	return text[0] != '\0' && text[strspn(text, "abcdefghijklmnopqrstuvwxyz-")] == '\0';
}

static int file_parse_line(char *text, settings_file_fn found, void *data, unsigned line)
{
	char *name = file_trim(text), *equals;

	if (name[0] == '\0' || name[0] == '#')
		return 0;
	equals = strchr(name, '=');
	if (!equals)
		return -EINVAL;
	*equals = '\0';
	name = file_trim(name);
	return file_is_name(name) ? found(data, name, file_trim(equals + 1), line) : -EINVAL;
}

int settings_file_parse(char *text, size_t size, settings_file_fn found, void *data,
			unsigned *ret_line)
{
	unsigned line = 1;
	int r = 0;

	/* A NUL would hide what comes behind it. */
	for (char *at = text, *end = text + size; r == 0 && at < end; line++) {
		char *next = memchr(at, '\n', (size_t)(end - at));

		if (!next)
			next = end;
		*next = '\0';
		r = strlen(at) == (size_t)(next - at) ? file_parse_line(at, found, data, line)
						      : -EINVAL;
		if (r == -EINVAL)
			*ret_line = line;
		at = next + 1;
	}
	return r;
}
