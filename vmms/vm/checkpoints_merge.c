/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tree of a VM's checkpoints: disks that can be brought into those that they stand on.
 *
 * What of it has been done is seen by the VM's definition, which is changed before the tree: it names
 * the parent then, and nobody the image.
 */
#include "vmms/vm/checkpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void checkpoint_merge_deinit(struct checkpoint_merge *merge)
{
	for (size_t i = 0; i < merge->disk_count; i++) {
		free(merge->disks[i].image);
		free(merge->disks[i].parent);
		checkpoint_paths_deinit(&merge->disks[i].above);
	}
	free(merge->disks);
	*merge = (struct checkpoint_merge){ 0 };
}

bool checkpoint_merge_copies(const struct checkpoint_merge *merge)
{
	for (size_t i = 0; i < merge->disk_count; i++) {
		if (!merge->disks[i].done)
			return true;
	}
	return false;
}

/* ---- Finding ---- */

static bool merge_names(const struct definition *definition, const char *path)
{
	for (size_t i = 0; definition && i < definition->disk_count; i++) {
		if (definition->disks[i].path && strcmp(definition->disks[i].path, path) == 0)
			return true;
	}
	return false;
}

static unsigned merge_count_users(const struct checkpoints *checkpoints, unsigned id)
{
	unsigned count = checkpoints->current == id;

	for (size_t i = 0; i < checkpoints->count; i++)
		count += checkpoints->items[i].parent == id;
	return count;
}

/* How many checkpoints, hidden or not, have the disk. */
static unsigned merge_count_names(const struct checkpoints *checkpoints, const char *path)
{
	unsigned count = 0;

	for (size_t i = 0; i < checkpoints->count; i++)
		count += merge_names(checkpoints->items[i].definition, path);
	return count;
}

static bool merge_is_needed(const struct checkpoints *checkpoints, const char *path)
{
	return !checkpoint_paths_have(&checkpoints->unneeded, path);
}

/* Return: the image on that one; NULL: there is none; *ret_count: how many there are. */
static const char *merge_find_above(const struct checkpoints *checkpoints, const char *path,
				    unsigned *ret_count)
{
	const char *found = NULL;

	*ret_count = 0;
	for (size_t i = 0; i < checkpoints->link_count; i++) {
		const struct checkpoint_link *link = &checkpoints->links[i];

		if (strcmp(link->parent, path) != 0 || !merge_is_needed(checkpoints, link->image))
			continue;
		found = link->image;
		++*ret_count;
	}
	return found;
}

static int merge_add(const struct checkpoints *checkpoints, struct checkpoint_merge *merge,
		     const char *image, const char *parent, bool done)
{
	struct checkpoint_merge_disk *disks =
		reallocarray(merge->disks, merge->disk_count + 1, sizeof(*disks));
	struct checkpoint_merge_disk *disk;
	int r = 0;

	if (!disks)
		return -ENOMEM;
	merge->disks = disks;
	disk = &disks[merge->disk_count++];
	*disk = (struct checkpoint_merge_disk){ .image = strdup(image),
						.parent = strdup(parent),
						.done = done };
	for (size_t i = 0; r == 0 && i < checkpoints->link_count; i++) {
		const struct checkpoint_link *link = &checkpoints->links[i];

		if (strcmp(link->parent, image) == 0 && merge_is_needed(checkpoints, link->image))
			r = checkpoint_paths_add(&disk->above, link->image);
	}
	return disk->image && disk->parent ? r : -ENOMEM;
}

/* Nothing is copied twice, or on. */
static bool merge_has(const struct checkpoint_merge *merge, const char *parent, const char *image)
{
	bool has = strcmp(parent, image) == 0;

	for (size_t i = 0; i < merge->disk_count; i++)
		has |= strcmp(merge->disks[i].image, parent) == 0 ||
		       strcmp(merge->disks[i].parent, image) == 0 ||
		       strcmp(merge->disks[i].image, image) == 0;
	return has;
}

struct merge_search {
	const struct checkpoints *checkpoints;
	const struct definition *now, *pending;
};

static bool merge_vm_names(const struct merge_search *search, const char *path)
{
	return merge_names(search->now, path) || merge_names(search->pending, path);
}

/* A disk of a checkpoint. Return: 1: it can go, or has no other on it; 0: it cannot; -ENOMEM. */
static int merge_look(const struct merge_search *search, const char *path,
		      struct checkpoint_merge *merge)
{
	const struct checkpoints *checkpoints = search->checkpoints;
	unsigned count;
	const char *image = merge_find_above(checkpoints, path, &count);
	bool named, done;
	int r;

