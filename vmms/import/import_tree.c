/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking things up in a configuration, and noting what is not taken over. */
#include "vmms/import/import_tree.h"

#include "common/base/guid.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct json_object *tree_find(struct json_object *node, const char *path)
{
	while (*path) {
		size_t length = strcspn(path, "/");
		char name[64];

		if (!json_object_is_type(node, json_type_object) || length >= sizeof(name))
			return NULL;
		memcpy(name, path, length);
		name[length] = '\0';
		if (!json_object_object_get_ex(node, name, &node))
			return NULL;
		path += length + (path[length] == '/');
	}
	return node;
}

struct json_object *import_node(struct json_object *node, const char *path)
{
	node = tree_find(node, path);
	return json_object_is_type(node, json_type_object) ? node : NULL;
}

const char *import_text(struct json_object *node, const char *path)
{
	node = tree_find(node, path);
	return json_object_is_type(node, json_type_string) ? json_object_get_string(node) : NULL;
}

bool import_number(struct json_object *node, const char *path, uint64_t *ret_number)
{
	node = tree_find(node, path);
	if (!json_object_is_type(node, json_type_int) || json_object_get_int64(node) < 0)
		return false;
	*ret_number = json_object_get_uint64(node);
	return true;
}

bool import_truth(struct json_object *node, const char *path, bool *ret_truth)
{
	node = tree_find(node, path);
	if (!json_object_is_type(node, json_type_boolean))
		return false;
	*ret_truth = json_object_get_boolean(node);
	return true;
}

void import_add_guid(struct import_work *work, struct json_object *object, const char *key,
		     const char *text)
{
	char bare[GUID_TEXT_SIZE], form[GUID_TEXT_SIZE];
	struct guid guid;
	const char *inner = text + (*text == '{');

	snprintf(bare, sizeof(bare), "%s", inner);
	if (strlen(inner) > GUID_TEXT_SIZE || guid_parse(bare, &guid) < 0) {
		import_note(work, "%s is no GUID: '%.64s'", key, text);
		return;
	}
	guid_format(&guid, form);
	json_add(&object, key, json_object_new_string(form));
}

void import_note(struct import_work *work, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_append(&work->notes, json_object_new_string(text));
}
