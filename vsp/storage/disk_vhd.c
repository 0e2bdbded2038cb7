/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk in a VHD image: where things are there, and how it grows.
 *
 * A block begins with its bitmap. The footer is the end of the file, and has to get out of the way of
 * new blocks: it is written anew some blocks ahead, and is durable there before anything takes its
 * place; until then, and whenever that fails, there is its copy at the beginning of the file.
 *
 * An image of fixed size is a raw one with a footer.
 */
#include "common/image/image.h"
#include "vsp/storage/disk_vhdx.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BITS    (VHD_SECTOR * 8)
#define PAGE_ENTRIES (VHD_SECTOR / 4)
#define FILE_MAX     ((uint64_t)INT64_MAX & ~((uint64_t)VHD_SECTOR - 1))

/* ---- The table ---- */

static enum vhdx_state disk_vhd_get(const struct disk_vhdx *vhdx, const struct vhdx_page *page,
				    uint64_t index, uint64_t *ret_place)
{
	uint32_t sector = be32toh(page->sectors[index % PAGE_ENTRIES]);

	if (sector == VHD_UNUSED)
		return VHDX_NOT_PRESENT;
	*ret_place = (uint64_t)sector * VHD_SECTOR + vhdx->vhd.bitmap_size;
	return vhdx->whole[index / 8] >> index % 8 & 1 ? VHDX_FULLY : VHDX_PARTIALLY;
}

static void disk_vhd_set_whole(struct disk_vhdx *vhdx, uint64_t index)
{
	vhdx->whole[index / 8] |= (uint8_t)(1u << index % 8);
}

static void disk_vhd_set(struct disk_vhdx *vhdx, struct vhdx_page *page, uint64_t index,
			 enum vhdx_state state, uint64_t place)
{
	uint64_t sector = (place - vhdx->vhd.bitmap_size) / VHD_SECTOR;

	page->sectors[index % PAGE_ENTRIES] = htobe32((uint32_t)sector);
	if (state == VHDX_FULLY)
		disk_vhd_set_whole(vhdx, index);
}

static bool disk_vhd_may_use(const struct disk_vhdx *vhdx, uint64_t place, uint64_t size)
{
	return place >= vhdx->vhd.data_end + vhdx->vhd.bitmap_size && place <= vhdx->file_size &&
	       size <= vhdx->file_size - place;
}

/* ---- Bitmaps ---- */

static struct vhdx_page *disk_vhd_bits(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t place,
				       uint64_t *size, unsigned *ret_first)
{
	uint64_t sector = io->offset % vhdx->vhd.block_size / VHD_SECTOR;
	uint64_t bitmap = place - vhdx->vhd.bitmap_size;
	struct vhdx_page *page = disk_vhdx_page(vhdx, io, bitmap + sector / PAGE_BITS * VHD_SECTOR);

	*ret_first = (unsigned)(sector % PAGE_BITS);
	*size = MIN(*size, (uint64_t)(PAGE_BITS - *ret_first) * VHD_SECTOR);
	/* So that it need not be kept. */
	if (page && vhdx->vhd.block_size / VHD_SECTOR <= PAGE_BITS && disk_vhdx_bit(page, 0) &&
	    disk_vhdx_bits_run(page, 0, vhdx->vhd.block_size / VHD_SECTOR) ==
		    vhdx->vhd.block_size / VHD_SECTOR)
		disk_vhd_set_whole(vhdx, io->offset / vhdx->vhd.block_size);
	return page;
}

/* A block's bitmap comes with its space. */
static bool disk_vhd_prepare(struct disk_vhdx *vhdx, struct vhdx_io *io, uint64_t block)
{
	return true;
}

/* ---- New blocks ---- */

static uint64_t disk_vhd_reserve(struct disk_vhdx *vhdx, uint32_t size)
{
	uint64_t start = vhd_block_place(&vhdx->vhd, vhdx->end);

	if (start / VHD_SECTOR >= VHD_UNUSED)
		return 0;
	vhdx->end = start + vhdx->vhd.bitmap_size + size;
	return start + vhdx->vhd.bitmap_size;
}

