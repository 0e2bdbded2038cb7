/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making JSON trees, with the lack of memory checked once. */
#include "common/base/json.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void json_add(struct json_object **object, const char *key, struct json_object *value)
{
	if (*object && value && json_object_object_add(*object, key, value) == 0)
		return;
	json_object_put(value);
	json_object_put(*object);
	*object = NULL;
}

void json_append(struct json_object **array, struct json_object *value)
{
	if (*array && value && json_object_array_add(*array, value) == 0)
		return;
	json_object_put(value);
	json_object_put(*array);
	*array = NULL;
}

void json_append_format(struct json_object **array, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	json_append(array, text ? json_object_new_string(text) : NULL);
}

struct json_object *json_make(const char *key, ...)
{
	struct json_object *object = json_object_new_object();
	va_list arguments;

	va_start(arguments, key);
	for (; key; key = va_arg(arguments, const char *))
		json_add(&object, key, va_arg(arguments, struct json_object *));
	va_end(arguments);
	return object;
}

struct json_object *json_make_hex(uint64_t value)
{
	char text[sizeof("0x") + 16];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_object_new_string(text);
}

/* At most. */
static size_t written_size(unsigned char byte)
{
	if (byte < 0x20)
		return sizeof("\\u001b") - 1;
	return byte == '"' || byte == '\\' || byte == '/' ? 2 : 1;
}

struct json_object *json_make_text(const char *text, size_t most)
{
	size_t size = 0, used = sizeof("\"\"") - 1;

	while (text[size] != '\0' && used + written_size((unsigned char)text[size]) <= most)
		used += written_size((unsigned char)text[size++]);
	return json_object_new_string_len(text, (int)text_utf8_prefix(text, size));
}
