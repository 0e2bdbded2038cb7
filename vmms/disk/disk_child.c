/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * New disks that stand on another: differencing VHDX images, which hold what has been written since.
 *
 * The parent is only read. It is locked meanwhile, so that no VM writes it: a child says on which
 * state of its parent it was made (its DataWriteGuid), and is worth nothing on any other.
 *
 * A child names its parent as Windows does, by a path from its own folder, and, for it may be moved
 * alone, by the whole path, which is one of this host.
 */
#include "vmms/disk/disk_file.h"

#include "common/base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SHOWN  512
#define SECTOR_SIZE 512

/* Return: negative. */
static int child_refuse(struct disk_work *work, const char *error, const char *why)
{
	const char *path = work->request->parent;
	char shown[PATH_SHOWN];

	text_repair(shown, sizeof(shown), path, strlen(path));
	return failure_set(work->failure, error, "'%s' cannot be a parent: %s", shown, why);
}

/* ---- How it is named ---- */

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
 * links in their folders. Return: false: it is too long, or a name has what Windows takes for a
 * slash.
 */
static bool child_name_relative(const char *child, const char *parent,
				char text[static VHDX_PATH_MAX])
{
	size_t common = child_find_common(child, parent), used = 0;
	const char *up = child + common, *down = parent + common;
	int size;

	if (strchr(parent + common, '\\'))
		return false;
	text[0] = '\0';
	if (!strchr(up, '/'))
		used += (size_t)snprintf(text, VHDX_PATH_MAX, ".\\");
	for (up = strchr(up, '/'); up && used < VHDX_PATH_MAX; up = strchr(up + 1, '/'))
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

/* The path without links, of a file that need not be there: its folder is. NULL: errno says why. */
static char *child_resolve(const char *path)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *folder = strndup(path, (size_t)(slash + 1 - path));
	AUTO_FREE char *real = folder ? realpath(folder, NULL) : NULL;
	char *whole = NULL;

	if (!real)
		return NULL;
	if (asprintf(&whole, "%s/%s", strcmp(real, "/") == 0 ? "" : real, slash + 1) < 0)
		return NULL;
	return whole;
}

static int child_name_parent(struct disk_work *work, struct vhdx_parent *named)
{
	AUTO_FREE char *child = child_resolve(work->request->path);
	AUTO_FREE char *parent = realpath(work->request->parent, NULL);
	size_t size;

	if (!child)
		return disk_work_refuse(work, work->request->path, "cannot be made", errno);
	if (!parent)
		return child_refuse(work, DBUS_ERROR_RESOURCE, strerror(errno));
	size = strlen(parent);
	if (text_utf8_prefix(parent, size) != size)
		return child_refuse(work, DBUS_ERROR_INVALID_ARGUMENT,
				    "a VHDX names it in UTF-16, and its path is no text");
	if (!child_name_relative(child, parent, named->relative))
		named->relative[0] = '\0';
	if (snprintf(named->absolute, sizeof(named->absolute), "%s", parent) >=
	    (int)sizeof(named->absolute))
		named->absolute[0] = '\0';
	if (!named->relative[0] && !named->absolute[0])
		return child_refuse(work, DBUS_ERROR_INVALID_ARGUMENT,
				    "its path is longer than a VHDX can say");
	return 0;
}

/* ---- The parent ---- */

static int child_look_at_parent(struct disk_work *work, int fd, struct vhdx *ret_vhdx)
{
	struct vhdx_patches patches = { 0 };
	uint64_t size;
	int r = vhdx_open_fd(fd, false, ret_vhdx, &patches, &size);

	vhdx_patches_deinit(&patches);
	if (r == VHDX_E_OTHER)
		return child_refuse(work, DBUS_ERROR_INVALID_ARGUMENT,
				    "it is no VHDX; 'vmctl disk convert' makes one of it");
	return r ? child_refuse(work, DBUS_ERROR_RESOURCE, vhdx_error_text(r)) : 0;
}

static int child_open_parent(struct disk_work *work, int *ret_fd)
{
	const struct image_options options = { .read_only = true, .sector_size = SECTOR_SIZE };
	struct image image = { .fd = -1 };
	int r = image_open(work->request->parent, &options, &image);

	if (r == IMAGE_E_IN_USE)
		return child_refuse(work, DBUS_ERROR_DISK_IN_USE,
				    "it is in use by a VM, or by another program that has locked "
				    "it");
	if (r)
		return child_refuse(work, DBUS_ERROR_RESOURCE, image_error_text(r));
	*ret_fd = image.fd;
	return 0;
}

/* ---- The child ---- */

static int child_make(struct disk_work *work, const struct vhdx_options *options)
{
	const char *path = work->request->path;
	struct disk_new new;
	struct vhdx_file file;
	int r = disk_new_begin(work, path, &new);

	if (r < 0)
		return r;
	file = vhdx_file_of(&new.fd, 0);
	r = vhdx_make(&file, options);
	if (r < 0)
		r = disk_work_refuse(work, path, "cannot be made", r);
	else if (!disk_work_goes_on(work, 0, 0))
		r = disk_work_stop(work);
	if (r < 0) {
		disk_new_abandon(&new);
		return r;
	}
	return disk_new_commit(work, &new);
}

int disk_create_child(struct disk_work *work)
{
	const struct disk_request *request = work->request;
	struct vhdx_parent named = { 0 };
	AUTO_CLOSE int fd = -1; /* open, and so locked, until the child is there */
	struct vhdx_options options;
	struct vhdx parent;
	int r = child_open_parent(work, &fd);

	if (r == 0)
		r = child_look_at_parent(work, fd, &parent);
	if (r == 0)
		r = child_name_parent(work, &named);
	if (r < 0)
		return r;
	named.linkage = parent.header.data_write;
	options = (struct vhdx_options){
		.size = parent.size,
		.block_size =
			request->block_size ? (uint32_t)request->block_size : parent.block_size,
		.sector_size = parent.sector_size,
		.physical_sector_size = parent.physical_sector_size,
		.parent = &named,
	};
	r = child_make(work, &options);
	if (r == 0)
		work->found = json_make("path", json_object_new_string(request->path), "format",
					json_object_new_string("vhdx"), "size",
					json_object_new_int64((int64_t)parent.size), "parent",
					json_object_new_string(request->parent), NULL);
	return r;
}