static void disk_vhd_write_bitmap(struct vhdx_block *change)
{
	struct disk_vhdx *vhdx = change->vhdx;
	uint32_t size = vhdx->vhd.bitmap_size;

	change->iov = (struct iovec){ vhdx->bitmaps[change->state == VHDX_FULLY], size };
	change->request = (struct disk_request){ .operation = DISK_WRITE,
						 .offset = change->place - size,
						 .size = size,
						 .iov = &change->iov,
						 .iov_count = 1,
						 .complete = disk_vhdx_block_changed };
	disk_submit(vhdx->file, &change->request);
}

static bool disk_vhd_has_room(const struct vhdx_block *change)
{
	return change->place + change->size <= change->vhdx->vhd.end;
}

static void disk_vhd_move(struct disk_vhdx *vhdx);

/* waiters: blocks that now have room, or whose making has failed. */
static void disk_vhd_move_end(struct disk_vhdx *vhdx, int result)
{
	struct list waiters;

	vhdx->move.busy = false;
	if (result == 0)
		vhdx->vhd.end = vhdx->move.to;
	list_init(&waiters);
	list_for_each (link, &vhdx->move.waiters) {
		list_unlink(link);
		list_append(&waiters, link);
	}
	while (!list_empty(&waiters)) {
		struct vhdx_block *change =
			container_of(waiters.next, struct vhdx_block, request.link);

		list_unlink(&change->request.link);
		if (result)
			disk_vhdx_block_changed(&change->request, result);
		else
			disk_vhd_layout.begin(change);
	}
}

static void disk_vhd_moved(struct disk_request *request, int result)
{
	struct disk_vhdx *vhdx = container_of(request, struct disk_vhdx, move.request);

	disk_vhdx_hold(vhdx);
	if (result || request->operation == DISK_FLUSH) {
		disk_vhd_move_end(vhdx, result);
	} else {
		*request = (struct disk_request){ .operation = DISK_FLUSH,
						  .complete = disk_vhd_moved };
		disk_submit(vhdx->file, request);
	}
	disk_vhdx_release(vhdx);
}

/* Ahead of all that has been reserved until now, and of some more. */
static void disk_vhd_move(struct disk_vhdx *vhdx)
{
	uint64_t end = vhdx->end;

	for (unsigned i = 0; i < VHD_AHEAD; i++)
		end = vhd_block_place(&vhdx->vhd, end) + vhdx->vhd.bitmap_size +
		      vhdx->vhd.block_size;
	vhdx->move.busy = true;
	vhdx->move.to = end;
	vhdx->move.iov = (struct iovec){ vhdx->move.footer, sizeof(struct vhd_footer) };
	vhdx->move.request = (struct disk_request){ .operation = DISK_WRITE,
						    .offset = end,
						    .size = sizeof(struct vhd_footer),
						    .iov = &vhdx->move.iov,
						    .iov_count = 1,
						    .complete = disk_vhd_moved };
	disk_submit(vhdx->file, &vhdx->move.request);
}

static void disk_vhd_begin(struct vhdx_block *change)
{
	struct disk_vhdx *vhdx = change->vhdx;

	if (disk_vhd_has_room(change)) {
		disk_vhd_write_bitmap(change);
		return;
	}
	list_init(&change->request.link);
	list_append(&vhdx->move.waiters, &change->request.link);
	if (!vhdx->move.busy)
		disk_vhd_move(vhdx);
}

const struct vhdx_layout disk_vhd_layout = {
	.page_size = VHD_SECTOR,
	.page_entries = PAGE_ENTRIES,
	.page_count = 2048,
	.highest_first = true,
	.get = disk_vhd_get,
	.set = disk_vhd_set,
	.may_use = disk_vhd_may_use,
	.reserve = disk_vhd_reserve,
	.begin = disk_vhd_begin,
	.bits = disk_vhd_bits,
	.prepare = disk_vhd_prepare,
};

/* ---- The disk ---- */

static void disk_vhd_give_up(struct disk *file, struct disk *parent)
{
	disk_retire(file, NULL, NULL);
	if (parent)
		disk_retire(parent, NULL, NULL);
}

