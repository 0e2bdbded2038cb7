/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making a disk of a VHDX image, and of its parent's disk. */
#include "vsp/storage/disk_vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX ((uint64_t)INT64_MAX & ~(VHDX_MIB - 1))

static void disk_vhdx_give_up(struct disk *file, struct disk *parent, struct vhdx_patches *patches)
{
	vhdx_patches_deinit(patches);
	disk_retire(file, NULL, NULL);
	if (parent)
		disk_retire(parent, NULL, NULL);
}

int disk_vhdx_new(struct loop *loop, struct disk *file, struct disk *parent,
		  const struct vhdx *image, struct vhdx_patches *patches, uint64_t file_size,
		  struct disk **ret_disk)
{
	struct disk_vhdx *vhdx = calloc(1, sizeof(*vhdx));

	if (!vhdx) {
		disk_vhdx_give_up(file, parent, patches);
		return -ENOMEM;
	}
	vhdx->layout = &disk_vhdx_layout;
	vhdx->loop = loop;
	vhdx->file = file;
	vhdx->parent = parent;
	vhdx->image = *image;
	vhdx->patches = *patches;
	vhdx->file_size = MAX(file_size, patches->file_size);
	vhdx->end = ALIGN_UP(vhdx->file_size, VHDX_MIB);
	*patches = (struct vhdx_patches){ 0 };
	return disk_vhdx_start(vhdx, ret_disk);
}

/*
 * Those who open images have found each parent; that their files have not been mixed up since is
 * seen here.
 */
static int disk_vhdx_check_parent(const struct vhdx *vhdx, struct disk *parent)
{
	const struct vhdx *image;

	if (vhdx->has_parent != (parent != NULL))
		return VHDX_E_PARENT;
	if (!parent)
		return 0;
	image = disk_vhdx_image(parent);
	if (!image || !vhdx_is_parent(vhdx, image) || image->sector_size != vhdx->sector_size)
		return VHDX_E_PARENT;
	return 0;
}

/* The log has been replayed by whoever opened the image, and may wait for that. */
static int disk_vhdx_look(const struct image *image, struct disk *parent, struct vhdx *vhdx,
			  struct vhdx_patches *patches, uint64_t *ret_size)
{
	int r = vhdx_open_fd(image->fd, false, vhdx, patches, ret_size);

	if (r)
		return r;
	r = disk_vhdx_check_parent(vhdx, parent);
	if (r == 0 && !image->read_only && !guid_is_null(&vhdx->header.log))
		r = VHDX_E_UNREPLAYED;
	if (r)
		vhdx_patches_deinit(patches);
	return r;
}

int disk_vhdx_open_child(struct loop *loop, const struct image *image, struct disk *parent,
			 bool drop_flushes, struct disk **ret_disk)
{
	struct image unbounded = *image;
	struct vhdx_patches patches;
	struct vhdx vhdx;
	struct disk *disk;
	uint64_t size;
	int r;

	r = disk_vhdx_look(image, parent, &vhdx, &patches, &size);
	if (r) {
		close(image->fd);
		return r;
	}
	unbounded.size = FILE_MAX;
	r = disk_file_new(loop, &unbounded, vhdx.sector_size, &disk);
	if (r < 0) {
		vhdx_patches_deinit(&patches);
		return r;
	}
	if (drop_flushes)
		disk_file_drop_flushes(disk);
	return disk_vhdx_new(loop, disk, NULL, &vhdx, &patches, size, ret_disk);
}

int disk_vhdx_open(struct loop *loop, const struct image *image, struct disk *parent,
		   bool drop_flushes, struct disk **ret_disk)
{
	int r = disk_vhdx_open_child(loop, image, parent, drop_flushes, ret_disk);

	if (r == 0 && parent)
		disk_vhdx_set_parent(*ret_disk, parent);
	else if (parent)
		disk_retire(parent, NULL, NULL);
	return r;
}
