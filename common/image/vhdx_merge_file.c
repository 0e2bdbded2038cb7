/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chains of VHDX images in files, that nobody writes. */
#include "common/image/vhdx_merge.h"

#include "common/image/vhdx_child.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Beside what is copied: tables, bitmaps, and what others write meanwhile. */
#define ROOM_SPARE (UINT64_C(16) << 20)

struct merge_file {
	int fd;
	struct vhdx_file file;
	struct vhdx vhdx;
};

static int merge_file_open(struct merge_file *opened, int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct vhdx_patches patches;
	int r;

	if (size < 0)
		return -errno;
	opened->fd = fd;
	opened->file = vhdx_file_of(&opened->fd, (uint64_t)size);
	r = vhdx_open(&opened->file, true, &opened->vhdx, &patches);
	if (r == 0)
		vhdx_patches_deinit(&patches);
	return r;
}

struct merge_files {
	struct merge_file parent, child;
	struct vhdx_merge images;
};

static int merge_files_open(struct merge_files *files, int parent_fd, int child_fd)
{
	int r = merge_file_open(&files->parent, parent_fd);

	if (r == 0)
		r = merge_file_open(&files->child, child_fd);
	files->images = (struct vhdx_merge){ .parent = &files->parent.file,
					     .child = &files->child.file,
					     .parent_image = &files->parent.vhdx,
					     .child_image = &files->child.vhdx };
	return r;
}

int vhdx_merge_measure_fd(int parent_fd, int child_fd, uint64_t *ret_moved, uint64_t *ret_room)
{
	struct merge_files files;
	int r = merge_files_open(&files, parent_fd, child_fd);

	return r ? r : vhdx_merge_measure(&files.images, ret_moved, ret_room);
}

/* One that cannot tell is tried. */
static int merge_check_room(int fd, uint64_t room)
{
	struct statvfs file_system;

	if (room == 0 || fstatvfs(fd, &file_system) < 0)
		return 0;
	return file_system.f_bavail * file_system.f_frsize < room + ROOM_SPARE ? -ENOSPC : 0;
}

int vhdx_merge_fd(int parent_fd, int child_fd, const struct vhdx_follower *follower)
{
	struct merge_files files;
	uint64_t moved, room;
	int r = merge_files_open(&files, parent_fd, child_fd);

	if (r == 0)
		r = vhdx_merge_measure(&files.images, &moved, &room);
	if (r == 0)
		r = merge_check_room(parent_fd, room);
	return r ? r : vhdx_merge(&files.images, follower);
}

int vhdx_relink_fd(int fd, const char *path, int parent_fd, const char *parent)
{
	struct vhdx_parent named = { 0 };
	struct merge_file above, below;
	int r = merge_file_open(&above, fd);

	if (r == 0)
		r = merge_file_open(&below, parent_fd);
	if (r == 0 && !above.vhdx.has_parent)
		r = VHDX_E_PARENT;
	if (r || vhdx_is_parent(&above.vhdx, &below.vhdx))
		return r;
	r = vhdx_child_name(path, parent, &named);
	if (r)
		return r;
	named.linkage = below.vhdx.header.data_write;
	return vhdx_relink(&above.file, &above.vhdx, &named);
}

int vhdx_rename_parent_fd(int fd, const char *path, const char *parent)
{
	struct vhdx_parent named;
	struct merge_file image;
	int r = merge_file_open(&image, fd);

	if (r)
		return r;
	named = image.vhdx.parent;
	r = vhdx_child_name(path, parent, &named);
	return r ? r : vhdx_relink(&image.file, &image.vhdx, &named);
}
