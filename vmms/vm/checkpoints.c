/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tree of a VM's checkpoints. checkpoints_json.c reads and writes it. */
#include "vmms/vm/checkpoints.h"

#include "common/base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Paths ---- */

void checkpoint_paths_deinit(struct checkpoint_paths *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		free(paths->items[i]);
	free(paths->items);
	*paths = (struct checkpoint_paths){ 0 };
}

static size_t paths_find(const struct checkpoint_paths *paths, const char *path)
{
	size_t i = 0;

	while (i < paths->count && strcmp(paths->items[i], path) != 0)
		i++;
	return i;
}

bool checkpoint_paths_have(const struct checkpoint_paths *paths, const char *path)
{
	return paths_find(paths, path) < paths->count;
}

int checkpoint_paths_add(struct checkpoint_paths *paths, const char *path)
{
	char **items;

	if (checkpoint_paths_have(paths, path))
		return 0;
	items = reallocarray(paths->items, paths->count + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	paths->items = items;
	items[paths->count] = strdup(path);
	if (!items[paths->count])
		return -ENOMEM;
	paths->count++;
	return 0;
}

void checkpoint_paths_remove(struct checkpoint_paths *paths, const char *path)
{
	size_t i = paths_find(paths, path);

	if (i == paths->count)
		return;
	free(paths->items[i]);
	paths->count--;
	memmove(paths->items + i, paths->items + i + 1, (paths->count - i) * sizeof(*paths->items));
}

/* ---- Life ---- */

int checkpoints_new(struct checkpoints **ret_checkpoints)
{
	struct checkpoints *checkpoints = calloc(1, sizeof(*checkpoints));

	if (!checkpoints)
		return -ENOMEM;
	checkpoints->next = 1;
	*ret_checkpoints = checkpoints;
	return 0;
}

static void checkpoint_deinit(struct checkpoint *checkpoint)
{
	free(checkpoint->name);
	free(checkpoint->notes);
	definition_free(checkpoint->definition);
}

static void checkpoints_free_link(struct checkpoint_link *link)
{
	free(link->image);
	free(link->parent);
}

void checkpoints_free(struct checkpoints *checkpoints)
{
	if (!checkpoints)
		return;
	for (size_t i = 0; i < checkpoints->count; i++)
		checkpoint_deinit(&checkpoints->items[i]);
	free(checkpoints->items);
	checkpoint_paths_deinit(&checkpoints->files);
	checkpoint_paths_deinit(&checkpoints->unneeded);
	checkpoint_paths_deinit(&checkpoints->states);
	for (size_t i = 0; i < checkpoints->link_count; i++)
		checkpoints_free_link(&checkpoints->links[i]);
	free(checkpoints->links);
	free(checkpoints);
}

int checkpoints_copy(const struct checkpoints *checkpoints, struct checkpoints **ret_copy)
{
	AUTO_JSON struct json_object *tree = checkpoints_to_json(checkpoints);
	struct json_error error;

	return tree ? checkpoints_from_json(tree, ret_copy, &error) : -ENOMEM;
}

/* ---- Finding ---- */

static struct checkpoint *checkpoints_find_any(const struct checkpoints *checkpoints, unsigned id)
{
	for (size_t i = 0; i < checkpoints->count; i++) {
		if (checkpoints->items[i].id == id)
			return &checkpoints->items[i];
	}
	return NULL;
}

struct checkpoint *checkpoints_find(const struct checkpoints *checkpoints, unsigned id)
{
	struct checkpoint *checkpoint = checkpoints_find_any(checkpoints, id);

	return checkpoint && !checkpoint->hidden ? checkpoint : NULL;
}

unsigned checkpoints_count(const struct checkpoints *checkpoints)
{
	unsigned count = 0;

	for (size_t i = 0; i < checkpoints->count; i++)
		count += !checkpoints->items[i].hidden;
	return count;
}

unsigned checkpoints_depth(const struct checkpoints *checkpoints, unsigned id)
{
	const struct checkpoint *checkpoint = checkpoints_find_any(checkpoints, id);
	unsigned depth = 0;

	while (checkpoint) {
		depth++;
		checkpoint = checkpoints_find_any(checkpoints, checkpoint->parent);
	}
	return depth;
}

unsigned checkpoints_visible_parent(const struct checkpoints *checkpoints, unsigned id)
{
	const struct checkpoint *checkpoint = checkpoints_find_any(checkpoints, id);

	while (checkpoint && checkpoint->hidden)
		checkpoint = checkpoints_find_any(checkpoints, checkpoint->parent);
	return checkpoint ? checkpoint->id : 0;
}

static bool checkpoint_names_disk(const struct definition *definition, const char *path)
{
	for (size_t i = 0; i < definition->disk_count; i++) {
		if (definition->disks[i].path && strcmp(definition->disks[i].path, path) == 0)
			return true;
	}
	return false;
}

bool checkpoints_name_disk(const struct checkpoints *checkpoints, const char *path)
{
	for (size_t i = 0; i < checkpoints->count; i++) {
		if (checkpoint_names_disk(checkpoints->items[i].definition, path))
			return true;
	}
	return false;
}

bool checkpoint_name_is_valid(const char *name)
{
	size_t size = strlen(name);

	if (size == 0 || size > CHECKPOINT_NAME_MAX || !text_is_utf8(name, size) ||
	    name[strspn(name, "0123456789")] == '\0')
		return false;
	for (const char *c = name; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return false;
	}
	return true;
}

/* ---- Changing ---- */

int checkpoints_add(struct checkpoints *checkpoints, const char *name, const char *notes,
		    uint64_t created_at, const struct definition *definition)
{
	struct checkpoint *items =
		reallocarray(checkpoints->items, checkpoints->count + 1, sizeof(*items));
	struct checkpoint *added;

	if (!items)
		return -ENOMEM;
	checkpoints->items = items;
	added = &items[checkpoints->count];
	*added = (struct checkpoint){ .id = checkpoints->next,
				      .parent = checkpoints->current,
				      .name = strdup(name),
				      .notes = strdup(notes),
				      .created_at = created_at };
	checkpoints->count++;
	if (!added->name || !added->notes || definition_copy(definition, &added->definition) < 0)
		return -ENOMEM;
	checkpoints->current = checkpoints->next++;
	return 0;
}

/* The disks of a definition that were made for the tree, and that nothing there names. */
static int checkpoints_drop_disks(struct checkpoints *checkpoints,
				  const struct definition *definition)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < definition->disk_count; i++) {
		const char *path = definition->disks[i].path;

		if (path && checkpoint_paths_have(&checkpoints->files, path) &&
		    !checkpoints_name_disk(checkpoints, path))
			r = checkpoint_paths_add(&checkpoints->unneeded, path);
	}
	return r;
}

