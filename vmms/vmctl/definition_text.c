/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of a definition, from a file. */
#include "vmms/vmctl/definition_text.h"

#include "common/definition/definition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text_read_stream(FILE *stream)
{
	char *text = malloc(DEFINITION_SIZE_MAX + 2);
	size_t size;

	if (!text)
		return NULL;
	size = fread(text, 1, DEFINITION_SIZE_MAX + 1, stream);
	if (ferror(stream) || memchr(text, '\0', size)) {
		free(text);
		errno = ferror(stream) ? EIO : EINVAL;
		return NULL;
	}
	text[size] = '\0';
	return text;
}

char *definition_text_read(const char *path)
{
	FILE *stream = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *text = stream ? text_read_stream(stream) : NULL;

	if (stream && stream != stdin)
		fclose(stream);
	return text;
}
