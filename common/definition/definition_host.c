/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host does with a VM: that part of its definition, read and written. */
#include "common/definition/definition_host.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const definition_start_action_names[] = { "none", "start", NULL };
static const char *const definition_stop_action_names[] = { "save", "shut-down", "turn-off", NULL };

/* ---- Tags ---- */

static bool tag_is_valid(const char *tag)
{
	if (!isalnum((unsigned char)tag[0]))
		return false;
	for (; *tag != '\0'; tag++) {
		if (!isalnum((unsigned char)*tag) && !strchr("-_.:/", *tag))
			return false;
	}
	return true;
}

static const struct json_text_rule tag_rule = {
	tag_is_valid,
	"must begin with a letter or digit and hold letters, digits, '-', '_', '.', ':' and '/' "
	"alone",
};

static const struct json_key tag_key = { .minimum = 1,
					 .maximum = DEFINITION_TAG_MAX,
					 .detail = &tag_rule };

static int read_tag(struct json_reader *reader, struct json_object *element,
		    struct definition_tags *tags)
{
	char **tag = &tags->tags[tags->count];
	int r;

	r = json_read_string(reader, &tag_key, element, tag);
	if (r < 0)
		return r;
	tags->count++;
	for (unsigned i = 0; i + 1 < tags->count; i++) {
		if (strcmp(tags->tags[i], *tag) == 0)
			return json_refuse(reader, element, "is a tag that is there already");
	}
	return 0;
}

int definition_tags_read(struct json_reader *reader, const struct json_key *key,
			 struct json_object *value, void *target)
{
	struct definition_tags *tags = target;
	int r;

	if (!json_object_is_type(value, json_type_array))
		return json_refuse(reader, value, "must be an array of strings, not %s",
				   json_type_text(value));
	if (json_object_array_length(value) > DEFINITION_TAGS_MAX)
		return json_refuse(reader, value, "must be at most %d tags", DEFINITION_TAGS_MAX);
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		size_t mark = json_enter_index(reader, i);

		r = read_tag(reader, json_object_array_get_idx(value, i), tags);
		if (r < 0)
			return r;
		json_leave(reader, mark);
	}
	return 0;
}

struct json_object *definition_tags_to_json(const struct definition_tags *tags)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < tags->count; i++)
		json_append(&array, json_object_new_string(tags->tags[i]));
	return array;
}

void definition_tags_deinit(struct definition_tags *tags)
{
	while (tags->count > 0)
		free(tags->tags[--tags->count]);
}

/* ---- Start and stop ---- */

#define START(member) offsetof(struct definition_automatic_start, member)
#define STOP(member)  offsetof(struct definition_automatic_stop, member)

static const struct json_key start_keys[] = {
	{ .name = "action",
	  .read = json_read_enum,
	  .offset = START(action),
	  .detail = definition_start_action_names },
	{ .name = "delay",
	  .read = json_read_unsigned,
	  .offset = START(delay),
	  .maximum = DEFINITION_START_DELAY_MAX },
	{ .name = "order",
	  .read = json_read_unsigned,
	  .offset = START(order),
	  .maximum = DEFINITION_START_ORDER_MAX },
};

static const struct json_key stop_keys[] = {
	{ .name = "action",
	  .read = json_read_enum,
	  .offset = STOP(action),
	  .detail = definition_stop_action_names },
	{ .name = "timeout",
	  .read = json_read_unsigned,
	  .offset = STOP(timeout),
	  .minimum = 1,
	  .maximum = DEFINITION_STOP_TIMEOUT_MAX },
};

int definition_automatic_start_read(struct json_reader *reader, const struct json_key *key,
				    struct json_object *value, void *target)
{
	return json_read(reader, value, start_keys, ARRAY_SIZE(start_keys), target);
}

int definition_automatic_stop_read(struct json_reader *reader, const struct json_key *key,
				   struct json_object *value, void *target)
{
	return json_read(reader, value, stop_keys, ARRAY_SIZE(stop_keys), target);
}

struct json_object *definition_automatic_start_to_json(
	const struct definition_automatic_start *start)
{
	return json_make("action",
			 json_object_new_string(definition_start_action_names[start->action]),
			 "delay", json_object_new_int64(start->delay), "order",
			 json_object_new_int64(start->order), NULL);
}

struct json_object *definition_automatic_stop_to_json(const struct definition_automatic_stop *stop)
{
	struct json_object *object;

	object = json_make(
		"action", json_object_new_string(definition_stop_action_names[stop->action]), NULL);
	if (stop->timeout > 0)
		json_add(&object, "timeout", json_object_new_int64(stop->timeout));
	return object;
}
