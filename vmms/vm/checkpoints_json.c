/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tree of a VM's checkpoints as JSON. Stored format. */
#include "vmms/vm/checkpoints.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PATHS_MAX (CHECKPOINTS_ALL_MAX * 2 * DEFINITION_DISKS_MAX)

const char *const checkpoint_type_names[] = { "off", "production", "crash-consistent", "standard",
					      NULL };

/* ---- Writing ---- */

struct json_object *checkpoint_paths_to_json(const struct checkpoint_paths *paths)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < paths->count; i++)
		json_append(&array, json_object_new_string(paths->items[i]));
	return array;
}

static struct json_object *checkpoint_to_json(const struct checkpoint *checkpoint)
{
	return json_make("id", json_object_new_int64(checkpoint->id), "parent",
			 json_object_new_int64(checkpoint->parent), "name",
			 json_object_new_string(checkpoint->name), "notes",
			 json_object_new_string(checkpoint->notes), "created_at",
			 json_object_new_uint64(checkpoint->created_at), "hidden",
			 json_object_new_boolean(checkpoint->hidden), "type",
			 json_object_new_string(checkpoint_type_names[checkpoint->type]),
			 "definition", definition_to_json(checkpoint->definition), NULL);
}

static struct json_object *checkpoints_links_to_json(const struct checkpoints *checkpoints)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < checkpoints->link_count; i++)
		json_append(&array,
			    json_make("image", json_object_new_string(checkpoints->links[i].image),
				      "parent",
				      json_object_new_string(checkpoints->links[i].parent), NULL));
	return array;
}

struct json_object *checkpoints_to_json(const struct checkpoints *checkpoints)
{
	struct json_object *items = json_object_new_array();

	for (size_t i = 0; i < checkpoints->count; i++)
		json_append(&items, checkpoint_to_json(&checkpoints->items[i]));
	return json_make("next", json_object_new_int64(checkpoints->next), "current",
			 json_object_new_int64(checkpoints->current), "checkpoints", items, "files",
			 checkpoint_paths_to_json(&checkpoints->files), "unneeded",
			 checkpoint_paths_to_json(&checkpoints->unneeded), "states",
			 checkpoint_paths_to_json(&checkpoints->states), "links",
			 checkpoints_links_to_json(checkpoints), NULL);
}

/* ---- Reading ---- */

static int checkpoints_read_definition(struct json_reader *reader, const struct json_key *key,
				       struct json_object *value, void *target)
{
	struct definition **definition = target;

	if (!json_object_is_type(value, json_type_object))
		return json_refuse_type(reader, value, "an object");
	return definition_from_json(value, definition, reader->error);
}

static bool checkpoints_is_path(struct json_object *item)
{
	return json_object_is_type(item, json_type_string) &&
	       json_object_get_string(item)[0] == '/' &&
	       json_object_get_string_len(item) < PATH_MAX;
}

static int checkpoints_read_paths(struct json_reader *reader, const struct json_key *key,
				  struct json_object *value, void *target)
{
	struct checkpoint_paths *paths = target;
	int r = 0;

	if (!json_object_is_type(value, json_type_array) ||
	    json_object_array_length(value) > PATHS_MAX)
		return json_refuse_type(reader, value, "an array");
	for (size_t i = 0; r == 0 && i < json_object_array_length(value); i++) {
		struct json_object *item = json_object_array_get_idx(value, i);

		if (!checkpoints_is_path(item))
			return json_refuse(reader, item, "must be an absolute path");
		r = checkpoint_paths_add(paths, json_object_get_string(item));
	}
	return r;
}

/* An image stands on one other. */
static bool checkpoints_has_link(const struct checkpoints *checkpoints, const char *image)
{
	for (size_t i = 0; i < checkpoints->link_count; i++) {
		if (strcmp(checkpoints->links[i].image, image) == 0)
			return true;
	}
	return false;
}

static int checkpoints_read_links(struct json_reader *reader, const struct json_key *key,
				  struct json_object *value, void *target)
{
	struct checkpoints *checkpoints =
		container_of((struct checkpoint_link **)target, struct checkpoints, links);
	int r = 0;

	if (!json_object_is_type(value, json_type_array) ||
	    json_object_array_length(value) > PATHS_MAX)
		return json_refuse_type(reader, value, "an array");
	for (size_t i = 0; r == 0 && i < json_object_array_length(value); i++) {
		struct json_object *item = json_object_array_get_idx(value, i);
		struct json_object *image = json_object_object_get(item, "image");
		struct json_object *parent = json_object_object_get(item, "parent");

		if (!json_object_is_type(item, json_type_object) || !checkpoints_is_path(image) ||
		    !checkpoints_is_path(parent) || json_object_object_length(item) != 2 ||
		    checkpoints_has_link(checkpoints, json_object_get_string(image)))
			return json_refuse(reader, item, "must be an image and its parent");
		r = checkpoints_link(checkpoints, json_object_get_string(image),
				     json_object_get_string(parent));
	}
	return r;
}

