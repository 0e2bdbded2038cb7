/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parents of an image that the worker reads by itself: each is found by what its child says of
 * it, is to be what the child was made on, and is opened for reading.
 *
 * The worker may not wait. What takes its time is done here: a log is replayed in the image that is
 * going to be written.
 */
#include "common/base/path.h"
#include "common/image/image_parent.h"
#include "vmms/image/image_chain_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NUMBER_SIZE 8

/* The image itself; its log is replayed if it is to be written. */
static int parents_recover(const struct chain *chain, struct failure *failure)
{
	struct resources *resources = chain->resources;
	uint64_t most;
	int r = vhdx_recover(chain->fd, !chain->disk->read_only, &most);

	if (r)
		return chain_refuse_image(chain, failure, vhdx_error_text(r));
	resources->items[resources->count - 1].most = most;
	return 0;
}

static int parents_look(const struct chain *chain, struct vhdx *vhdx, struct failure *failure)
{
	struct vhdx_patches patches;
	uint64_t size;
	int r = vhdx_open_fd(chain->fd, false, vhdx, &patches, &size);

	if (r)
		return chain_refuse_image(chain, failure, vhdx_error_text(r));
	vhdx_patches_deinit(&patches);
	return 0;
}

/* The first place where something is; the first of all, if nothing is anywhere. */
static int parents_find(const struct chain *chain, const struct image_parent_names *names,
			char path[static PATH_MAX])
{
	int found = -ENOENT;

	for (unsigned i = 0; i < IMAGE_PARENT_PLACES; i++) {
		AUTO_CLOSE int path_fd = -1;
		char place[PATH_MAX];
		struct stat status;
		int r = image_parent_place(chain->path, names, i, place);

		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		path_fd = path_look(place, &status);
		if (path_fd < 0 && found == 0)
			continue;
		strcpy(path, place);
		found = 0;
		if (path_fd >= 0)
			return 0;
	}
	return found;
}

static int parents_open_next(struct chain *chain, const struct image_parent_names *names,
			     struct failure *failure)
{
	struct named named = { .what = "parent", .read_only = true };
	char number[NUMBER_SIZE];
	int r;

	r = chain_check_writers(chain, failure);
	if (r < 0)
		return r;
	if (parents_find(chain, names, named.path) < 0)
		return chain_refuse_image(chain, failure,
					  "it does not say where the parent is that it needs");
	r = chain_open_named(chain, &named, failure);
	if (r < 0)
		return r;
	snprintf(number, sizeof(number), "%u", chain->count);
	r = chain_add_file(chain, &named, number, "");
	if (r < 0)
		return chain_refuse_open(chain, &named, r, failure);
	chain->fd = named.fd;
	memcpy(chain->path, named.path, sizeof(chain->path));
	return 0;
}

/* Of a parent that has been opened. child: the path of the image on it. */
static int parents_check(struct chain *chain, const char *child, const char *why,
			 struct failure *failure)
{
	struct named named = { .what = "parent" };

	if (!why)
		return 0;
	memcpy(named.path, chain->path, sizeof(named.path));
	snprintf(chain->path, sizeof(chain->path), "%s", child);
	return chain_refuse_named(chain, &named, DBUS_ERROR_RESOURCE, why, failure);
}

static const char *parents_compare(const struct vhdx *child, const struct vhdx *parent)
{
	if (!vhdx_is_parent(child, parent))
		return "it is another image than this one was made on, or has been written since";
	if (child->sector_size != parent->sector_size)
		return "its sectors are of another size";
	return NULL;
}

int image_parents_open(struct chain *chain, struct failure *failure)
{
	struct vhdx child, parent;
	char path[PATH_MAX];
	int r;

	r = parents_recover(chain, failure);
	if (r == 0)
		r = parents_look(chain, &child, failure);
	while (r == 0 && child.has_parent) {
		const struct image_parent_names names = { child.parent.relative,
							  child.parent.volume,
							  child.parent.absolute };

		memcpy(path, chain->path, sizeof(path));
		r = parents_open_next(chain, &names, failure);
		if (r == 0)
			r = parents_look(chain, &parent, failure);
		if (r == 0)
			r = parents_check(chain, path, parents_compare(&child, &parent), failure);
		child = parent;
	}
	return r;
}
