/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A JSON tree into structs, by tables of keys.
 *
 * The reader's path grows and shrinks with the descent, so that every refusal can name its key.
 */
#include "common/base/guid.h"
#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *json_type_text(struct json_object *value)
{
	static const char *const texts[] = {
		[json_type_null] = "null",         [json_type_boolean] = "true or false",
		[json_type_double] = "a fraction", [json_type_int] = "a whole number",
		[json_type_object] = "an object",  [json_type_array] = "an array",
		[json_type_string] = "a string",
	};

	return texts[json_object_get_type(value)];
}

int json_refuse(struct json_reader *reader, struct json_object *value, const char *format, ...)
{
	struct json_error *error = reader->error;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	memcpy(error->key, reader->path, sizeof(error->key));
	error->line = json_line(value);
	return -EINVAL;
}

size_t json_enter_key(struct json_reader *reader, const char *name)
{
	size_t mark = strlen(reader->path);

	snprintf(reader->path + mark, sizeof(reader->path) - mark, "%s%s", mark > 0 ? "." : "",
		 name);
	return mark;
}

size_t json_enter_index(struct json_reader *reader, size_t index)
{
	size_t mark = strlen(reader->path);

	snprintf(reader->path + mark, sizeof(reader->path) - mark, "[%zu]", index);
	return mark;
}

void json_leave(struct json_reader *reader, size_t mark)
{
	reader->path[mark] = '\0';
}

static const struct json_key *key_find(const struct json_key *keys, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

static int refuse_unknown(struct json_reader *reader, struct json_object *value,
			  const struct json_key *keys, size_t count)
{
	char known[280] = "";
	size_t used = 0;

	if (count == 0)
		return json_refuse(reader, value, "is not a known key; there are none here");
	for (size_t i = 0; i < count && used < sizeof(known); i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
					 i > 0 ? ", " : "", keys[i].name);
	return json_refuse(reader, value, "is not a known key; the keys here are %s", known);
}

int json_read(struct json_reader *reader, struct json_object *object, const struct json_key *keys,
	      size_t key_count, void *target)
{
	const struct json_key *key;
	size_t mark;
	int r;

	if (!json_object_is_type(object, json_type_object))
		return json_refuse(reader, object, "must be an object, not %s",
				   json_type_text(object));
	json_object_object_foreach(object, name, value)
	{
		mark = json_enter_key(reader, name);
		key = key_find(keys, key_count, name);
		if (!key && !reader->ignores_unknown)
			return refuse_unknown(reader, value, keys, key_count);
		r = key ? key->read(reader, key, value, (char *)target + key->offset) : 0;
		if (r < 0)
			return r;
		json_leave(reader, mark);
	}
	for (size_t i = 0; i < key_count; i++) {
		if (!keys[i].required || json_object_object_get_ex(object, keys[i].name, NULL))
			continue;
		json_enter_key(reader, keys[i].name);
		return json_refuse(reader, object, "is missing and has no default");
	}
	return 0;
}

int json_refuse_type(struct json_reader *reader, struct json_object *value, const char *expected)
{
	return json_refuse(reader, value, "must be %s, not %s", expected, json_type_text(value));
}

int json_read_text(const char *text, size_t size, size_t most, const struct json_key *keys,
		   size_t key_count, void *target, struct json_object **ret_tree,
		   struct json_error *ret_error)
{
	struct json_reader reader = JSON_READER(ret_error);
	AUTO_JSON struct json_object *tree = NULL;
	int r;

	if (size > most)
		return json_refuse(&reader, NULL, "is larger than %zu bytes", most);
	r = json_parse(text, size, &tree, ret_error);
	if (r == 0)
		r = json_read(&reader, tree, keys, key_count, target);
	if (r < 0)
		return r;
	*ret_tree = TAKE_PTR(tree);
	return 0;
}

int json_read_bool(struct json_reader *reader, const struct json_key *key,
		   struct json_object *value, void *target)
{
	if (!json_object_is_type(value, json_type_boolean))
		return json_refuse_type(reader, value, "true or false");
	*(bool *)target = json_object_get_boolean(value);
	return 0;
}

static int refuse_range(struct json_reader *reader, const struct json_key *key,
			struct json_object *value)
{
	return json_refuse(reader, value, "must be from %llu to %llu, not %.40s",
			   (unsigned long long)key->minimum, (unsigned long long)key->maximum,
			   json_object_get_string(value));
}

int json_read_uint64(struct json_reader *reader, const struct json_key *key,
		     struct json_object *value, void *target)
{
	int64_t number;

	if (!json_object_is_type(value, json_type_int))
		return json_refuse_type(reader, value, "a whole number");
	/* Numbers beyond 64 bits arrive as the nearest one within. */
	number = json_object_get_int64(value);
	if (number < 0 || (uint64_t)number < key->minimum || (uint64_t)number > key->maximum)
		return refuse_range(reader, key, value);
	*(uint64_t *)target = (uint64_t)number;
	return 0;
}

int json_read_unsigned(struct json_reader *reader, const struct json_key *key,
		       struct json_object *value, void *target)
{
	uint64_t number;
	int r;

	r = json_read_uint64(reader, key, value, &number);
	if (r < 0)
		return r;
	*(unsigned *)target = (unsigned)number;
	return 0;
}

int json_read_size(struct json_reader *reader, const struct json_key *key,
		   struct json_object *value, void *target)
{
	char least[PARSE_SIZE_TEXT], most[PARSE_SIZE_TEXT], guess[PARSE_SIZE_TEXT];
	bool guessed;
	uint64_t bytes;

	if (json_object_is_type(value, json_type_int)) {
		bytes = (uint64_t)MAX(json_object_get_int64(value), (int64_t)0);
	} else if (!json_object_is_type(value, json_type_string)) {
		return json_refuse_type(reader, value,
					"a number of bytes or a size such as \"512M\"");
	} else if (parse_size(json_object_get_string(value), &bytes) < 0) {
		return json_refuse(reader, value,
				   "must be a number of bytes or a size such as \"512M\", "
				   "\"2G\"");
	}
	if (bytes < key->minimum || bytes > key->maximum) {
		parse_size_format(key->minimum, least);
		parse_size_format(key->maximum, most);
		guessed = parse_size_guess(json_object_get_string(value), key->minimum,
					   key->maximum, guess);
		return json_refuse(reader, value, "must be from %s to %s%s%s%s", least, most,
				   guessed ? "; " : "", guess, guessed ? "?" : "");
	}
	*(uint64_t *)target = bytes;
	return 0;
}

int json_read_string(struct json_reader *reader, const struct json_key *key,
		     struct json_object *value, void *target)
{
	const struct json_text_rule *rule = key->detail;
	size_t size;
	char *text;

	if (!json_object_is_type(value, json_type_string))
		return json_refuse_type(reader, value, "a string");
	size = (size_t)json_object_get_string_len(value);
	if (size < key->minimum || size > key->maximum)
		return json_refuse(reader, value, "must be %llu to %llu bytes long, not %zu",
				   (unsigned long long)key->minimum,
				   (unsigned long long)key->maximum, size);
	text = (char *)json_object_get_string(value);
	if (strlen(text) != size)
		return json_refuse(reader, value, "must not hold NUL characters");
	if (rule && !rule->accepts(text))
		return json_refuse(reader, value, "%s", rule->expected);
	text = strdup(text);
	if (!text)
		return -ENOMEM;
	free(*(char **)target);
	*(char **)target = text;
	return 0;
}

int json_read_enum(struct json_reader *reader, const struct json_key *key,
		   struct json_object *value, void *target)
{
	const char *const *names = key->detail;
	char known[128] = "";
	size_t used = 0;

	for (unsigned i = 0; names[i]; i++) {
		if (json_object_is_type(value, json_type_string) &&
		    strcmp(names[i], json_object_get_string(value)) == 0) {
			*(unsigned *)target = i;
			return 0;
		}
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s\"%s\"",
					 i == 0         ? ""
					 : names[i + 1] ? ", "
							: " or ",
					 names[i]);
	}
	return json_refuse(reader, value, "must be %s", known);
}

