/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * New disks that stand on another (common/image/vhdx_child.h). The parent is locked while its child
 * is made, so that no VM writes it meanwhile.
 */
#include "vmms/disk/disk_file.h"

#include "common/base/text.h"

#include <errno.h>
#include <string.h>

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

/* What vhdx_child_make() has returned. */
static int child_judge(struct disk_work *work, int error)
{
	if (error == VHDX_E_OTHER)
		return child_refuse(work, DBUS_ERROR_INVALID_ARGUMENT,
				    "it is no VHDX; 'vmctl disk convert' makes one of it");
	if (error == -EILSEQ)
		return child_refuse(work, DBUS_ERROR_INVALID_ARGUMENT,
				    "a VHDX names it in UTF-16, and its path is no text");
	if (error == -ENAMETOOLONG)
		return child_refuse(work, DBUS_ERROR_INVALID_ARGUMENT,
				    "its path is longer than a VHDX can say");
	if (error > 0)
		return child_refuse(work, DBUS_ERROR_RESOURCE, vhdx_error_text(error));
	return error < 0 ? disk_work_refuse(work, work->request->path, "cannot be made", error) : 0;
}

static int child_make(struct disk_work *work, int parent_fd, uint64_t *ret_size)
{
	const struct disk_request *request = work->request;
	const struct vhdx_child child = { .path = request->path,
					  .parent = request->parent,
					  .parent_fd = parent_fd,
					  .block_size = (uint32_t)request->block_size };
	struct disk_new new;
	int r = disk_new_begin(work, request->path, &new);

	if (r < 0)
		return r;
	r = child_judge(work, vhdx_child_make(new.fd, &child, ret_size));
	if (r == 0 && !disk_work_goes_on(work, 0, 0))
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
	AUTO_CLOSE int fd = -1; /* open, and so locked, until the child is there */
	uint64_t size;
	int r = child_open_parent(work, &fd);

	if (r == 0)
		r = child_make(work, fd, &size);
	if (r == 0)
		work->found = json_make("path", json_object_new_string(request->path), "format",
					json_object_new_string("vhdx"), "size",
					json_object_new_int64((int64_t)size), "parent",
					json_object_new_string(request->parent), NULL);
	return r;
}
