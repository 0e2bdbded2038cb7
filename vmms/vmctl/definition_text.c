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

void definition_text_rename(struct json_object *tree, const char *name)
{
	struct json_object *adapters = json_object_object_get(tree, "network_adapters");
	size_t count = json_array_size(adapters);

	json_object_object_del(tree, "uuid");
	json_object_object_del(tree, "generation_id");
	for (size_t i = 0; i < count; i++) {
		struct json_object *adapter = json_object_array_get_idx(adapters, i);

		if (!json_object_is_type(adapter, json_type_object))
			continue;
		json_object_object_del(adapter, "mac");
		json_object_object_del(adapter, "instance");
	}
	json_add(&tree, "name", json_object_new_string(name));
}