	if (!image)
		return !merge_vm_names(search, path);
	named = merge_count_names(checkpoints, image) || merge_vm_names(search, image);
	done = !named && merge_vm_names(search, path);
	/* A disk that somebody has detached is somebody's. */
	if (count > 1 || !checkpoint_paths_have(&checkpoints->files, image) ||
	    merge_has(merge, path, image) || (!named && !done) ||
	    merge_count_names(checkpoints, path) > 1 || (named && merge_vm_names(search, path)))
		return 0;
	r = merge_add(checkpoints, merge, image, path, done);
	return r < 0 ? r : 1;
}

static int merge_look_at(const struct merge_search *search, const struct checkpoint *checkpoint,
			 struct checkpoint_merge *merge)
{
	int r = 1;

	if (!checkpoint->hidden || merge_count_users(search->checkpoints, checkpoint->id) != 1)
		return 0;
	for (size_t i = 0; r == 1 && i < checkpoint->definition->disk_count; i++) {
		const struct definition_disk *disk = &checkpoint->definition->disks[i];

		if (definition_disk_is_written(disk))
			r = merge_look(search, disk->path, merge);
	}
	if (r == 1)
		merge->id = checkpoint->id;
	else
		checkpoint_merge_deinit(merge);
	return r;
}

int checkpoints_find_merge(const struct checkpoints *checkpoints, const struct definition *now,
			   const struct definition *pending, struct checkpoint_merge *ret_merge)
{
	const struct merge_search search = { checkpoints, now, pending };
	int r = 0;

	*ret_merge = (struct checkpoint_merge){ 0 };
	/* From the root on: what has been begun there is finished before what stands on it. */
	for (size_t i = 0; r == 0 && i < checkpoints->count; i++)
		r = merge_look_at(&search, &checkpoints->items[i], ret_merge);
	return r < 0 ? r : 0;
}

/* ---- What it comes to ---- */

int checkpoint_merge_rename(const struct checkpoint_merge *merge, struct definition *definition)
{
	for (size_t i = 0; definition && i < definition->disk_count; i++) {
		struct definition_disk *disk = &definition->disks[i];

		for (size_t j = 0; disk->path && j < merge->disk_count; j++) {
			char *path;

			if (strcmp(disk->path, merge->disks[j].image) != 0)
				continue;
			path = strdup(merge->disks[j].parent);
			if (!path)
				return -ENOMEM;
			free(disk->path);
			disk->path = path;
			break;
		}
	}
	return 0;
}

static int merged_links(struct checkpoints *checkpoints, const struct checkpoint_merge_disk *disk)
{
	for (size_t i = 0; i < checkpoints->link_count; i++) {
		struct checkpoint_link *link = &checkpoints->links[i];
		char *parent;

		if (strcmp(link->parent, disk->image) != 0)
			continue;
		parent = strdup(disk->parent);
		if (!parent)
			return -ENOMEM;
		free(link->parent);
		link->parent = parent;
	}
	return checkpoint_paths_add(&checkpoints->unneeded, disk->image);
}

/* Disks that nothing stands on are needed no more. */
static int merged_drop(struct checkpoints *checkpoints, const struct definition *definition,
		       const struct definition *now)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < definition->disk_count; i++) {
		const char *path = definition->disks[i].path;

		if (path && checkpoint_paths_have(&checkpoints->files, path) &&
		    merge_count_names(checkpoints, path) == 0 && !merge_names(now, path))
			r = checkpoint_paths_add(&checkpoints->unneeded, path);
	}
	return r;
}

static void merged_take_out(struct checkpoints *checkpoints, size_t index)
{
	unsigned id = checkpoints->items[index].id, parent = checkpoints->items[index].parent;

	checkpoints->count--;
	memmove(checkpoints->items + index, checkpoints->items + index + 1,
		(checkpoints->count - index) * sizeof(*checkpoints->items));
	for (size_t i = 0; i < checkpoints->count; i++) {
		if (checkpoints->items[i].parent == id)
			checkpoints->items[i].parent = parent;
	}
	if (checkpoints->current == id)
		checkpoints->current = parent;
}

int checkpoints_merged(struct checkpoints *checkpoints, const struct checkpoint_merge *merge,
		       const struct definition *now)
{
	struct checkpoint removed;
	size_t index = 0;
	int r = 0;

	while (checkpoints->items[index].id != merge->id)
		index++;
	removed = checkpoints->items[index];
	merged_take_out(checkpoints, index);
	for (size_t i = 0; r == 0 && i < checkpoints->count; i++)
		r = checkpoint_merge_rename(merge, checkpoints->items[i].definition);
	for (size_t i = 0; r == 0 && i < merge->disk_count; i++)
		r = merged_links(checkpoints, &merge->disks[i]);
	if (r == 0)
		r = merged_drop(checkpoints, removed.definition, now);
	free(removed.name);
	free(removed.notes);
	definition_free(removed.definition);
	return r;
}
