/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmms.conf: any bytes. What is found lies in the text, has a form, and is in lines that come one
 * after another.
 */
#include "vmms/base/settings_file.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
	char *begin;
	size_t size;
	unsigned line;
};

static int found(void *data, const char *name, const char *value, unsigned line)
{
	struct text *text = data;

	if (name < text->begin || value + strlen(value) > text->begin + text->size ||
	    line <= text->line || name[0] == '\0' || strpbrk(name, " \t\n=") || strchr(value, '\n'))
		abort();
	text->line = line;
	return strcmp(name, "end") == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text text = { .begin = malloc(size + 1), .size = size };
	unsigned line = 0;
	int r;

	if (!text.begin)
		return 0;
	memcpy(text.begin, data, size);
	text.begin[size] = '\0';
	r = settings_file_parse(text.begin, size, found, &text, &line);
	if (r != 0 && r != 1 && (r != -EINVAL || line <= text.line))
		abort();
	free(text.begin);
	return 0;
}