int json_read_version(struct json_reader *reader, const struct json_key *key,
		      struct json_object *value, void *target)
{
	if (!json_object_is_type(value, json_type_int) ||
	    json_object_get_uint64(value) != key->minimum)
		return json_refuse(reader, value,
				   "must be %llu, the version that is understood here",
				   (unsigned long long)key->minimum);
	return 0;
}

int json_read_guid(struct json_reader *reader, const struct json_key *key,
		   struct json_object *value, void *target)
{
	if (!json_object_is_type(value, json_type_string))
		return json_refuse_type(reader, value, "a string");
	if (guid_parse(json_object_get_string(value), target) < 0)
		return json_refuse(reader, value,
				   "must be a UUID, such as "
				   "\"f8615163-df3e-46c5-913f-f2d2f965ed0e\"");
	return 0;
}

int json_read_members(struct json_reader *reader, const struct json_key *key,
		      struct json_object *value, void *target)
{
	const struct json_key_table *table = key->detail;

	return json_read(reader, value, table->keys, table->count, target);
}

int json_read_value(struct json_reader *reader, const struct json_key *key,
		    struct json_object *value, void *target)
{
	if (!json_object_is_type(value, (enum json_type)key->minimum))
		return json_refuse(reader, value, "must not be %s", json_type_text(value));
	json_object_put(*(struct json_object **)target);
	*(struct json_object **)target = json_object_get(value);
	return 0;
}
