/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Trees of checkpoints: any bytes; what is taken reads back as the same, and can be changed in every
 * way without a circle, or a file of somebody else's that would be removed.
 */
#include "vmms/vm/checkpoints.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_copy(const struct checkpoints *checkpoints)
{
	CLEANUP(checkpoints_freep) struct checkpoints *copy = NULL;
	AUTO_JSON struct json_object *tree = checkpoints_to_json(checkpoints), *again = NULL;

	if (!tree || checkpoints_copy(checkpoints, &copy) < 0)
		abort();
	again = checkpoints_to_json(copy);
	if (!again || !json_object_equal(tree, again))
		abort();
}

/* What is to be removed is ours, and nothing names it. */
static void check_unneeded(const struct checkpoints *checkpoints, size_t before)
{
	for (size_t i = before; i < checkpoints->unneeded.count; i++) {
		const char *path = checkpoints->unneeded.items[i];

		if (!checkpoint_paths_have(&checkpoints->files, path) ||
		    checkpoints_name_disk(checkpoints, path))
			abort();
	}
}

static void change(struct checkpoints *checkpoints, bool subtree)
{
	size_t before = checkpoints->unneeded.count;

	while (checkpoints->count > 0) {
		unsigned id = checkpoints->items[checkpoints->count / 2].id;
		size_t count = checkpoints->count;

		if (checkpoints_depth(checkpoints, id) > checkpoints->count ||
		    checkpoints_visible_parent(checkpoints, id) > id)
			abort();
		if (checkpoints_find(checkpoints, id) && checkpoint_name_is_valid("x") &&
		    checkpoints_add(checkpoints, "x", "", 0,
				    checkpoints->items[count / 2].definition) < 0)
			abort();
		checkpoints->current = 0;
		if (checkpoints_delete(checkpoints, id, subtree) < 0)
			abort();
		check_unneeded(checkpoints, before);
		if (checkpoints->count >= count)
			break;
	}
}

static void move(struct checkpoints *checkpoints)
{
	size_t before = checkpoints->unneeded.count;
	const struct checkpoint *last = &checkpoints->items[checkpoints->count - 1];
	CLEANUP(definition_freep) struct definition *now = NULL;

	if (definition_copy(last->definition, &now) < 0 ||
	    checkpoints_move_to(checkpoints, last->id, now) < 0)
		abort();
	check_unneeded(checkpoints, before);
}

/* As many as can be; each is one checkpoint less. */
static void merge_all(struct checkpoints *checkpoints, const struct definition *now)
{
	for (;;) {
		CLEANUP(checkpoint_merge_deinit) struct checkpoint_merge merge = { 0 };
		size_t count = checkpoints->count, unneeded = checkpoints->unneeded.count;

		if (checkpoints_find_merge(checkpoints, now, NULL, &merge) < 0)
			abort();
		if (merge.id == 0)
			return;
		if (checkpoints_merged(checkpoints, &merge, now) < 0 ||
		    checkpoints->count != count - 1)
			abort();
		check_unneeded(checkpoints, unneeded);
		check_copy(checkpoints);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(checkpoints_freep) struct checkpoints *checkpoints = NULL;
	AUTO_JSON struct json_object *tree = NULL;
	struct json_error error;

	if (size == 0 || json_parse((const char *)data + 1, size - 1, &tree, &error) < 0)
		return 0;
	if (checkpoints_from_json(tree, &checkpoints, &error) < 0)
		return 0;
	check_copy(checkpoints);
	if (checkpoints_count(checkpoints) > checkpoints->count)
		abort();
	if (checkpoints->count > 0) {
		CLEANUP(definition_freep) struct definition *now = NULL;

		if (definition_copy(checkpoints->items[0].definition, &now) < 0)
			abort();
		merge_all(checkpoints, now);
	}
	if (checkpoints->count > 0)
		move(checkpoints);
	change(checkpoints, data[0] & 1);
	return 0;
}
