/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* New images that stand on another. */
#include "common/image/vhdx_child.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/image/vhdx.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The length of what both begin with, whole parts of paths, with the slash. */
static size_t child_find_common(const char *a, const char *b)
{
	size_t common = 0;

	for (size_t i = 0; a[i] != '\0' && a[i] == b[i]; i++) {
		if (a[i] == '/')
			common = i + 1;
	}
	return common;
}

/*
 * From the folder of one file to another, as Windows writes it; both paths are absolute, and have no
 * links in their folders. Return: whether it fits, and no name has what Windows takes for a slash.
 */
static bool child_name_relative(const char *child, const char *parent,
				char text[static VHDX_PATH_MAX])
{
	size_t common = child_find_common(child, parent), used = 0;
	const char *up = strchr(child + common, '/'), *down = parent + common;
	int size;

	if (strchr(down, '\\'))
		return false;
	if (!up)
		used = (size_t)snprintf(text, VHDX_PATH_MAX, ".\\");
	for (; up && used < VHDX_PATH_MAX; up = strchr(up + 1, '/'))
		used += (size_t)snprintf(text + used, VHDX_PATH_MAX - used, "..\\");
	if (used >= VHDX_PATH_MAX)
		return false;
	size = snprintf(text + used, VHDX_PATH_MAX - used, "%s", down);
	if (size >= (int)(VHDX_PATH_MAX - used))
		return false;
	for (char *c = text; *c; c++) {
		if (*c == '/')
			*c = '\\';
	}
	return true;
}

/* The path without links, of a file that need not be there: its folder is. Return: 0; -errno. */
static int child_resolve(const char *path, char **ret_path)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *folder = slash ? strndup(path, (size_t)(slash + 1 - path)) : NULL;
	AUTO_FREE char *real = NULL;

	if (!folder)
		return slash ? -ENOMEM : -EINVAL;
	real = realpath(folder, NULL);
	if (!real)
		return -errno;
	if (asprintf(ret_path, "%s/%s", strcmp(real, "/") == 0 ? "" : real, slash + 1) < 0)
		return -ENOMEM;
	return 0;
}

int vhdx_child_name(const char *child, const char *below, struct vhdx_parent *named)
{
	AUTO_FREE char *parent = realpath(below, NULL);
	AUTO_FREE char *path = NULL;
	int r;

	if (!parent)
		return -errno;
	r = child_resolve(child, &path);
	if (r < 0)
		return r;
	if (!text_is_utf8(parent, strlen(parent)))
		return -EILSEQ;
	if (!child_name_relative(path, parent, named->relative))
		named->relative[0] = '\0';
	named->volume[0] = '\0';
	if (snprintf(named->absolute, sizeof(named->absolute), "%s", parent) >=
	    (int)sizeof(named->absolute))
		named->absolute[0] = '\0';
	return named->relative[0] || named->absolute[0] ? 0 : -ENAMETOOLONG;
}

int vhdx_child_make(int fd, const struct vhdx_child *child, uint64_t *ret_size)
{
	struct vhdx_file file = vhdx_file_of(&fd, 0);
	struct vhdx_patches patches = { 0 };
	struct vhdx_parent named = { 0 };
	struct vhdx_options options;
	struct vhdx parent;
	uint64_t size;
	int r = child->in_use ? vhdx_look_fd(child->parent_fd, &parent)
			      : vhdx_open_fd(child->parent_fd, false, &parent, &patches, &size);

	vhdx_patches_deinit(&patches);
	if (r == 0)
		r = vhdx_child_name(child->path, child->parent, &named);
	if (r)
		return r;
	named.linkage = parent.header.data_write;
	options = (struct vhdx_options){
		.size = parent.size,
		.block_size = child->block_size ? child->block_size : parent.block_size,
		.sector_size = parent.sector_size,
		.physical_sector_size = parent.physical_sector_size,
		.parent = &named,
	};
	*ret_size = parent.size;
	return vhdx_make(&file, &options);
}