static bool disk_vhd_allocate(struct disk_vhdx *vhdx)
{
	size_t size = ALIGN_UP(vhdx->vhd.bitmap_size, VHDX_PAGE);

	vhdx->move.footer = aligned_alloc(VHDX_PAGE, VHDX_PAGE);
	vhdx->bitmaps[0] = aligned_alloc(VHDX_PAGE, size);
	vhdx->bitmaps[1] = aligned_alloc(VHDX_PAGE, size);
	vhdx->whole = calloc(1, vhdx->vhd.block_count / 8 + 1);
	if (!vhdx->move.footer || !vhdx->bitmaps[0] || !vhdx->bitmaps[1] || !vhdx->whole)
		return false;
	memcpy(vhdx->move.footer, &vhdx->vhd.footer, sizeof(vhdx->vhd.footer));
	memset(vhdx->bitmaps[0], 0, size);
	memset(vhdx->bitmaps[1], 0xff, size);
	return true;
}

int disk_vhd_new(struct loop *loop, struct disk *file, struct disk *parent, const struct vhd *vhd,
		 struct disk **ret_disk)
{
	struct disk_vhdx *vhdx = calloc(1, sizeof(*vhdx));

	if (!vhdx) {
		disk_vhd_give_up(file, parent);
		return -ENOMEM;
	}
	vhdx->vhd = *vhd;
	vhdx->layout = &disk_vhd_layout;
	vhdx->loop = loop;
	vhdx->file = file;
	vhdx->parent = parent;
	vhdx->image = (struct vhdx){ .bat_offset = vhd->bat_offset,
				     .size = vhd->size,
				     .block_size = vhd->block_size,
				     .block_count = vhd->block_count,
				     .sector_size = VHD_SECTOR,
				     .has_parent = parent != NULL,
				     /* No entry of its table is of a bitmap. */
				     .chunk_ratio = UINT64_MAX - 1 };
	vhdx->file_size = vhdx->end = vhd->end;
	vhdx->active = true;
	if (!disk_vhd_allocate(vhdx)) {
		free(vhdx->move.footer);
		free(vhdx->bitmaps[0]);
		free(vhdx->bitmaps[1]);
		free(vhdx->whole);
		free(vhdx);
		disk_vhd_give_up(file, parent);
		return -ENOMEM;
	}
	return disk_vhdx_start(vhdx, ret_disk);
}

/* Pages here are aligned to sectors alone. Return: 0; -errno. */
static int disk_vhd_settle_direct(struct image *image)
{
	int flags;

	if (!image->direct || image->memory_alignment <= VHD_SECTOR)
		return 0;
	flags = fcntl(image->fd, F_GETFL);
	if (flags < 0 || fcntl(image->fd, F_SETFL, flags & ~O_DIRECT) < 0)
		return -errno;
	image->direct = false;
	image->memory_alignment = image->transfer_alignment = 1;
	return 0;
}

/* The footer has been put in order by whoever opened the image, and may wait for that. */
static int disk_vhd_look(struct image *image, const struct disk *parent, const uint8_t *parent_id,
			 struct vhd *vhd)
{
	uint64_t size;
	int r = vhd_open_fd(image->fd, vhd, &size);

	if (r)
		return r;
	if ((vhd->type == VHD_DIFFERENCING) != (parent != NULL) ||
	    (parent && memcmp(vhd->parent.id, parent_id, sizeof(vhd->parent.id)) != 0))
		return VHD_E_PARENT;
	if (!image->read_only && !vhd->footer_is_whole)
		return VHD_E_UNRECOVERED;
	image->size = vhd->type == VHD_FIXED ? vhd->size : FILE_MAX;
	/* Who made it of fixed size wants the space. */
	image->discard = image->discard && vhd->type != VHD_FIXED;
	return disk_vhd_settle_direct(image);
}

int disk_vhd_open(struct loop *loop, const struct image *opened, struct disk *parent,
		  uint8_t id[static 16], bool drop_flushes, struct disk **ret_disk)
{
	struct image image = *opened;
	struct disk *disk;
	struct vhd vhd;
	int r;

	r = disk_vhd_look(&image, parent, id, &vhd);
	if (r)
		close(image.fd);
	else
		r = disk_file_new(loop, &image, VHD_SECTOR, &disk);
	if (r) {
		if (parent)
			disk_retire(parent, NULL, NULL);
		return r;
	}
	if (drop_flushes)
		disk_file_drop_flushes(disk);
	memcpy(id, vhd.id, sizeof(vhd.id));
	if (vhd.type != VHD_FIXED)
		return disk_vhd_new(loop, disk, parent, &vhd, ret_disk);
	*ret_disk = disk;
	return 0;
}