static bool checkpoints_is_used(const struct checkpoints *checkpoints, unsigned id)
{
	for (size_t i = 0; i < checkpoints->count; i++) {
		if (checkpoints->items[i].parent == id)
			return true;
	}
	return checkpoints->current == id;
}

static int checkpoints_remove(struct checkpoints *checkpoints, size_t index)
{
	struct checkpoint removed = checkpoints->items[index];
	int r;

	checkpoints->count--;
	memmove(checkpoints->items + index, checkpoints->items + index + 1,
		(checkpoints->count - index) * sizeof(removed));
	r = checkpoints_drop_disks(checkpoints, removed.definition);
	checkpoint_deinit(&removed);
	return r;
}

/*
 * Those that are hidden, and on which nothing stands. A child has a greater id, and so comes after
 * its parent.
 */
static int checkpoints_prune(struct checkpoints *checkpoints)
{
	int r = 0;

	for (size_t i = checkpoints->count; r == 0 && i-- > 0;) {
		const struct checkpoint *checkpoint = &checkpoints->items[i];

		if (checkpoint->hidden && !checkpoints_is_used(checkpoints, checkpoint->id))
			r = checkpoints_remove(checkpoints, i);
	}
	return r;
}

static bool checkpoints_stands_on(const struct checkpoints *checkpoints,
				  const struct checkpoint *checkpoint, unsigned id)
{
	while (checkpoint && checkpoint->id != id)
		checkpoint = checkpoints_find_any(checkpoints, checkpoint->parent);
	return checkpoint;
}

int checkpoints_delete(struct checkpoints *checkpoints, unsigned id, bool subtree)
{
	for (size_t i = 0; i < checkpoints->count; i++) {
		struct checkpoint *checkpoint = &checkpoints->items[i];

		if (checkpoint->id == id ||
		    (subtree && checkpoints_stands_on(checkpoints, checkpoint, id)))
			checkpoint->hidden = true;
	}
	return checkpoints_prune(checkpoints);
}

int checkpoints_move_to(struct checkpoints *checkpoints, unsigned id,
			const struct definition *before)
{
	int r;

	checkpoints->current = id;
	r = checkpoints_drop_disks(checkpoints, before);
	return r == 0 ? checkpoints_prune(checkpoints) : r;
}

/* ---- Files ---- */

int checkpoints_link(struct checkpoints *checkpoints, const char *image, const char *parent)
{
	size_t count = checkpoints->link_count;
	struct checkpoint_link *links = reallocarray(checkpoints->links, count + 1, sizeof(*links));

	if (!links)
		return -ENOMEM;
	checkpoints->links = links;
	links[count] = (struct checkpoint_link){ strdup(image), strdup(parent) };
	checkpoints->link_count++;
	return links[count].image && links[count].parent ? 0 : -ENOMEM;
}

void checkpoints_forget_file(struct checkpoints *checkpoints, const char *path)
{
	size_t left = 0;

	checkpoint_paths_remove(&checkpoints->unneeded, path);
	checkpoint_paths_remove(&checkpoints->files, path);
	for (size_t i = 0; i < checkpoints->link_count; i++) {
		if (strcmp(checkpoints->links[i].image, path) == 0)
			checkpoints_free_link(&checkpoints->links[i]);
		else
			checkpoints->links[left++] = checkpoints->links[i];
	}
	checkpoints->link_count = left;
}
