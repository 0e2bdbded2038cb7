/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parents of an image that the worker reads by itself: each is found by what its child says of
 * it, is to be what the child was made on, and is opened for reading.
 *
 * The worker may not wait. What takes its time is done here: the image that is going to be written
 * is put in order, should it not have been closed.
 */
#include "common/base/path.h"
#include "common/image/image.h"
#include "vmms/image/image_chain_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NUMBER_SIZE 8

/* What an image says of itself. */
struct parents_image {
	enum image_format format;
	union {
		struct vhdx vhdx;
		struct vhd vhd;
	};
};

static const char *parents_error_text(const struct chain *chain, int error)
{
	return chain->format == IMAGE_VHD ? vhd_error_text(error) : vhdx_error_text(error);
}

/* The image itself; its log is replayed, or its end put in order, if it is to be written. */
static int parents_recover(const struct chain *chain, struct failure *failure)
{
	struct resources *resources = chain->resources;
	bool writable = !chain->disk->read_only;
	uint64_t most;
	int r = chain->format == IMAGE_VHD ? vhd_recover(chain->fd, writable, &most)
					   : vhdx_recover(chain->fd, writable, &most);

	if (r)
		return chain_refuse_image(chain, failure, parents_error_text(chain, r));
	resources->items[resources->count - 1].most = most;
	return 0;
}

static int parents_look(const struct chain *chain, struct parents_image *image,
			struct failure *failure)
{
	struct vhdx_patches patches = { 0 };
	uint64_t size;
	int r;

	image->format = chain->format;
	r = chain->format == IMAGE_VHD
		    ? vhd_open_fd(chain->fd, &image->vhd, &size)
		    : vhdx_open_fd(chain->fd, false, &image->vhdx, &patches, &size);
	if (r)
		return chain_refuse_image(chain, failure, parents_error_text(chain, r));
	vhdx_patches_deinit(&patches);
	return 0;
}

/* Return: whether it has a parent. */
static bool parents_name(const struct parents_image *image, struct image_parent_names *ret_names)
{
	const struct vhdx_parent *vhdx = &image->vhdx.parent;
	const struct vhd_parent *vhd = &image->vhd.parent;

	if (image->format == IMAGE_VHD)
		*ret_names =
			(struct image_parent_names){ vhd->relative, "",
						     vhd->absolute[0] ? vhd->absolute : vhd->name };
	else
		*ret_names =
			(struct image_parent_names){ vhdx->relative, vhdx->volume, vhdx->absolute };
	return image->format == IMAGE_VHD ? image->vhd.type == VHD_DIFFERENCING
					  : image->vhdx.has_parent;
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
	if (image_parent_find(chain->path, names, named.path) < 0)
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

static const char *parents_compare(const struct parents_image *child,
				   const struct parents_image *parent)
{
	if (child->format == IMAGE_VHD)
		return vhd_is_parent(&child->vhd, &parent->vhd)
			       ? NULL
			       : "it is another image than this one was made on";
	if (!vhdx_is_parent(&child->vhdx, &parent->vhdx))
		return "it is another image than this one was made on, or has been written since";
	if (child->vhdx.sector_size != parent->vhdx.sector_size)
		return "its sectors are of another size";
	return NULL;
}

int image_parents_open(struct chain *chain, struct failure *failure)
{
	struct parents_image child, parent;
	struct image_parent_names names;
	char path[PATH_MAX];
	int r;

	r = parents_recover(chain, failure);
	if (r == 0)
		r = parents_look(chain, &child, failure);
	while (r == 0 && !chain->request->alone && parents_name(&child, &names)) {
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