#define MEMBER(type, member) .offset = offsetof(struct type, member), .required = true

static const struct json_key checkpoint_keys[] = {
	{ "id", json_read_unsigned, MEMBER(checkpoint, id), .minimum = 1, .maximum = INT_MAX },
	{ "parent", json_read_unsigned, MEMBER(checkpoint, parent), .maximum = INT_MAX },
	{ "name", json_read_string, MEMBER(checkpoint, name), .minimum = 1,
	  .maximum = CHECKPOINT_NAME_MAX },
	{ "notes", json_read_string, MEMBER(checkpoint, notes), .maximum = CHECKPOINT_NOTES_MAX },
	{ "created_at", json_read_uint64, MEMBER(checkpoint, created_at), .maximum = INT64_MAX },
	{ "hidden", json_read_bool, MEMBER(checkpoint, hidden) },
	{ .name = "type",
	  .read = json_read_enum,
	  .offset = offsetof(struct checkpoint, type),
	  .detail = checkpoint_type_names },
	{ "definition", checkpoints_read_definition, MEMBER(checkpoint, definition) },
};

static int checkpoints_read_items(struct json_reader *reader, const struct json_key *key,
				  struct json_object *value, void *target)
{
	struct checkpoints *checkpoints =
		container_of((struct checkpoint **)target, struct checkpoints, items);
	size_t count;
	int r = 0;

	if (!json_object_is_type(value, json_type_array) ||
	    json_object_array_length(value) > CHECKPOINTS_ALL_MAX)
		return json_refuse_type(reader, value, "an array");
	count = json_object_array_length(value);
	free(checkpoints->items);
	checkpoints->items = calloc(count + 1, sizeof(*checkpoints->items));
	if (!checkpoints->items)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct json_object *item = json_object_array_get_idx(value, i);
		size_t mark = json_enter_index(reader, i);

		checkpoints->count++;
		if (!json_object_is_type(item, json_type_object))
			return json_refuse_type(reader, item, "an object");
		r = json_read(reader, item, checkpoint_keys, ARRAY_SIZE(checkpoint_keys),
			      &checkpoints->items[i]);
		json_leave(reader, mark);
	}
	return r;
}

static const struct json_key checkpoints_keys[] = {
	{ "current", json_read_unsigned, MEMBER(checkpoints, current), .maximum = INT_MAX },
	{ "files", checkpoints_read_paths, MEMBER(checkpoints, files) },
	{ .name = "links",
	  .read = checkpoints_read_links,
	  .offset = offsetof(struct checkpoints, links) },
	{ "next", json_read_unsigned, MEMBER(checkpoints, next), .minimum = 1, .maximum = INT_MAX },
	{ .name = "states",
	  .read = checkpoints_read_paths,
	  .offset = offsetof(struct checkpoints, states) },
	{ "unneeded", checkpoints_read_paths, MEMBER(checkpoints, unneeded) },
	{ "checkpoints", checkpoints_read_items, MEMBER(checkpoints, items) },
};

/* Each stands on one before it, so that there is no circle. Return: NULL: all is well. */
static const char *checkpoints_find_fault(const struct checkpoints *checkpoints)
{
	unsigned last = 0;
	bool has_current = checkpoints->current == 0;

	for (size_t i = 0; i < checkpoints->count; i++) {
		const struct checkpoint *checkpoint = &checkpoints->items[i];
		bool has_parent = checkpoint->parent == 0;

		if (checkpoint->id <= last || checkpoint->id >= checkpoints->next)
			return "has ids that are not in their order";
		for (size_t j = 0; j < i; j++)
			has_parent |= checkpoints->items[j].id == checkpoint->parent;
		if (!has_parent)
			return "has a checkpoint that stands on one that is not there";
		has_current |= checkpoint->id == checkpoints->current;
		last = checkpoint->id;
	}
	return has_current ? NULL : "has a current checkpoint that is not there";
}

static int checkpoints_read(struct json_object *object, struct checkpoints *checkpoints,
			    struct json_error *ret_error)
{
	struct json_reader reader = JSON_READER(ret_error);
	const char *fault;
	int r = json_read(&reader, object, checkpoints_keys, ARRAY_SIZE(checkpoints_keys),
			  checkpoints);

	if (r < 0)
		return r;
	fault = checkpoints_find_fault(checkpoints);
	return fault ? json_refuse(&reader, object, "%s", fault) : 0;
}

int checkpoints_from_json(struct json_object *object, struct checkpoints **ret_checkpoints,
			  struct json_error *ret_error)
{
	CLEANUP(checkpoints_freep) struct checkpoints *checkpoints = NULL;
	int r = checkpoints_new(&checkpoints);

	if (r == 0)
		r = checkpoints_read(object, checkpoints, ret_error);
	if (r == 0)
		*ret_checkpoints = TAKE_PTR(checkpoints);
	return r;
}
